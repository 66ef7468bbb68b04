//! The counters of a policy set: what each counts, for whom, and for how long. They are the file `history.yaml` beside
//! the policies.

use std::collections::BTreeMap;

use minicbor::{Decode, Encode};
use serde::Deserialize;
use sha2::{Digest, Sha256};
use stead_core::time::Span;

use crate::{problem::Problem, shape::Shape, tool::World};

/// Most counters of a policy set.
pub const MAX_COUNTERS: usize = 100;

/// What is counted together.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Encode, Decode, Deserialize)]
#[serde(rename_all = "snake_case")]
#[cbor(index_only)]
pub enum By {
    /// One run.
    #[n(0)]
    Run,
    /// One session, with what sub-agents do for it.
    #[n(1)]
    Session,
    /// All runs of an agent, of every version.
    #[n(2)]
    Agent,
    /// All runs of the tenant.
    #[n(3)]
    Tenant,
}

/// What a counter says.
#[derive(Clone, Debug, PartialEq, Eq, Encode, Decode)]
pub enum Measure {
    /// How many calls there were: a `Long`.
    #[n(0)]
    Count,
    /// The sum of an argument over the calls: a `Long`, or a `decimal` when the argument is one.
    #[n(1)]
    Sum {
        /// The argument, from the top.
        #[n(0)]
        argument: Vec<String>,
        /// Whether it is a `decimal`.
        #[n(1)]
        decimal: bool,
    },
    /// Whether there was a call whose argument had the value that this call's has: a `Bool`.
    #[n(2)]
    Seen {
        /// The argument, from the top, of the calls and of the call that is decided.
        #[n(0)]
        argument: Vec<String>,
    },
    /// How the last call ended: `returned`, `refused`, `not_sent`, `unknown`, `withdrawn`, `denied`, or `never`.
    #[n(3)]
    Last,
}

/// Which calls count.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Encode, Decode, Deserialize)]
#[serde(rename_all = "snake_case")]
#[cbor(index_only)]
pub enum When {
    /// Those that were let go, whatever came of them.
    #[default]
    #[n(0)]
    Sent,
    /// Those that were let go because a human approved.
    #[n(1)]
    Approved,
    /// Those that returned.
    #[n(2)]
    Returned,
    /// Those that were denied.
    #[n(3)]
    Denied,
}

/// One counter.
#[derive(Clone, Debug, PartialEq, Eq, Encode, Decode)]
pub struct Counter {
    /// What it says.
    #[n(0)]
    pub measure: Measure,
    /// The tools whose calls count; empty for every tool.
    #[n(1)]
    pub tools: Vec<String>,
    /// What is counted together.
    #[n(2)]
    pub by: By,
    /// How far back; `None` for ever.
    #[n(3)]
    pub within: Option<Span>,
    /// Which calls count.
    #[n(4)]
    pub when: When,
}

/// The counters of a policy set, by the name that policies use: `context.history.NAME`.
pub type Counters = BTreeMap<String, Counter>;

/// A counter as it is written.
#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Written {
    count: Option<Tools>,
    sum: Option<Tools>,
    seen: Option<Tools>,
    last: Option<Tools>,
    of: Option<String>,
    by: By,
    within: Option<String>,
    when: Option<When>,
}

/// One tool, several, or `all`.
#[derive(Deserialize)]
#[serde(untagged)]
enum Tools {
    One(String),
    Many(Vec<String>),
}

impl Counter {
    /// What it is told apart by, whatever a policy set calls it: a digest of everything that it says.
    pub fn id(&self) -> u64 {
        let bytes = minicbor::to_vec(self).unwrap_or_default();
        let digest = Sha256::digest(&bytes);
        u64::from_be_bytes(std::array::from_fn(|n| digest[n]))
    }

    /// Whether it looks at an argument of the calls.
    pub const fn has_argument(&self) -> bool {
        matches!(self.measure, Measure::Sum { .. } | Measure::Seen { .. })
    }

    /// Reads the text of a `history.yaml`.
    ///
    /// # Errors
    /// What is not a counter, a tool or an argument that no agent has, more than [`MAX_COUNTERS`].
    pub fn read(file: &str, text: &str, world: &World) -> Result<Counters, Vec<Problem>> {
        let written: BTreeMap<String, Written> = crate::yaml::read(file, text)?;
        if written.len() > MAX_COUNTERS {
            return Err(vec![Problem::whole(file, format!("more than {MAX_COUNTERS} counters"))]);
        }
        let mut counters = Counters::new();
        let mut problems = Vec::new();
        for (name, written) in written {
            let at = |message: String| {
                let byte = text.find(&format!("{name}:")).unwrap_or(0);
                Problem::at(file, text, byte, format!("`{name}`: {message}"))
            };
            if !name.starts_with(|c: char| c.is_ascii_lowercase())
                || !name.bytes().all(|b| b.is_ascii_lowercase() || b.is_ascii_digit() || b == b'_')
            {
                problems.push(at("a counter's name is small letters, digits and `_`".to_owned()));
                continue;
            }
            match written.check(world) {
                Ok(counter) => drop(counters.insert(name, counter)),
                Err(message) => problems.push(at(message)),
            }
        }
        if problems.is_empty() { Ok(counters) } else { Err(problems) }
    }
}

impl Written {
    fn check(self, world: &World) -> Result<Counter, String> {
        let given = [("count", self.count), ("sum", self.sum), ("seen", self.seen), ("last", self.last)];
        let mut given = given.into_iter().filter_map(|(kind, tools)| Some((kind, tools?)));
        let (Some((kind, tools)), None) = (given.next(), given.next()) else {
            return Err("has one of `count`, `sum`, `seen` and `last`".to_owned());
        };
        let tools = match tools {
            Tools::One(all) if all == "all" => Vec::new(),
            Tools::One(tool) => vec![tool],
            Tools::Many(tools) if tools.is_empty() => {
                return Err("counts no tool; write `all` for every tool".to_owned());
            }
            // In one order, so that what says the same is the same.
            Tools::Many(mut tools) => {
                tools.sort();
                tools.dedup();
                tools
            }
        };
        for tool in &tools {
            if !world.tools.contains_key(tool) {
                let near = crate::problem::nearest(tool, world.tools.keys().map(String::as_str));
                let near = near.map_or(String::new(), |near| format!("; did you mean `{near}`?"));
                return Err(format!("there is no tool `{tool}`{near}"));
            }
        }
        let argument = self.of.map(|path| path.split('.').map(str::to_owned).collect::<Vec<_>>());
        let measure = match (kind, argument) {
            ("count", None) => Measure::Count,
            ("last", None) => Measure::Last,
            ("count" | "last", Some(_)) => return Err(format!("`{kind}` has no `of`")),
            (_, None) => return Err(format!("`{kind}` needs the argument `of` which")),
            ("sum", Some(argument)) => match shape_of(&tools, &argument, world)? {
                Shape::Long => Measure::Sum { argument, decimal: false },
                Shape::Decimal => Measure::Sum { argument, decimal: true },
                _ => return Err(format!("`{}` is no number", argument.join("."))),
            },
            (_, Some(argument)) => match shape_of(&tools, &argument, world)? {
                Shape::Text | Shape::Long | Shape::Decimal | Shape::Bool => Measure::Seen { argument },
                _ => return Err(format!("`{}` is no single value", argument.join("."))),
            },
        };
        let within = match self.within {
            None => None,
            Some(text) => Some(
                crate::yaml::span(&text)
                    .ok_or_else(|| format!("`{text}` is no span; write `90s`, `15m`, `1h` or `7d`"))?,
            ),
        };
        if measure == Measure::Last && self.when.is_some() {
            return Err("`last` tells how any call ended, so it has no `when`".to_owned());
        }
        Ok(Counter { measure, tools, by: self.by, within, when: self.when.unwrap_or_default() })
    }
}

/// The type of an argument, which all counted tools must agree on.
fn shape_of<'w>(tools: &[String], argument: &[String], world: &'w World) -> Result<&'w Shape, String> {
    let (first, rest) = argument.split_first().ok_or("an argument has a name")?;
    let mut found: Option<&Shape> = None;
    for tool in tools {
        let fields = world.tools.get(tool).map(|tool| &tool.arguments);
        let shape = fields.and_then(|fields| fields.get(first)).and_then(|field| field.shape.at(rest));
        let shape = shape.ok_or_else(|| format!("`{tool}` has no argument `{}`", argument.join(".")))?;
        if found.is_some_and(|found| found != shape) {
            return Err(format!("the tools do not agree on the type of `{}`", argument.join(".")));
        }
        found = Some(shape);
    }
    found.ok_or_else(|| "names its tools: with `all` there is no argument".to_owned())
}
