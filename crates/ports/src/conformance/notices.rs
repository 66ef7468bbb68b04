//! Cases: which notices are owed, and who sends them.

use stead_core::{
    id::{EffectId, Name},
    time::Timestamp,
};

use super::{
    Noticing,
    kit::{Owner, TENANT, name, run},
};
use crate::{
    journal::{IndexChange, Journal, Question, Status},
    notices::Owed,
};

const NOW: Timestamp = Timestamp(1_000_000);
const LATER: Timestamp = Timestamp(2_000_000);

fn asking(effect: u32, at: i64, round: u32) -> IndexChange {
    IndexChange { asked: vec![Question { effect, asked: Timestamp(at), round }], ..IndexChange::default() }
}

fn closing(effect: u32) -> IndexChange {
    IndexChange { closed: vec![effect], ..IndexChange::default() }
}

fn question(effect: u32, at: i64, round: u32) -> Owed {
    let effect = EffectId { run: run(1), n: effect };
    Owed { effect, asked: Timestamp(at), round, tenant: name(TENANT), told: false, closed: false }
}

async fn owed(s: &dyn Noticing, dest: &Name, now: Timestamp) -> Vec<Owed> {
    s.owed(dest, now, 10).await.expect("tells")
}

async fn take(s: &dyn Noticing, dest: &Name, owed: &Owed, now: Timestamp) -> Option<u32> {
    s.take(dest, owed, now, LATER).await.expect("takes")
}

async fn told(s: &dyn Noticing, dest: &Name, owed: &Owed, sent: bool) {
    s.told(dest, owed, sent, NOW).await.expect("notes");
}

/// Each destination on its own; again with each round, and not between.
pub async fn a_notice_is_owed_until_it_is_told_and_again_with_each_round(s: &dyn Noticing) {
    let o = Owner::new(s as &dyn Journal).await;
    let (one, two) = (name("one"), name("two"));
    o.start(run(1), Status::Running).await;
    assert_eq!(owed(s, &one, NOW).await, []);
    o.put(o.changing(run(1), 1, asking(1, 100, 0))).await;
    assert_eq!(owed(s, &one, NOW).await, [question(1, 100, 0)]);
    assert_eq!(take(s, &one, &question(1, 100, 0), NOW).await, Some(1));
    assert_eq!(owed(s, &one, NOW).await, [], "somebody has it");
    told(s, &one, &question(1, 100, 0), true).await;
    assert_eq!(owed(s, &one, LATER).await, []);
    assert_eq!(owed(s, &two, NOW).await, [question(1, 100, 0)], "nobody told the other");
    o.put(o.changing(run(1), 2, asking(1, 100, 2))).await;
    assert_eq!(owed(s, &one, LATER).await, [Owed { told: true, ..question(1, 100, 2) }]);
    // What is asked anew is told anew.
    o.put(o.changing(run(1), 3, asking(1, 300, 0))).await;
    assert_eq!(owed(s, &one, LATER).await, [question(1, 300, 0)]);
    assert_eq!(take(s, &one, &question(1, 100, 2), LATER).await, None, "that question is not open any more");
    assert_eq!(s.take(&one, &question(1, 300, 0), LATER, Timestamp(3_000_000)).await.expect("takes"), Some(1));
}

/// However many look at once; and whoever took it and went lets another one have it.
pub async fn of_many_who_take_a_notice_one_has_it(s: &dyn Noticing) {
    let o = Owner::new(s as &dyn Journal).await;
    let one = name("one");
    o.start(run(1), Status::Running).await;
    for n in 1..=8 {
        o.put(o.changing(run(1), n.into(), asking(n, 100, 0))).await;
        let question = question(n, 100, 0);
        let tries = (0..6).map(|_| take(s, &one, &question, NOW));
        let won: Vec<u32> = futures_util::future::join_all(tries).await.into_iter().flatten().collect();
        assert_eq!(won, [1]);
        assert_eq!(take(s, &one, &question, NOW).await, None, "its time is not over");
        assert_eq!(s.take(&one, &question, LATER, Timestamp(3_000_000)).await.expect("takes"), Some(2), "now it is");
        s.again(&one, &question, Timestamp(5_000_000)).await.expect("notes");
        assert_eq!(take(s, &one, &question, Timestamp(4_000_000)).await, None, "it is not due again");
        assert_eq!(take(s, &one, &question, Timestamp(5_000_000)).await, Some(3));
    }
}

/// What was answered before it was sent is owed as closed alone, and forgotten when that is told.
pub async fn what_is_answered_is_not_told_as_open(s: &dyn Noticing) {
    let o = Owner::new(s as &dyn Journal).await;
    let one = name("one");
    o.start(run(1), Status::Running).await;
    o.put(o.changing(run(1), 1, asking(1, 100, 0))).await;
    o.put(o.changing(run(1), 2, closing(1))).await;
    assert_eq!(owed(s, &one, NOW).await, [], "nobody was told of it");
    assert_eq!(take(s, &one, &question(1, 100, 0), NOW).await, None);
    o.put(o.changing(run(1), 3, asking(2, 200, 0))).await;
    assert_eq!(take(s, &one, &question(2, 200, 0), NOW).await, Some(1));
    told(s, &one, &question(2, 200, 0), true).await;
    o.put(o.changing(run(1), 4, closing(2))).await;
    let closed = owed(s, &one, LATER).await;
    assert_eq!(closed.len(), 1);
    assert!(closed[0].closed && closed[0].told && closed[0].effect.n == 2, "{closed:?}");
    let until = Timestamp(3_000_000);
    assert_eq!(s.take(&one, &closed[0], LATER, until).await.expect("takes"), Some(1));
    assert_eq!(s.take(&one, &closed[0], LATER, until).await.expect("takes"), None);
    told(s, &one, &closed[0], true).await;
    assert_eq!(owed(s, &one, Timestamp(9_000_000)).await, []);
    // Of a destination that is gone nothing stays for ever.
    o.put(o.changing(run(1), 5, asking(3, 300, 0))).await;
    assert_eq!(take(s, &one, &question(3, 300, 0), NOW).await, Some(1));
    o.put(o.changing(run(1), 6, closing(3))).await;
    s.forget(Timestamp(9_000_000)).await.expect("forgets");
    assert_eq!(owed(s, &one, Timestamp(9_000_000)).await, []);
}
