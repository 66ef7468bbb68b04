//! What a run was handed by the agent that started it: `context.grant` of whatever it asks for.
//!
//! Whether a grant holds something is not decided here: the machine refuses what it does not hold, whatever policies say.

use stead_core::{
    budget::{Limits, MicroUsd},
    grant::Held,
    ruling::Behalf,
    time::Timestamp,
};

use crate::value;

/// What all grants above a run come to, and what it may use. What is absent has no bound of its own.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Handed {
    /// The agent that started it.
    pub by: String,
    /// Tools, by the names that models use; one that ends with `*` stands for all that begin so.
    pub tools: Option<Vec<String>>,
    /// Hosts: a name, or `*.` and a domain for everything below that.
    pub hosts: Option<Vec<String>>,
    /// Scopes of delegated tokens.
    pub scopes: Option<Vec<String>>,
    /// When the first of the grants ends.
    pub until: Option<Timestamp>,
    /// How many agents deep it may start others.
    pub depth: Option<u8>,
    /// Tokens that it may use, as it began.
    pub tokens: Option<u64>,
    /// Money that it may use, as it began.
    pub usd: Option<MicroUsd>,
    /// Tools that it may call, as it began.
    pub tool_calls: Option<u32>,
}

impl Handed {
    /// What a run was handed that began on that behalf and with these limits; nothing for one that no agent started.
    pub fn of(behalf: &Behalf, limits: &Limits) -> Option<Self> {
        let Held { by, tools, hosts, scopes, until, depth } = behalf.held()?;
        let texts = |list: Option<Vec<stead_core::id::Name>>| {
            list.map(|list| list.iter().map(ToString::to_string).collect::<Vec<_>>())
        };
        Some(Self {
            by: by.to_string(),
            tools: texts(tools),
            hosts: texts(hosts),
            scopes: texts(scopes),
            until,
            depth,
            tokens: limits.tokens,
            usd: limits.usd,
            tool_calls: limits.tool_calls,
        })
    }

    /// Money in ten-thousandths, which is all that a `decimal` can say; never less than it is.
    pub(crate) fn ten_thousandths(&self) -> Option<i64> {
        self.usd.map(|usd| i64::try_from(usd.0.div_ceil(100)).unwrap_or(i64::MAX))
    }

    /// As policies see it.
    pub(crate) fn value(&self) -> cedar_policy_core::ast::Value {
        let texts = |list: &Option<Vec<String>>| {
            list.as_ref().map(|list| value::set(list.iter().map(|text| value::plain(text.as_str()))))
        };
        let long = |n: Option<u64>| n.map(|n| value::plain(i64::try_from(n).unwrap_or(i64::MAX)));
        let fields = [
            ("by", Some(value::entity("Agent", &self.by))),
            ("tools", texts(&self.tools)),
            ("hosts", texts(&self.hosts)),
            ("scopes", texts(&self.scopes)),
            ("until", self.until.map(value::datetime)),
            ("depth", long(self.depth.map(u64::from))),
            ("tokens", long(self.tokens)),
            ("usd", self.ten_thousandths().map(value::decimal)),
            ("tool_calls", long(self.tool_calls.map(u64::from))),
        ];
        value::record(fields.into_iter().filter_map(|(name, value)| Some((name, value?))))
    }
}
