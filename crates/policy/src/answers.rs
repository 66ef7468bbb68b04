//! Answers that need not be found again. The policies of many slices read nothing but a few facts, each of which has two or
//! three values, as those of the default policy do: then each combination is evaluated once.
//!
//! Only what is allowed at once is kept, with its permits. What is forbidden, gated, transformed or cannot be evaluated is
//! decided each time, and so is what is to be explained.

use std::sync::OnceLock;

use crate::{decision::Reason, policies::Rule, request::Request, tool::Risk};

/// The facts, as a policy names them. Nothing else of a request may be read.
const FACTS: [&str; 6] = ["granted", "risk", "unsure", "traced", "taint", "plan"];
/// Their combinations: three risks, and five facts that are true or not.
const COMBINATIONS: usize = 3 * 32;

/// By the facts, the permits of what was allowed.
#[derive(Debug)]
pub(crate) struct Answers(Box<[OnceLock<Vec<Reason>>; COMBINATIONS]>);

impl Answers {
    /// A place for the answers of a slice of these rules, if nothing else decides: `decided` says whether the index has
    /// decided all their scopes.
    pub(crate) fn of(decided: bool, rules: &[&Rule]) -> Option<Self> {
        let facts_alone = |rule: &&Rule| {
            let fact = |path: &Vec<String>| match path.as_slice() {
                [root, name] => root == "context" && FACTS.contains(&name.as_str()),
                _ => false,
            };
            !rule.mentions.store && rule.mentions.paths.iter().all(fact)
        };
        let few = decided && rules.iter().all(facts_alone);
        few.then(|| Self(Box::new([const { OnceLock::new() }; COMBINATIONS])))
    }

    /// The permits of what was allowed with the same facts.
    pub(crate) fn allowed(&self, request: &Request<'_>) -> Option<&Vec<Reason>> {
        self.0[place(request)].get()
    }

    /// Keeps what was allowed: nothing of the slice forbade, gated, transformed or could not be evaluated.
    pub(crate) fn keep(&self, request: &Request<'_>, permits: &[Reason]) {
        self.0[place(request)].get_or_init(|| permits.to_vec());
    }
}

/// The place of a combination, below [`COMBINATIONS`].
fn place(request: &Request<'_>) -> usize {
    let facts = &request.facts;
    let risk = match request.risk() {
        Risk::Normal => 0,
        Risk::High => 1,
        Risk::Critical => 2,
    };
    let bits = [facts.granted, facts.unsure(), facts.traced, facts.tainted(), facts.plan];
    bits.into_iter().fold(risk, |place, bit| place * 2 + usize::from(bit))
}
