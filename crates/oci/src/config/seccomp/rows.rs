//! From checks that are tried in order to the rows of conditions that allow, each row by itself. Pure.
//!
//! Comparisons are masked to 32 bits at most: the kernel looks at no more of the arguments that are checked, and a filter that
//! compared all 64 could be passed by setting a higher bit.

use stead_tier::calls::rule::{Check, Test, Verdict};

/// An argument behind a mask is this.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Is {
    pub(super) argument: u32,
    pub(super) mask: u32,
    pub(super) value: u32,
}

/// Conditions that all hold, at most one for each argument: runtimes take no more.
pub(super) type Row = Vec<Is>;

/// The rows that allow a call: where a check that allows is the first one that holds, and where none holds if that allows.
pub(super) fn allowed(checks: &[Check], last: Verdict) -> Vec<Row> {
    let mut before = vec![Row::new()];
    let mut out = Vec::new();
    for check in checks {
        if check.then == Verdict::Allow {
            let holds = check.tests.iter().fold(before.clone(), |rows, test| both(&rows, &holds(test)));
            out.extend(holds);
        }
        let fails: Vec<Row> = check.tests.iter().flat_map(fails).collect();
        before = both(&before, &fails);
    }
    if last == Verdict::Allow {
        out.extend(before);
    }
    out
}

/// The rows in which a test holds.
fn holds(test: &Test) -> Vec<Row> {
    match *test {
        Test::Any { argument, bits } => {
            let each = (0..u32::BITS).map(|n| 1 << n).filter(|bit| bits & bit != 0);
            each.map(|bit| vec![Is { argument, mask: bit, value: bit }]).collect()
        }
        Test::OneOf { argument, mask, values } => {
            let possible = values.iter().filter(|value| **value & !mask == 0);
            possible.map(|value| vec![Is { argument, mask, value: *value }]).collect()
        }
    }
}

/// The rows in which it does not.
fn fails(test: &Test) -> Vec<Row> {
    match *test {
        Test::Any { argument, bits } => vec![vec![Is { argument, mask: bits, value: 0 }]],
        Test::OneOf { argument, mask, values } => {
            let mut out = Vec::new();
            others(Is { argument, mask: 0, value: 0 }, mask, values, &mut out);
            out
        }
    }
}

/// Rows for every number but these: each is the numbers that part from all of them at the same bit.
fn others(so_far: Is, mask: u32, values: &[u32], out: &mut Vec<Row>) {
    let left = mask & !so_far.mask;
    if values.is_empty() {
        out.push(vec![so_far]);
    } else if left != 0 {
        let bit = 1 << (31 - left.leading_zeros());
        let (ones, zeroes): (Vec<u32>, Vec<u32>) = values.iter().partition(|value| **value & bit != 0);
        let with = |value| Is { mask: so_far.mask | bit, value, ..so_far };
        others(with(so_far.value), mask, &zeroes, out);
        others(with(so_far.value | bit), mask, &ones, out);
    }
}

/// The rows in which one of both holds each.
fn both(left: &[Row], right: &[Row]) -> Vec<Row> {
    left.iter().flat_map(|one| right.iter().filter_map(move |other| joined(one, other))).collect()
}

/// Both rows in one; `None` if they cannot hold together.
fn joined(one: &Row, other: &Row) -> Option<Row> {
    let mut out = one.clone();
    for is in other {
        match out.iter_mut().find(|there| there.argument == is.argument) {
            Some(there) if there.value & is.mask != is.value & there.mask => return None,
            Some(there) => {
                there.mask |= is.mask;
                there.value |= is.value;
            }
            None => out.push(*is),
        }
    }
    Some(out)
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;

    use stead_tier::calls::{self, Call, rule::Rule};

    use super::*;

    /// What the checks say, one after the other.
    fn decided(checks: &[Check], last: Verdict, arguments: [u32; 6]) -> Verdict {
        let holds = |test: &Test| match *test {
            Test::Any { argument, bits } => arguments[argument as usize] & bits != 0,
            Test::OneOf { argument, mask, values } => values.contains(&(arguments[argument as usize] & mask)),
        };
        checks.iter().find(|check| check.tests.iter().all(holds)).map_or(last, |check| check.then)
    }

    fn allows(rows: &[Row], arguments: [u64; 6]) -> bool {
        let is = |is: &Is| arguments[is.argument as usize] & u64::from(is.mask) == u64::from(is.value);
        rows.iter().any(|row| row.iter().all(is))
    }

    /// Numbers about which a rule has something to say, and their neighbours.
    fn interesting(checks: &[Check]) -> Vec<u32> {
        let mut out = BTreeSet::from([0, 1, u32::MAX]);
        for test in checks.iter().flat_map(|check| check.tests) {
            match *test {
                Test::Any { bits, .. } => {
                    out.extend([bits, !bits, 1 << bits.trailing_zeros(), bits & bits.wrapping_sub(1)])
                }
                Test::OneOf { mask, values, .. } => {
                    out.extend(values.iter().flat_map(|v| [*v, v ^ 1, v | !mask, v.wrapping_add(0x100)]));
                }
            }
        }
        out.into_iter().collect()
    }

    /// Every rule of the shared lists: its rows allow exactly what its checks allow.
    #[test]
    fn rows_allow_what_the_checks_allow_and_nothing_else() {
        let mut tried = 0;
        for (Call { name, .. }, rule) in calls::rules() {
            let Rule::Checked(checks, last) = rule else { continue };
            let (rows, numbers) = (allowed(checks, last), interesting(checks));
            let used: BTreeSet<usize> = rows.iter().flatten().map(|is| is.argument as usize).collect();
            let mut all = vec![[0_u32; 6]];
            for argument in used {
                all = all
                    .iter()
                    .flat_map(|a| {
                        numbers.iter().map(move |n| {
                            let mut a = *a;
                            a[argument] = *n;
                            a
                        })
                    })
                    .collect();
            }
            for arguments in all {
                let expected = decided(checks, last, arguments) == Verdict::Allow;
                assert_eq!(allows(&rows, arguments.map(u64::from)), expected, "{name} {arguments:x?}");
                // The kernel looks at no higher bits, and the filter does not either.
                assert_eq!(allows(&rows, arguments.map(|a| u64::from(a) | 1 << 32)), expected, "{name} {arguments:x?}");
                tried += 1;
            }
            for row in &rows {
                let arguments: BTreeSet<u32> = row.iter().map(|is| is.argument).collect();
                assert_eq!(arguments.len(), row.len(), "{name}: two conditions for one argument");
            }
        }
        assert!(tried > 10_000, "{tried}");
    }
}
