//! Cases: what policies count.

use bytes::Bytes;

use super::kit::{Owner, TENANT, name, run};
use crate::journal::{Append, CountedRow, IndexChange, Journal, Lease, Status};

fn adds(o: &Owner<'_>, n: u64, seq: u64, body: &'static str) -> Append {
    let index = IndexChange { counted: Some(Bytes::from_static(body.as_bytes())), ..IndexChange::default() };
    Append { index: Some(Box::new(index)), ..o.append(run(n), seq) }
}

async fn rows(j: &dyn Journal, after: u64) -> Vec<CountedRow> {
    j.counted(&name(TENANT), after, 100).await.expect("reads")
}

fn bodies(rows: &[CountedRow]) -> Vec<&[u8]> {
    rows.iter().map(|row| &row.body[..]).collect()
}

/// An append and what it counts are one; a refused append counts nothing.
pub async fn what_is_counted_is_there_with_its_append_and_in_its_order(j: &dyn Journal) {
    let o = Owner::new(j).await;
    o.start(run(1), Status::Running).await;
    o.start(run(2), Status::Running).await;
    assert_eq!(rows(j, 0).await, []);
    o.put(adds(&o, 1, 1, "a")).await;
    o.put(o.append(run(2), 1)).await;
    o.put(adds(&o, 2, 2, "b")).await;
    assert!(j.append(adds(&o, 1, 9, "never")).await.is_err());
    o.put(adds(&o, 1, 2, "c")).await;
    let all = rows(j, 0).await;
    assert_eq!(bodies(&all), [b"a", b"b", b"c"]);
    assert!(all.is_sorted_by_key(|row| row.n));
    assert_eq!(rows(j, all[0].n).await, all[1..]);
    assert_eq!(j.counted(&name(TENANT), 0, 2).await.expect("reads"), all[..2]);
    assert_eq!(j.counted(&name("globex"), 0, 100).await.expect("reads"), []);
}

/// What is kept is in the place of the rows that it has; a number never comes twice.
pub async fn counters_are_kept_by_the_owner_alone_and_forget_what_they_have(j: &dyn Journal) {
    let o = Owner::new(j).await;
    let tenant = name(TENANT);
    o.start(run(1), Status::Running).await;
    assert_eq!(j.counters(&tenant).await.expect("reads"), None);
    o.put(adds(&o, 1, 1, "a")).await;
    o.put(adds(&o, 1, 2, "b")).await;
    let last = rows(j, 0).await.last().expect("two").n;
    let keep = |lease, body: &'static str| j.keep_counters(lease, &tenant, Bytes::from_static(body.as_bytes()), last);
    assert!(keep(Lease { epoch: o.lease.epoch + 1, ..o.lease }, "another's").await.is_err());
    assert_eq!(j.counters(&tenant).await.expect("reads"), None);
    for body in ["first", "second"] {
        keep(o.lease, body).await.expect("kept");
        assert_eq!(j.counters(&tenant).await.expect("reads").as_deref(), Some(body.as_bytes()));
    }
    assert_eq!(rows(j, last).await, []);
    o.put(adds(&o, 1, 3, "c")).await;
    assert_eq!(bodies(&rows(j, last).await), [b"c"]);
    assert_eq!(j.counters(&name("globex")).await.expect("reads"), None);
}
