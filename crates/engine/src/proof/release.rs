//! What answers let go: enough different people, each answer once, and exactly what they signed.

use std::collections::BTreeSet;

use stead_core::{
    fact::{ApprovalsUsed, Fact, Verdict},
    ruling::{Asked, GateAsks, Nonce},
    run::Call,
};
use stead_policy::{Approval, Approver};
use stead_trust::{directory::At, statement::Human};

use super::{ERASED, Moment, Open, Proving};
use crate::{
    signing::{as_whom, human, seconds},
    types::EngineError,
};

impl Proving<'_> {
    /// The record says that answers were used: they were given, were not used before, and something begins by them.
    pub(super) fn used(&mut self, moment: &Moment, f: &ApprovalsUsed) {
        let n = f.effect;
        let begins = moment.facts.iter().any(|fact| match fact {
            Fact::EffectIntended(i) => i.effect == n,
            Fact::ChildStarted(c) => c.effect == n,
            Fact::EffectDecided(d) => d.effect == n && d.verdict == Verdict::Allow,
            _ => false,
        });
        if !begins {
            self.breaks(moment.seq, format!("answers to effect {n} are used up, and nothing begins by them"));
        }
        let open = self.open.entry(n).or_default();
        let given: BTreeSet<Nonce> =
            open.yeses.iter().filter_map(|yes| Some(yes.given.signed.as_ref()?.nonce)).collect();
        let noted: BTreeSet<Nonce> = f.nonces.iter().copied().collect();
        let mut wrong = Vec::new();
        if noted.len() != f.nonces.len() {
            wrong.push(format!("effect {n} uses one answer twice"));
        }
        if noted != given {
            wrong.push(format!("effect {n} uses other answers than those that were given to it and hold"));
        }
        if !self.used.is_disjoint(&noted) {
            wrong.push(format!("effect {n} uses an answer that was used before"));
        }
        open.used.extend(&noted);
        self.used.extend(&noted);
        for why in wrong {
            self.breaks(moment.seq, why);
        }
    }

    /// Something begins: where people had to sign, as many as were asked for have, and what begins is what they signed.
    pub(super) async fn begins(&mut self, moment: &Moment, n: u32) -> Result<(), EngineError> {
        let Some(call) = moment.after.call(n).or_else(|| moment.before.call(n)) else { return Ok(()) };
        let Some(request) = &call.request else { return Ok(()) };
        let gates = request.asked.as_deref().filter(|asked| !asked.gates.is_empty());
        let open = self.open.remove(&n).unwrap_or_default();
        let here = |fact: &Fact| matches!(fact, Fact::ApprovalsUsed(f) if f.effect == n);
        let used = !open.used.is_empty() || moment.facts.iter().any(here);
        // Whoever lets something go by policies that ask for nobody needs none of those who were asked before.
        let same = call.ruled == request.epoch;
        match (gates, used) {
            (Some(_), false) if same => {
                self.breaks(
                    moment.seq,
                    format!("effect {n} begins without a signed answer, and its gates ask where people sign"),
                );
            }
            (Some(_), _) if !same => {
                let why = "was let go by another policy set than the one that asked: how many had to sign is not told by the question";
                self.notes(format!("effect {n} {why}"));
            }
            (Some(asked), true) => {
                if let Err(why) = self.is_enough(moment, call, asked, &open) {
                    self.breaks(moment.seq, format!("effect {n} begins, and {why}"));
                }
            }
            (None, false) if !open.yeses.is_empty() => {
                self.breaks(moment.seq, format!("effect {n} begins by signed answers, and they were not used up"));
            }
            _ => {}
        }
        if used {
            self.report.released += 1;
            self.is_what_was_signed(moment, call, &open).await?;
        }
        self.open.insert(n, open);
        Ok(())
    }

    /// Whether those who have signed are as many, and those, that gates ask for.
    fn is_enough(&mut self, moment: &Moment, call: &Call, asked: &Asked, open: &Open) -> Result<(), String> {
        let at = open.let_go.unwrap_or(moment.at);
        let others: Vec<Human> = open.yeses.iter().map(|yes| human(&yes.given.name)).collect();
        let directory = self.directory.at(at)?;
        let mut counting: Vec<Approval> = Vec::new();
        for yes in &open.yeses {
            // As when it was let go: what does not count any more is left out, and the others may be enough.
            let statement = &yes.accepted.statement;
            let revoked = directory.key(&statement.key).is_none_or(|known| known.revoked.is_some());
            if revoked || statement.is_alive(seconds(at)).is_err() {
                continue;
            }
            counting.extend(as_whom(directory, &yes.accepted, &yes.given, call, &moment.before, &others, seconds(at)));
        }
        let people: BTreeSet<&str> = counting.iter().map(|a| a.user.as_str()).collect();
        if people.len() < asked.quorum as usize {
            return Err(format!("{} people have signed, of {} who had to", people.len(), asked.quorum));
        }
        match asked.gates.iter().find(|gate| !is_satisfied(gate, &counting)) {
            Some(gate) => Err(format!("not all have signed that the gate `{}` asks for", gate.policy)),
            None => Ok(()),
        }
    }

    /// Whether what begins is what each of them signed. Whose answers counted then is looked at where they are counted.
    async fn is_what_was_signed(&mut self, moment: &Moment, call: &Call, open: &Open) -> Result<(), EngineError> {
        let state = if moment.after.call(call.head.effect).is_some() { &moment.after } else { &moment.before };
        let asked = self.engine.question_at(state, self.agent, call).await?;
        if matches!(asked, Ok((_, At::Erased))) {
            self.notes(ERASED.to_owned());
        }
        for yes in &open.yeses {
            let statement = &yes.accepted.statement;
            let holds = match &asked {
                Ok((question, At::Erased)) => statement.answers_request(question).map_err(|e| e.to_string()),
                Ok((question, _)) => statement.answers_action(question).map_err(|e| e.to_string()),
                Err(why) => Err((*why).to_owned()),
            };
            if let Err(why) = holds {
                let (n, by) = (call.head.effect, &yes.given.name);
                self.breaks(moment.seq, format!("what begins as effect {n} is not what {by} signed: {why}"));
            }
        }
        Ok(())
    }
}

/// Whether these are enough for a gate: so many different people, whom it names, or who had come in by its escalation when they signed.
fn is_satisfied(gate: &GateAsks, counting: &[Approval]) -> bool {
    let came_in = |a: &Approval| {
        gate.escalate.iter().any(|step| {
            let to = Approver::from_text(step.to.as_str());
            a.is_of(&to) && a.escalated.iter().any(|(of, who)| of.as_str() == gate.policy.as_str() && *who == to)
        })
    };
    let named = |a: &Approval| {
        let user = format!("user:{}", a.user);
        let is = |who: &str| who == user || a.roles.iter().any(|role| role == who);
        gate.approvers.is_empty() || gate.approvers.iter().any(|who| is(who.as_str())) || came_in(a)
    };
    let strict = |a: &Approval| gate.verified != Some(true) || a.signed.as_ref().is_some_and(|s| s.verified);
    let those: Vec<&Approval> = counting.iter().filter(|a| named(a) && strict(a)).collect();
    let people: BTreeSet<&str> = those.iter().map(|a| a.user.as_str()).collect();
    let over = |page: bool| those.iter().any(|a| a.signed.as_ref().is_some_and(|s| s.page == page));
    people.len() >= gate.quorum as usize && (gate.channels != Some(true) || (over(true) && over(false)))
}

#[cfg(test)]
mod tests {
    use stead_core::{ruling::Escalate, time::Span};

    use super::*;

    #[test]
    fn who_came_in_by_escalation_counts_once_the_step_was_taken() {
        let step = Escalate { after: Span::from_secs(60), to: "leads".into() };
        let (approvers, escalate) = (vec!["finance".into()], vec![step]);
        let gate = GateAsks { policy: "large".into(), approvers, quorum: 1, escalate, ..GateAsks::default() };
        let lead = |escalated: &[(&str, &str)]| Approval {
            user: "lea".to_owned(),
            roles: vec!["leads".to_owned()],
            escalated: escalated.iter().map(|(of, to)| ((*of).to_owned(), Approver::from_text(to))).collect(),
            ..Approval::default()
        };
        assert!(is_satisfied(&gate, &[lead(&[("large", "leads")])]));
        // Before the step, by that of another gate, and by one that the gate has not.
        assert!(!is_satisfied(&gate, &[lead(&[])]));
        assert!(!is_satisfied(&gate, &[lead(&[("other", "leads")])]));
        assert!(!is_satisfied(&GateAsks { escalate: Vec::new(), ..gate }, &[lead(&[("large", "leads")])]));
    }
}
