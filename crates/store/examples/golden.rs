//! Writes the data that is kept as a golden fixture of the present format. Run once for each new format, before its first
//! release; what is there is never written again.
//!
//! ```text
//! cargo run -p stead-store --example golden -- sqlite crates/store/tests/golden/format-N.db.zst
//! cargo run -p stead-store --example golden -- postgres postgres://postgres@127.0.0.1/postgres
//! pg_dump --schema=stead --inserts --no-owner --no-privileges postgres://… | zstd -19 > crates/store/tests/golden/format-N.sql.zst
//! ```

use std::{error::Error, fs, path::Path};

use bytes::Bytes;
use stead_core::{
    budget::{Amounts, Caps, Level, Limits, MicroUsd, Move, Per, Spend, Usage},
    effect::{EffectClass, OnUnknown, Outcome},
    fact::{CallHead, CallRules, ModelConfig, RunConfig},
    id::{ActivationId, LeafHash, Name, RunId, SessionId, VersionId},
    record::{Actor, Body, Header, Payload, Record, Source, VERSION},
    ruling::Behalf,
    run::{Admit, CallIn, Command, Decision, GENESIS, Inputs, NewRun as Start, STATE_VERSION, State, Ungated, decide},
    time::{Span, Timestamp},
};
use stead_ports::journal::{
    AliasMove, Append, BudgetKey, InboxRow, IndexChange, Journal, LIVE, Lease, MovedBy, NewBlob, NewRun, Question,
    RunState, SessionChange, SetBudget, Settled, Snapshot, Status, Step, Used, VersionRow, hour_of, partition,
};
use stead_ports::{
    audit::{Act, AuditStore, ENTRIES, Integration, LogChange, LogRow, Span as LogSpan, Unsequenced},
    objects::Objects,
    policies::{NewPolicy, PolicyStore},
    switches::{NewSwitch, SwitchStore, What},
    trust::{DirectoryRow, DirectoryStore},
};
use stead_store::{BlobKey, PgOptions, PgStore, SqliteOptions, SqliteStore};

type Fail = Box<dyn Error>;

/// The key of every fixture.
const KEY: [u8; 32] = [7; 32];
const TENANT: &str = "acme";
const VERSION_ID: VersionId = VersionId([9; 32]);
/// 2026-01-01.
const START: i64 = 1_767_225_600_000_000;

#[tokio::main]
async fn main() -> Result<(), Fail> {
    let args: Vec<String> = std::env::args().skip(1).collect();
    match args.iter().map(String::as_str).collect::<Vec<_>>()[..] {
        ["sqlite", out] => sqlite(Path::new(out)).await,
        ["postgres", url] => {
            let store = PgStore::connect(url, PgOptions::new(BlobKey::from_bytes(KEY))).await?;
            fill(&store).await?;
            content(&store).await?;
            policies(&store).await?;
            audit(&store).await?;
            switches(&store).await?;
            directories(&store).await
        }
        _ => Err("sqlite FILE, or postgres URL".into()),
    }
}

/// Content of a workspace, as format 3 has it: one packed, one not.
async fn content(objects: &dyn Objects) -> Result<(), Fail> {
    let contents = [Bytes::from_static(b"a file"), Bytes::from(vec![b'x'; 5_000])];
    Ok(objects.put(&TENANT.into(), &contents, Timestamp(START)).await?)
}

/// Policy sets, as format 4 has them: one applied, one that waits for another person.
async fn policies(sets: &dyn PolicyStore) -> Result<(), Fail> {
    for proposed in [false, true] {
        let (tenant, by, body) = (TENANT.into(), "ada".into(), Bytes::from_static(b"a policy set"));
        let at = Timestamp(START);
        sets.put_policy(NewPolicy { tenant, digest: [3; 32], body, by, at, rollback: None, proposed }).await?;
    }
    Ok(())
}

/// A log, as format 8 has it: three records of the journal are in it, the others and what an operator did are not yet.
async fn audit<S: AuditStore + Journal>(store: &S) -> Result<(), Fail> {
    let act = Act {
        id: 1,
        at: Timestamp(START),
        topic: "apply_policy".into(),
        salt: [5; 16],
        body: Bytes::from_static(b"{\"who\":\"ada\"}"),
    };
    let lease = store.acquire("golden", Span::from_secs(60)).await?;
    let (mut change, mut spans) = (Integration::default(), Vec::new());
    for (index, one) in store.unsequenced(3).await?.into_iter().enumerate() {
        let Unsequenced::Record { place, run, seq, .. } = one else { continue };
        change.records.push(place);
        spans.push(LogSpan { run, seq, indexes: vec![index as u64] });
    }
    let (root, note) = ([6; 32], "a checkpoint".to_owned());
    let row = LogRow { tenant: TENANT.into(), size: 3, root, note, at: Timestamp(START), unread: 0, cosigned: None };
    let tiles = vec![(0, 0, Bytes::from(vec![1; 96])), (ENTRIES, 0, Bytes::from(vec![2; 600]))];
    change.logs.push(LogChange { was: None, now: row, tiles, spans });
    if !store.integrate(lease, change).await? {
        return Err("nothing was integrated".into());
    }
    store.act(act).await?;
    Ok(store.release(lease).await?)
}

/// What operators turned off, as format 8 has it: a tool, on again, and all runs, of which every run has heard.
async fn switches(store: &dyn SwitchStore) -> Result<(), Fail> {
    for (what, name, on) in [(What::Tool, "refund", false), (What::Tool, "refund", true), (What::Runs, "cancel", false)]
    {
        let (tenant, name, by, at) = (TENANT.into(), name.into(), "ada".into(), Timestamp(START));
        store.put_switch(NewSwitch { tenant, what, name, on, by, at, reason: "twice".into() }).await?;
    }
    Ok(store.switch_heard(3).await?)
}

/// The directory of the tenant's approvers, as format 8 has it: what an entry says is nothing to a store.
async fn directories(store: &dyn DirectoryStore) -> Result<(), Fail> {
    let root = DirectoryRow { seq: 0, body: Bytes::from_static(b"{}"), by: "ada".into(), at: Timestamp(START) };
    if !store.add_entry(&TENANT.into(), root).await? {
        return Err("the place of the entry was taken".into());
    }
    Ok(())
}

/// Budgets, as format 6 has them: the tenant's and an agent's. What a run settled in the tenant's is what its append moves.
async fn budgets(journal: &dyn Journal) -> Result<Vec<Move>, Fail> {
    for (agent, per) in [(None, Per::Month), (Some("desk"), Per::Day)] {
        let key = BudgetKey { tenant: TENANT.into(), agent: agent.map(Name::from), per };
        let caps = Caps { usd: Some(MicroUsd(5_000)), tool_calls: Some(9), ..Caps::default() };
        journal.set_budget(SetBudget { key, caps, at: Timestamp(START), by: "ada".into() }).await?;
    }
    let rows = journal.budgets(Some(&TENANT.into()), Timestamp(START)).await?;
    let moved = |agent: Option<Name>, id, start, per| Move {
        level: Level { budget: id, start, agent, per },
        back: Amounts::default(),
        settled: Amounts { tokens: 240, tool_calls: 1, ..Amounts::default() },
        held: Amounts::default(),
    };
    Ok(rows.into_iter().map(|row| moved(row.key.agent, row.id, row.start, row.key.per)).collect())
}

async fn sqlite(out: &Path) -> Result<(), Fail> {
    let dir = tempfile::tempdir()?;
    fs::create_dir(dir.path().join("keys"))?;
    fs::write(dir.path().join("keys/blob.key"), KEY)?;
    let store = SqliteStore::open(dir.path(), SqliteOptions::default())?;
    fill(&store).await?;
    content(&store).await?;
    policies(&store).await?;
    audit(&store).await?;
    switches(&store).await?;
    directories(&store).await?;
    drop(store);
    Ok(fs::write(out, zstd::bulk::compress(&fs::read(dir.path().join("stead.db"))?, 19)?)?)
}

/// A run on its way into a journal.
struct Life<'j> {
    journal: &'j dyn Journal,
    lease: Lease,
    run: RunId,
    session: SessionId,
    state: State,
    prev: LeafHash,
    blobs: Vec<NewBlob>,
}

fn inputs(seq: u64) -> Inputs<'static> {
    Inputs {
        now: Timestamp(START + i64::try_from(seq).unwrap_or(0) * 1_000_000),
        activation: ActivationId(1),
        gate: &Ungated,
    }
}

impl<'j> Life<'j> {
    async fn begin(
        journal: &'j dyn Journal,
        lease: Lease,
        n: u128,
        session: SessionId,
        live: bool,
    ) -> Result<Self, Fail> {
        let run = RunId((u128::from(START.unsigned_abs() / 1_000) << 80) | n);
        let limits = Limits { tokens: Some(50_000), ..Limits::default() };
        let models = vec![ModelConfig { name: "rehearsal".into(), max_output_tokens: 1_000, price: None }];
        // Too long to stay in the record.
        let long = Bytes::from(format!("order {n}: {}", "the parcel came back. ".repeat(400)));
        let id = journal.blob_id(&TENANT.into(), &long);
        let body = Body::Blob { id, len: long.len() as u64, preview: None };
        let start = Start {
            run,
            tenant: TENANT.into(),
            session,
            agent: "desk".into(),
            version: VERSION_ID,
            parent: None,
            hops: 0,
            config: RunConfig {
                limits,
                models,
                model_attempts: 3,
                backoff: Span::from_secs(1),
                backoff_max: Span::from_secs(60),
                max_turns: 20,
                context_tokens: 100_000,
                approval_ttl: Some(Span::from_secs(86_400)),
                overhead_tokens: 10,
                repairs: None,
                plan: None,
                at_limit: stead_core::budget::AtLimit::Stop,
                max_open_asks: None,
                max_asks: None,
            },
            input: Payload::new(body, Some(Source::User)),
            admit: live.then(Admit::default),
            restored: None,
            behalf: Behalf::default(),
            label: None,
        };
        let decision = start.decide(inputs(0));
        let blobs = vec![NewBlob { tenant: TENANT.into(), id, content: long }];
        let mut life = Self { journal, lease, run, session, state: (*decision.state).clone(), prev: GENESIS, blobs };
        let create = NewRun {
            tenant: TENANT.into(),
            session,
            agent: "desk".into(),
            version: VERSION_ID,
            parent: None,
            user: Some("ada".into()),
            idempotency: Some((Name::from(format!("key-{n}")), [n as u8; 32])),
            title: format!("order {n}"),
        };
        let claim = live.then_some(SessionChange::Claim);
        let status = if live { Status::Running } else { Status::Queued };
        life.write(0, decision, status, IndexChange { create: Some(create), session: claim, ..IndexChange::default() })
            .await?;
        Ok(life)
    }

    async fn write(&mut self, seq: u64, decision: Decision, status: Status, index: IndexChange) -> Result<(), Fail> {
        let Decision { facts, payloads, state, at } = decision;
        let header = Header {
            v: VERSION,
            run: self.run,
            seq,
            at,
            activation: ActivationId(1),
            epoch: self.lease.epoch,
            tenant: TENANT.into(),
            actor: Actor::User("user:ada".into()),
            salt: [seq as u8; 16],
            subject_key: None,
        };
        let encoded = Record { header, facts, payloads }.encode(self.prev);
        let (turns, effects, spent) = (state.turn, state.next_effect - 1, state.budget.spent);
        let row = RunState { status, wake_at: None, turns, effects, spent, code: None };
        self.prev = encoded.leaf;
        self.state = *state;
        let append = Append {
            run: self.run,
            tenant: TENANT.into(),
            partition: partition(self.session),
            seq,
            epoch: self.lease.epoch,
            record: encoded.bytes,
            leaf: encoded.leaf,
            at,
            blobs: std::mem::take(&mut self.blobs),
            index: Some(Box::new(IndexChange { run: Some(row), ..index })),
        };
        Ok(self.journal.append(append).await?)
    }

    async fn does(&mut self, command: Command, status: Status) -> Result<(), Fail> {
        self.does_and(command, status, IndexChange::default()).await
    }

    async fn does_and(&mut self, command: Command, status: Status, index: IndexChange) -> Result<(), Fail> {
        let seq = self.state.next_seq;
        let decision = decide(&self.state, command, inputs(seq))?;
        self.write(seq, decision, status, index).await
    }

    /// The model's first reply asks for these calls; without any it is the answer.
    async fn replies(&mut self, calls: Vec<CallIn>, status: Status, index: IndexChange) -> Result<(), Fail> {
        let tool_calls = calls.len() as u64;
        let used = Used { replies: 1, tool_calls, input: 100, output: 20, unpriced: 1, ..Used::default() };
        let index = IndexChange {
            settled: vec![Settled { model: "rehearsal".into(), hour: hour_of(Timestamp(START)), used }],
            ..index
        };
        let usage = Usage { input: 100, cached: 0, output: 20, reasoning: 0, cache_write: 0 };
        let reply = Payload::inline(r#"{"text":"At once.","calls":[]}"#, Source::Model);
        let turn = self.state.turn;
        self.does_and(Command::ModelReplied { turn, attempt: 1, reply, usage, calls, misfit: None }, status, index)
            .await
    }
}

fn call(tool: &str, class: EffectClass, ask: bool) -> CallIn {
    let rules = CallRules { ask, on_unknown: OnUnknown::Ask, ..CallRules::default() };
    let head = CallHead {
        effect: 0,
        tool: tool.into(),
        class,
        args: [1; 16],
        schema: [2; 16],
        key: Some("1042".into()),
        rules,
    };
    CallIn { head, invalid: None }
}

/// One run in each state that a release has to take up, and one of everything else that is kept.
async fn fill(journal: &dyn Journal) -> Result<(), Fail> {
    let lease = journal.acquire("golden", Span::from_secs(60)).await?;
    let (tenant, agent, now) = (Name::from(TENANT), Name::from("desk"), Timestamp(START));
    let body = Bytes::from_static(b"a bundle");
    let version = VersionRow {
        tenant: tenant.clone(),
        agent: agent.clone(),
        version: VERSION_ID,
        body,
        created: now,
        live: true,
    };
    let live = AliasMove {
        tenant: tenant.clone(),
        agent: agent.clone(),
        alias: LIVE.into(),
        to: Some(VERSION_ID),
        expect: None,
        at: now,
        by: "ada".into(),
        why: MovedBy::Apply,
        step: Step::Moved,
    };
    let canary = AliasMove { alias: "canary".into(), why: MovedBy::Set, ..live.clone() };
    journal.put_version(version, live).await?;
    journal.move_alias(canary.clone()).await?;
    journal.move_alias(AliasMove { to: None, ..canary }).await?;
    let keyed = journal.open_session(&tenant, &agent, &"customer/42".into(), SessionId(1), now).await?.id;

    // 1 has answered, after a mail was sent.
    let mut one = Life::begin(journal, lease, 1, keyed, true).await?;
    one.replies(vec![call("mail", EffectClass::Irreversible, false)], Status::Running, IndexChange::default()).await?;
    let outcome = Outcome::Returned(Payload::inline("sent", Source::Tool));
    one.does(Command::Outcome { effect: 1, attempt: 1, outcome, error: false, action: None }, Status::Running).await?;
    let used = Amounts { tool_calls: 1, ..Amounts::default() };
    let release = SessionChange::Release { head: true, spent: Spend { tokens: 240, usd: None }, used };
    // What policies count, as format 7 has it: what an append adds, and what is kept in the place of earlier ones.
    let counted = Some(Bytes::from_static(b"what a run adds"));
    let budgets = budgets(journal).await?;
    let ends = IndexChange { session: Some(release), budgets, counted, ..IndexChange::default() };
    one.replies(Vec::new(), Status::Completed, ends).await?;
    journal.keep_counters(lease, &tenant, Bytes::from_static(b"what was counted"), 0).await?;
    // 2 waits for a human, 3 waits for 2.
    let mut two = Life::begin(journal, lease, 2, keyed, true).await?;
    let asks = IndexChange {
        asked: vec![Question { effect: 1, asked: Timestamp(START + 1_000_000), round: 0 }],
        ..IndexChange::default()
    };
    two.replies(vec![call("refund", EffectClass::Keyed, true)], Status::Waiting, asks).await?;
    let snapshot = Snapshot {
        seq: two.state.next_seq,
        leaf: two.prev,
        version: STATE_VERSION,
        body: two.state.to_snapshot().into(),
    };
    journal.put_snapshot(two.run, snapshot).await?;
    Life::begin(journal, lease, 3, keyed, false).await?;
    // 4 was sending a mail, 5 was paused before it could.
    let mut four = Life::begin(journal, lease, 4, SessionId(4), true).await?;
    let message = InboxRow { to: four.run, from: one.run, effect: 1, body: Bytes::from_static(b"a message") };
    let sends = IndexChange { send: vec![message], ..IndexChange::default() };
    four.replies(vec![call("mail", EffectClass::Irreversible, false)], Status::Running, sends).await?;
    let mut five = Life::begin(journal, lease, 5, SessionId(5), true).await?;
    five.does(Command::Pause, Status::Paused).await?;
    five.replies(vec![call("mail", EffectClass::Irreversible, false)], Status::Paused, IndexChange::default()).await?;
    Ok(journal.release(lease).await?)
}
