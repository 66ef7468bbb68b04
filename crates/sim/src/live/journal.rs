//! The journal port over memory, as one process sees it: appends take time, are refused, or come back unknown, written or
//! not; a process that is cut off gets no answers, and one that has ended reaches nothing.
//!
//! Without faults it is an honest adapter: it passes the conformance suite of the port.

use std::{
    collections::{BTreeMap, BTreeSet},
    sync::{
        Arc,
        atomic::{AtomicBool, Ordering::SeqCst},
    },
    time::Duration,
};

use async_trait::async_trait;
use bytes::Bytes;
use stead_core::{
    budget::{Amounts, Spend},
    code,
    id::{BlobId, EffectId, Name, RunId, SessionId, VersionId},
    record::Record,
    run::GENESIS,
    time::{Span, Timestamp},
};
use stead_ports::journal::{
    Ack, AliasEvent, AliasMove, AliasMoved, AliasRow, Append, AppendError, ApprovalFilter, ApprovalRow, BudgetKey,
    BudgetRow, CountedRow, GroupBy, InboxRow, Journal, Lease, PastRun, Question, RunFilter, RunRow, SessionRow,
    SetBudget, Snapshot, Status, StoreError, StoredRecord, UsageFilter, UsageRow, Used, VersionRow,
};

use super::{cosmos::Cosmos, mem::Mem};
use crate::plan::SECOND;

/// The journal of one process.
pub struct SimJournal {
    cosmos: Arc<Cosmos>,
    /// Whether appends are slow and fail.
    faulty: bool,
    cut_off: AtomicBool,
}

impl SimJournal {
    /// An empty journal that never fails, for the conformance suite.
    pub fn honest() -> Self {
        Self { cosmos: Cosmos::new(0, false), faulty: false, cut_off: AtomicBool::new(false) }
    }

    pub(super) fn of(cosmos: Arc<Cosmos>) -> Self {
        Self { cosmos, faulty: true, cut_off: AtomicBool::new(false) }
    }

    /// From now on the process cannot reach the store.
    pub(super) fn cut_off(&self) {
        self.cut_off.store(true, SeqCst);
    }

    fn look<T>(&self, look: impl FnOnce(&Mem) -> T) -> Result<T, StoreError> {
        if self.cut_off.load(SeqCst) {
            return Err(StoreError { code: code::DATA_UNREACHABLE, detail: "the store cannot be reached".into() });
        }
        Ok(look(&self.cosmos.mem.lock()))
    }

    fn owned(&self, lease: Lease) -> Result<(), StoreError> {
        let owned = self.look(|m| m.held && m.epoch == lease.epoch)?;
        if owned { Ok(()) } else { Err(StoreError { code: code::DATA_LOCKED, detail: "another owner".into() }) }
    }
}

/// What becomes of an append.
enum Fate {
    Honest,
    Unavailable,
    /// The caller never learns what became of it.
    Unknown {
        written: bool,
        late: bool,
    },
}

fn write(cosmos: &Cosmos, append: &Append) -> Result<(), AppendError> {
    cosmos.burns();
    let result = cosmos.mem.lock().append(append);
    cosmos.burns();
    cosmos.trace(|| {
        let facts = Record::decode(&append.record, GENESIS).map(|(r, _)| r.facts);
        let status = append.index.as_ref().and_then(|i| i.run.as_ref()).map(|r| (r.status, r.wake_at));
        format!("{} record {} of epoch {}: {result:?} {facts:?} {status:?}", append.run, append.seq, append.epoch)
    });
    result.unwrap_or_else(|violation| {
        cosmos.broken(violation);
        Err(AppendError::Unavailable(full("a promise was broken; nothing goes on")))
    })
}

fn full(detail: &str) -> StoreError {
    StoreError { code: code::DATA_FULL, detail: detail.into() }
}

async fn wait(micros: u64) {
    tokio::time::sleep(Duration::from_micros(micros)).await;
}

#[async_trait]
impl Journal for SimJournal {
    async fn acquire(&self, _: &str, ttl: Span) -> Result<Lease, StoreError> {
        self.look(|_| ())?;
        let mut mem = self.cosmos.mem.lock();
        mem.epoch += 1;
        mem.held = true;
        Ok(Lease { epoch: mem.epoch, ttl: Some(ttl) })
    }

    async fn renew(&self, lease: Lease, _: Span) -> Result<(), StoreError> {
        self.owned(lease)
    }

    async fn release(&self, lease: Lease) -> Result<(), StoreError> {
        self.owned(lease)?;
        self.cosmos.mem.lock().held = false;
        Ok(())
    }

    fn append(&self, append: Append) -> Ack {
        let (tx, ack) = Ack::new();
        let cosmos = self.cosmos.clone();
        if !self.faulty {
            let _ = tx.send(write(&cosmos, &append));
            return ack;
        }
        let faults = cosmos.faults();
        let cut_off = self.cut_off.load(SeqCst);
        let (fate, there, back) = cosmos.roll(|rng| {
            let fate = if cut_off {
                Fate::Unknown { written: rng.chance(500), late: true }
            } else if rng.chance(faults.append_refused) {
                Fate::Unavailable
            } else if rng.chance(faults.append_unknown) {
                Fate::Unknown { written: rng.chance(700), late: rng.chance(500) }
            } else {
                Fate::Honest
            };
            let mut latency = || if rng.chance(50) { rng.below(SECOND / 2) } else { rng.below(5_000) };
            (fate, latency(), latency())
        });
        tokio::spawn(async move {
            wait(there).await;
            let unknown = || Err(AppendError::Unknown("the connection was lost".into()));
            let result = match fate {
                Fate::Honest => {
                    let result = write(&cosmos, &append);
                    wait(back).await;
                    result
                }
                Fate::Unavailable => Err(AppendError::Unavailable(full("the disk is full"))),
                Fate::Unknown { written, late } => {
                    if written && !late {
                        let _ = write(&cosmos, &append);
                    }
                    wait(back).await;
                    let _ = tx.send(unknown());
                    if written && late {
                        wait(cosmos.roll(|rng| rng.below(SECOND))).await;
                        let _ = write(&cosmos, &append);
                    }
                    return;
                }
            };
            let _ = tx.send(result);
        });
        ack
    }

    async fn read(&self, run: RunId, from: u64, limit: u32) -> Result<Vec<StoredRecord>, StoreError> {
        self.look(|m| {
            let records = m.runs.get(&run).map_or(&[][..], |r| &r.records);
            let numbered = (0..).zip(records).skip(usize::try_from(from).unwrap_or(usize::MAX)).take(limit as usize);
            numbered.map(|(seq, (bytes, leaf))| StoredRecord { seq, bytes: bytes.clone(), leaf: *leaf }).collect()
        })
    }

    async fn run(&self, run: RunId) -> Result<Option<RunRow>, StoreError> {
        self.look(|m| m.runs.get(&run).map(|r| r.row.clone()))
    }

    async fn by_key(&self, tenant: &Name, key: &Name) -> Result<Option<(RunId, [u8; 32])>, StoreError> {
        self.look(|m| m.keys.get(&(tenant.clone(), key.clone())).copied())
    }

    async fn runs(&self, f: &RunFilter) -> Result<Vec<RunRow>, StoreError> {
        // An empty tenant looks at all of them, as the engine does after a start.
        let matches = |r: &&RunRow| {
            (f.tenant.is_empty() || r.tenant == f.tenant)
                && (f.status.is_empty() || f.status.contains(&r.state.status))
                && f.agent.as_ref().is_none_or(|a| *a == r.agent)
                && f.session.is_none_or(|s| s == r.session)
                && f.parent.is_none_or(|p| r.parent == Some(p))
                && f.before.is_none_or(|b| r.id < b)
        };
        self.look(|m| m.runs.values().rev().map(|r| &r.row).filter(matches).take(f.limit as usize).cloned().collect())
    }

    async fn count(&self, tenant: Option<&Name>) -> Result<Vec<(Status, u64)>, StoreError> {
        self.look(|m| {
            let of = |s: Status| {
                m.runs.values().filter(|r| r.row.state.status == s && tenant.is_none_or(|t| *t == r.row.tenant)).count()
            };
            Status::ALL.map(|s| (s, of(s) as u64)).into_iter().filter(|(_, n)| *n > 0).collect()
        })
    }

    async fn unfinished(&self, after: Option<RunId>, limit: u32) -> Result<Vec<RunId>, StoreError> {
        self.look(|m| {
            let owes = |id: &RunId| {
                m.runs[id].row.state.status == Status::Running || m.inbox.get(id).is_some_and(|rows| !rows.is_empty())
            };
            let later = |id: &RunId| after.is_none_or(|a| *id > a);
            m.runs.keys().filter(|id| later(id) && owes(id)).take(limit as usize).copied().collect()
        })
    }

    async fn due(&self, now: Timestamp, limit: u32) -> Result<Vec<RunId>, StoreError> {
        self.look(|m| {
            m.wakes().into_iter().take_while(|(at, _)| *at <= now).take(limit as usize).map(|(_, run)| run).collect()
        })
    }

    async fn next_wake(&self) -> Result<Option<Timestamp>, StoreError> {
        self.look(|m| m.wakes().first().map(|(at, _)| *at))
    }

    async fn budgets(&self, tenant: Option<&Name>, now: Timestamp) -> Result<Vec<BudgetRow>, StoreError> {
        self.look(|m| m.uppers.rows(tenant, now))
    }

    async fn set_budget(&self, set: SetBudget) -> Result<bool, StoreError> {
        self.look(|_| ())?;
        self.cosmos.mem.lock().uppers.set(set);
        Ok(true)
    }

    async fn remove_budget(&self, key: &BudgetKey) -> Result<bool, StoreError> {
        self.look(|_| ())?;
        Ok(self.cosmos.mem.lock().uppers.remove(key))
    }

    async fn inbox(&self, run: RunId) -> Result<Vec<InboxRow>, StoreError> {
        self.look(|m| m.inbox.get(&run).cloned().unwrap_or_default())
    }

    async fn session(&self, id: SessionId) -> Result<Option<SessionRow>, StoreError> {
        self.look(|m| m.sessions.get(&id).cloned())
    }

    async fn open_session(
        &self,
        tenant: &Name,
        agent: &Name,
        key: &Name,
        id: SessionId,
        now: Timestamp,
    ) -> Result<SessionRow, StoreError> {
        self.look(|_| ())?;
        let mut mem = self.cosmos.mem.lock();
        let same = |s: &&SessionRow| s.tenant == *tenant && s.agent == *agent && s.key.as_ref() == Some(key);
        if let Some(session) = mem.sessions.values().find(same) {
            return Ok(session.clone());
        }
        let row = SessionRow {
            id,
            tenant: tenant.clone(),
            agent: agent.clone(),
            key: Some(key.clone()),
            active: None,
            head: None,
            spent: Spend::ZERO,
            used: Amounts::default(),
            created: now,
        };
        mem.sessions.insert(id, row.clone());
        Ok(row)
    }

    async fn sessions(
        &self,
        tenant: &Name,
        agent: Option<&Name>,
        before: Option<SessionId>,
        limit: u32,
    ) -> Result<Vec<SessionRow>, StoreError> {
        let matches = |s: &&SessionRow| {
            s.tenant == *tenant && agent.is_none_or(|a| *a == s.agent) && before.is_none_or(|b| s.id < b)
        };
        self.look(|m| m.sessions.values().rev().filter(matches).take(limit as usize).cloned().collect())
    }

    async fn sessions_of_key(&self, tenant: &Name, key: &Name, limit: u32) -> Result<Vec<SessionRow>, StoreError> {
        let matches = |s: &&SessionRow| s.tenant == *tenant && s.key.as_ref() == Some(key);
        let mut found: Vec<_> = self.look(|m| m.sessions.values().filter(matches).cloned().collect())?;
        found.sort_by(|a, b| a.agent.cmp(&b.agent));
        found.truncate(limit as usize);
        Ok(found)
    }

    async fn queued(&self, session: SessionId, limit: u32) -> Result<Vec<RunId>, StoreError> {
        self.look(|m| m.queued(session).take(limit as usize).collect())
    }

    async fn stranded(&self, limit: u32) -> Result<Vec<SessionId>, StoreError> {
        self.look(|m| m.stranded().take(limit as usize).collect())
    }

    async fn approvals(&self, f: &ApprovalFilter) -> Result<Vec<ApprovalRow>, StoreError> {
        self.look(|m| {
            let matches = |row: &ApprovalRow| {
                let of = m.runs.get(&row.effect.run).map(|r| &r.row);
                of.is_some_and(|of| {
                    of.tenant == f.tenant
                        && f.agent.as_ref().is_none_or(|a| *a == of.agent)
                        && f.session.is_none_or(|s| s == of.session)
                        && f.run.is_none_or(|r| r == of.id)
                }) && f.before.is_none_or(|before| *row < before)
            };
            let rows = m.asked.iter().map(|(effect, asked)| ApprovalRow { asked: *asked, effect: *effect });
            let mut rows: Vec<_> = rows.filter(matches).collect();
            rows.sort_unstable_by_key(|row| std::cmp::Reverse(*row));
            rows.truncate(f.limit as usize);
            rows
        })
    }

    async fn unlisted(&self, _: Option<RunId>, _: u32) -> Result<Vec<RunId>, StoreError> {
        // Nothing here was written by a release before.
        self.look(|_| Vec::new())
    }

    async fn fill_approvals(&self, lease: Lease, open: &[(RunId, Question)], _: bool) -> Result<(), StoreError> {
        self.owned(lease)?;
        let of_run = |(run, q): &(RunId, Question)| (EffectId { run: *run, n: q.effect }, q.asked);
        self.cosmos.mem.lock().asked.extend(open.iter().map(of_run));
        Ok(())
    }

    fn blob_id(&self, tenant: &Name, content: &[u8]) -> BlobId {
        // Not a keyed hash: nobody attacks a simulation. Two digests of both parts make an address.
        let sum = |seed| crate::failure::digest(crate::failure::digest(seed, tenant.as_bytes()), content).to_be_bytes();
        let mut id = [0; 32];
        for (part, seed) in id.chunks_exact_mut(8).zip(1..) {
            part.copy_from_slice(&sum(seed));
        }
        BlobId(id)
    }

    async fn blob(&self, tenant: &Name, id: BlobId) -> Result<Option<Bytes>, StoreError> {
        self.look(|m| m.blobs.get(&(tenant.clone(), id)).cloned())
    }

    async fn put_snapshot(&self, run: RunId, snapshot: Snapshot) -> Result<(), StoreError> {
        self.look(|_| ())?;
        self.cosmos.mem.lock().snapshots.insert(run, snapshot);
        Ok(())
    }

    async fn snapshot(&self, run: RunId) -> Result<Option<Snapshot>, StoreError> {
        self.look(|m| m.snapshots.get(&run).cloned())
    }

    async fn put_version(&self, version: VersionRow, alias: AliasMove) -> Result<AliasMoved, StoreError> {
        self.look(|_| ())?;
        Ok(self.cosmos.mem.lock().name_version(Some(version), &alias))
    }

    async fn move_alias(&self, alias: AliasMove) -> Result<AliasMoved, StoreError> {
        self.look(|_| ())?;
        Ok(self.cosmos.mem.lock().name_version(None, &alias))
    }

    async fn aliases(&self, tenant: &Name, agent: &Name) -> Result<Vec<AliasRow>, StoreError> {
        self.look(|m| {
            let of_agent = m.aliases.iter().filter(|((t, a, _), _)| t == tenant && a == agent);
            of_agent.map(|((_, _, alias), version)| AliasRow { alias: alias.clone(), version: *version }).collect()
        })
    }

    async fn alias_history(&self, tenant: &Name, agent: &Name, limit: u32) -> Result<Vec<AliasEvent>, StoreError> {
        self.look(|m| {
            let of_agent = m.moves.iter().rev().filter(|(t, a, _)| t == tenant && a == agent);
            of_agent.map(|(_, _, event)| event.clone()).take(limit as usize).collect()
        })
    }

    async fn version(&self, tenant: &Name, version: VersionId) -> Result<Option<VersionRow>, StoreError> {
        self.look(|m| m.version(tenant, version))
    }

    async fn aliased(&self, tenant: &Name, agent: &Name, alias: &Name) -> Result<Option<VersionRow>, StoreError> {
        self.look(|m| {
            let version = *m.aliases.get(&(tenant.clone(), agent.clone(), alias.clone()))?;
            m.version(tenant, version)
        })
    }

    async fn versions(&self, tenant: &Name, agent: Option<&Name>) -> Result<Vec<VersionRow>, StoreError> {
        self.look(|m| {
            let matches = |v: &&VersionRow| v.tenant == *tenant && agent.is_none_or(|a| *a == v.agent);
            let mut all: Vec<_> =
                m.versions.values().filter(matches).filter_map(|v| m.version(tenant, v.version)).collect();
            all.sort_by_key(|v| std::cmp::Reverse(v.created));
            if agent.is_none() {
                // One of each: the live one, else the newest.
                let has_live: BTreeSet<_> = all.iter().filter(|v| v.live).map(|v| v.agent.clone()).collect();
                let mut seen = BTreeSet::new();
                all.retain(|v| v.live || (!has_live.contains(&v.agent) && seen.insert(v.agent.clone())));
            }
            all.into_iter().map(|v| VersionRow { body: Bytes::new(), ..v }).collect()
        })
    }

    async fn usage(&self, f: &UsageFilter) -> Result<Vec<UsageRow>, StoreError> {
        self.look(|m| {
            let mut groups: BTreeMap<_, (BTreeSet<RunId>, Used)> = BTreeMap::new();
            for ((run, hour, model), used) in &m.used {
                let Some(row) = m.runs.get(run).map(|r| &r.row).filter(|r| r.tenant == f.tenant) else { continue };
                if f.since_hour.is_some_and(|s| *hour < s) || f.until_hour.is_some_and(|u| *hour >= u) {
                    continue;
                }
                let key = (
                    f.by.agent.then(|| row.agent.clone()),
                    f.by.model.then(|| model.clone()),
                    f.by.user.then(|| m.users.get(run).cloned().flatten()).flatten(),
                    f.by.session.then_some(row.session),
                );
                let (runs, sum) = groups.entry(key).or_default();
                runs.insert(*run);
                *sum = sum.plus(*used);
            }
            if groups.is_empty() && f.by == GroupBy::default() {
                groups.insert((None, None, None, None), Default::default());
            }
            let row = |((agent, model, user, session), (runs, used)): (_, (BTreeSet<RunId>, Used))| UsageRow {
                agent,
                model,
                user,
                session,
                runs: runs.len() as u64,
                used,
            };
            let mut rows: Vec<_> = groups.into_iter().map(row).collect();
            rows.sort_by_key(|r| std::cmp::Reverse(r.used.spent().tokens));
            rows.truncate(f.limit as usize);
            rows
        })
    }

    async fn unmetered(&self, _: Option<RunId>, _: u32) -> Result<Vec<RunId>, StoreError> {
        // Nothing here was written by a release before.
        self.look(|_| Vec::new())
    }

    async fn fill_usage(&self, lease: Lease, past: &[PastRun], _: bool) -> Result<(), StoreError> {
        self.owned(lease)?;
        let mut mem = self.cosmos.mem.lock();
        for PastRun { run, user, usage } in past {
            if user.is_some() {
                mem.users.insert(*run, user.clone());
            }
            let rows = usage.iter().map(|u| ((*run, u.hour, u.model.clone()), u.used));
            mem.used.extend(rows);
        }
        Ok(())
    }

    async fn counters(&self, tenant: &Name) -> Result<Option<Bytes>, StoreError> {
        self.look(|m| m.counters.get(tenant).cloned())
    }

    async fn counted(&self, tenant: &Name, after: u64, limit: u32) -> Result<Vec<CountedRow>, StoreError> {
        self.look(|m| {
            let rows = m.counted.range(after + 1..).filter(|(_, (of, _))| of == tenant);
            rows.take(limit as usize).map(|(n, (_, body))| CountedRow { n: *n, body: body.clone() }).collect()
        })
    }

    async fn keep_counters(&self, lease: Lease, tenant: &Name, body: Bytes, upto: u64) -> Result<(), StoreError> {
        self.owned(lease)?;
        let mut mem = self.cosmos.mem.lock();
        mem.counters.insert(tenant.clone(), body);
        let last = mem.counted.last_key_value().map(|(n, _)| *n);
        mem.counted.retain(|n, (of, _)| of != tenant || *n > upto || Some(*n) == last);
        Ok(())
    }
}
