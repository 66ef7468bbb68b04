//! Budgets that several servers draw on at once: what is settled and held is never more than a limit, and no move is lost.

#![expect(clippy::unwrap_used, reason = "tests")]

mod common;

use std::sync::{
    Arc,
    atomic::{AtomicU64, Ordering::SeqCst},
};

use common::{TENANT, append, noise, run};
use stead_core::{
    budget::{Amounts, Caps, Level, MicroUsd, Move, Per},
    id::RunId,
    time::{Span, Timestamp},
};
use stead_ports::journal::{AppendError, BudgetKey, BudgetRow, IndexChange, Journal, SetBudget};
use stead_store::{BlobKey, PgOptions, PgStore};
use stead_testkit::postgres::TestPostgres;

const NOW: Timestamp = Timestamp(1_767_227_400_000_000);
/// Runs of each server, and steps of each of them.
const RUNS: u64 = 12;
const STEPS: u64 = 40;
/// Micro-dollars of the tenant's budget and of the agent's; much less than all would like.
const LIMITS: [u64; 2] = [400, 300];

fn usd(n: u64) -> Amounts {
    Amounts { usd: MicroUsd(n), ..Amounts::default() }
}

async fn connect(server: &TestPostgres) -> Arc<PgStore> {
    Arc::new(PgStore::connect(&server.url(), PgOptions::new(BlobKey::from_bytes([7; 32]))).await.unwrap())
}

async fn all(store: &PgStore) -> Vec<BudgetRow> {
    store.budgets(Some(&TENANT.into()), NOW).await.unwrap()
}

fn moves(rows: &[BudgetRow], back: u64, settled: u64, held: u64) -> Vec<Move> {
    let level = |row: &BudgetRow| {
        let BudgetKey { agent, per, .. } = &row.key;
        Level { budget: row.id, start: per.start(NOW), agent: agent.clone(), per: *per }
    };
    let one = |row| Move { level: level(row), back: usd(back), settled: usd(settled), held: usd(held) };
    rows.iter().map(one).collect()
}

/// What became of one run's slices.
#[derive(Default)]
struct Told {
    settled: AtomicU64,
    held: AtomicU64,
    refused: AtomicU64,
}

/// A run that takes slices, uses some of each, and gives the rest back.
async fn draws(store: Arc<PgStore>, epoch: u64, id: RunId, rows: Arc<Vec<BudgetRow>>, told: Arc<Told>) {
    store.append(append(id, 0, epoch, noise(20, 0))).await.unwrap();
    let (mut seq, mut slice, mut seed) = (1, 0, u64::try_from(id.0 >> 80).unwrap());
    for _ in 0..STEPS {
        seed = seed.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
        let (used, wants) = ((seed >> 60) % 2 * u64::from(slice > 0), (seed >> 40) % 30 + 1);
        let moving = |held| {
            let budgets = moves(&rows, slice, used, held);
            let index = IndexChange { budgets, ..IndexChange::default() };
            stead_ports::journal::Append { index: Some(Box::new(index)), ..append(id, seq, epoch, noise(20, seq)) }
        };
        let now = match store.append(moving(wants)).await {
            Ok(()) => wants,
            Err(AppendError::OverBudget { .. }) => {
                told.refused.fetch_add(1, SeqCst);
                store.append(moving(0)).await.unwrap();
                0
            }
            Err(other) => panic!("{id} at {seq}: {other}"),
        };
        told.settled.fetch_add(used, SeqCst);
        told.held.fetch_add(now, SeqCst);
        told.held.fetch_sub(slice, SeqCst);
        (slice, seq) = (now, seq + 1);
    }
}

/// Both servers work on the same budgets; what anybody sees meanwhile keeps to the limits, and what is there at the end is what all were
/// told.
async fn draw_on_one_budget(epochs: [u64; 2], stores: [Arc<PgStore>; 2], runs: [Vec<RunId>; 2]) {
    for (agent, limit) in [None, Some("desk")].into_iter().zip(LIMITS) {
        let key = BudgetKey { tenant: TENANT.into(), agent: agent.map(Into::into), per: Per::Day };
        let caps = Caps { usd: Some(MicroUsd(limit)), ..Caps::default() };
        assert!(stores[0].set_budget(SetBudget { key, caps, at: NOW, by: "ann".into() }).await.unwrap());
    }
    let rows = Arc::new(all(&stores[0]).await);
    let told = Arc::new(Told::default());
    let mut work = tokio::task::JoinSet::new();
    for ((store, epoch), runs) in stores.iter().zip(epochs).zip(runs) {
        for id in runs {
            work.spawn(draws(store.clone(), epoch, id, rows.clone(), told.clone()));
        }
    }
    let mut looks = 0;
    let done = work.join_all();
    tokio::pin!(done);
    loop {
        tokio::select! {
            _ = &mut done => break,
            seen = all(&stores[1]) => {
                looks += 1;
                for (row, limit) in seen.iter().zip(LIMITS) {
                    let (held, used) = (row.held.usd.0, row.settled.usd.0);
                    assert!(held + used <= limit, "{held} held and {used} used of {limit}");
                }
            }
        }
    }
    assert!(looks > 0);
    let sums = (told.held.load(SeqCst), told.settled.load(SeqCst));
    for row in all(&stores[0]).await {
        assert_eq!((row.held.usd.0, row.settled.usd.0), sums, "{:?}", row.key);
    }
    assert!(told.refused.load(SeqCst) > 0 && sums.1 > 0, "the limits must be met, or nothing is shown");
}

fn ids(from: u64) -> Vec<RunId> {
    (from..from + RUNS).map(run).collect()
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn two_writers_of_one_owner_never_cross_a_budget_together() {
    let server = TestPostgres::start();
    let stores = [connect(&server).await, connect(&server).await];
    let epoch = stores[0].acquire("both", Span::from_secs(600)).await.unwrap().epoch;
    draw_on_one_budget([epoch, epoch], stores, [ids(1), ids(1_001)]).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn two_servers_that_own_half_of_the_data_each_never_cross_a_budget_together() {
    let server = TestPostgres::start();
    let stores = [connect(&server).await, connect(&server).await];
    let epoch = stores[0].acquire("the first", Span::from_secs(600)).await.unwrap().epoch;
    // As it is to be in a fleet: another server has taken half of the partitions.
    let next = epoch + 1;
    server
        .execute(&format!("UPDATE stead.leases SET holder = 'the second', epoch = {next} WHERE partition >= 128"))
        .await;
    let of = |half: bool| {
        let owned = move |id: &RunId| (append(*id, 0, epoch, "").partition >= 128) == half;
        (1..).map(run).filter(owned).take(usize::try_from(RUNS).unwrap()).collect::<Vec<_>>()
    };
    let owned = [of(false), of(true)];
    // Neither writes where the other one is the owner.
    let stranger = stores[0].append(append(owned[1][0], 0, epoch, "")).await;
    assert!(matches!(stranger, Err(AppendError::Fenced { current }) if current == next), "{stranger:?}");
    draw_on_one_budget([epoch, next], stores, owned).await;
}
