//! Cases: objects, and how long they are kept.

use bytes::Bytes;
use stead_core::{
    code,
    id::{BlobId, Name},
    time::Timestamp,
};

use super::kit::{TENANT, name};
use crate::objects::{MAX_OBJECT, Objects};

const NOW: Timestamp = Timestamp(1_000_000);
const LATER: Timestamp = Timestamp(2_000_000);
const MUCH_LATER: Timestamp = Timestamp(3_000_000);

async fn put(o: &dyn Objects, tenant: &Name, contents: &[&[u8]], until: Timestamp) -> Vec<BlobId> {
    let bytes: Vec<Bytes> = contents.iter().map(|c| Bytes::copy_from_slice(c)).collect();
    o.put(tenant, &bytes, until).await.expect("puts");
    contents.iter().map(|c| o.address(tenant, c)).collect()
}

async fn get(o: &dyn Objects, tenant: &Name, ids: &[BlobId]) -> Vec<Option<Vec<u8>>> {
    let found = o.get(tenant, ids).await.expect("gets");
    found.into_iter().map(|b| b.map(|b| b.to_vec())).collect()
}

/// In the order asked, the same one twice, and nothing where nothing is. Empty content is content.
pub async fn an_object_is_found_by_its_address(o: &dyn Objects) {
    let t = name(TENANT);
    let ids = put(o, &t, &[b"a", b"", b"a", &[7; 5000]], NOW).await;
    assert_eq!(ids[0], ids[2]);
    let asked = [ids[3], BlobId([9; 32]), ids[0], ids[1], ids[0]];
    let found = get(o, &t, &asked).await;
    assert_eq!(found, [Some(vec![7; 5000]), None, Some(b"a".to_vec()), Some(vec![]), Some(b"a".to_vec())]);
    assert_eq!(get(o, &t, &[]).await, Vec::<Option<Vec<u8>>>::new());
    o.put(&t, &[], NOW).await.expect("nothing is put");
}

/// An address of one is nothing to the other, and neither holds, lists or removes what is the other's.
pub async fn objects_of_two_tenants_do_not_meet(o: &dyn Objects) {
    let (a, b) = (name("acme"), name("globex"));
    let id = put(o, &a, &[b"secret"], NOW).await[0];
    assert_ne!(id, o.address(&b, b"secret"));
    assert_eq!(get(o, &b, &[id]).await, [None]);
    assert_eq!(o.hold(&b, &[id], MUCH_LATER).await.expect("holds"), [id]);
    assert_eq!(o.unheld(&b, LATER, None, 10).await.expect("lists"), []);
    assert_eq!(o.remove(&b, &[id], LATER).await.expect("removes"), 0);
    assert_eq!(o.remove(&a, &[id], LATER).await.expect("removes"), 1);
}

/// Not before its time, and only what was named.
pub async fn what_somebody_holds_is_not_removed(o: &dyn Objects) {
    let t = name(TENANT);
    let ids = put(o, &t, &[b"one", b"two"], LATER).await;
    assert_eq!(o.remove(&t, &ids, NOW).await.expect("removes"), 0);
    assert_eq!(o.unheld(&t, NOW, None, 10).await.expect("lists"), []);
    assert_eq!(o.remove(&t, &ids, LATER).await.expect("removes"), 0, "it is held until then");
    assert_eq!(o.remove(&t, &ids[..1], MUCH_LATER).await.expect("removes"), 1);
    assert_eq!(get(o, &t, &ids).await, [None, Some(b"two".to_vec())]);
    // What went can be put anew.
    put(o, &t, &[b"one"], LATER).await;
    assert_eq!(get(o, &t, &ids[..1]).await, [Some(b"one".to_vec())]);
}

/// In the order asked; the others are held from then on.
pub async fn a_hold_names_what_is_missing(o: &dyn Objects) {
    let t = name(TENANT);
    let ids = put(o, &t, &[b"one", b"two"], NOW).await;
    let (x, y) = (BlobId([1; 32]), BlobId([0; 32]));
    assert_eq!(o.hold(&t, &[x, ids[1], y], MUCH_LATER).await.expect("holds"), [x, y]);
    assert_eq!(o.unheld(&t, LATER, None, 10).await.expect("lists"), ids[..1]);
    assert_eq!(o.remove(&t, &ids, LATER).await.expect("removes"), 1);
    assert_eq!(o.hold(&t, &ids, NOW).await.expect("holds"), ids[..1]);
}

/// Neither by a shorter hold nor by being put again.
pub async fn a_hold_never_gets_shorter(o: &dyn Objects) {
    let t = name(TENANT);
    let ids = put(o, &t, &[b"one"], MUCH_LATER).await;
    assert_eq!(o.hold(&t, &ids, NOW).await.expect("holds"), []);
    put(o, &t, &[b"one"], NOW).await;
    assert_eq!(o.remove(&t, &ids, LATER).await.expect("removes"), 0);
    put(o, &t, &[b"two"], NOW).await;
    let two = put(o, &t, &[b"two"], MUCH_LATER).await;
    assert_eq!(o.remove(&t, &two, LATER).await.expect("removes"), 0);
}

/// By id, each once.
pub async fn objects_that_nobody_holds_are_listed_in_pages(o: &dyn Objects) {
    let t = name(TENANT);
    let contents: Vec<Vec<u8>> = (0..25u8).map(|n| vec![n; 3]).collect();
    let mut ids = put(o, &t, &contents.iter().map(|c| &c[..]).collect::<Vec<_>>(), NOW).await;
    put(o, &t, &[b"held"], MUCH_LATER).await;
    ids.sort();
    let (mut listed, mut after) = (Vec::new(), None);
    loop {
        let page = o.unheld(&t, LATER, after, 10).await.expect("lists");
        assert!(page.len() <= 10);
        let Some(last) = page.last() else { break };
        after = Some(*last);
        listed.extend(page);
    }
    assert_eq!(listed, ids);
}

/// Each once, as long as it has one.
pub async fn tenants_that_have_objects_are_found_one_after_another(o: &dyn Objects) {
    let (a, b) = (name("has-objects-a"), name("has-objects-b"));
    // Others may come and go meanwhile.
    let found = async || {
        let (mut found, mut after) = (Vec::new(), None);
        while let Some(next) = o.tenant(after.as_ref()).await.expect("looks") {
            found.extend((next == a || next == b).then(|| next.clone()));
            after = Some(next);
        }
        found.sort();
        found
    };
    assert_eq!(found().await, []);
    put(o, &b, &[b"one", b"two"], NOW).await;
    let one = put(o, &a, &[b"one"], NOW).await;
    assert_eq!(found().await, [a.clone(), b.clone()]);
    o.remove(&a, &one, LATER).await.expect("removes");
    assert_eq!(found().await, std::slice::from_ref(&b));
}

/// Whether it gets smaller by packing or not; and with one that is too long, nothing is kept.
pub async fn a_long_object_comes_back_whole_and_a_longer_one_is_refused(o: &dyn Objects) {
    let t = name(TENANT);
    let mut x = 1u64;
    let noise: Vec<u8> = std::iter::repeat_with(|| {
        x = x.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1);
        (x >> 56) as u8
    })
    .take(2 << 20)
    .collect();
    let plain = vec![b'a'; MAX_OBJECT];
    let ids = put(o, &t, &[&noise, &plain], NOW).await;
    assert!(get(o, &t, &ids).await == [Some(noise), Some(plain)]);
    let long = [Bytes::from_static(b"beside"), Bytes::from(vec![0; MAX_OBJECT + 1])];
    assert_eq!(o.put(&t, &long, NOW).await.map_err(|e| e.code), Err(code::TOO_LARGE));
    assert_eq!(get(o, &t, &[o.address(&t, b"beside")]).await, [None]);
}

/// In whatever order; all have what they put.
pub async fn many_put_the_same_objects_at_once(o: &dyn Objects) {
    let t = name(TENANT);
    let contents: Vec<Bytes> = (0..64u8).map(|n| Bytes::from(vec![n; 300])).collect();
    let back: Vec<Bytes> = contents.iter().rev().cloned().collect();
    let puts = (0..8).map(|n| o.put(&t, if n % 2 == 0 { &contents } else { &back }, Timestamp(n)));
    for put in futures_util::future::join_all(puts).await {
        put.expect("puts");
    }
    let ids: Vec<BlobId> = contents.iter().map(|c| o.address(&t, c)).collect();
    assert_eq!(get(o, &t, &ids).await, contents.iter().map(|c| Some(c.to_vec())).collect::<Vec<_>>());
}
