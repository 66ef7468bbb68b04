//! A template: what an operator lets callers have, and what they have when they do not say.

use std::{
    collections::{BTreeMap, BTreeSet},
    path::PathBuf,
    time::Duration,
};

use stead_egress::RuleSpec;
use stead_ports::sandbox::{self as port, Property, Root, Tier};

use crate::{
    SandboxesError,
    ask::Limits,
    limits::{LIFE, SHORTEST},
};

/// See the module.
#[derive(Clone, Debug, PartialEq)]
pub struct Template {
    /// The tier.
    pub tier: Tier,
    /// A folder with a root of its own; `None`: the host's programs.
    pub root: Option<PathBuf>,
    /// What the tier must be able to promise.
    pub requires: BTreeSet<Property>,
    /// The limits when a caller says nothing.
    pub usual: port::Limits,
    /// The most that a caller may have of each.
    pub most: port::Limits,
    /// How long a sandbox stays when a caller says nothing.
    pub ttl: Duration,
    /// The longest time that a caller may ask for, each time.
    pub most_ttl: Duration,
    /// Variables of every command.
    pub env: BTreeMap<String, String>,
    /// What it may reach when a caller says nothing. Only these rules may name secrets, unless `any_secret`.
    pub egress: Vec<RuleSpec>,
    /// Whether callers may write rules of their own, without secrets.
    pub any_egress: bool,
    /// Whether these may name secrets: for a server whose callers may read the secrets anyway.
    pub any_secret: bool,
}

impl Default for Template {
    fn default() -> Self {
        let usual = port::Limits { wall: LIFE, ..port::Limits::default() };
        Self {
            tier: Tier::Namespace,
            root: None,
            requires: BTreeSet::new(),
            usual,
            most: port::Limits {
                memory: Some(2 << 30),
                pids: Some(1024),
                cpu_milli: Some(4000),
                disk: 1 << 30,
                ..usual
            },
            ttl: Duration::from_secs(15 * 60),
            most_ttl: Duration::from_secs(24 * 3600),
            env: BTreeMap::new(),
            egress: Vec::new(),
            any_egress: true,
            any_secret: false,
        }
    }
}

fn refused<T>(why: impl Into<String>) -> Result<T, SandboxesError> {
    Err(SandboxesError::Refused(why.into()))
}

impl Template {
    /// The root as a box takes it.
    pub(crate) fn root(&self) -> Root {
        self.root.clone().map_or(Root::Host, Root::Folder)
    }

    /// The time that a caller gets.
    pub(crate) fn ttl(&self, asked: Option<Duration>) -> Result<Duration, SandboxesError> {
        let ttl = asked.unwrap_or(self.ttl);
        if ttl < SHORTEST || ttl > self.most_ttl {
            return refused(format!(
                "a sandbox of this template stays {} s to {} s, not {} s",
                SHORTEST.as_secs(),
                self.most_ttl.as_secs(),
                ttl.as_secs()
            ));
        }
        Ok(ttl)
    }

    /// The limits that a caller gets.
    pub(crate) fn limits(&self, asked: Limits) -> Result<port::Limits, SandboxesError> {
        self.allows(asked)?;
        let usual = self.usual;
        Ok(port::Limits {
            memory: asked.memory.or(usual.memory),
            cpu_milli: asked.cpu_milli.or(usual.cpu_milli),
            pids: asked.pids.or(usual.pids),
            disk: asked.disk.unwrap_or(usual.disk),
            wall: LIFE,
            ..usual
        })
    }

    /// Whether a caller may have these.
    pub(crate) fn allows(&self, asked: Limits) -> Result<(), SandboxesError> {
        let most = &self.most;
        for (what, asked, most) in [
            ("bytes of memory", asked.memory, most.memory),
            ("thousandths of a processor", asked.cpu_milli.map(u64::from), most.cpu_milli.map(u64::from)),
            ("processes", asked.pids.map(u64::from), most.pids.map(u64::from)),
            ("bytes of disk", asked.disk, Some(most.disk)),
        ] {
            if let (Some(asked), Some(most)) = (asked, most)
                && asked > most
            {
                return refused(format!("{asked} {what} are more than the {most} of this template"));
            }
        }
        Ok(())
    }

    /// The rules that a caller gets.
    pub(crate) fn egress(&self, asked: Option<Vec<RuleSpec>>) -> Result<Vec<RuleSpec>, SandboxesError> {
        let Some(asked) = asked else { return Ok(self.egress.clone()) };
        for rule in &asked {
            let own = self.egress.contains(rule);
            if !own && !self.any_egress {
                return refused(format!("this template has no egress rule `{}` of that form", rule.0.host));
            }
            if !own && !rule.0.secrets.is_empty() && !self.any_secret {
                return refused(format!(
                    "the rule for `{}` names a secret; only rules of the template itself may",
                    rule.0.host
                ));
            }
            if !own && !rule.0.addresses.is_empty() && !self.any_secret {
                return refused(format!(
                    "the rule for `{}` names internal addresses; only rules of the template itself may",
                    rule.0.host
                ));
            }
        }
        Ok(asked)
    }
}

#[cfg(test)]
mod tests {
    #![expect(clippy::unwrap_used, reason = "tests")]

    use super::*;

    #[test]
    fn nobody_gets_more_than_the_template_allows() {
        let template = Template::default();
        assert_eq!(template.limits(Limits::default()).unwrap().memory, Some(512 << 20));
        let much = Limits { memory: Some(3 << 30), ..Limits::default() };
        assert!(template.limits(much).unwrap_err().to_string().contains("bytes of memory"));
        assert!(template.allows(Limits { disk: Some(2 << 30), ..Limits::default() }).is_err());
        assert!(template.ttl(Some(Duration::from_secs(25 * 3600))).is_err());
        assert!(template.ttl(Some(Duration::ZERO)).is_err());
        assert_eq!(template.ttl(None).unwrap(), template.ttl);
    }

    #[test]
    fn callers_write_no_rules_that_the_operator_did_not_mean() {
        let with_secret = || {
            let mut rule = RuleSpec::short("api.example.com");
            let inject = stead_egress::InjectSpec::Bearer;
            rule.0.secrets.push(stead_egress::SecretSpec { secret: "key".into(), inject });
            rule
        };
        let own = RuleSpec::short("a.example.com");
        let closed = Template { any_egress: false, egress: vec![own.clone(), with_secret()], ..Template::default() };
        assert_eq!(closed.egress(None).unwrap().len(), 2);
        assert_eq!(closed.egress(Some(vec![with_secret()])).unwrap(), [with_secret()]);
        assert!(closed.egress(Some(vec![RuleSpec::short("b.example.com")])).is_err());
        let open = Template::default();
        assert!(open.egress(Some(vec![own])).is_ok());
        assert!(open.egress(Some(vec![with_secret()])).is_err());
        let mut inside = RuleSpec::short("b.example.com");
        inside.0.addresses.push("10.0.0.0/8".into());
        assert!(open.egress(Some(vec![inside])).is_err());
    }
}
