//! The context of a request: the attributes that its slice reads, typed, and no others.

use std::{cell::RefCell, collections::BTreeMap};

use cedar_policy_core::ast::{Context, Value};

use crate::{
    deed::Deed,
    edge::COMMON,
    encode::{self, Place, Unfit},
    fold::Constant,
    gate::Approver,
    handed::Handed,
    history::{Ask, Said},
    policies::Policies,
    request::Request,
    shape::Fields,
    value,
    wanted::Wanted,
};

/// Approvals as policies see them.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(crate) struct Seen {
    pub(crate) count: i64,
    pub(crate) approvers: Vec<Approver>,
}

/// What a context is made of.
pub(crate) struct Sources<'a> {
    pub(crate) policies: &'a Policies,
    pub(crate) request: &'a Request<'a>,
    /// The arguments, as they are or as they were written anew.
    pub(crate) arguments: Option<&'a str>,
    /// Their types, as the policies were checked against them.
    pub(crate) fields: &'a Fields,
    pub(crate) approvals: &'a Seen,
    /// What counters said.
    pub(crate) read: &'a RefCell<BTreeMap<String, Said>>,
}

/// Attributes that every edge, what a run asks, or a tool call has beside [`COMMON`].
const MORE: [&str; 6] = ["approvals", "history", "grant", "args", "unseen", "provenance"];

impl Sources<'_> {
    /// Builds what is wanted of the context, and puts the constants in it.
    ///
    /// # Errors
    /// What cannot be said to Cedar exactly; the decision denies.
    pub(crate) fn build(&self, wanted: &Wanted, constants: &[Constant]) -> Result<Context, Unfit> {
        let mut pairs: Vec<(&str, Value)> = constants.iter().map(|(name, value)| (&**name, value.clone())).collect();
        let mut put = |name, below: &Wanted| -> Result<(), Unfit> {
            if let Some(value) = self.attribute(name, below)? {
                pairs.push((name, value));
            }
            Ok(())
        };
        match wanted {
            Wanted::Nothing => {}
            Wanted::Some(names) => {
                // Of several things that cannot be said, what the history does not know is told first.
                let (first, rest): (Vec<_>, Vec<_>) = names.iter().partition(|(name, _)| *name == "history");
                first.into_iter().chain(rest).try_for_each(|(name, below)| put(name.as_str(), below))?;
            }
            Wanted::All => {
                let own = self.request.deed.edge().attributes();
                let names = COMMON.iter().chain(own).map(|(name, ..)| *name).chain(MORE);
                names.into_iter().try_for_each(|name| put(name, &Wanted::All))?;
            }
        }
        Ok(value::context(pairs))
    }

    /// An attribute; `None` when this request does not have it.
    fn attribute(&self, name: &str, wanted: &Wanted) -> Result<Option<Value>, Unfit> {
        let facts = &self.request.facts;
        Ok(Some(match name {
            "granted" => value::plain(facts.granted),
            "risk" => value::plain(self.request.risk().name()),
            "confidence" => value::decimal(facts.confidence.unwrap_or_default().ten_thousandths()),
            "ask_below" => value::decimal(facts.ask_below.unwrap_or_default().ten_thousandths()),
            // What the two above come to, without reading decimals.
            "unsure" => value::plain(facts.unsure()),
            "traced" => value::plain(facts.traced),
            "taint" => value::plain(facts.tainted()),
            "plan" => value::plain(facts.plan),
            "now" => value::datetime(facts.now),
            "approvals" => self.approvals(),
            "history" => self.history(wanted)?,
            "grant" => return Ok(self.request.principal.grant.as_ref().map(Handed::value)),
            "args" | "unseen" | "provenance" => return self.of_arguments(name, wanted),
            other => return Ok(self.request.deed.attribute(other).map(|own| own.value())),
        }))
    }

    fn of_arguments(&self, name: &str, wanted: &Wanted) -> Result<Option<Value>, Unfit> {
        let (Deed::CallTool { provenance, .. }, Some(arguments)) = (&self.request.deed, self.arguments) else {
            return Ok(None);
        };
        let place = Place::Root("context.args");
        Ok(Some(match name {
            "args" => encode::record(arguments, self.fields, wanted, &place)?,
            "unseen" => value::plain(encode::unseen(arguments, self.fields, &place)?),
            _ => {
                let mut speakers: Vec<(&str, Value)> = Vec::new();
                for (name, from) in *provenance {
                    if wanted.of(name).is_none() || !self.fields.contains_key(name) {
                        continue;
                    }
                    if speakers.iter().any(|(other, _)| other == name) {
                        let problem = format!("has `{name}` twice");
                        return Err(Unfit { path: "context.provenance".to_owned(), problem });
                    }
                    speakers.push((name, from.value()));
                }
                value::record(speakers)
            }
        }))
    }

    fn approvals(&self) -> Value {
        let Seen { count, approvers } = self.approvals;
        let (users, roles): (Vec<&Approver>, Vec<&Approver>) =
            approvers.iter().partition(|approver| matches!(approver, Approver::User(_)));
        let of = |approvers: Vec<&Approver>| value::set(approvers.into_iter().map(value::approver));
        value::record([("count", value::plain(*count)), ("users", of(users)), ("roles", of(roles))])
    }

    fn history(&self, wanted: &Wanted) -> Result<Value, Unfit> {
        let counters = &self.policies.world.counters;
        let mut said = Vec::new();
        match wanted {
            Wanted::Nothing => {}
            Wanted::Some(names) => {
                for (name, counter) in names.keys().filter_map(|name| counters.get_key_value(name)) {
                    said.push((name.as_str(), self.counted(name, counter)?));
                }
            }
            Wanted::All => {
                for (name, counter) in counters {
                    said.push((name.as_str(), self.counted(name, counter)?));
                }
            }
        }
        Ok(value::record(said))
    }

    fn counted(&self, name: &str, counter: &crate::history::Counter) -> Result<Value, Unfit> {
        let facts = &self.request.facts;
        let unfit = |problem: String| Unfit { path: format!("context.history.{name}"), problem };
        let (scope, arguments) = (self.request.principal.scope(), self.arguments.unwrap_or("{}"));
        let ask = Ask { name, counter, scope, now: facts.now, arguments };
        let said = facts.history.read(&ask).map_err(unfit)?;
        self.read.borrow_mut().insert(name.to_owned(), said.clone());
        Ok(match said {
            Said::Bool(said) => value::plain(said),
            Said::Long(said) => value::plain(said),
            Said::Decimal(said) => value::decimal(said),
            Said::Text(said) => value::plain(said),
        })
    }
}
