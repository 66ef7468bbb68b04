//! `/v1/approvals` as server-sent events, and the notices that tell people of them.
//!
//! A stream begins with what is open, and goes on with what happens. Whoever comes back with the last id that they saw goes on there,
//! or, when that is not known any more, begins again: then it is told, and nothing that is open is missed.

use std::{convert::Infallible, time::Duration};

use axum::{
    Json as Body,
    extract::State,
    http::HeaderMap,
    response::{
        IntoResponse as _, Response,
        sse::{Event as Frame, KeepAlive, Sse},
    },
};
use futures_util::{Stream, StreamExt as _, stream};
use stead_api::{
    approval::{Approval, ApprovalEvent, NoticeInfo, NoticeList, NoticeTested, event},
    right::Right,
};
use stead_core::{
    code,
    id::{EffectId, Name},
};
use stead_engine::{AskedEvent, AskedId, Told, Turn};
use stead_ports::journal::ApprovalFilter;

use super::views;
use crate::{
    auth::Principal,
    config::Format,
    http::{
        app::Shared,
        failure::{Answer, Failure},
        guard,
        input::At,
    },
};

/// How often an idle stream shows that it is alive.
const KEEP_ALIVE: Duration = Duration::from_secs(15);
/// Open questions that are read at once.
const PAGE: u32 = 100;

/// Whether a stream is wanted.
pub(super) fn is_wanted(headers: &HeaderMap) -> bool {
    let accept = headers.get(axum::http::header::ACCEPT).and_then(|v| v.to_str().ok());
    accept.is_some_and(|accept| accept.contains("text/event-stream"))
}

/// The stream.
pub(super) fn follow(app: &Shared, who: &Principal, headers: &HeaderMap) -> Answer<Response> {
    if !who.may(Right::Approve) {
        return Err(Failure::forbidden(Right::Approve));
    }
    let after = headers.get("last-event-id").and_then(|v| v.to_str().ok()).filter(|v| !v.is_empty());
    let after = match after.map(str::parse::<AskedId>) {
        None => None,
        Some(Ok(id)) => Some(id),
        Some(Err(())) => {
            return Err(
                Failure::bad_request("`Last-Event-ID` is no id of this stream").hint("pass an `id` of this stream")
            );
        }
    };
    let held = (guard::place(app)?, app.metrics.follower());
    let tenant = who.tenant.clone();
    let told = app.runtime.engine().asked_events(tenant.clone(), after);
    let frames = {
        let app = app.clone();
        told.flat_map(move |told| frames(app.clone(), tenant.clone(), told).boxed())
    };
    let draining = app.draining.clone();
    let frames = frames.take_until(draining.cancelled_owned()).map(move |frame| {
        // The place is given back with the stream.
        let _held = &held;
        Ok::<_, Infallible>(frame)
    });
    Ok(Sse::new(frames).keep_alive(KeepAlive::new().interval(KEEP_ALIVE)).into_response())
}

/// What is written of something that is told. After a reset, all that is open, the one asked first first.
fn frames(app: Shared, tenant: Name, told: Told) -> impl Stream<Item = Frame> + Send {
    stream::once(async move {
        match told {
            Told::Event(event) => vec![one(&app, event).await],
            Told::Reset(id) => {
                let reset = Frame::default().id(id.to_string()).event(event::RESET).data("{}");
                let open = all(&app, &tenant).await;
                let open = open.into_iter().rev().map(|approval| frame(id, event::OPENED, &opened(approval)));
                [reset].into_iter().chain(open).collect()
            }
        }
    })
    .flat_map(stream::iter)
}

/// All open questions of a tenant, the one asked last first. What cannot be read is left out, and said.
async fn all(app: &Shared, tenant: &Name) -> Vec<Approval> {
    let mut open = Vec::new();
    let mut before = None;
    loop {
        let filter = ApprovalFilter { tenant: tenant.clone(), before, limit: PAGE, ..ApprovalFilter::default() };
        match app.runtime.engine().approvals(&filter).await {
            Ok(page) => {
                open.extend(page.items.into_iter().map(views::approval));
                before = page.next;
                if before.is_none() {
                    return open;
                }
            }
            Err(error) => {
                tracing::warn!(%error, "open approvals could not be read for a stream");
                return open;
            }
        }
    }
}

fn opened(approval: Approval) -> ApprovalEvent {
    let (id, at, agent) = (approval.id, approval.since, approval.agent.clone());
    ApprovalEvent { id, at, agent, by: None, to: None, reminders: None, approval: Some(approval) }
}

async fn one(app: &Shared, told: AskedEvent) -> Frame {
    let (mut by, mut to, mut reminders) = (None, None, None);
    let name = match told.turn {
        Turn::Opened => event::OPENED,
        Turn::Reminded(n) => {
            reminders = Some(n);
            event::REMINDED
        }
        Turn::Escalated(who) => {
            to = Some(who);
            event::ESCALATED
        }
        Turn::Approved(who) => {
            by = Some(who);
            event::APPROVED
        }
        Turn::Denied(who) => {
            by = Some(who);
            event::DENIED
        }
        Turn::Expired => event::EXPIRED,
        Turn::Closed => event::CLOSED,
    };
    let over = matches!(name, event::DENIED | event::EXPIRED | event::CLOSED);
    let approval = if over { None } else { now(app, told.effect).await };
    let data = ApprovalEvent { id: told.effect, at: told.at, agent: told.agent, by, to, reminders, approval };
    frame(told.id, name, &data)
}

/// A question as it is now, when it is still open.
async fn now(app: &Shared, effect: EffectId) -> Option<Approval> {
    let view = app.runtime.engine().view(effect.run).await.ok()?;
    view.approvals.into_iter().find(|a| a.effect == effect).map(views::approval)
}

fn frame(id: AskedId, name: &str, data: &ApprovalEvent) -> Frame {
    // JSON has no line breaks of its own, which is what an event's data needs.
    let data = serde_json::to_string(data).unwrap_or_else(|_| "null".into());
    Frame::default().id(id.to_string()).event(name).data(data)
}

/// The notices that are configured.
pub(super) async fn notices(State(app): State<Shared>, _: Principal) -> Body<NoticeList> {
    let items = app.notices.all().map(|notice| NoticeInfo {
        name: notice.name.clone(),
        kind: match (&notice.smtp, notice.format.unwrap_or_default()) {
            (Some(_), _) => "mail",
            (None, Format::Json) => "json",
            (None, Format::Slack) => "slack",
            (None, Format::Teams) => "teams",
        }
        .to_owned(),
        details: notice.details,
        resolved: notice.resolved,
    });
    Body(NoticeList { items: items.collect() })
}

/// Sends a notice to try it.
pub(super) async fn test(
    State(app): State<Shared>,
    who: Principal,
    At(name): At<String>,
) -> Answer<Body<NoticeTested>> {
    match app.notices.test(&name, &who.tenant).await {
        Ok(()) => Ok(Body(NoticeTested { name })),
        Err(None) => {
            let short: String = name.chars().take(64).collect();
            let failure = Failure::new(code::NOTICE_UNKNOWN, format!("no notice is called `{short}`"));
            Err(failure.hint("they stand in `[[approvals.notices]]` of the server's stead.toml"))
        }
        Err(Some(unsent)) => {
            Err(Failure::new(code::NOTICE_UNSENT, format!("the notice `{name}` was not sent: {unsent}")))
        }
    }
}
