//! From a name to addresses, here and nowhere else.

use std::{
    io,
    net::{IpAddr, SocketAddr},
    sync::Arc,
};

use stead_ports::BoxFuture;
use tokio::sync::Semaphore;

use crate::{limits::LOOKUPS, rules::Name};

/// Names that this machine knows by itself (`hosts(5)`).
const HOSTS: &str = "/etc/hosts";

/// Finds the addresses of a name. Asked only for names that a rule allows.
pub trait Resolve: Send + Sync + 'static {
    /// The addresses now, with that port.
    fn resolve<'a>(&'a self, name: &'a Name, port: u16) -> BoxFuture<'a, io::Result<Vec<SocketAddr>>>;
}

/// The host's own resolver, for one session: each look-up takes a thread for as long as the system likes, so that only a few may
/// be under way.
///
/// A name with a dot is whole: the system's search list (`resolv.conf(5)`), which would make another name of it, is not applied.
#[derive(Clone, Debug)]
pub struct SystemResolver(Arc<Semaphore>);

impl Default for SystemResolver {
    fn default() -> Self {
        Self(Arc::new(Semaphore::new(LOOKUPS)))
    }
}

impl Resolve for SystemResolver {
    fn resolve<'a>(&'a self, name: &'a Name, port: u16) -> BoxFuture<'a, io::Result<Vec<SocketAddr>>> {
        Box::pin(async move {
            let place = Arc::clone(&self.0).acquire_owned().await.map_err(io::Error::other)?;
            let name = name.clone();
            // In a task of its own: whoever waits no longer does not end the thread, and must not give its place away.
            let looking = tokio::spawn(async move {
                let found = look_up(&name, port).await;
                drop(place);
                found
            });
            looking.await.map_err(io::Error::other)?
        })
    }
}

async fn look_up(name: &Name, port: u16) -> io::Result<Vec<SocketAddr>> {
    let mut text = name.to_string();
    if name.has_dot() {
        // Those of the machine's own file do not end with a dot, and are not found with one.
        let known = known(&tokio::fs::read_to_string(HOSTS).await.unwrap_or_default(), name);
        if !known.is_empty() {
            return Ok(known.into_iter().map(|ip| SocketAddr::new(ip, port)).collect());
        }
        text.push('.');
    }
    tokio::net::lookup_host((text.as_str(), port)).await.map(Iterator::collect)
}

/// The addresses that a file of names has for one.
fn known(hosts: &str, name: &Name) -> Vec<IpAddr> {
    let line = |line: &str| -> Option<IpAddr> {
        let mut words = line.split('#').next()?.split_ascii_whitespace();
        let address = words.next()?.parse().ok()?;
        words.any(|word| word.eq_ignore_ascii_case(name.as_str())).then_some(address)
    };
    hosts.lines().filter_map(line).collect()
}

#[cfg(test)]
mod tests {
    #![expect(clippy::unwrap_used, reason = "tests")]
    use super::*;

    #[test]
    fn the_machines_own_names_are_known() {
        let hosts = "127.0.0.1 localhost\n10.0.0.1\tDB.example db # a.example\nfd00::1 x db.example\nnone a.example\n";
        let of =
            |name: &str| known(hosts, &Name::parse(name).unwrap()).iter().map(IpAddr::to_string).collect::<Vec<_>>();
        assert_eq!(of("db.example"), ["10.0.0.1", "fd00::1"]);
        assert!(of("a.example").is_empty() && of("b.example").is_empty());
    }
}
