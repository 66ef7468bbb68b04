//! Numbers: doubles that are written exactly, in the form of ECMAScript (RFC 8785, section 3.2.2.3).

use std::fmt;

/// The largest whole number below which every whole number is a double.
pub(super) const MAX_WHOLE: u64 = (1 << 53) - 1;

/// A finite number. Minus zero is zero.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Number(f64);

impl Eq for Number {}

impl Number {
    pub(super) fn whole(n: u64) -> Self {
        Self(n.min(MAX_WHOLE) as f64)
    }

    /// The number of a JSON text, when a double has it exactly as the shortest text that means that double.
    pub(super) fn exact(text: &str) -> Option<Self> {
        let value: f64 = text.parse().ok().filter(|v: &f64| v.is_finite())?;
        let same = digits(text) == digits(ryu::Buffer::new().format_finite(value));
        // Whole numbers beyond are neighbours of others that read as the same double.
        let sure = value.abs() <= MAX_WHOLE as f64 || text.contains(['.', 'e', 'E']);
        (same && sure).then_some(Self(if value == 0.0 { 0.0 } else { value }))
    }

    /// The whole number that it is, from 0 to 2⁵³ − 1.
    pub fn as_whole(self) -> Option<u64> {
        let fits = self.0 >= 0.0 && self.0 <= MAX_WHOLE as f64 && self.0.fract() == 0.0;
        fits.then_some(self.0 as u64)
    }
}

/// The significant digits of a decimal number, and the place of the point relative to their end.
fn digits(text: &str) -> (bool, String, i64) {
    let (mantissa, exponent) = match text.split_once(['e', 'E']) {
        Some((m, e)) => (m, e.parse::<i64>().unwrap_or(i64::MAX)),
        None => (text, 0),
    };
    let negative = mantissa.starts_with('-');
    let mantissa = mantissa.trim_start_matches('-');
    let (whole, part) = mantissa.split_once('.').unwrap_or((mantissa, ""));
    let all = format!("{whole}{part}");
    let kept = all.trim_start_matches('0').trim_end_matches('0');
    if kept.is_empty() {
        return (false, String::new(), 0);
    }
    let dropped = (all.len() - all.trim_end_matches('0').len()) as i64;
    let place = exponent.saturating_sub(part.len() as i64).saturating_add(dropped);
    (negative, kept.to_owned(), place)
}

impl fmt::Display for Number {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        if self.0 == 0.0 {
            return f.write_str("0");
        }
        // ECMAScript's Number::toString: k digits, and the point after the n-th. Of two that are as near, the even one; the standard
        // library takes the upper.
        let (negative, digits, place) = digits(ryu::Buffer::new().format_finite(self.0));
        let (k, n) = (digits.len() as i64, digits.len() as i64 + place);
        if negative {
            f.write_str("-")?;
        }
        let zeros = |f: &mut fmt::Formatter<'_>, count: i64| (0..count).try_for_each(|_| f.write_str("0"));
        match n {
            _ if k <= n && n <= 21 => {
                f.write_str(&digits)?;
                zeros(f, n - k)
            }
            1..=21 => {
                let (whole, part) = digits.split_at(n as usize);
                write!(f, "{whole}.{part}")
            }
            -5..=0 => {
                f.write_str("0.")?;
                zeros(f, -n)?;
                f.write_str(&digits)
            }
            _ => {
                let (first, rest) = digits.split_at(1);
                let point = if rest.is_empty() { "" } else { "." };
                let sign = if n > 0 { "+" } else { "-" };
                write!(f, "{first}{point}{rest}e{sign}{}", (n - 1).abs())
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// RFC 8785, appendix B.
    #[test]
    fn doubles_are_written_as_the_rfc_shows() {
        for (bits, text) in [
            (0x0000_0000_0000_0000_u64, "0"),
            (0x8000_0000_0000_0000, "0"),
            (0x0000_0000_0000_0001, "5e-324"),
            (0x8000_0000_0000_0001, "-5e-324"),
            (0x7fef_ffff_ffff_ffff, "1.7976931348623157e+308"),
            (0x4340_0000_0000_0000, "9007199254740992"),
            (0xc340_0000_0000_0000, "-9007199254740992"),
            (0x4430_0000_0000_0000, "295147905179352830000"),
            (0x44b5_2d02_c7e1_4af5, "9.999999999999997e+22"),
            (0x44b5_2d02_c7e1_4af6, "1e+23"),
            (0x44b5_2d02_c7e1_4af7, "1.0000000000000001e+23"),
            (0x444b_1ae4_d6e2_ef4e, "999999999999999700000"),
            (0x444b_1ae4_d6e2_ef4f, "999999999999999900000"),
            (0x444b_1ae4_d6e2_ef50, "1e+21"),
            (0x3eb0_c6f7_a0b5_ed8c, "9.999999999999997e-7"),
            (0x3eb0_c6f7_a0b5_ed8d, "0.000001"),
            (0x41b3_de43_5555_5553, "333333333.3333332"),
            (0x41b3_de43_5555_5556, "333333333.3333334"),
            (0x41b3_de43_5555_5557, "333333333.33333343"),
            (0xbecb_f647_612f_3696, "-0.0000033333333333333333"),
            (0x4314_3ff3_c1cb_0959, "1424953923781206.2"),
        ] {
            assert_eq!(Number(f64::from_bits(bits)).to_string(), text);
        }
    }

    #[test]
    fn what_no_double_has_is_refused() {
        for text in ["333333333.33333329", "9007199254740993", "9007199254740992", "0.10000000000000001", "1e400"] {
            assert_eq!(Number::exact(text), None, "{text}");
        }
        for (text, canonical) in [("1E30", "1e+30"), ("4.50", "4.5"), ("2e-3", "0.002"), ("-0", "0"), ("0.000", "0")] {
            assert_eq!(Number::exact(text).map(|n| n.to_string()).as_deref(), Some(canonical));
        }
    }
}
