//! A range of addresses as rules name it: `10.1.0.0/16`, `fd00:1::/32`, or one address.

use std::{fmt, net::IpAddr, str::FromStr};

use super::inside;

/// A block of addresses: its first one, and how many leading bits all of them share.
#[derive(Clone, Copy, PartialEq, Eq)]
pub struct Range {
    first: IpAddr,
    bits: u8,
}

/// A text that is no range.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("`{0}` is no range of addresses; write for example `10.1.0.0/16`, `fd00:1::/32`, or one address")]
pub struct NoRange(String);

impl Range {
    /// Whether an address lies in it, or the IPv4 address that it carries does.
    pub fn contains(&self, address: IpAddr) -> bool {
        let inner = match address {
            IpAddr::V4(_) => None,
            IpAddr::V6(v6) => inside(v6).map(IpAddr::V4),
        };
        [Some(address), inner].into_iter().flatten().any(|a| self.holds(a))
    }

    fn holds(&self, address: IpAddr) -> bool {
        match (self.first, address) {
            (IpAddr::V4(first), IpAddr::V4(a)) => {
                let mask = u32::MAX.checked_shl(32 - u32::from(self.bits)).unwrap_or(0);
                first.to_bits() == a.to_bits() & mask
            }
            (IpAddr::V6(first), IpAddr::V6(a)) => {
                let mask = u128::MAX.checked_shl(128 - u32::from(self.bits)).unwrap_or(0);
                first.to_bits() == a.to_bits() & mask
            }
            _ => false,
        }
    }
}

impl FromStr for Range {
    type Err = NoRange;

    /// # Errors
    /// No address, more bits than it has, or bits set beyond the shared ones (`10.1.0.0/8`: a slip that would widen a rule).
    fn from_str(text: &str) -> Result<Self, NoRange> {
        let wrong = || NoRange(text.to_owned());
        let (first, bits) = text.split_once('/').map_or((text, None), |(first, bits)| (first, Some(bits)));
        let first: IpAddr = first.parse().map_err(|_| wrong())?;
        let most = if first.is_ipv4() { 32 } else { 128 };
        let bits = match bits {
            None => most,
            Some(b) if b.len() <= 3 && b.bytes().all(|b| b.is_ascii_digit()) => b.parse().map_err(|_| wrong())?,
            Some(_) => return Err(wrong()),
        };
        let range = Self { first, bits };
        if bits > most || !range.holds(first) { Err(wrong()) } else { Ok(range) }
    }
}

impl fmt::Display for Range {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}/{}", self.first, self.bits)
    }
}

impl fmt::Debug for Range {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(self, f)
    }
}

#[cfg(test)]
mod tests {
    #![expect(clippy::unwrap_used, reason = "tests")]
    use super::*;

    #[test]
    fn a_range_holds_what_shares_its_bits_in_every_form() {
        let range: Range = "10.1.0.0/16".parse().unwrap();
        for (text, want) in [
            ("10.1.0.0", true),
            ("10.1.255.255", true),
            ("10.2.0.0", false),
            ("::ffff:10.1.2.3", true),
            ("64:ff9b::10.1.2.3", true),
            ("::ffff:10.2.2.3", false),
            ("fd00::1", false),
        ] {
            assert_eq!(range.contains(text.parse().unwrap()), want, "{text}");
        }
        let all: Range = "::/0".parse().unwrap();
        assert!(all.contains("fd00::1".parse().unwrap()) && !all.contains("10.0.0.1".parse().unwrap()));
        let one: Range = "fd00::1".parse().unwrap();
        assert!(one.contains("fd00::1".parse().unwrap()) && !one.contains("fd00::2".parse().unwrap()));
        assert_eq!(one.to_string(), "fd00::1/128");
    }

    #[test]
    fn a_slip_is_no_range() {
        for text in ["", "10.0.0.0/", "10.0.0.0/33", "10.1.0.0/8", "fd00::1/64", "10.0.0.0/+8", "10.0.0.0/0008", "x/8"]
        {
            assert!(text.parse::<Range>().is_err(), "{text}");
        }
    }
}
