//! Cases: entries of directories and their order.

use bytes::Bytes;
use stead_core::{id::Name, time::Timestamp};

use super::kit::{TENANT, name};
use crate::trust::{DirectoryRow, DirectoryStore};

fn row(seq: u64, n: u8) -> DirectoryRow {
    DirectoryRow { seq, body: Bytes::from(vec![n; 2_000]), by: name("ann"), at: Timestamp(1_000 + i64::from(n)) }
}

async fn add(s: &dyn DirectoryStore, tenant: &Name, row: DirectoryRow) -> bool {
    s.add_entry(tenant, row).await.expect("adds")
}

/// Each tenant's own, from 0, without gaps; what is there stays as it is.
pub async fn an_entry_is_kept_at_the_next_place_and_no_other(s: &dyn DirectoryStore) {
    let (t, other) = (name(TENANT), name("globex"));
    assert!(!add(s, &t, row(1, 1)).await, "there is none before it");
    assert!(add(s, &t, row(0, 1)).await);
    assert!(!add(s, &t, row(0, 2)).await, "its place is taken");
    assert!(!add(s, &t, row(2, 2)).await, "it leaves a gap");
    assert!(add(s, &t, row(1, 2)).await);
    assert!(add(s, &other, row(0, 3)).await);
    let all = s.entries(&t, 0, 10).await.expect("reads");
    assert_eq!(all, [row(0, 1), row(1, 2)]);
    assert_eq!(s.entries(&t, 1, 10).await.expect("reads"), [row(1, 2)]);
    assert_eq!(s.entries(&t, 0, 1).await.expect("reads"), [row(0, 1)]);
    assert_eq!(s.entries(&t, 2, 10).await.expect("reads"), []);
    assert_eq!(s.entries(&name("nobody"), 0, 10).await.expect("reads"), []);
    let mut tenants = s.directories().await.expect("tells");
    tenants.sort();
    let mut expected = vec![(t, 2), (other, 1)];
    expected.sort();
    assert_eq!(tenants, expected);
}

/// However many add at once.
pub async fn of_entries_added_at_once_one_takes_the_place(s: &dyn DirectoryStore) {
    let t = name(TENANT);
    for seq in 0..8_u8 {
        let t = &t;
        let tries = (0..6).map(|n| async move { add(s, t, row(seq.into(), 10 * seq + n)).await });
        let won = futures_util::future::join_all(tries).await;
        assert_eq!(won.iter().filter(|won| **won).count(), 1, "{won:?}");
    }
    let seqs: Vec<u64> = s.entries(&t, 0, 100).await.expect("reads").iter().map(|row| row.seq).collect();
    assert_eq!(seqs, (0..8).collect::<Vec<_>>());
}
