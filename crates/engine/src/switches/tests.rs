//! What a server knows of switches that another one turned.
#![expect(clippy::unwrap_used, reason = "tests")]

use parking_lot::Mutex;
use stead_core::time::Timestamp;
use stead_ports::BoxFuture;

use super::*;

/// A store that several boards share, and that can be cut off.
#[derive(Default)]
struct Shared {
    rows: Mutex<Vec<SwitchRow>>,
    away: AtomicBool,
}

#[async_trait]
impl SwitchStore for Shared {
    async fn put_switch(&self, switch: NewSwitch) -> Result<Option<u64>, StoreError> {
        let mut rows = self.rows.lock();
        let n = rows.len() as u64 + 1;
        rows.push(SwitchRow { n, switch, heard: false });
        Ok(Some(n))
    }

    async fn switches(&self, after: u64, limit: u32) -> Result<Vec<SwitchRow>, StoreError> {
        if self.away.load(SeqCst) {
            return Err(StoreError { code: code::DATA_UNREACHABLE, detail: "away".into() });
        }
        let rows = self.rows.lock();
        Ok(rows.iter().filter(|row| row.n > after).take(limit as usize).cloned().collect())
    }

    async fn last_switch(&self) -> Result<u64, StoreError> {
        Ok(self.rows.lock().len() as u64)
    }

    async fn past_switches(&self, _: &Name, _: Option<u64>, _: u32) -> Result<Vec<SwitchRow>, StoreError> {
        Ok(Vec::new())
    }

    async fn switch_heard(&self, _: u64) -> Result<(), StoreError> {
        Ok(())
    }
}

/// A clock that stands still until it is moved.
#[derive(Default)]
struct Hand(AtomicU64);

impl Clock for Hand {
    fn now(&self) -> Timestamp {
        Timestamp(0)
    }
    fn boot_micros(&self) -> u64 {
        self.0.load(SeqCst)
    }
    fn random(&self) -> [u8; 16] {
        [0; 16]
    }
    fn sleep_until(&self, _: Timestamp) -> BoxFuture<'static, ()> {
        Box::pin(async {})
    }
}

fn off(what: What, name: &str) -> NewSwitch {
    let (tenant, by) = (Name::from("acme"), Name::from("olga"));
    NewSwitch { tenant, what, name: name.into(), on: false, by, at: Timestamp(0), reason: String::new() }
}

fn whose(switch: Option<u64>) -> Whose {
    let behalf = Behalf { switch, ..Behalf::default() };
    let (tenant, agent) = (Name::from("acme"), Name::from("desk"));
    Whose { tenant, agent, version: VersionId([1; 32]), run: RunId(1), behalf }
}

/// The promise of the acknowledgement: it waits for [`LIFE`], and a server that has not seen the row by then lets nothing out.
#[tokio::test]
async fn a_server_that_has_not_heard_of_a_switch_lets_nothing_out_once_it_is_acknowledged() {
    let (store, clock) = (Arc::new(Shared::default()), Hand::default());
    let board = Board::open(store.clone(), true, &clock).await.unwrap();
    assert!(board.is_fresh(&clock) && board.any().is_none());
    // Another server turns a switch; this one is cut off.
    store.put_switch(off(What::Tool, "refund")).await.unwrap();
    store.away.store(true, SeqCst);
    clock.0.fetch_add(LIFE.0 - 1, SeqCst);
    assert!(board.is_fresh(&clock), "not acknowledged yet");
    clock.0.fetch_add(1, SeqCst);
    assert!(!board.is_fresh(&clock));
    assert!(board.refresh(&clock).await.is_err());
    assert!(!board.is_fresh(&clock), "what it could not look up does not count");
    store.away.store(false, SeqCst);
    assert_eq!(board.refresh(&clock).await.unwrap().len(), 1);
    assert!(board.is_fresh(&clock));
    assert!(board.view().tool(&"acme".into(), &"refund".into(), &"payments".into()).is_some());
}

#[tokio::test]
async fn nobody_else_can_turn_a_switch_in_a_store_that_is_one_process_alone() {
    let (store, clock) = (Arc::new(Shared::default()), Hand::default());
    let board = Board::open(store, false, &clock).await.unwrap();
    clock.0.fetch_add(1 << 40, SeqCst);
    assert!(board.is_fresh(&clock));
}

#[tokio::test]
async fn a_stop_of_all_runs_is_about_those_that_began_before_it() {
    let (store, clock) = (Arc::new(Shared::default()), Hand::default());
    let board = Board::open(store.clone(), false, &clock).await.unwrap();
    for what in [What::Tool, What::Runs] {
        store.put_switch(off(what, "cancel")).await.unwrap();
    }
    board.refresh(&clock).await.unwrap();
    let view = board.view();
    assert!(view.stops(&whose(None)).is_some() && view.stops(&whose(Some(1))).is_some());
    assert!(view.stops(&whose(Some(2))).is_none());
    let elsewhere = Whose { tenant: "globex".into(), ..whose(None) };
    assert!(view.stops(&elsewhere).is_none());
}
