//! One approval as the page shows it: the question, its text, and what has been said to it.

use axum::{Json as Body, extract::State};
use serde::Serialize;
use stead_api::approval::Approval;
use stead_core::{id::EffectId, status::Status};
use stead_trust::{
    receipt::{Channel, Receipt},
    statement::Statement,
};

use super::super::{
    approvals::{now, of_own_run},
    views,
};
use crate::{
    auth::Principal,
    http::{app::Shared, failure::Answer, input::At},
};

/// See the module.
#[derive(Serialize)]
pub(super) struct Shown {
    /// The approval, as long as it is open.
    approval: Option<Approval>,
    /// The question that a signature is about; none where nobody signs.
    question: Option<String>,
    /// The text that is shown of it.
    shown: Option<String>,
    /// Whether people are asked now.
    open: bool,
    /// Whether a yes counts only when it is signed.
    signed: bool,
    /// The signed answers so far.
    answers: Vec<Said>,
    /// How the run stands.
    status: Status,
    /// Now, by this server's clock, in seconds since 1970.
    now: u64,
}

/// A signed answer.
#[derive(Serialize)]
struct Said {
    subject: String,
    approved: bool,
    /// Whether it came over a page of this server, as its signature shows.
    page: bool,
}

pub(super) async fn show(State(app): State<Shared>, who: Principal, At(effect): At<EffectId>) -> Answer<Body<Shown>> {
    of_own_run(&app, &who, effect).await?;
    let engine = app.runtime.engine();
    let view = engine.view(effect.run).await?;
    let approval = view.approvals.iter().find(|a| a.effect == effect).cloned().map(views::approval);
    let status = views::run(view).summary.status;
    let asked = engine.question(effect).await?;
    let open = approval.is_some();
    Ok(Body(Shown {
        approval,
        open,
        signed: asked.as_ref().is_some_and(|asked| asked.demanded),
        shown: asked.as_ref().map(|asked| asked.question.shown()),
        question: asked.as_ref().map(|asked| asked.question.to_text()),
        answers: asked.iter().flat_map(|asked| asked.receipts.iter().filter_map(|receipt| said(receipt))).collect(),
        status,
        now: now(),
    }))
}

fn said(receipt: &str) -> Option<Said> {
    let receipt = Receipt::from_text(receipt).ok()?;
    let statement = Statement::from_text(&receipt.text).ok()?;
    let page = receipt.signature.channel() == Channel::Page;
    Some(Said { subject: statement.human.subject, approved: statement.approved, page })
}
