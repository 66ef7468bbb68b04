//! Clones: a folder of data is copied while questions are open, restored as a backup is, and taken up beside the original. Statements that
//! were signed before the copy was made are brought to both. What each did is in a file of its own.

use std::{collections::HashMap, fs, path::Path};

use stead_core::{
    id::{EffectId, Name, RunId},
    ruling::{Nonce, Person, Signed},
    time::Span,
};
use stead_engine::{Engine, Restore, clock::SystemClock, human, mark_restored};
use stead_ports::{
    clock::Clock as _,
    journal::{ApprovalFilter, Journal},
};
use stead_store::{SqliteOptions, SqliteStore};
use stead_trust::{receipt::Receipt, statement::Statement};

use super::{
    kit::signer,
    race::{all, key, open},
};
use crate::durable::{agent::a_run, runtime, scratch};

/// What came of it.
pub(super) struct Clones {
    pub(super) tried: u64,
    pub(super) double: u64,
    /// Actions that were done in the original, of as many as there were.
    pub(super) executed: u64,
}

/// Copies a folder with so many open questions, and brings what was signed for each to both, twice.
pub(super) fn run(questions: u64) -> Clones {
    let (original, copy) = (scratch(), scratch());
    let signed = runtime().block_on(async {
        let (engine, _) = open(original.path(), false).await;
        for _ in 0..questions {
            engine.start(a_run()).await.expect("the run starts");
        }
        let mut signed = Vec::new();
        for effect in asked(&engine, questions, 1).await {
            signed.push((effect, statement(&engine, effect).await));
        }
        signed
    });
    copied(&original.path().join("data"), &copy.path().join("data"));
    restored(copy.path());
    let in_copy = runtime().block_on(async {
        let (engine, _) = open(copy.path(), false).await;
        for (effect, _) in &signed {
            engine.resume(effect.run, stead_core::record::Actor::Runtime).await.expect("the run goes on");
        }
        bring(&engine, &signed).await;
        while engine.stats().loaded > 0 {
            tokio::task::yield_now().await;
        }
        done(copy.path())
    });
    let in_original = runtime().block_on(async {
        let (engine, _) = open(original.path(), false).await;
        bring(&engine, &signed).await;
        // Each run goes on to its next question.
        asked(&engine, questions, 2).await;
        done(original.path())
    });
    let times = |effect: &EffectId| {
        let of = |done: &HashMap<String, u64>| done.get(&key(effect.run, effect.n)).copied().unwrap_or_default();
        of(&in_copy) + of(&in_original)
    };
    let double = signed.iter().map(|(effect, _)| times(effect).saturating_sub(1)).sum();
    let executed = signed.iter().filter(|(effect, _)| in_original.contains_key(&key(effect.run, effect.n))).count();
    Clones { tried: questions * 4, double, executed: executed as u64 }
}

/// Waits until so many runs ask about their effect of that number.
async fn asked(engine: &Engine, questions: u64, n: u32) -> Vec<EffectId> {
    loop {
        let filter = ApprovalFilter { tenant: "default".into(), limit: u32::MAX - 1, ..ApprovalFilter::default() };
        let open = engine.approvals(&filter).await.expect("the store answers").items;
        let of: Vec<EffectId> = open.into_iter().map(|q| q.effect).filter(|effect| effect.n == n).collect();
        if of.len() as u64 == questions {
            return of;
        }
        tokio::task::yield_now().await;
    }
}

async fn statement(engine: &Engine, effect: EffectId) -> Signed {
    let asked = engine.question(effect).await.expect("the store answers").expect("it can be signed");
    let (key, nonce) = (signer(10), SystemClock.random());
    let expires = asked.question.asked + 86_400;
    let statement = Statement::about(&asked.question, true, human(&"ann".into()), key.public().id(), nonce, expires);
    let text = statement.to_text();
    let receipt = Receipt { key: key.public().clone(), signature: key.sign_text(&text), text };
    Signed { nonce: Nonce(nonce), receipt: receipt.to_text().as_str().into(), page: None }
}

/// Brings what was signed for each question twice at once: by who signed it, and by another one.
async fn bring(engine: &Engine, signed: &[(EffectId, Signed)]) {
    for (effect, signed) in signed {
        let give = |who: &str| {
            let who = Person { name: Name::from(who), roles: Vec::new() };
            engine.approve(*effect, true, who, None, Some(Box::new(signed.clone())))
        };
        futures_util::future::join_all(["ann", "bob"].map(give)).await;
    }
}

/// How often each effect was done.
fn done(dir: &Path) -> HashMap<String, u64> {
    let mut done = HashMap::new();
    for line in fs::read_to_string(dir.join("ledger")).unwrap_or_default().lines() {
        *done.entry(line.split(' ').next().unwrap_or_default().to_owned()).or_default() += 1;
    }
    done
}

fn copied(from: &Path, to: &Path) {
    fs::create_dir_all(to).expect("the folder is made");
    for entry in fs::read_dir(from).expect("the folder can be read") {
        let entry = entry.expect("the folder can be read");
        let to = to.join(entry.file_name());
        match entry.file_type().is_ok_and(|kind| kind.is_dir()) {
            true => copied(&entry.path(), &to),
            false => drop(fs::copy(entry.path(), to).expect("the file is copied")),
        }
    }
}

/// What a restore does to the runs of a backup.
fn restored(dir: &Path) {
    runtime().block_on(async {
        let runs: Vec<RunId> = {
            let (engine, _) = open(dir, true).await;
            all(&engine).await
        };
        let store = loop {
            match SqliteStore::open(&dir.join("data"), SqliteOptions::default()) {
                Ok(store) => break store,
                Err(error) if error.code == stead_core::code::DATA_LOCKED => tokio::task::yield_now().await,
                Err(error) => panic!("{error}"),
            }
        };
        let journal: std::sync::Arc<dyn Journal> = std::sync::Arc::new(store);
        let lease = journal.acquire("restore", Span::from_secs(60)).await.expect("nobody has it");
        let restore = Restore { lease, generation: 2, taken: SystemClock.now() };
        mark_restored(&journal, &SystemClock, restore, &runs).await.expect("the runs are marked");
        journal.release(lease).await.expect("it is given back");
    });
}
