//! A tool that does nothing outside, keeps count, and answers as the case says.

use std::sync::Arc;

use parking_lot::Mutex;
use stead_core::{
    effect::{Outcome, Reconciled},
    id::Name,
};
use stead_manifest::cases::Returned;
use stead_ports::{
    BoxFuture,
    tool::{Invocation, Output, Tool},
};

use super::ledger::{Entry, Ledger};

/// See the module.
#[derive(Debug)]
pub(super) struct Double {
    tool: Name,
    does: Vec<Returned>,
    ledger: Arc<Mutex<Ledger>>,
}

impl Double {
    pub(super) fn new(tool: Name, does: Vec<Returned>, ledger: Arc<Mutex<Ledger>>) -> Self {
        Self { tool, does, ledger }
    }

    /// The answer in that place; the last goes on.
    fn at(&self, nth: usize) -> Option<&Returned> {
        self.does.get(nth).or(self.does.last())
    }

    /// Which answer a request gets. The same key gets the same answer, as from a service that keeps keys; after a lost
    /// answer, or none, the next.
    fn place(&self, entries: &[Entry], key: &Name) -> usize {
        let own = || entries.iter().filter(|e| e.tool == self.tool);
        match own().rev().find(|e| e.key == *key) {
            Some(last) if matches!(self.at(last.nth), Some(Returned::Returns(_) | Returned::Refuses(_))) => last.nth,
            Some(last) => last.nth + 1,
            None => own().map(|e| e.nth + 1).max().unwrap_or(0),
        }
    }

    fn answer(&self, invocation: &Invocation) -> Outcome<Output> {
        let mut ledger = self.ledger.lock();
        let nth = self.place(&ledger.entries, &invocation.key);
        let Some(does) = self.at(nth) else { return Outcome::NotSent(Output::error("the double does nothing")) };
        let entry = Entry {
            tool: self.tool.clone(),
            key: invocation.key.clone(),
            effect: invocation.effect.to_string(),
            nth,
            happened: matches!(does, Returned::Returns(_) | Returned::Unknown(_)),
        };
        if let Err(e) = ledger.add(entry) {
            return Outcome::NotSent(Output::error(format!("the double cannot keep count: {e}")));
        }
        match does {
            Returned::Returns(value) => Outcome::Returned(result(value)),
            Returned::Refuses(text) => Outcome::Refused(Output::error(text)),
            Returned::Unknown(text) => Outcome::Unknown(Output::error(text)),
            Returned::NotSent(text) => Outcome::NotSent(Output::error(text)),
        }
    }

    fn find(&self, key: &Name) -> Reconciled<Output> {
        let ledger = self.ledger.lock();
        let Some(entry) = ledger.entries.iter().find(|e| e.tool == self.tool && e.key == *key && e.happened) else {
            return Reconciled::Absent;
        };
        let found = self.does.get(entry.nth..).unwrap_or_default().iter().find_map(|d| match d {
            Returned::Returns(value) => Some(result(value)),
            _ => None,
        });
        Reconciled::Happened(found.unwrap_or_else(|| Output::ok("it happened")))
    }
}

impl Tool for Double {
    fn kind(&self) -> &'static str {
        "double"
    }

    fn call(&self, invocation: Invocation) -> BoxFuture<'_, Outcome<Output>> {
        Box::pin(async move { self.answer(&invocation) })
    }

    fn reconcile(&self, invocation: Invocation) -> BoxFuture<'_, Reconciled<Output>> {
        Box::pin(async move { self.find(&invocation.key) })
    }
}

fn result(value: &serde_json::Value) -> Output {
    match value {
        serde_json::Value::String(text) => Output::ok(text.clone()),
        other => Output::ok(other.to_string()),
    }
}

#[cfg(test)]
mod tests {
    #![expect(clippy::unwrap_used, reason = "tests")]
    use serde_json::json;
    use stead_core::id::{EffectId, RunId, SessionId};

    use super::*;

    fn asked(n: u32, key: &str) -> Invocation {
        Invocation {
            precondition: None,
            workspace: None,
            limits: stead_core::sandbox::BoxLimits::default(),
            left: stead_ports::tool::Left::default(),
            on_behalf: None,
            trace: None,
            effect: EffectId { run: RunId(1), n },
            session: SessionId(1),
            tenant: "t".into(),
            key: key.into(),
            tool: "pay".into(),
            arguments: Arc::from(serde_json::value::RawValue::from_string("{}".into()).unwrap()),
            max_output: 100,
            may_send: stead_ports::tool::MaySend::default(),
            connects: stead_ports::connect::Connects::default(),
        }
    }

    #[test]
    fn a_key_gets_its_answer_again_and_a_lost_one_is_followed_by_the_next() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("ledger");
        let does = vec![
            Returned::Returns(json!({ "id": 1 })),
            Returned::NotSent("down".into()),
            Returned::Unknown("lost".into()),
            Returned::Returns("paid".into()),
        ];
        let open = || Double::new("pay".into(), does.clone(), Arc::new(Mutex::new(Ledger::open(&path).unwrap())));
        let double = open();
        assert_eq!(double.answer(&asked(1, "a")), Outcome::Returned(Output::ok(r#"{"id":1}"#)));
        assert_eq!(double.answer(&asked(2, "b")), Outcome::NotSent(Output::error("down")));
        assert_eq!(double.find(&"b".into()), Reconciled::Absent);
        assert_eq!(double.answer(&asked(2, "b")), Outcome::Unknown(Output::error("lost")));
        // What was asked outlives the process.
        let double = open();
        assert_eq!(double.answer(&asked(1, "a")), Outcome::Returned(Output::ok(r#"{"id":1}"#)));
        assert_eq!(double.find(&"b".into()), Reconciled::Happened(Output::ok("paid")));
        assert_eq!(double.answer(&asked(2, "b")), Outcome::Returned(Output::ok("paid")));
        assert_eq!(double.answer(&asked(3, "c")), Outcome::Returned(Output::ok("paid")));
        let counted = super::super::read_ledger(&path).unwrap();
        assert_eq!(counted.iter().filter(|e| e.happened).count(), 5);
    }
}
