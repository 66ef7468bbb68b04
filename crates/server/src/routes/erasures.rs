//! `/v1/audit/erasures` and `/v1/audit/holds`: erasing the texts of a person, and what must stay.

use std::time::Duration;

use axum::{Json as Body, extract::State};
use serde::Deserialize;
use serde_json::json;
use stead_api::{
    erasure::{
        Erase, Erasure, ErasureState, Erasures, HeldWhat, LegalHold, LegalHolds, PlaceHold, ReleaseHold, at_work,
    },
    right::Right,
};
use stead_core::{
    code,
    fact::StopMode,
    id::{Name, RunId, SessionId},
    record::Actor,
};
use stead_engine::{EngineError, without_texts};
use stead_ports::{
    clock::Clock as _,
    erasure::{self as port, Held, Hold, MAX_RUNS, Placed},
};

use crate::{
    auth::Principal,
    clock::SystemClock,
    erasure::{Against, Plan, covered, finish, hex, is_of, plan, standing},
    http::{
        app::{App, Shared},
        body::Json,
        failure::{Answer, Failure},
        guard,
        input::{self, At, Params},
    },
};

/// Longest name of a person, in bytes.
const MAX_NAME: usize = 1_000;
/// Longest reason, in bytes.
const MAX_REASON: usize = 1_000;
/// How long the end of runs that were stopped is waited for.
const PATIENCE: Duration = Duration::from_secs(60);
/// How often it is looked whether a run has begun meanwhile.
const TRIES: u32 = 5;

pub(super) async fn erase(
    State(app): State<Shared>,
    who: Principal,
    Json(request): Json<Erase>,
) -> Answer<Body<Erasure>> {
    let _place = guard::place(&app)?;
    let Erase { subject, dry_run, stop, confirm, reason, tenant } = request;
    let (tenant, reason) = (tenant_of(&who, tenant)?, said(reason)?);
    if subject.is_empty() || subject.len() > MAX_NAME {
        return Err(Failure::bad_request(format!("`subject` must be 1 to {MAX_NAME} bytes")));
    }
    let (erasures, mut tries) = (app.runtime.erasures(), 0);
    let pseudonym = erasures.store().pseudonym(&tenant, &subject);
    let proposal = confirmed(&app, &who, &tenant, confirm.as_deref(), pseudonym).await?;
    let erasure = loop {
        let plan = plan(&**erasures.store(), &**app.runtime.journal(), &tenant, &subject).await?;
        if dry_run {
            return Ok(Body(planned(&app, &who, tenant, pseudonym, plan).await?));
        }
        if plan.runs.is_empty() {
            return Err(Failure::new(code::NOT_FOUND, "no run works on behalf of that person in this tenant")
                .hint("`stead usage --by user` lists the persons on whose behalf runs work"));
        }
        if plan.runs.len() > MAX_RUNS {
            return Err(Failure::new(code::TOO_LARGE, format!("the person has more than {MAX_RUNS} runs")));
        }
        match &plan.against {
            Some(Against::AtWork { theirs: true, .. }) if stop && tries == 0 => {
                stop_all(&app, &who, &plan).await?;
                tries += 1;
                continue;
            }
            Some(against) => return Err(refused(against)),
            None => {}
        }
        // A second person: the first one's wish waits, and says nothing of whom it is about.
        let proposed = app.four_eyes_for_erasures && proposal.is_none();
        // Another server's clock may be ahead: no run that it is about began after it.
        let at = plan.runs.iter().map(|run| run.created).fold(SystemClock.now(), Ord::max);
        let erasure = port::Erasure {
            id: proposal.as_ref().map_or_else(|| SystemClock.new_ulid(), |p| p.id),
            tenant: tenant.clone(),
            subject: pseudonym,
            by: proposal.as_ref().map_or_else(|| who.subject.clone(), |p| p.by.clone()),
            at,
            runs: if proposed { Vec::new() } else { plan.runs.iter().map(|run| run.id).collect() },
            proposed,
            confirmed_by: proposal.as_ref().map(|_| who.subject.clone()),
            certificate: None,
        };
        keep(&app, &who, &erasure, &reason).await?;
        if erasures.store().begin_erasure(erasure.clone(), Some(subject.clone()), plan.known).await? {
            break erasure;
        }
        tries += 1;
        if tries > TRIES {
            return Err(Failure::new(
                code::CONFLICT,
                "legal holds are placed meanwhile, or another person confirmed it",
            )
            .hint("look at `stead audit erasures` and try again"));
        }
    };
    if erasure.proposed {
        return Ok(Body(view(&app, erasure)));
    }
    let certificate = finish(&app, erasure.id).await?;
    Ok(Body(view(&app, port::Erasure { certificate: Some(certificate), ..erasure })))
}

/// What was proposed, when somebody confirms it who may.
async fn confirmed(
    app: &App,
    who: &Principal,
    tenant: &Name,
    confirm: Option<&str>,
    pseudonym: [u8; 32],
) -> Answer<Option<port::Erasure>> {
    let Some(confirm) = confirm else { return Ok(None) };
    let all = app.runtime.erasures().store().erasures().await?;
    let found = all.into_iter().find(|e| e.proposed && e.tenant == *tenant && hex(&e.id.to_be_bytes()) == confirm);
    let found = found.ok_or_else(|| Failure::not_found("an erasure that was proposed with that id"))?;
    if found.subject != pseudonym {
        return Err(Failure::new(code::CONFLICT, "that erasure was proposed for another person"));
    }
    if found.by == who.subject {
        return Err(Failure::new(code::CONFLICT, "whoever proposed an erasure cannot confirm it"));
    }
    Ok(Some(found))
}

/// The act of an erasure: whom it is about stands there as a pseudonym alone.
async fn keep(app: &App, who: &Principal, erasure: &port::Erasure, reason: &str) -> Answer<()> {
    let (id, acts) = (erasure.id, app.operators.acts());
    let act = json!({
        "erasure": hex(&id.to_be_bytes()), "tenant": erasure.tenant.as_str(), "subject": hex(&erasure.subject),
        "who": who.subject.as_str(), "asked_by": erasure.by.as_str(), "runs": erasure.runs.len(), "reason": reason,
        "before": standing(app, &erasure.tenant).await?,
    });
    if erasure.proposed {
        return Ok(acts.keep("erasure_proposed", &act).await?);
    }
    match app.runtime.log().store().find_act(id).await? {
        // Tried again.
        Some(_) => Ok(()),
        None => Ok(acts.keep_as(id, erasure.at, "erasure", &act).await?),
    }
}

/// Stops the runs of the person, and waits until they have ended.
async fn stop_all(app: &App, who: &Principal, plan: &Plan) -> Answer<()> {
    let engine = app.runtime.engine();
    let open: Vec<RunId> = plan.runs.iter().filter(|run| !run.state.status.ended()).map(|run| run.id).collect();
    for run in &open {
        match engine.stop(*run, StopMode::Cancel, Actor::User(who.subject.clone())).await {
            // It has ended meanwhile, or is being stopped.
            Ok(()) | Err(EngineError::Conflict { .. }) => {}
            Err(e) => return Err(e.into()),
        }
    }
    let all = async {
        for run in &open {
            engine.wait(*run, false).await?;
        }
        Ok::<(), EngineError>(())
    };
    match tokio::time::timeout(PATIENCE, all).await {
        Ok(ended) => Ok(ended?),
        // What is left of it is told by the next look.
        Err(_) => Ok(()),
    }
}

fn refused(against: &Against) -> Failure {
    match against {
        Against::Held(hold) => Failure::new(code::HELD, told(against))
            .hint(format!("`stead audit hold release {}` ends it, by whoever may", hex(&hold.id.to_be_bytes()))),
        Against::AtWork { theirs: true, .. } => Failure::new(code::SUBJECT_AT_WORK, told(against))
            .hint("wait for its end, or stop all that the person has under way with `--stop`"),
        Against::AtWork { .. } => {
            Failure::new(code::SUBJECT_AT_WORK, told(against)).hint("wait for its end, or stop it")
        }
    }
}

fn told(against: &Against) -> String {
    match against {
        Against::Held(hold) => {
            let (what, id) = (hold.what, hex(&hold.id.to_be_bytes()));
            let which = if what == Held::Subject { String::new() } else { format!(" {}", hold.name) };
            format!("a legal hold on the {what}{which} stands against it: {id}, placed by {}: {}", hold.by, hold.reason)
        }
        Against::AtWork { run, status, theirs } => at_work(*run, status.as_str(), *theirs),
    }
}

async fn planned(app: &App, who: &Principal, tenant: Name, subject: [u8; 32], plan: Plan) -> Answer<Erasure> {
    let mut texts = 0;
    for run in &plan.runs {
        texts += without_texts(app.runtime.journal(), &tenant, run.id, false).await?.texts;
    }
    Ok(Erasure {
        id: String::new(),
        tenant,
        subject: hex(&subject),
        by: who.subject.clone(),
        confirmed_by: None,
        at: SystemClock.now(),
        state: ErasureState::Planned,
        runs: plan.runs.len() as u64,
        texts: Some(texts),
        waits: plan.against.as_ref().map(told),
        certificate: None,
    })
}

fn view(app: &App, erasure: port::Erasure) -> Erasure {
    let port::Erasure { id, tenant, subject, by, at, runs, proposed, confirmed_by, certificate } = erasure;
    let state = match (&certificate, proposed) {
        (Some(_), _) => ErasureState::Done,
        (None, true) => ErasureState::Proposed,
        (None, false) => ErasureState::Begun,
    };
    Erasure {
        id: hex(&id.to_be_bytes()),
        tenant,
        subject: hex(&subject),
        by,
        confirmed_by,
        at,
        state,
        runs: runs.len() as u64,
        texts: None,
        waits: app.runtime.erasures().waits(id).filter(|_| state == ErasureState::Begun),
        certificate,
    }
}

pub(super) async fn list(State(app): State<Shared>, who: Principal) -> Answer<Body<Erasures>> {
    let all = app.runtime.erasures().store().erasures().await?;
    let erasures = all.into_iter().filter(|e| e.tenant == who.tenant).map(|e| view(&app, e)).collect();
    Ok(Body(Erasures { erasures }))
}

/// Which holds.
#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct Asked {
    #[serde(default)]
    all: bool,
}

pub(super) async fn holds(
    State(app): State<Shared>,
    who: Principal,
    Params(asked): Params<Asked>,
) -> Answer<Body<LegalHolds>> {
    let holds = app.runtime.erasures().store().holds(Some(&who.tenant), asked.all).await?;
    Ok(Body(LegalHolds { holds: holds.into_iter().map(hold).collect() }))
}

pub(super) async fn place(
    State(app): State<Shared>,
    who: Principal,
    Json(request): Json<PlaceHold>,
) -> Answer<Body<LegalHold>> {
    let PlaceHold { what, name, reason, tenant } = request;
    let (tenant, reason) = (tenant_of(&who, tenant)?, said(reason)?);
    let (what, name) = which(what, name, &tenant)?;
    let store = app.runtime.erasures().store();
    let placed = Hold {
        id: SystemClock.new_ulid(),
        tenant: tenant.clone(),
        what,
        name,
        by: who.subject.clone(),
        at: SystemClock.now(),
        reason,
        released: None,
    };
    let (mut told, mut tries) = (false, 0);
    let refused = loop {
        // What is being erased cannot be held any more.
        let under_way: Vec<port::Erasure> =
            store.erasures().await?.into_iter().filter(|e| e.tenant == tenant && e.is_under_way()).collect();
        let mut about = false;
        for erasure in &under_way {
            about |= is_about(&app, erasure, &placed).await?;
        }
        if about {
            break Failure::new(code::ERASURE_UNFINISHED, "an erasure of what it is about is begun already")
                .hint("`stead audit erasures` shows it; what comes after it can be held once it is done");
        }
        // On record before it is in force.
        if !told {
            told_act(&app, "hold_placed", &placed, &who, &placed.reason).await?;
            told = true;
        }
        let known = under_way.iter().map(|erasure| erasure.id).collect();
        match store.place_hold(placed.clone(), known).await? {
            Placed::InForce => return Ok(Body(hold(placed))),
            Placed::TooMany => {
                break Failure::new(code::TOO_MANY_HOLDS, "the tenant has as many legal holds in force as it may")
                    .hint("release some, or hold a person, a session or the tenant instead of single runs");
            }
            // Looked at with those that were known.
            Placed::Erasing if tries < TRIES => tries += 1,
            Placed::Erasing => {
                break Failure::new(code::CONFLICT, "one erasure after another begins meanwhile")
                    .hint("look at `stead audit erasures` and try again");
            }
        }
    };
    if told {
        told_act(&app, "hold_refused", &placed, &who, "").await?;
    }
    Err(refused)
}

/// Whether an erasure takes anything of what a hold is about. One on the tenant is about all that is left of it, and is placed.
async fn is_about(app: &App, erasure: &port::Erasure, hold: &Hold) -> Answer<bool> {
    match hold.what {
        Held::Tenant => Ok(false),
        Held::Subject => Ok(is_of(&**app.runtime.erasures().store(), erasure, &hold.name)),
        Held::Session | Held::Run => {
            let mut runs = Vec::new();
            for run in &erasure.runs {
                runs.extend(app.runtime.journal().run(*run).await?);
            }
            Ok(covered(hold, &Name::from(""), &runs))
        }
    }
}

pub(super) async fn release(
    State(app): State<Shared>,
    who: Principal,
    At(id): At<String>,
    Json(request): Json<ReleaseHold>,
) -> Answer<Body<LegalHold>> {
    let (tenant, reason) = (tenant_of(&who, request.tenant)?, said(request.reason)?);
    let store = app.runtime.erasures().store();
    let missing = || Failure::not_found("a legal hold in force with that id");
    let found = store.holds(Some(&tenant), false).await?;
    let mut found = found.into_iter().find(|hold| hex(&hold.id.to_be_bytes()) == id).ok_or_else(missing)?;
    told_act(&app, "hold_released", &found, &who, &reason).await?;
    let now = SystemClock.now();
    if !store.release_hold(&tenant, found.id, &who.subject, now).await? {
        return Err(missing());
    }
    found.released = Some((who.subject, now));
    Ok(Body(hold(found)))
}

/// Keeps what was done with a hold in the operators' log. A person stands there as a pseudonym: the log is never erased.
async fn told_act(app: &App, topic: &str, hold: &Hold, who: &Principal, reason: &str) -> Answer<()> {
    let name = match hold.what {
        Held::Subject => hex(&app.runtime.erasures().store().pseudonym(&hold.tenant, &hold.name)),
        _ => hold.name.to_string(),
    };
    let act = json!({
        "hold": hex(&hold.id.to_be_bytes()), "tenant": hold.tenant.as_str(), "what": hold.what.as_str(), "name": name,
        "who": who.subject.as_str(), "reason": reason,
    });
    Ok(app.operators.acts().keep(topic, &act).await?)
}

/// What is held, with its name in the one form that is compared.
fn which(what: HeldWhat, name: Name, tenant: &Name) -> Answer<(Held, Name)> {
    let wrong = |why: &str| Failure::bad_request(format!("`name` {why}"));
    if name.is_empty() || name.len() > MAX_NAME {
        return Err(wrong(&format!("must be 1 to {MAX_NAME} bytes")));
    }
    Ok(match what {
        HeldWhat::Tenant if name == *tenant => (Held::Tenant, name),
        HeldWhat::Tenant => return Err(wrong("must be that of the tenant")),
        HeldWhat::Subject => (Held::Subject, name),
        HeldWhat::Session => {
            let session = name.parse::<SessionId>().map_err(|_| wrong("is no session's id: `ses_…`"))?;
            (Held::Session, session.to_string().into())
        }
        HeldWhat::Run => {
            let run = name.parse::<RunId>().map_err(|_| wrong("is no run's id: `run_…`"))?;
            (Held::Run, run.to_string().into())
        }
    })
}

fn hold(hold: Hold) -> LegalHold {
    let Hold { id, tenant, what, name, by, at, reason, released } = hold;
    let what = match what {
        Held::Tenant => HeldWhat::Tenant,
        Held::Subject => HeldWhat::Subject,
        Held::Session => HeldWhat::Session,
        Held::Run => HeldWhat::Run,
    };
    let (released_by, released_at) = released.unzip();
    LegalHold { id: hex(&id.to_be_bytes()), tenant, what, name, by, at, reason, released_by, released_at }
}

/// The tenant that is meant. Who holds the data folder's own token could write the data of every tenant anyway.
fn tenant_of(who: &Principal, named: Option<Name>) -> Answer<Name> {
    match named {
        None => Ok(who.tenant.clone()),
        Some(tenant) if tenant == who.tenant => Ok(tenant),
        Some(tenant) if who.mends && who.may(Right::Admin) && input::is_agent(&tenant) => Ok(tenant),
        // Whether there is such a tenant is not for this caller to know.
        Some(_) => Err(Failure::not_found("that tenant, for this token,")),
    }
}

fn said(reason: String) -> Answer<String> {
    match reason.len() <= MAX_REASON {
        true => Ok(reason),
        false => Err(Failure::bad_request(format!("`reason` is longer than {MAX_REASON} bytes"))),
    }
}
