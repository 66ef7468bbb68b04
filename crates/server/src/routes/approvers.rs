//! `/v1/approvers`: the directory of those whose signatures count.

use axum::{Json as Body, extract::State};
use serde::Deserialize;
use stead_api::{
    approver::{AddEntry, ApproverKey, Approvers, Broken, Delegation, Entries, EntryRow, RootKey},
    right::Right,
};
use stead_core::code;
use stead_ports::clock::Clock as _;
use stead_trust::{
    directory::{Directory, Enrolled},
    hex,
};

use crate::{
    approvers::AddError,
    auth::Principal,
    clock::SystemClock,
    http::{
        app::Shared,
        body::Json,
        failure::{Answer, Failure},
        input::{Params, limit},
    },
};

/// From where on entries are listed.
#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct From {
    from: Option<u64>,
    limit: Option<u32>,
}

pub(super) async fn show(State(app): State<Shared>, who: Principal) -> Answer<Body<Approvers>> {
    let directory = app.runtime.approvers().of(&who.tenant).await?;
    Ok(Body(told(directory.as_deref())))
}

pub(super) async fn entries(
    State(app): State<Shared>,
    who: Principal,
    Params(From { from, limit: most }): Params<From>,
) -> Answer<Body<Entries>> {
    let (from, most) = (from.unwrap_or(0), limit(most)?);
    let mut rows = app.runtime.approvers().rows(&who.tenant, from, most + 1).await?;
    let more = rows.len() > most as usize;
    rows.truncate(most as usize);
    let next = rows.last().filter(|_| more).map(|last| last.seq + 1);
    let row = |row: stead_ports::trust::DirectoryRow| {
        let entry = String::from_utf8_lossy(&row.body).into_owned();
        EntryRow { seq: row.seq, entry, by: row.by }
    };
    Ok(Body(Entries { items: rows.into_iter().map(row).collect(), next }))
}

pub(super) async fn add(
    State(app): State<Shared>,
    who: Principal,
    Json(AddEntry { entry }): Json<AddEntry>,
) -> Answer<Body<Approvers>> {
    let approvers = app.runtime.approvers();
    // Its own keys sign a root, which says nothing about whose they are.
    if !who.may(Right::Admin) && approvers.of(&who.tenant).await?.is_none() {
        return Err(Failure::forbidden(Right::Admin));
    }
    let added = approvers.add(&who.tenant, &entry, &who.subject, SystemClock.now()).await;
    added.map(|directory| Body(told(Some(&directory)))).map_err(|error| match error {
        AddError::Store(error) => error.into(),
        other => Failure::new(code::APPROVER_ENTRY, other.to_string()),
    })
}

fn told(directory: Option<&Directory>) -> Approvers {
    let now = u64::try_from(SystemClock.now().0 / 1_000_000).unwrap_or(0);
    let root = directory.map(Directory::root);
    let key = |k: &stead_trust::directory::RootKey| RootKey { holder: k.holder.clone(), key: k.key.to_string() };
    Approvers {
        anchor: directory.map(|d| hex::encode(&d.anchor())),
        head: directory.map(|d| hex::encode(&d.head())),
        next: directory.map_or(0, Directory::next),
        last: directory.map_or(0, Directory::last),
        personal: root.is_some_and(|r| r.personal),
        threshold: root.map_or(0, |r| r.threshold),
        root: root.iter().flat_map(|r| r.keys.iter().map(key)).collect(),
        keys: directory.iter().flat_map(|d| d.keys().iter().map(enrolled)).collect(),
        delegations: directory.iter().flat_map(|d| d.delegations(now)).map(delegation).collect(),
        broken: directory.iter().flat_map(|d| d.breaks(now)).map(broken).collect(),
    }
}

fn enrolled(k: &Enrolled) -> ApproverKey {
    ApproverKey {
        id: k.of.key.id().to_string(),
        key: k.of.key.to_string(),
        issuer: k.of.human.issuer.clone(),
        subject: k.of.human.subject.clone(),
        roles: k.of.roles.clone(),
        passkey: k.of.passkey.is_some(),
        since: k.since,
        revoked: k.revoked,
    }
}

fn delegation(d: &stead_trust::directory::Delegation) -> Delegation {
    Delegation {
        from: d.from.subject.clone(),
        to: d.to.subject.clone(),
        roles: d.roles.clone(),
        tools: d.tools.clone(),
        until: d.until,
    }
}

fn broken(b: &stead_trust::directory::Broken) -> Broken {
    Broken {
        subject: b.of.human.subject.clone(),
        roles: b.of.roles.clone(),
        run: b.of.run.clone(),
        reason: b.of.reason.clone(),
        by: b.by.clone(),
        until: b.of.until,
    }
}
