//! `/v1/approvals`: questions to humans, and their answers.

use axum::{
    Json as Body,
    extract::State,
    http::HeaderMap,
    response::{IntoResponse as _, Response},
};
use serde::Deserialize;
use stead_api::{
    approval::{Answer as Said, Approval, SignedQuestion},
    page::Page,
    run::Run,
};
use stead_core::{
    code,
    id::{EffectId, Name, RunId},
    ruling::{Nonce, Signed},
};
use stead_engine::human;
use stead_ports::{clock::Clock as _, journal::ApprovalFilter};
use stead_trust::{
    directory::At as Look,
    receipt::{Channel, Receipt},
};

use super::{asked, delegation, views};
use crate::{
    auth::Principal,
    clock::SystemClock,
    http::{
        app::{App, Shared},
        body::MaybeJson,
        failure::{Answer, Failure},
        input::{At, Params, cursor, limit, position},
    },
};

/// Longest note, in bytes.
const MAX_NOTE: usize = 4_096;

/// Which approvals to list.
#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct Filter {
    agent: Option<Name>,
    session: Option<String>,
    run: Option<RunId>,
    cursor: Option<String>,
    limit: Option<u32>,
}

pub(super) async fn list(
    State(app): State<Shared>,
    who: Principal,
    Params(filter): Params<Filter>,
    headers: HeaderMap,
) -> Answer<Response> {
    if asked::is_wanted(&headers) {
        if filter.is_any() {
            return Err(Failure::bad_request("a stream of approvals has no filter: it tells of all of the tenant"));
        }
        return asked::follow(&app, &who, &headers);
    }
    let agent = views::agent_filter(filter.agent)?;
    let session = views::session_filter(&app, &who, filter.session.as_deref(), agent.as_ref()).await?;
    let filter = ApprovalFilter {
        tenant: who.tenant,
        agent,
        session,
        run: filter.run,
        before: position('a', filter.cursor.as_deref())?,
        limit: limit(filter.limit)?,
    };
    let page = app.runtime.engine().approvals(&filter).await?;
    let next = page.next.map(|row| cursor('a', &row));
    Ok(Body(Page { items: page.items.into_iter().map(views::approval).collect(), next }).into_response())
}

impl Filter {
    fn is_any(&self) -> bool {
        let Self { agent, session, run, cursor, limit } = self;
        agent.is_some() || session.is_some() || run.is_some() || cursor.is_some() || limit.is_some()
    }
}

pub(super) async fn show(
    State(app): State<Shared>,
    who: Principal,
    At(effect): At<EffectId>,
) -> Answer<Body<Approval>> {
    own(&app, &who, effect).await.map(Body)
}

async fn own(app: &App, who: &Principal, effect: EffectId) -> Answer<Approval> {
    of_own_run(app, who, effect).await?;
    let view = app.runtime.engine().view(effect.run).await?;
    let open = view.approvals.into_iter().find(|a| a.effect == effect);
    open.map(views::approval).ok_or_else(|| none(effect))
}

/// Whether the effect belongs to a run of the caller's: if not, it is told like an approval that does not exist.
pub(super) async fn of_own_run(app: &App, who: &Principal, effect: EffectId) -> Answer<()> {
    let hidden = |failure: Failure| if failure.is_not_found() { none(effect) } else { failure };
    views::own_run(app, who, effect.run).await.map(drop).map_err(hidden)
}

fn none(effect: EffectId) -> Failure {
    Failure::not_found(format_args!("an open approval {effect}"))
        .hint("it may be answered or expired; see the run's facts")
}

pub(super) async fn approve(
    State(app): State<Shared>,
    who: Principal,
    At(effect): At<EffectId>,
    MaybeJson(said): MaybeJson<Said>,
) -> Answer<Body<Run>> {
    answer(&app, who, effect, true, said).await
}

pub(super) async fn deny(
    State(app): State<Shared>,
    who: Principal,
    At(effect): At<EffectId>,
    MaybeJson(said): MaybeJson<Said>,
) -> Answer<Body<Run>> {
    answer(&app, who, effect, false, said).await
}

async fn answer(app: &App, who: Principal, effect: EffectId, approved: bool, said: Said) -> Answer<Body<Run>> {
    if said.note.as_ref().is_some_and(|n| n.len() > MAX_NOTE) {
        return Err(Failure::bad_request(format!("a note has at most {MAX_NOTE} bytes")));
    }
    of_own_run(app, &who, effect).await?;
    let signed = signature(app, &who, effect, approved, said.receipt.as_deref()).await?;
    app.runtime.engine().approve(effect, approved, who.person(), said.note, signed).await?;
    delegation::acted(app, &who, effect.run).await?;
    Ok(Body(views::run(app.runtime.engine().view(effect.run).await?)))
}

pub(super) async fn question(
    State(app): State<Shared>,
    who: Principal,
    At(effect): At<EffectId>,
) -> Answer<Body<SignedQuestion>> {
    of_own_run(&app, &who, effect).await?;
    let asked = app.runtime.engine().question(effect).await?.ok_or_else(|| {
        Failure::not_found(format_args!("a question about {effect} that could be signed"))
            .hint("nobody is asked, or was asked before this tenant had a key of an approver, or the texts are erased")
    })?;
    let (question, receipts) = (asked.question.to_text(), asked.receipts);
    Ok(Body(SignedQuestion { question, open: asked.open, signed: asked.demanded, receipts, now: now() }))
}

pub(super) fn now() -> u64 {
    u64::try_from(SystemClock.now().0 / 1_000_000).unwrap_or(0)
}

/// The signature under an answer, compared with what is asked now. What a yes is worth is looked at again when it lets the action go.
async fn signature(
    app: &App,
    who: &Principal,
    effect: EffectId,
    approved: bool,
    receipt: Option<&str>,
) -> Answer<Option<Box<Signed>>> {
    let directory = app.runtime.approvers().of(&who.tenant).await?;
    let bad = |why: String| Failure::new(code::APPROVAL_SIGNATURE, why);
    let Some(receipt) = receipt else {
        // A no is safe without one.
        if !approved || !app.runtime.engine().signing(&who.tenant).is_demanded() {
            return Ok(None);
        }
        return match app.runtime.engine().question(effect).await? {
            Some(asked) if asked.open && asked.demanded => {
                let why = "a yes to this counts only with a signature of an approver's key";
                let hint = format!("stead approvals approve {effect} --key FILE, or --ssh-key FILE");
                Err(Failure::new(code::APPROVAL_UNSIGNED, why).hint(hint))
            }
            _ => Ok(None),
        };
    };
    let directory = directory.ok_or_else(|| bad("this tenant has no directory of approvers".to_owned()))?;
    let asked = app.runtime.engine().question(effect).await?.filter(|asked| asked.open);
    let asked =
        asked.ok_or_else(|| bad("nobody is asked this, or it was asked before anybody could sign".to_owned()))?;
    let receipt = Receipt::from_text(receipt).map_err(|e| bad(format!("the receipt cannot be read: {e}")))?;
    let accepted = directory.accept(&receipt, &asked.question, &asked.initiators, now(), Look::Giving);
    let accepted = accepted.map_err(|e| bad(e.to_string()))?;
    if accepted.statement.human != human(&who.subject) {
        return Err(bad("the statement is another person's than the token's".to_owned()));
    }
    if accepted.statement.approved != approved {
        return Err(bad("the statement says the opposite of what is asked for".to_owned()));
    }
    // Where every gate asks for it, such a yes could open nothing: better told now than waited for.
    let gates = &asked.question.gates;
    if approved && !accepted.verified && !gates.is_empty() && gates.iter().all(|gate| gate.verified) {
        let why = "a yes to this counts only from somebody whom their authenticator has verified, by a PIN or a finger";
        return Err(Failure::new(code::APPROVAL_PERSON, why).hint(
            "use a passkey that verifies its user, or a security key of SSH that was made with `verify-required`",
        ));
    }
    let nonce = Nonce(accepted.statement.nonce);
    let page = (accepted.channel == Channel::Page).then_some(true);
    Ok(Some(Box::new(Signed { nonce, receipt: receipt.to_text().as_str().into(), page })))
}
