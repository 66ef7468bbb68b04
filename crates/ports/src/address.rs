//! Addresses to which no URL of a manifest may lead unless the operator says so: link-local ones, and the well-known ones at
//! which clouds hand their machines' credentials to whoever asks.
//!
//! An address is judged by where a packet to it arrives: one that carries an IPv4 address inside (mapped, translated,
//! tunnelled) counts as that. [`internal`] is the stricter judgement for what runs in a box; [`Range`] is how rules name
//! addresses. Not here: names, which an adapter resolves before it asks.

mod internal;
mod range;

use std::{
    collections::BTreeSet,
    net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr},
    sync::Arc,
};

use stead_core::code;

pub use self::{
    internal::internal,
    range::{NoRange, Range},
};

/// Which guarded addresses may be reached after all. Cheap to clone; none by default.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Reach(Arc<BTreeSet<IpAddr>>);

/// An address that is guarded and not allowed.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error(
    "{address} is {what}, and no tool or model may be reached there unless the operator allows it (`agents.addresses`)"
)]
pub struct Guarded {
    /// The address.
    pub address: IpAddr,
    /// What it is.
    pub what: &'static str,
}

/// A name that leads to guarded addresses only.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("{code}: the name `{name}` leads to a guarded address: {guarded}", code = code::TOOL_ADDRESS)]
pub struct Refused {
    /// The name.
    pub name: String,
    /// One of its addresses.
    pub guarded: Guarded,
}

impl Reach {
    /// Lets these through, in whatever notation they are asked for.
    pub fn allowing(addresses: impl IntoIterator<Item = IpAddr>) -> Self {
        Self(Arc::new(addresses.into_iter().collect()))
    }

    /// Whether that address may be reached.
    ///
    /// # Errors
    /// It is guarded, and neither it nor the IPv4 address inside of it is allowed.
    pub fn check(&self, address: IpAddr) -> Result<(), Guarded> {
        let Some(what) = guarded(address) else { return Ok(()) };
        let inner = match address {
            IpAddr::V4(_) => None,
            IpAddr::V6(v6) => inside(v6).map(IpAddr::V4),
        };
        if self.0.contains(&address) || inner.is_some_and(|inner| self.0.contains(&inner)) {
            return Ok(());
        }
        Err(Guarded { address, what })
    }

    /// What a name resolved to, without what is guarded.
    ///
    /// # Errors
    /// Nothing else is left.
    pub fn permitted(
        &self,
        name: &str,
        found: impl IntoIterator<Item = SocketAddr>,
    ) -> Result<Vec<SocketAddr>, Refused> {
        let mut refused = None;
        let mut left = Vec::new();
        for address in found {
            match self.check(address.ip()) {
                Ok(()) => left.push(address),
                Err(guarded) => refused = Some(guarded),
            }
        }
        match refused {
            Some(guarded) if left.is_empty() => Err(Refused { name: name.to_owned(), guarded }),
            _ => Ok(left),
        }
    }

    /// The same for the host of a URL, which may be a name: those are judged by what they resolve to.
    ///
    /// # Errors
    /// As [`Reach::check`].
    pub fn check_host(&self, host: &str) -> Result<(), Guarded> {
        let bare = host.strip_prefix('[').and_then(|h| h.strip_suffix(']')).unwrap_or(host);
        bare.parse().map_or(Ok(()), |address| self.check(address))
    }
}

/// What makes an address guarded, if it is.
pub fn guarded(address: IpAddr) -> Option<&'static str> {
    match address {
        IpAddr::V4(v4) => guarded_v4(v4),
        IpAddr::V6(v6) => guarded_v6(v6).or_else(|| inside(v6).and_then(guarded_v4)),
    }
}

const METADATA: &str = "an address of a cloud's metadata service";

fn guarded_v4(address: Ipv4Addr) -> Option<&'static str> {
    match address.octets() {
        // RFC 3927; 169.254.169.254 and its neighbours are the metadata services of most clouds.
        [169, 254, ..] => Some("a link-local address"),
        // Alibaba, Oracle, Azure.
        [100, 100, 100, 200] | [192, 0, 0, 192] | [168, 63, 129, 16] => Some(METADATA),
        _ => None,
    }
}

fn guarded_v6(address: Ipv6Addr) -> Option<&'static str> {
    // RFC 4291 section 2.5.6.
    if address.is_unicast_link_local() {
        return Some("a link-local address");
    }
    let [a, b, .., y, z] = address.segments();
    let known = matches!(
        (a, b, y, z),
        (0xfd00, 0x0ec2, 0, 0x254) | (0xfd20, 0x00ce, 0, 0x254) | (0xfd00, 0xc1, 0xa9fe, 0xa9fe)
    );
    known.then_some(METADATA)
}

/// The IPv4 address that an IPv6 address carries and leads to.
fn inside(address: Ipv6Addr) -> Option<Ipv4Addr> {
    let v4 = |high: u16, low: u16| {
        let ([a, b], [c, d]) = (high.to_be_bytes(), low.to_be_bytes());
        Some(Ipv4Addr::new(a, b, c, d))
    };
    match address.segments() {
        // Mapped, translated (RFC 2765), and the old compatible form; `::` and `::1` lead nowhere guarded.
        [0, 0, 0, 0, 0, 0xffff, x, y] | [0, 0, 0, 0, 0xffff, 0, x, y] | [0, 0, 0, 0, 0, 0, x, y] => v4(x, y),
        // NAT64: RFC 6052 and RFC 8215.
        [0x64, 0xff9b, 0, 0, 0, 0, x, y] | [0x64, 0xff9b, 1, _, _, _, x, y] => v4(x, y),
        // 6to4 (RFC 3056), Teredo (RFC 4380, inverted), ISATAP (RFC 5214).
        [0x2002, x, y, ..] => v4(x, y),
        [0x2001, 0, _, _, _, _, x, y] => v4(!x, !y),
        [_, _, _, _, 0 | 0x200, 0x5efe, x, y] => v4(x, y),
        _ => None,
    }
}

#[cfg(test)]
mod tests {
    #![expect(clippy::unwrap_used, reason = "tests")]
    use super::*;

    #[test]
    fn metadata_services_are_guarded_in_every_form_of_their_address() {
        for text in [
            "169.254.169.254",
            "169.254.0.1",
            "100.100.100.200",
            "192.0.0.192",
            "168.63.129.16",
            "fe80::1",
            "febf::1",
            "fd00:ec2::254",
            "fd20:ce::254",
            "fd00:c1::a9fe:a9fe",
            "::ffff:169.254.169.254",
            "::ffff:0:169.254.169.254",
            "::169.254.169.254",
            "64:ff9b::169.254.169.254",
            "64:ff9b:1::169.254.169.254",
            "2002:a9fe:a9fe::1",
            "2001:0:1:2:3:4:5601:5601",
            "2001:db8::5efe:169.254.169.254",
        ] {
            let error = Reach::default().check(text.parse().unwrap()).expect_err(text);
            assert!(error.to_string().contains("agents.addresses"), "{error}");
            assert_eq!(Reach::default().check_host(&format!("[{text}]")), Err(error));
        }
    }

    #[test]
    fn what_is_not_guarded_is_reached() {
        for text in [
            "127.0.0.1",
            "::1",
            "10.0.0.1",
            "192.168.1.1",
            "169.253.1.1",
            "8.8.8.8",
            "fd00::1",
            "2001:db8::1",
            "::ffff:10.0.0.1",
        ] {
            assert_eq!(Reach::default().check(text.parse().unwrap()), Ok(()), "{text}");
        }
        assert_eq!(Reach::default().check_host("metadata.google.internal"), Ok(()), "a name is judged by its address");
    }

    #[test]
    fn a_name_reaches_only_what_may_be_reached() {
        let found = |texts: &[&str]| -> Vec<SocketAddr> {
            texts.iter().map(|t| SocketAddr::new(t.parse().unwrap(), 80)).collect()
        };
        let reach = Reach::default();
        assert_eq!(reach.permitted("x", found(&["169.254.169.254", "10.0.0.1"])), Ok(found(&["10.0.0.1"])));
        assert_eq!(reach.permitted("x", found(&[])), Ok(Vec::new()));
        let error = reach.permitted("metadata.example", found(&["fe80::1"])).unwrap_err();
        assert!(error.to_string().starts_with("ST0054: the name `metadata.example`"), "{error}");
    }

    #[test]
    fn an_allowed_address_is_allowed_in_every_form_and_alone() {
        let reach = Reach::allowing(["169.254.169.254".parse().unwrap()]);
        for text in ["169.254.169.254", "::ffff:169.254.169.254", "64:ff9b::169.254.169.254"] {
            assert_eq!(reach.check(text.parse().unwrap()), Ok(()), "{text}");
        }
        assert!(reach.check("169.254.169.253".parse().unwrap()).is_err());
    }
}
