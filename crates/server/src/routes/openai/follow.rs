//! A run as it is told to one client: what is there, then what comes, until it ends or waits for people.

use std::pin::Pin;

use futures_util::{FutureExt as _, Stream, StreamExt as _};
use stead_core::id::RunId;
use stead_engine::{Engine, EngineError, Event, EventBody, RunView};
use stead_ports::{BoxFuture, journal::RunRow, model::Delta};
use tokio::time::Sleep;
use tokio_util::sync::CancellationToken;

use crate::{
    http::{app::App, failure::Answer},
    openai::{
        response::Writer,
        telling::{Question, Telling, Told},
    },
    routes::runs::MAX_WAIT,
};

/// Records read at once.
const PAGE: u32 = 64;

/// What a client hears.
pub(super) enum Heard {
    /// More is told.
    Told(Vec<Told>),
    /// Only people can move the run.
    Waits(Vec<Question>),
    /// Nothing more is told here, and why; the run goes on.
    Broken(&'static str),
}

/// See the module.
pub(super) struct Follow {
    engine: Engine,
    events: Pin<Box<dyn Stream<Item = Result<Event, EngineError>> + Send>>,
    pub(super) telling: Telling,
    /// Whether it stays while people are asked.
    patient: bool,
    asked: Option<BoxFuture<'static, Result<RunView, EngineError>>>,
    draining: CancellationToken,
    /// When whoever is not patient is let go.
    late: Option<Pin<Box<Sleep>>>,
    /// Why it broke off.
    broken: Option<&'static str>,
    over: bool,
}

impl Follow {
    /// Follows a run from its beginning. `live`: texts are told as they are written.
    pub(super) fn new(app: &App, run: RunId, live: bool, patient: bool, relay: bool) -> Self {
        let engine = app.runtime.engine().clone();
        let events = Box::pin(engine.watch(run, None));
        let telling = Telling::new(run, live).relayed(relay);
        let late = (!patient).then(|| Box::pin(tokio::time::sleep(MAX_WAIT)));
        let draining = app.draining.clone();
        Self { engine, events, telling, patient, asked: None, draining, late, broken: None, over: false }
    }

    /// What comes next; `None` when the run has ended. Whoever is not patient is told when it cannot be followed any further here; a patient
    /// stream just ends, and is taken up again after its last event.
    pub(super) async fn next(&mut self) -> Option<Heard> {
        while !self.over {
            let waits = async {
                match &mut self.asked {
                    Some(asked) => asked.await,
                    None => std::future::pending().await,
                }
            };
            let late = async {
                match &mut self.late {
                    Some(late) => late.as_mut().await,
                    None => std::future::pending().await,
                }
            };
            let event = tokio::select! {
                biased;
                () = late => {
                    self.breaks("it has not ended in time");
                    continue;
                }
                event = self.events.next() => event,
                view = waits => {
                    self.asked = None;
                    let Ok(view) = view else { continue };
                    if view.row.state.status.ended() || view.approvals.is_empty() {
                        continue;
                    }
                    // What happened before it waited may still be on its way.
                    let mut told = Vec::new();
                    while let Some(Some(event)) = self.events.next().now_or_never() {
                        self.take(Some(event), &mut told);
                    }
                    if told.is_empty() {
                        (self.over, self.broken) = (true, None);
                        return Some(Heard::Waits(super::ask::questions(view.approvals)));
                    }
                    self.ask_again();
                    return Some(Heard::Told(told));
                }
                () = self.draining.cancelled() => {
                    self.breaks("the server is shutting down");
                    continue;
                }
            };
            let mut told = Vec::new();
            self.take(event, &mut told);
            if !told.is_empty() {
                return Some(Heard::Told(told));
            }
        }
        self.broken.take().filter(|_| !self.patient).map(Heard::Broken)
    }

    fn breaks(&mut self, why: &'static str) {
        // What ended is not broken off.
        if !std::mem::replace(&mut self.over, true) {
            self.broken = Some(why);
        }
    }

    fn take(&mut self, event: Option<Result<Event, EngineError>>, told: &mut Vec<Told>) {
        match event {
            Some(Ok(Event { body: EventBody::Fact(fact), .. })) => {
                self.telling.fact(&fact, told);
                if told.iter().any(|t| matches!(t, Told::Asked(_))) {
                    self.ask_again();
                }
            }
            Some(Ok(Event { body: EventBody::Delta(Delta::Text(text)), .. })) => self.telling.piece(&text, told),
            Some(Ok(Event { body: EventBody::Delta(Delta::Call { .. }), .. })) => {}
            Some(Ok(Event { body: EventBody::Reset, .. })) => self.telling.reset(),
            Some(Ok(Event { body: EventBody::End, .. })) | None => self.over = true,
            Some(Err(e)) => {
                tracing::warn!("a stream broke off: {e}");
                self.breaks("it cannot be followed any further now");
            }
        }
        self.over |= told.iter().any(|t| matches!(t, Told::Turned | Told::Ended(_)));
    }

    fn ask_again(&mut self) {
        if !self.patient && !self.over {
            let (engine, run) = (self.engine.clone(), self.telling.run());
            self.asked = Some(Box::pin(async move { engine.wait(run, true).await }));
        }
    }
}

/// Whether a run is one of a gateway. One whose version is gone is told as it is written.
pub(super) async fn relays(app: &App, row: &RunRow) -> bool {
    app.runtime.load(&row.tenant, row.version).await.is_ok_and(|agent| agent.relays)
}

/// What the journal says of a run, written down.
pub(super) async fn replay(app: &App, row: &RunRow, mut writer: Writer) -> Answer<(Telling, Writer)> {
    let run = row.id;
    let (mut telling, mut from) = (Telling::new(run, false).relayed(relays(app, row).await), 0);
    loop {
        let facts = app.runtime.engine().facts(run, from, PAGE).await?;
        let Some(last) = facts.last() else { return Ok((telling, writer)) };
        from = last.seq + 1;
        let mut told = Vec::new();
        for fact in &facts {
            telling.fact(fact, &mut told);
        }
        let mut events = Vec::new();
        for told in told {
            writer.write(&telling, told, &mut events);
        }
    }
}
