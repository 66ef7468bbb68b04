//! What a run asks at a limit, and the question in words: which limit, what is used of it, what the next step needs, and what each
//! answer does. Until when it may be answered stands beside it.

use minicbor::{Decode, Encode};
use serde::{Deserialize, Serialize};

use super::{Blocked, Limit};
use crate::{code, time::Span};

/// A limit that is reached, and by how much a yes raises it.
#[derive(Clone, Debug, PartialEq, Eq, Encode, Decode, Serialize, Deserialize)]
pub struct Raise {
    /// Which limit.
    #[n(0)]
    pub limit: Limit,
    /// By so much, in the unit of the limit (money: millionths of a dollar; time: microseconds). 0 when it is a budget above the
    /// run: that is raised by its operator, and a yes only tries again.
    #[n(1)]
    pub by: u64,
    /// The budget above the run, when it is not the run's own limit.
    #[n(2)]
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub blocked: Option<Blocked>,
    /// The run's own limit; `None` with a budget above, and in what releases wrote that did not tell it.
    #[n(3)]
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub most: Option<u64>,
    /// What is used of it, or set aside for what is under way.
    #[n(4)]
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub used: Option<u64>,
    /// What the next step may use of it; `None` where that is known only afterwards.
    #[n(5)]
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub need: Option<u64>,
}

impl Raise {
    /// The question in words.
    pub fn text(&self) -> String {
        let Self { limit, by, .. } = self;
        let yes = match &self.blocked {
            Some(_) => "it is tried again, and goes on once that budget was raised with `stead budgets set`".to_owned(),
            None => format!("the limit is raised by {}, for this run alone", limit.amount(*by)),
        };
        let stops = code::BUDGET;
        let mut text =
            format!("{}. Approve: {yes}. Deny, or no answer in time: the run stops with {stops}.", self.reached());
        text[..1].make_ascii_uppercase();
        text
    }

    /// What there is too little of, where, and for what.
    pub fn reached(&self) -> String {
        let (whose, most, used, need) = match &self.blocked {
            Some(b) => (b.whose(), b.most, b.most.map(|most| most.saturating_sub(b.left)), Some(b.need)),
            None => ("the run's own budget".to_owned(), self.most, self.used, self.need),
        };
        let amount = |n| self.limit.amount(n);
        let used = match (most, used, &self.blocked) {
            (Some(most), Some(used), _) => format!(": {} of {} are used or set aside", amount(used), amount(most)),
            (None, _, Some(blocked)) => format!(": {} are left", amount(blocked.left)),
            _ => String::new(),
        };
        // How long a step takes nobody knows beforehand.
        let need = need.filter(|_| !self.limit.is_time()).map(|n| format!(", and the next step may use {}", amount(n)));
        format!("{whose} has not enough {} left{used}{}", self.limit.what(), need.unwrap_or_default())
    }
}

impl Limit {
    /// What it limits, in words.
    pub const fn what(self) -> &'static str {
        match self {
            Self::Tokens => "tokens",
            Self::Usd | Self::Unpriced => "money",
            Self::ToolCalls => "tool calls",
            Self::Active => "working time",
            Self::Deadline => "time until its deadline",
            Self::Children => "child runs",
            Self::Turns => "turns",
            Self::Cpu => "processor time",
            Self::Traffic => "traffic of sandboxes",
            Self::Disk => "room in workspaces",
        }
    }

    /// Whether it is about time that is not known beforehand.
    const fn is_time(self) -> bool {
        matches!(self, Self::Active | Self::Deadline | Self::Cpu)
    }

    /// So much of what it limits, with its unit where it has one.
    pub fn amount(self, n: u64) -> String {
        match self {
            Self::Usd | Self::Unpriced => format!("{}.{:06} USD", n / 1_000_000, n % 1_000_000),
            Self::Active | Self::Cpu | Self::Deadline => Span(n).to_string(),
            Self::Traffic | Self::Disk => format!("{n} bytes"),
            Self::Tokens => format!("{n} tokens"),
            Self::ToolCalls | Self::Children | Self::Turns => n.to_string(),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::budget::Per;

    fn own(limit: Limit, by: u64, [most, used, need]: [Option<u64>; 3]) -> Raise {
        Raise { limit, by, blocked: None, most, used, need }
    }

    fn above(agent: Option<&str>, per: Per, most: Option<u64>) -> Raise {
        let blocked = Blocked { agent: agent.map(Into::into), per, left: 838, need: 3_069, most };
        Raise { blocked: Some(blocked), ..own(Limit::Usd, 0, [None; 3]) }
    }

    #[test]
    fn the_question_names_the_limit_what_is_used_what_is_needed_and_what_each_answer_does() {
        assert_eq!(
            own(Limit::ToolCalls, 3, [Some(3), Some(3), Some(1)]).text(),
            "The run's own budget has not enough tool calls left: 3 of 3 are used or set aside, and the next step may use 1. \
             Approve: the limit is raised by 3, for this run alone. Deny, or no answer in time: the run stops with ST0001."
        );
        assert_eq!(
            above(None, Per::Month, Some(1_000)).text(),
            "The tenant's budget per month has not enough money left: 0.000162 USD of 0.001000 USD are used or set aside, and the \
             next step may use 0.003069 USD. Approve: it is tried again, and goes on once that budget was raised with `stead \
             budgets set`. Deny, or no answer in time: the run stops with ST0001."
        );
        let text = above(Some("desk"), Per::Ever, Some(1_000)).reached();
        assert!(text.starts_with("the budget of agent `desk` has not enough money left: "), "{text}");
    }

    #[test]
    fn what_a_record_does_not_tell_is_not_said() {
        let text = own(Limit::Disk, 1 << 20, [None; 3]).reached();
        assert_eq!(text, "the run's own budget has not enough room in workspaces left");
        let text = above(None, Per::Day, None).reached();
        assert_eq!(
            text,
            "the tenant's budget per day has not enough money left: 0.000838 USD are left, and the next step may use 0.003069 USD"
        );
        let text = own(Limit::Active, 0, [Some(60_000_000), Some(61_000_000), Some(1)]).reached();
        assert_eq!(
            text, "the run's own budget has not enough working time left: 61 s of 60 s are used or set aside",
            "how long a step takes nobody knows beforehand"
        );
    }
}
