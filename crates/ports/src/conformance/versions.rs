//! Cases: agent versions, the aliases that name them, and the history of those.

use stead_core::{id::VersionId, time::Timestamp};

use super::kit::{TENANT, name};
use crate::journal::{AliasMove, AliasMoved, Journal, LIVE, MAX_ALIASES, MovedBy, Step, VersionRow};

const V1: VersionId = VersionId([1; 32]);
const V2: VersionId = VersionId([2; 32]);

fn version(tenant: &str, agent: &str, n: u8, at: i64) -> VersionRow {
    let (version, body) = (VersionId([n; 32]), format!("{agent} {n}").into());
    VersionRow { tenant: name(tenant), agent: name(agent), version, body, created: Timestamp(at), live: false }
}

fn move_to(row: &VersionRow, alias: &str) -> AliasMove {
    AliasMove {
        tenant: row.tenant.clone(),
        agent: row.agent.clone(),
        alias: name(alias),
        to: Some(row.version),
        expect: None,
        at: row.created,
        by: name("ann"),
        why: MovedBy::Apply,
        step: Step::Moved,
    }
}

async fn applied(j: &dyn Journal, row: VersionRow, alias: &str) -> AliasMoved {
    let alias = move_to(&row, alias);
    j.put_version(row, alias).await.expect("writes")
}

/// Applying an older one again moves `live` back and keeps when it was first applied.
pub async fn the_version_applied_last_is_live(j: &dyn Journal) {
    let (tenant, desk) = (name(TENANT), name("desk"));
    let live = async || j.aliased(&tenant, &desk, &name(LIVE)).await.expect("reads");
    assert!(live().await.is_none());
    for (n, at) in [(1, 100), (2, 200), (1, 300)] {
        assert_eq!(applied(j, version(TENANT, "desk", n, at), LIVE).await, AliasMoved::Done);
        let live = live().await.expect("exists");
        assert_eq!((live.version, live.body, live.live), (VersionId([n; 32]), format!("desk {n}").into(), true));
    }
    applied(j, version(TENANT, "other", 3, 50), LIVE).await;
    let list = async |agent: Option<&str>| {
        let agent = agent.map(name);
        let rows = j.versions(&tenant, agent.as_ref()).await.expect("reads");
        rows.into_iter()
            .map(|r| {
                assert!(r.body.is_empty());
                (r.agent.to_string(), r.version.0[0], r.created.0, r.live)
            })
            .collect::<Vec<_>>()
    };
    assert_eq!(list(Some("desk")).await, [("desk".into(), 2, 200, false), ("desk".into(), 1, 100, true)]);
    assert_eq!(list(None).await, [("desk".into(), 1, 100, true), ("other".into(), 3, 50, true)]);
    let one = j.version(&tenant, V2).await.expect("reads").expect("exists");
    assert_eq!((one.body, one.live), ("desk 2".into(), false));
    assert!(j.version(&tenant, VersionId([9; 32])).await.expect("reads").is_none());
}

/// Equal names and versions of two tenants are two things.
pub async fn versions_of_two_tenants_do_not_meet(j: &dyn Journal) {
    let (acme, globex, desk, live) = (name("acme"), name("globex"), name("desk"), name(LIVE));
    applied(j, version("acme", "desk", 1, 1), LIVE).await;
    assert!(j.version(&globex, V1).await.expect("reads").is_none());
    assert!(j.aliased(&globex, &desk, &live).await.expect("reads").is_none());
    assert!(j.versions(&globex, None).await.expect("reads").is_empty());
    assert!(j.aliases(&globex, &desk).await.expect("reads").is_empty());
    assert!(j.alias_history(&globex, &desk, 10).await.expect("reads").is_empty());
    applied(j, version("globex", "desk", 2, 1), LIVE).await;
    assert_eq!(j.aliased(&acme, &desk, &live).await.expect("reads").expect("exists").version, V1);
}

/// A version under another alias leaves `live` where it is; an agent without a live version is listed by its newest.
pub async fn an_alias_names_a_version_beside_the_live_one(j: &dyn Journal) {
    let (tenant, desk, canary) = (name(TENANT), name("desk"), name("canary"));
    applied(j, version(TENANT, "desk", 1, 100), "canary").await;
    applied(j, version(TENANT, "desk", 2, 200), "canary").await;
    let listed = j.versions(&tenant, None).await.expect("reads");
    assert_eq!(listed.iter().map(|v| (v.version, v.live)).collect::<Vec<_>>(), [(V2, false)]);
    applied(j, version(TENANT, "desk", 1, 100), LIVE).await;
    let listed = j.versions(&tenant, None).await.expect("reads");
    assert_eq!(listed.iter().map(|v| (v.version, v.live)).collect::<Vec<_>>(), [(V1, true)]);
    let named = j.aliased(&tenant, &desk, &canary).await.expect("reads").expect("exists");
    assert_eq!((named.version, named.live, named.body), (V2, false, "desk 2".into()));
    let aliases = j.aliases(&tenant, &desk).await.expect("reads");
    let aliases: Vec<_> = aliases.iter().map(|a| (a.alias.as_str(), a.version)).collect();
    assert_eq!(aliases, [("canary", V2), ("live", V1)]);
}

/// Every move is a line of the history, the last first; what moves nothing writes none.
pub async fn the_history_says_who_moved_which_alias_when(j: &dyn Journal) {
    let (tenant, desk) = (name(TENANT), name("desk"));
    let first = version(TENANT, "desk", 1, 100);
    applied(j, first.clone(), LIVE).await;
    assert_eq!(applied(j, first.clone(), LIVE).await, AliasMoved::Same);
    applied(j, version(TENANT, "desk", 2, 200), LIVE).await;
    let back = AliasMove {
        to: Some(V1),
        expect: Some(Some(V2)),
        at: Timestamp(300),
        by: name("bob"),
        why: MovedBy::Rollback,
        ..move_to(&first, LIVE)
    };
    assert_eq!(j.move_alias(back.clone()).await.expect("writes"), AliasMoved::Done);
    assert_eq!(j.move_alias(back.clone()).await.expect("writes"), AliasMoved::Elsewhere(Some(V1)));
    let unknown = AliasMove { to: Some(VersionId([9; 32])), expect: None, ..back.clone() };
    assert_eq!(j.move_alias(unknown).await.expect("writes"), AliasMoved::NoVersion);
    let made = AliasMove { alias: name("canary"), expect: Some(None), why: MovedBy::Set, ..back };
    assert_eq!(j.move_alias(made.clone()).await.expect("writes"), AliasMoved::Done);
    let removed = AliasMove { to: None, expect: None, at: Timestamp(400), ..made };
    assert_eq!(j.move_alias(removed.clone()).await.expect("writes"), AliasMoved::Done);
    assert_eq!(j.move_alias(removed).await.expect("writes"), AliasMoved::Same);
    let history = j.alias_history(&tenant, &desk, 10).await.expect("reads");
    let told: Vec<_> = history
        .iter()
        .map(|e| (e.alias.as_str(), e.was.map(|v| v.0[0]), e.version.map(|v| v.0[0]), e.at.0, e.by.as_str(), e.why))
        .collect();
    assert_eq!(
        told,
        [
            ("canary", Some(1), None, 400, "bob", MovedBy::Set),
            ("canary", None, Some(1), 300, "bob", MovedBy::Set),
            ("live", Some(2), Some(1), 300, "bob", MovedBy::Rollback),
            ("live", Some(1), Some(2), 200, "ann", MovedBy::Apply),
            ("live", None, Some(1), 100, "ann", MovedBy::Apply),
        ]
    );
    assert_eq!(j.alias_history(&tenant, &desk, 2).await.expect("reads"), history[..2]);
}

/// What one person proposes moves when another one confirms it, and nothing that came before the alias moved last.
pub async fn a_proposed_move_takes_a_second_person(j: &dyn Journal) {
    let (tenant, desk) = (name(TENANT), name("desk"));
    let (first, second) = (version(TENANT, "desk", 1, 100), version(TENANT, "desk", 2, 200));
    let live = async || j.aliased(&tenant, &desk, &name(LIVE)).await.expect("reads").map(|row| row.version);
    let propose = |row: &VersionRow, by: &str| AliasMove { by: name(by), step: Step::Proposed, ..move_to(row, LIVE) };
    let confirm = |row: &VersionRow, by: &str| AliasMove { by: name(by), step: Step::Confirmed, ..move_to(row, LIVE) };
    assert_eq!(j.put_version(first.clone(), propose(&first, "ann")).await.expect("writes"), AliasMoved::Proposed);
    assert!(j.version(&tenant, V1).await.expect("reads").is_some(), "the version is there");
    assert_eq!(live().await, None, "and nothing names it");
    let ask = async |wanted: AliasMove| j.move_alias(wanted).await.expect("writes");
    assert_eq!(ask(confirm(&first, "ann")).await, AliasMoved::Own);
    assert_eq!(ask(confirm(&second, "bob")).await, AliasMoved::NotProposed);
    assert_eq!(ask(confirm(&first, "bob")).await, AliasMoved::Done);
    assert_eq!((live().await, ask(confirm(&first, "carol")).await), (Some(V1), AliasMoved::NotProposed));

    assert_eq!(j.put_version(second.clone(), propose(&second, "ann")).await.expect("writes"), AliasMoved::Proposed);
    assert_eq!(ask(propose(&first, "ann")).await, AliasMoved::Same, "it names that already");
    // Who proposes the same again may confirm what the other one proposed.
    assert_eq!(ask(propose(&second, "bob")).await, AliasMoved::Proposed);
    assert_eq!(ask(AliasMove { why: MovedBy::Rollback, ..confirm(&second, "bob") }).await, AliasMoved::Done);
    assert_eq!(live().await, Some(V2));

    // What was proposed before it moved is overtaken.
    assert_eq!(ask(propose(&first, "ann")).await, AliasMoved::Proposed);
    let removal = AliasMove { to: None, ..propose(&first, "ann") };
    assert_eq!(ask(removal.clone()).await, AliasMoved::Proposed);
    assert_eq!(ask(AliasMove { step: Step::Confirmed, by: name("bob"), ..removal }).await, AliasMoved::Done);
    assert_eq!((live().await, ask(confirm(&first, "bob")).await), (None, AliasMoved::NotProposed));
    let history = j.alias_history(&tenant, &desk, 3).await.expect("reads");
    let told: Vec<_> = history.iter().map(|e| (e.version.map(|v| v.0[0]), e.by.as_str(), e.why, e.step)).collect();
    assert_eq!(
        told,
        [
            (None, "bob", MovedBy::Apply, Step::Confirmed),
            (None, "ann", MovedBy::Apply, Step::Proposed),
            (Some(1), "ann", MovedBy::Apply, Step::Proposed),
        ]
    );
}

/// One alias too many is refused, with the version that it was to name; those that there are still move.
pub async fn an_agent_has_only_so_many_aliases(j: &dyn Journal) {
    let (tenant, desk) = (name(TENANT), name("desk"));
    let first = version(TENANT, "desk", 1, 100);
    for n in 0..MAX_ALIASES {
        assert_eq!(applied(j, first.clone(), &format!("a{n}")).await, AliasMoved::Done);
    }
    let second = version(TENANT, "desk", 2, 200);
    assert_eq!(applied(j, second.clone(), "more").await, AliasMoved::TooMany);
    assert!(j.version(&tenant, V2).await.expect("reads").is_none());
    assert_eq!(j.move_alias(move_to(&first, "more")).await.expect("writes"), AliasMoved::TooMany);
    assert_eq!(applied(j, second, "a0").await, AliasMoved::Done);
    assert_eq!(applied(j, version(TENANT, "other", 3, 300), LIVE).await, AliasMoved::Done, "another agent has its own");
    let aliases = j.aliases(&tenant, &desk).await.expect("reads");
    assert_eq!(aliases.len(), MAX_ALIASES as usize);
    let gone = AliasMove { to: None, ..move_to(&first, "a1") };
    assert_eq!(j.move_alias(gone).await.expect("writes"), AliasMoved::Done);
    assert_eq!(j.move_alias(move_to(&first, "more")).await.expect("writes"), AliasMoved::Done);
}
