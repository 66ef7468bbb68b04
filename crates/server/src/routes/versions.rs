//! `/v1/agents/{agent}/…`: versions, the aliases that name them, going back, and what two versions differ in.

use axum::{Json as Body, extract::State};
use serde::Deserialize;
use stead_api::version::{
    Alias, AliasEvent, ConfirmAlias, LIVE, MAX_ALIAS, Rollback, SetAlias, VersionDiff, Versions, is_alias,
};
use stead_core::{
    code,
    id::{Name, VersionId},
};
use stead_ports::{
    clock::Clock as _,
    journal::{AliasEvent as Event, AliasMove, AliasMoved, MAX_ALIASES, MovedBy, VersionRow},
};

use super::{agents::no_agent, views};
use crate::{
    agents::{alias, confirm::Confirm, diff},
    auth::Principal,
    clock::SystemClock,
    http::{
        app::{App, Shared},
        body::{Json, MaybeJson},
        failure::{Answer, Failure},
        input::{At, Params, is_agent},
    },
    policies::PolicyError,
};

/// Moves that are told and gone back over.
const HISTORY: u32 = 1_000;

/// The version of an agent that a caller names.
pub(super) async fn named(app: &App, who: &Principal, agent: &Name, reference: &str) -> Answer<VersionRow> {
    let short = |text: &str| text.chars().filter(|c| !c.is_control()).take(80).collect::<String>();
    let found = match is_agent(agent) {
        true => alias::find(&**app.runtime.journal(), &who.tenant, agent, reference).await?,
        false => alias::Found::Nothing,
    };
    match found {
        alias::Found::Version(row) => Ok(*row),
        alias::Found::Several(n) => {
            let detail = format!("{n} versions of `{}` begin with `{}`", short(agent), short(reference));
            Err(Failure::new(code::VERSION_AMBIGUOUS, detail).hint("give more of its digits"))
        }
        alias::Found::Nothing => {
            let what = format!("version or alias `{}` of agent `{}`", short(reference), short(agent));
            let list = format!("`stead agents versions {}` lists them", short(agent));
            Err(Failure::not_found(what).hint(list))
        }
    }
}

pub(super) async fn list(State(app): State<Shared>, who: Principal, At(agent): At<Name>) -> Answer<Body<Versions>> {
    let journal = app.runtime.journal();
    let rows = match is_agent(&agent) {
        true => journal.versions(&who.tenant, Some(&agent)).await?,
        false => Vec::new(),
    };
    if rows.is_empty() {
        return Err(no_agent(&agent));
    }
    let aliases = journal.aliases(&who.tenant, &agent).await?;
    let history = journal.alias_history(&who.tenant, &agent, HISTORY).await?;
    let item = |row: VersionRow| {
        let named = aliases.iter().filter(|a| a.version == row.version).map(|a| a.alias.clone()).collect();
        stead_api::agent::AgentSummary { aliases: named, ..views::version(row) }
    };
    Ok(Body(Versions {
        items: rows.into_iter().map(item).collect(),
        next: None,
        proposed: alias::pending(&history).into_iter().cloned().map(told).collect(),
        history: history.into_iter().map(told).collect(),
        aliases: aliases
            .into_iter()
            .map(|a| Alias {
                agent: agent.clone(),
                alias: a.alias,
                version: Some(a.version),
                moved: false,
                proposed: false,
            })
            .collect(),
    }))
}

fn told(event: Event) -> AliasEvent {
    let Event { alias, was, version, at, by, why, step } = event;
    AliasEvent { alias, was, version, at, by, why: why.as_str().to_owned(), step: step.as_str().to_owned() }
}

pub(super) async fn set_alias(
    State(app): State<Shared>,
    who: Principal,
    At((agent, alias)): At<(Name, Name)>,
    Json(request): Json<SetAlias>,
) -> Answer<Body<Alias>> {
    if !is_alias(&alias) {
        return Err(Failure::bad_request(format!(
            "an alias is 1 to {MAX_ALIAS} small letters, digits and `-`, begins with a letter, and cannot be taken for the \
             beginning of a version"
        )));
    }
    let to = match &request.version {
        Some(reference) => Some(named(&app, &who, &agent, reference).await?.version),
        None if alias.as_str() == LIVE => {
            let hint = "move it to another version instead";
            return Err(Failure::new(code::ALIAS_REFUSED, "`live` cannot be removed: new runs need it").hint(hint));
        }
        None => {
            named(&app, &who, &agent, &alias).await?;
            None
        }
    };
    if let Some(version) = to {
        fits(&app, &who, version).await?;
    }
    let wanted = AliasMove {
        tenant: who.tenant,
        agent: agent.clone(),
        alias: alias.clone(),
        to,
        expect: None,
        at: SystemClock.now(),
        by: who.subject,
        why: MovedBy::Set,
        step: alias::step(app.four_eyes_for_agents),
    };
    match app.runtime.journal().move_alias(wanted).await? {
        moved @ (AliasMoved::Done | AliasMoved::Same | AliasMoved::Proposed) => {
            Ok(Body(now((agent, alias), to, moved)))
        }
        AliasMoved::TooMany => {
            let detail = format!("agent `{agent}` has {MAX_ALIASES} aliases already");
            Err(Failure::new(code::ALIAS_REFUSED, detail).hint("remove one that nobody uses"))
        }
        _ => Err(elsewhere(&alias)),
    }
}

pub(super) async fn rollback(
    State(app): State<Shared>,
    who: Principal,
    At(agent): At<Name>,
    MaybeJson(Rollback { to }): MaybeJson<Rollback>,
) -> Answer<Body<Alias>> {
    let live = super::agents::live(&app, &who, &agent).await?;
    let to = match &to {
        Some(reference) => named(&app, &who, &agent, reference).await?.version,
        None => {
            let history = app.runtime.journal().alias_history(&who.tenant, &agent, HISTORY).await?;
            alias::live_before(&history).ok_or_else(|| {
                let hint = format!("name a version: `stead agents rollback {agent} --to VERSION`");
                Failure::new(
                    code::NOTHING_EARLIER,
                    format!("nothing is known to have been live before {}", live.version),
                )
                .hint(hint)
            })?
        }
    };
    fits(&app, &who, to).await?;
    let wanted = AliasMove {
        tenant: who.tenant,
        agent: agent.clone(),
        alias: LIVE.into(),
        to: Some(to),
        // Somebody else may be moving it too: two who go back at once go back once.
        expect: Some(Some(live.version)),
        at: SystemClock.now(),
        by: who.subject,
        why: MovedBy::Rollback,
        step: alias::step(app.four_eyes_for_agents),
    };
    match app.runtime.journal().move_alias(wanted).await? {
        moved @ (AliasMoved::Done | AliasMoved::Same | AliasMoved::Proposed) => {
            Ok(Body(now((agent, LIVE.into()), Some(to), moved)))
        }
        _ => Err(elsewhere(&LIVE.into())),
    }
}

/// An alias after it was asked to move.
fn now((agent, alias): (Name, Name), version: Option<VersionId>, moved: AliasMoved) -> Alias {
    let proposed = moved == AliasMoved::Proposed;
    Alias { agent, alias, version, moved: moved == AliasMoved::Done, proposed }
}

pub(super) async fn confirm(
    State(app): State<Shared>,
    who: Principal,
    At((agent, alias)): At<(Name, Name)>,
    MaybeJson(request): MaybeJson<ConfirmAlias>,
) -> Answer<Body<Alias>> {
    if !is_alias(&alias) || !is_agent(&agent) {
        return Err(no_agent(&agent));
    }
    let to = match &request.version {
        Some(reference) => Some(named(&app, &who, &agent, reference).await?.version),
        None => None,
    };
    if let Some(version) = to {
        // Policies may have changed since it was proposed.
        fits(&app, &who, version).await?;
    }
    let (tenant, by) = (who.tenant.clone(), who.subject.clone());
    let asked = Confirm { tenant, agent: agent.clone(), alias: alias.clone(), to, by };
    match app.runtime.confirm(asked).await? {
        moved @ (AliasMoved::Done | AliasMoved::Same) => Ok(Body(now((agent, alias), to, moved))),
        AliasMoved::Own => {
            let detail = format!("who proposed what `{agent}@{alias}` is to name cannot confirm it");
            Err(Failure::new(code::ALIAS_REFUSED, detail)
                .hint("another person confirms it, with a token of another subject"))
        }
        AliasMoved::NotProposed => {
            let detail = format!("nobody has proposed that for `{agent}@{alias}` since it moved last");
            Err(Failure::new(code::ALIAS_REFUSED, detail)
                .hint(format!("`stead agents versions {agent}` tells what waits; propose it anew")))
        }
        AliasMoved::TooMany => {
            let detail = format!("agent `{agent}` has {MAX_ALIASES} aliases already");
            Err(Failure::new(code::ALIAS_REFUSED, detail).hint("remove one that nobody uses"))
        }
        AliasMoved::Elsewhere(_) | AliasMoved::NoVersion | AliasMoved::Proposed => Err(elsewhere(&alias)),
    }
}

/// Refuses a version that the policies in force do not fit: nothing would be allowed to it. One that cannot be loaded for
/// another reason says so itself when it is used.
async fn fits(app: &App, who: &Principal, version: VersionId) -> Answer<()> {
    match app.runtime.policies().load(&who.tenant, version).await {
        Err(refused @ PolicyError::Refused(_)) => Err(refused.into()),
        Err(PolicyError::Store(e)) => Err(e.into()),
        _ => Ok(()),
    }
}

fn elsewhere(alias: &Name) -> Failure {
    Failure::new(code::ALIAS_REFUSED, format!("`{alias}` was moved by somebody else meanwhile"))
        .hint("look, and try again")
}

/// Which versions to compare.
#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct Compared {
    from: Option<String>,
    to: Option<String>,
}

pub(super) async fn compare(
    State(app): State<Shared>,
    who: Principal,
    At(agent): At<Name>,
    Params(of): Params<Compared>,
) -> Answer<Body<VersionDiff>> {
    let journal = app.runtime.journal();
    let to = match &of.to {
        Some(reference) => named(&app, &who, &agent, reference).await?,
        None => super::agents::live(&app, &who, &agent).await?,
    };
    let from = match &of.from {
        Some(reference) => named(&app, &who, &agent, reference).await?,
        None => {
            let history = journal.alias_history(&who.tenant, &agent, HISTORY).await?;
            let before = alias::live_before(&history).filter(|v| *v != to.version);
            let before = before.ok_or_else(|| {
                Failure::new(code::NOTHING_EARLIER, "nothing is known to have been live before")
                    .hint(format!("name two versions: `stead agents diff {agent} V1 V2`"))
            })?;
            named(&app, &who, &agent, &before.to_string()).await?
        }
    };
    let (a, b) = (app.runtime.load(&who.tenant, from.version).await?, app.runtime.load(&who.tenant, to.version).await?);
    let (from_version, to_version) = (from.version, to.version);
    // Comparing large files takes longer than a task may hold a thread.
    let found = tokio::task::spawn_blocking(move || diff::stored(&from, &to));
    let found = found.await.map_err(|e| Failure::new(code::INTERNAL, e.to_string()))?;
    let (files, reached) = found.map_err(|e| Failure::new(code::VERSION_GONE, e))?;
    let safety = diff::safety(&a, &b, reached);
    Ok(Body(VersionDiff { agent, from: from_version, to: to_version, safety, files }))
}
