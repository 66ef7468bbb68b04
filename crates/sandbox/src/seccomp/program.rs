//! From a list of rules to a program of the kernel's packet filter machine (Linux `seccomp(2)`, `bpf(4)`). Pure.

use libc::{
    BPF_ABS, BPF_ALU, BPF_AND, BPF_JA, BPF_JEQ, BPF_JGE, BPF_JMP, BPF_JSET, BPF_K, BPF_LD, BPF_RET, BPF_W, sock_filter,
};
use stead_tier::calls::rule::{Rule, Test, Verdict};

/// Of a call that is on no list: as if the kernel did not know it.
const UNKNOWN: Verdict = Verdict::Errno(libc::ENOSYS);

// Offsets in `struct seccomp_data`.
const NUMBER: u32 = 0;
const ARCHITECTURE: u32 = 4;
const ARGUMENTS: u32 = 16;
/// Numbers from here on are those of the x32 interface.
const X32: u32 = 0x4000_0000;

#[cfg(target_arch = "x86_64")]
pub(super) const NATIVE: u32 = 0xC000_003E;
#[cfg(target_arch = "aarch64")]
pub(super) const NATIVE: u32 = 0xC000_00B7;

const fn word(code: u32, k: u32) -> sock_filter {
    sock_filter { code: code as u16, jt: 0, jf: 0, k }
}

const fn load(offset: u32) -> sock_filter {
    word(BPF_LD | BPF_W | BPF_ABS, offset)
}

/// Skips `jt` instructions if the test holds, else `jf`.
const fn jump(test: u32, k: u32, jt: u8, jf: u8) -> sock_filter {
    sock_filter { code: (BPF_JMP | test | BPF_K) as u16, jt, jf, k }
}

const fn skip(count: u32) -> sock_filter {
    word(BPF_JMP | BPF_JA, count)
}

/// `told`: whoever listens to the filter is asked before the call is made.
fn ret(verdict: Verdict, told: bool) -> sock_filter {
    let k = match verdict {
        Verdict::Allow if told => libc::SECCOMP_RET_USER_NOTIF,
        Verdict::Allow => libc::SECCOMP_RET_ALLOW,
        Verdict::Errno(code) => libc::SECCOMP_RET_ERRNO | code.unsigned_abs(),
        Verdict::Kill => libc::SECCOMP_RET_KILL_PROCESS,
    };
    word(BPF_RET | BPF_K, k)
}

/// Numbers from the one that stands here up to the next one's share a rule, and whether a listener is told of what is allowed.
type Range = (u32, (Rule, bool));

/// The program. `rules` may be in any order; of two for one number the first counts. Of `told` calls a listener is told when they
/// are allowed.
pub(super) fn make(rules: &[(u32, Rule)], told: &[u32]) -> Vec<sock_filter> {
    let mut program = vec![
        load(ARCHITECTURE),
        jump(BPF_JEQ, NATIVE, 1, 0),
        ret(Verdict::Kill, false),
        load(NUMBER),
        jump(BPF_JGE, X32, 0, 1),
        ret(Verdict::Kill, false),
    ];
    program.extend(search(&ranges(rules, told)));
    program
}

/// The whole line of numbers, in stretches with one rule.
fn ranges(rules: &[(u32, Rule)], told: &[u32]) -> Vec<Range> {
    let mut sorted: Vec<_> = rules.to_vec();
    sorted.sort_by_key(|(number, _)| *number);
    sorted.dedup_by_key(|(number, _)| *number);
    let unknown = (Rule::Always(UNKNOWN), false);
    let mut out: Vec<Range> = vec![(0, unknown)];
    let mut put = |from: u32, rule: (Rule, bool)| match out.last_mut() {
        Some((at, last)) if *at == from => *last = rule,
        Some((_, last)) if *last == rule => {}
        _ => out.push((from, rule)),
    };
    for (i, (number, rule)) in sorted.iter().enumerate() {
        put(*number, (*rule, told.contains(number)));
        if sorted.get(i + 1).is_none_or(|(next, _)| *next != number + 1) {
            put(number + 1, unknown);
        }
    }
    // Replacing the first stretch may have made it equal to its follower.
    out.dedup_by(|next, last| next.1 == last.1);
    out
}

/// A search tree over the stretches. Conditional jumps reach 255 instructions: near the root one skips a jump that reaches
/// further.
fn search(ranges: &[Range]) -> Vec<sock_filter> {
    if let [(_, rule)] = ranges {
        return leaf(*rule);
    }
    let (low, high) = ranges.split_at(ranges.len() / 2);
    let (below, above) = (search(low), search(high));
    let from = high.first().map_or(0, |(from, _)| *from);
    let mut out = match u8::try_from(below.len()) {
        Ok(near) => vec![jump(BPF_JGE, from, near, 0)],
        Err(_) => vec![jump(BPF_JGE, from, 0, 1), skip(below.len() as u32)],
    };
    out.extend(below);
    out.extend(above);
    out
}

fn leaf((rule, told): (Rule, bool)) -> Vec<sock_filter> {
    let (checks, last) = match rule {
        Rule::Always(verdict) => return vec![ret(verdict, told)],
        Rule::Checked(checks, last) => (checks, last),
    };
    let mut out = Vec::new();
    for check in checks {
        let tests: Vec<_> = check.tests.iter().map(test).collect();
        // A test that fails goes behind the verdict of its check.
        let mut left: usize = tests.iter().map(|t| t.len() + 1).sum::<usize>() + 1;
        for test in tests {
            left -= test.len() + 1;
            out.extend(test);
            out.push(skip(left as u32));
        }
        out.push(ret(check.then, told));
    }
    out.push(ret(last, told));
    out
}

/// A test, behind which stands one instruction for when it fails: when it holds, that is skipped.
fn test(test: &Test) -> Vec<sock_filter> {
    let argument = |n: u32| load(ARGUMENTS + 8 * n);
    match test {
        Test::Any { argument: n, bits } => vec![argument(*n), jump(BPF_JSET, *bits, 1, 0)],
        Test::OneOf { argument: n, mask, values } => {
            let mut out = vec![argument(*n), word(BPF_ALU | BPF_AND | BPF_K, *mask)];
            for (i, value) in values.iter().enumerate() {
                let behind = values.len() - i;
                out.push(jump(BPF_JEQ, *value, behind as u8, 0));
            }
            out
        }
    }
}

#[cfg(test)]
pub(super) mod machine {
    //! The machine, as far as the programs here use it: what the kernel would decide.

    use super::*;

    pub(crate) fn run(program: &[sock_filter], architecture: u32, number: u32, arguments: &[u32]) -> u32 {
        let (mut at, mut a) = (0, 0_u32);
        loop {
            let step = program[at];
            at += 1;
            let code = u32::from(step.code);
            let branch = |holds: bool| usize::from(if holds { step.jt } else { step.jf });
            if code == BPF_LD | BPF_W | BPF_ABS {
                a = match step.k {
                    NUMBER => number,
                    ARCHITECTURE => architecture,
                    k => arguments.get(((k - ARGUMENTS) / 8) as usize).copied().unwrap_or(0),
                };
            } else if code == BPF_ALU | BPF_AND | BPF_K {
                a &= step.k;
            } else if code == BPF_JMP | BPF_JA {
                at += step.k as usize;
            } else if code == BPF_JMP | BPF_JEQ | BPF_K {
                at += branch(a == step.k);
            } else if code == BPF_JMP | BPF_JGE | BPF_K {
                at += branch(a >= step.k);
            } else if code == BPF_JMP | BPF_JSET | BPF_K {
                at += branch(a & step.k != 0);
            } else {
                assert_eq!(code, BPF_RET | BPF_K, "an instruction that the programs here do not use");
                return step.k;
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use stead_tier::calls::rule::Check;

    use super::*;

    const CHECKS: &[Check] = &[
        Check {
            tests: &[Test::Any { argument: 0, bits: 0b100 }, Test::OneOf { argument: 1, mask: 0xf, values: &[2, 3] }],
            then: Verdict::Errno(1),
        },
        Check { tests: &[Test::OneOf { argument: 2, mask: !0, values: &[9] }], then: Verdict::Allow },
    ];

    fn decide(number: u32, arguments: &[u32]) -> u32 {
        let mut rules: Vec<_> = (10..300).filter(|n| n % 7 != 0).map(|n| (n, Rule::Always(Verdict::Allow))).collect();
        rules.push((7, Rule::Checked(CHECKS, Verdict::Errno(2))));
        machine::run(&make(&rules, &[]), NATIVE, number, arguments)
    }

    #[test]
    fn each_number_meets_its_own_rule_and_no_other() {
        for number in 0..400 {
            let expected = match number {
                7 => 0x0005_0002,
                n if (10..300).contains(&n) && n % 7 != 0 => 0x7fff_0000,
                _ => 0x0005_0000 | libc::ENOSYS.unsigned_abs(),
            };
            assert_eq!(decide(number, &[]), expected, "call {number}");
        }
    }

    #[test]
    fn all_tests_of_a_check_must_hold_and_the_first_check_that_holds_decides() {
        assert_eq!(decide(7, &[0b110, 0x13, 9]), 0x0005_0001);
        assert_eq!(decide(7, &[0b110, 0x12, 0]), 0x0005_0001);
        assert_eq!(decide(7, &[0b110, 0x11, 9]), 0x7fff_0000);
        assert_eq!(decide(7, &[0b010, 0x12, 8]), 0x0005_0002);
    }

    #[test]
    fn a_listener_is_told_of_what_is_allowed_and_of_nothing_else() {
        let rules = [(6, Rule::Always(Verdict::Allow)), (7, Rule::Checked(CHECKS, Verdict::Errno(2)))];
        let (plain, watched) = (make(&rules, &[]), make(&rules, &[7]));
        for number in 0..10 {
            for arguments in [[0b110, 0x12, 9], [0b110, 0x11, 9], [0b010, 0x12, 8]] {
                let usual = machine::run(&plain, NATIVE, number, &arguments);
                let told = number == 7 && usual == libc::SECCOMP_RET_ALLOW;
                let expected = if told { libc::SECCOMP_RET_USER_NOTIF } else { usual };
                assert_eq!(machine::run(&watched, NATIVE, number, &arguments), expected, "{number} {arguments:x?}");
            }
        }
        assert_eq!(machine::run(&watched, NATIVE, 7, &[0b110, 0x11, 9]), libc::SECCOMP_RET_USER_NOTIF);
    }

    #[test]
    fn another_architecture_and_the_x32_interface_are_killed() {
        let program = make(&[(1, Rule::Always(Verdict::Allow))], &[]);
        assert_eq!(machine::run(&program, 0x4000_0003, 1, &[]), libc::SECCOMP_RET_KILL_PROCESS);
        assert_eq!(machine::run(&program, NATIVE, X32 + 1, &[]), libc::SECCOMP_RET_KILL_PROCESS);
        assert_eq!(machine::run(&program, NATIVE, 1, &[]), libc::SECCOMP_RET_ALLOW);
    }
}
