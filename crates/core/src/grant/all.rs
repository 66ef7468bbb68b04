//! What all grants above a run come to together: the one that whoever judges or shows a run needs to look at. What may be done is decided
//! by [`Behalf::allows`]; this says the same in lists.

use super::{Grant, host_fits};
use crate::{id::Name, ruling::Behalf, time::Timestamp};

/// What a run may do of what those above it could hand on. Every list that is absent is everything of its kind.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Held {
    /// The agent that started it.
    pub by: Name,
    /// See [`Grant::tools`].
    pub tools: Option<Vec<Name>>,
    /// See [`Grant::hosts`].
    pub hosts: Option<Vec<Name>>,
    /// See [`Grant::scopes`].
    pub scopes: Option<Vec<Name>>,
    /// The first of the times at which a grant ends.
    pub until: Option<Timestamp>,
    /// How many agents deep it may start others.
    pub depth: Option<u8>,
}

impl Behalf {
    /// What the grants above the run come to; nothing for a run that no agent started.
    pub fn held(&self) -> Option<Held> {
        let by = self.callers.last()?.clone();
        let mut held = Held { by, ..Held::default() };
        for granted in &self.grants {
            let Grant { tools, hosts, scopes, until, depth } = &granted.grant;
            narrow(&mut held.tools, tools.as_deref(), tool_within);
            narrow(&mut held.hosts, hosts.as_deref(), host_within);
            narrow(&mut held.scopes, scopes.as_deref(), |one, other| one == other);
            held.until = held.until.into_iter().chain(*until).min();
            let left = depth.map(|depth| depth.saturating_sub(self.below(granted.by)));
            held.depth = held.depth.into_iter().chain(left).min();
        }
        Some(held)
    }
}

/// Leaves of a list what is in another one too, in order, each once.
fn narrow(list: &mut Option<Vec<Name>>, by: Option<&[Name]>, within: impl Fn(&str, &str) -> bool) {
    let Some(by) = by else { return };
    let mut both: Vec<Name> = match list.as_deref() {
        None => by.to_vec(),
        Some(list) => {
            let pairs = list.iter().flat_map(|one| by.iter().map(move |other| (one, other)));
            let common = |(one, other): (&Name, &Name)| match (within(one, other), within(other, one)) {
                (true, _) => Some(one.clone()),
                (false, true) => Some(other.clone()),
                (false, false) => None,
            };
            pairs.filter_map(common).collect()
        }
    };
    both.sort();
    both.dedup();
    *list = Some(both);
}

/// Whether all tools that an entry stands for are among those of another one.
fn tool_within(one: &str, other: &str) -> bool {
    match (one.strip_suffix('*'), other.strip_suffix('*')) {
        (Some(one), Some(other)) => one.starts_with(other),
        (None, Some(other)) => one.starts_with(other),
        (None, None) => one == other,
        (Some(_), None) => false,
    }
}

/// The same of hosts.
fn host_within(one: &str, other: &str) -> bool {
    match (one.strip_prefix("*."), other.strip_prefix("*.")) {
        (Some(one), Some(domain)) => {
            one == domain || one.strip_suffix(domain).is_some_and(|rest| rest.len() > 1 && rest.ends_with('.'))
        }
        (None, _) => host_fits(other, one),
        (Some(_), None) => false,
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::grant::{Granted, Use};

    const TOOLS: [&str; 6] = ["*", "mail_*", "mail_send*", "mail_send", "mail_read", "web_*"];
    const HOSTS: [&str; 5] = ["*.example.com", "*.a.example.com", "x.a.example.com", "example.com", "*.ample.com"];

    fn names(all: &[&str], bits: usize) -> Option<Vec<Name>> {
        // One more than all lists: none, which is everything.
        (bits < 1 << all.len()).then(|| {
            let one = |(n, name): (usize, &&str)| (bits >> n & 1 == 1).then(|| Name::from(*name));
            all.iter().enumerate().filter_map(one).collect()
        })
    }

    fn behalf(grants: Vec<Grant>) -> Behalf {
        let callers = (0..grants.len()).map(|n| format!("agent-{n}").as_str().into()).collect();
        let grants = (0..).zip(grants).map(|(by, grant)| Granted { by, grant }).collect();
        Behalf { callers, grants, ..Behalf::default() }
    }

    /// Of two lists, whatever they are: a tool or a host is in what they come to exactly when both hold it.
    #[test]
    fn what_two_grants_come_to_holds_exactly_what_both_hold() {
        let tools = ["mail_send", "mail_send_all", "mail_read", "mail", "web_get", "other"];
        let hosts = ["example.com", "b.example.com", "a.example.com", "x.a.example.com", "b.ample.com", "other.com"];
        for (one, other) in (0..=1 << TOOLS.len()).flat_map(|a| (0..=1 << TOOLS.len()).map(move |b| (a, b))) {
            let grant = |bits| Grant { tools: names(&TOOLS, bits), ..Grant::default() };
            let both = behalf(vec![grant(one), grant(other)]);
            let held = both.held().expect("somebody granted it");
            let alone = behalf(vec![Grant { tools: held.tools.clone(), ..Grant::default() }]);
            for tool in tools.map(Use::Tool) {
                let (now, said) = (both.allows(tool, Timestamp(0)).is_ok(), alone.allows(tool, Timestamp(0)).is_ok());
                assert_eq!(now, said, "{tool:?} {both:?} {held:?}");
            }
        }
        for (one, other) in (0..=1 << HOSTS.len()).flat_map(|a| (0..=1 << HOSTS.len()).map(move |b| (a, b))) {
            let grant = |bits| Grant { hosts: names(&HOSTS, bits), ..Grant::default() };
            let both = behalf(vec![grant(one), grant(other)]);
            let held = both.held().expect("somebody granted it");
            let alone = behalf(vec![Grant { hosts: held.hosts.clone(), ..Grant::default() }]);
            for host in hosts.map(Use::Host) {
                let (now, said) = (both.allows(host, Timestamp(0)).is_ok(), alone.allows(host, Timestamp(0)).is_ok());
                assert_eq!(now, said, "{host:?} {both:?} {held:?}");
            }
        }
    }

    #[test]
    fn the_first_end_and_the_least_depth_count_and_who_started_it_is_told() {
        assert_eq!(behalf(Vec::new()).held(), None, "nobody started it");
        let grant = |until: Option<i64>, depth| Grant { until: until.map(Timestamp), depth, ..Grant::default() };
        let held = behalf(vec![grant(Some(7), Some(3)), grant(None, None), grant(Some(5), Some(2))])
            .held()
            .expect("somebody granted it");
        // The first was given two agents above this one, so two of its three are used up.
        assert_eq!((held.by.as_str(), held.until, held.depth), ("agent-2", Some(Timestamp(5)), Some(1)));
        let held = behalf(vec![grant(None, None)]).held().expect("somebody granted it");
        assert_eq!(held, Held { by: "agent-0".into(), ..Held::default() });
    }
}
