//! What must hold between the facts of a run beside that they fold: nothing is begun that was not let go, an answer has a question, and each
//! decision names policies that its epoch has.

use std::collections::{BTreeMap, BTreeSet};

use stead_api::audit::RunBreak;
use stead_core::{
    fact::{ApprovalRequested, Fact, Verdict},
    record::Record,
    time::Timestamp,
};

/// An effect on its way.
#[derive(Default)]
struct Effect {
    /// What was decided last.
    verdict: Option<Verdict>,
    /// The open question.
    asked: Option<ApprovalRequested>,
    /// Who said yes to it.
    approved: BTreeSet<String>,
}

/// A decision that names an epoch.
pub(super) struct Ruling {
    pub(super) seq: u64,
    pub(super) at: Timestamp,
    pub(super) epoch: u64,
    pub(super) by: Vec<String>,
}

/// What was heard of a run.
#[derive(Default)]
pub(super) struct Rules {
    effects: BTreeMap<u32, Effect>,
    pub(super) rulings: Vec<Ruling>,
    pub(super) approvals: u64,
    pub(super) breaks: Vec<RunBreak>,
}

impl Rules {
    /// Hears the next record.
    pub(super) fn hear(&mut self, record: &Record) {
        let (seq, at) = (record.header.seq, record.header.at);
        for fact in &record.facts {
            if let Some(ruled) = fact.ruled() {
                let by = ruled.by.iter().map(ToString::to_string).collect();
                self.rulings.push(Ruling { seq, at, epoch: ruled.epoch, by });
            }
            if let Err((what, why)) = self.fact(fact, at) {
                self.breaks.push(RunBreak { seq: Some(seq), what: what.to_owned(), why });
            }
        }
    }

    fn fact(&mut self, fact: &Fact, at: Timestamp) -> Result<(), (&'static str, String)> {
        match fact {
            Fact::EffectDecided(decided) => self.of(decided.effect).verdict = Some(decided.verdict),
            Fact::ApprovalRequested(asked) => {
                let effect = self.of(asked.effect);
                (effect.asked, effect.approved) = (Some(asked.clone()), BTreeSet::new());
            }
            Fact::ApprovalGiven(given) => {
                self.approvals += 1;
                let effect = self.of(given.effect);
                let Some(asked) = &effect.asked else {
                    return Err(("approval", format!("effect {} is answered, and nobody was asked", given.effect)));
                };
                if asked.expires.is_some_and(|expires| at > expires) {
                    return Err((
                        "approval",
                        format!("effect {} is answered after the question had expired", given.effect),
                    ));
                }
                if given.approved {
                    effect.approved.insert(given.by.to_string());
                } else {
                    effect.verdict = Some(Verdict::Deny);
                }
            }
            Fact::ApprovalExpired(of) => {
                let effect = self.of(of.effect);
                (effect.asked, effect.verdict) = (None, Some(Verdict::Deny));
            }
            Fact::EffectIntended(intended) => return self.begins(intended.effect),
            _ => {}
        }
        Ok(())
    }

    fn of(&mut self, effect: u32) -> &mut Effect {
        self.effects.entry(effect).or_default()
    }

    fn begins(&mut self, n: u32) -> Result<(), (&'static str, String)> {
        let effect = self.of(n);
        let quorum =
            effect.asked.as_ref().and_then(|asked| asked.asked.as_ref()).map_or(1, |asked| asked.quorum.max(1));
        let asks = match effect.verdict {
            Some(Verdict::Deny) => return Err(("decision", format!("effect {n} begins, and was denied"))),
            // Whoever allowed it weighed the approvals that it had.
            Some(Verdict::Allow) => false,
            Some(Verdict::Ask) => true,
            None => effect.asked.is_some(),
        };
        let have = effect.approved.len();
        if asks && have < quorum as usize {
            let why = format!("effect {n} begins with the approval of {have} people, and {quorum} must have given it");
            return Err(("approval", why));
        }
        Ok(())
    }
}
