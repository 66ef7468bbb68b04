//! The one task that tells of runs: it reads on, sends what it finds, and notes how far it has come. What is not taken is read again from the
//! journal and sent again, later and later: a text that was erased meanwhile is not told. What never will be taken is left out, counted and said.

use std::{
    collections::{HashMap, HashSet},
    sync::Arc,
    time::Duration,
};

use opentelemetry_proto::tonic::{logs::v1::LogRecord, trace::v1::Span};
use stead_core::{id::Name, time::Span as Time};
use stead_ports::clock::Clock as _;

use super::{
    send::{Request, Sender, Untaken},
    tail::{Batch, Tail},
};
use crate::{clock::SystemClock, http::app::Shared};

/// How long what is new may wait for more.
const PACE: Duration = Duration::from_millis(500);
/// How often it is looked, though nobody says that something is new.
const LOOK: Duration = Duration::from_secs(5);
/// Spans, or records, of one request.
const MOST: usize = 512;
/// The first wait after a failure; it doubles.
const FIRST: Duration = Duration::from_secs(1);
/// The longest.
const LONGEST: Duration = Duration::from_secs(60);
/// How long the end of the server waits for what is new then.
const FINISH: Duration = Duration::from_secs(5);

/// Why a round ended early.
enum Ended {
    /// Something cannot be read, or is another's.
    Unread(String),
    /// The collector did not take something; it may not before so long, when it says so.
    Untaken(Option<Duration>),
    /// The server ends.
    Draining,
}

/// What was settled of the leaves of each log that are not noted yet, so that it is not sent again with the rest.
#[derive(Default)]
struct Settled {
    parts: HashMap<Name, Part>,
    /// Something was settled since the last failure.
    moved: bool,
}

/// See [`Settled`].
#[derive(Default)]
struct Part {
    /// Spans, by the ids of their traces and their own.
    spans: HashSet<(Vec<u8>, Vec<u8>)>,
    /// Records, from the first one on.
    logs: usize,
}

impl Part {
    fn len(&self) -> usize {
        self.spans.len() + self.logs
    }
}

/// See the module.
pub(super) async fn keep(app: Shared, sender: Arc<Sender>) {
    let mut news = app.runtime.log().news();
    let Some(mut tail) = begin(&app).await else { return };
    let (mut wait, mut settled) = (FIRST, Settled::default());
    loop {
        news.borrow_and_update();
        // What is broken off was not noted, and is told again.
        let ended = tokio::select! {
            ended = round(&app, &sender, &mut tail, &mut settled) => ended,
            () = app.draining.cancelled() => Err(Ended::Draining),
        };
        match ended {
            Ok(()) => wait = FIRST,
            Err(Ended::Draining) => {}
            Err(Ended::Untaken(after)) => {
                tail.forget();
                if std::mem::take(&mut settled.moved) {
                    wait = FIRST;
                }
                let wait_now = after.unwrap_or(wait).clamp(FIRST, LONGEST);
                tracing::warn!(again_in = ?wait_now, "what the collector did not take is read and told again");
                pause(&app, jitter(wait_now)).await;
                wait = longer(wait);
                if !app.draining.is_cancelled() {
                    continue;
                }
            }
            Err(Ended::Unread(why)) => {
                tracing::warn!(why, "what runs did cannot be read now, and is told later");
                pause(&app, wait).await;
                wait = longer(wait);
            }
        }
        if app.draining.is_cancelled() {
            // What is new by now is told a last time; the rest stays for the next process.
            app.runtime.log().caught_up(FINISH).await;
            let _ = tokio::time::timeout(FINISH, round(&app, &sender, &mut tail, &mut settled)).await;
            return;
        }
        tokio::select! {
            () = app.draining.cancelled() => continue,
            () = tokio::time::sleep(LOOK) => {}
            changed = news.changed() => if changed.is_err() { return },
        }
        pause(&app, PACE).await;
    }
}

async fn begin(app: &Shared) -> Option<Tail> {
    loop {
        match Tail::begin(app.clone()).await {
            Ok(Some(tail)) => return Some(tail),
            Ok(None) => {}
            Err(error) => tracing::warn!(%error, "it cannot be read how far it was told what runs did"),
        }
        pause(app, FIRST).await;
        if app.draining.is_cancelled() {
            return None;
        }
    }
}

async fn pause(app: &Shared, wait: Duration) {
    tokio::select! {
        () = app.draining.cancelled() => {}
        () = tokio::time::sleep(wait) => {}
    }
}

/// Twice as long.
fn longer(wait: Duration) -> Duration {
    (wait * 2).min(LONGEST)
}

/// Tells what is new.
async fn round(app: &Shared, sender: &Sender, tail: &mut Tail, settled: &mut Settled) -> Result<(), Ended> {
    loop {
        let (rows, behind) = tail.new_leaves().await.map_err(|e| Ended::Unread(e.to_string()))?;
        app.metrics.telemetry.behind(behind);
        if rows.is_empty() {
            return Ok(());
        }
        for row in &rows {
            let Some(batch) = tail.next(row).await.map_err(|e| Ended::Unread(e.to_string()))? else { continue };
            let part = settled.parts.entry(batch.tenant.clone()).or_default();
            let before = part.len();
            let told = tell(app, sender, &batch, part).await;
            settled.moved |= part.len() > before;
            told?;
            tail.done(&batch).await.map_err(|e| Ended::Unread(e.to_string()))?;
            settled.parts.remove(&batch.tenant);
        }
    }
}

async fn tell(app: &Shared, sender: &Sender, batch: &Batch, before: &mut Part) -> Result<(), Ended> {
    let origin = app.telemetry.origin();
    let id = |span: &Span| (span.trace_id.clone(), span.span_id.clone());
    let spans: Vec<Span> = batch.spans.iter().filter(|&span| !before.spans.contains(&id(span))).cloned().collect();
    for spans in spans.chunks(MOST) {
        let (count, ended) =
            all(app, sender, spans, &|part: &[Span]| Request::Traces(origin.spans(part.to_vec()))).await;
        before.spans.extend(spans[..count].iter().map(id));
        ended?;
    }
    let logs = batch.logs.get(before.logs..).unwrap_or_default();
    for records in logs.chunks(MOST) {
        let request = |part: &[LogRecord]| Request::Logs(origin.logs(part.to_vec()));
        let (count, ended) = all(app, sender, records, &request).await;
        before.logs += count;
        ended?;
    }
    Ok(())
}

/// Sends some in their order: how many, from the first one on, are settled, and whether all are. What is refused for good is halved, until it is
/// one alone that is left out.
async fn all<T>(
    app: &Shared,
    sender: &Sender,
    some: &[T],
    request: &(dyn Fn(&[T]) -> Request + Sync),
) -> (usize, Result<(), Ended>)
where
    T: Sync,
{
    let (mut left, mut settled) = (vec![some], 0);
    while let Some(part) = left.pop() {
        let (made, count) = (request(part), part.len() as u64);
        let signal = made.signal();
        match sender.send(made).await {
            Ok(rejected) => {
                app.metrics.telemetry.told(signal, count.saturating_sub(rejected), rejected);
                if rejected > 0 {
                    tracing::warn!(signal, rejected, "the collector has left some out of what it was told");
                }
            }
            Err(Untaken::Never(why)) if part.len() == 1 => {
                app.metrics.telemetry.told(signal, 0, 1);
                tracing::error!(signal, why, "the collector takes none of this, and it is left out");
            }
            // Leaves of the audit log are kept here anyway; spans wait for a collector that takes them.
            Err(Untaken::Unknown(why)) if signal == "logs" => {
                app.metrics.telemetry.told(signal, 0, count);
                tracing::error!(
                    signal,
                    why,
                    "the collector takes no logs, and they are left out: `telemetry.logs = false` says so"
                );
            }
            Err(Untaken::Never(_)) => {
                let (one, two) = part.split_at(part.len() / 2);
                left.extend([two, one]);
                continue;
            }
            Err(untaken @ (Untaken::Later { .. } | Untaken::Unknown(_))) => {
                let (why, after) = match untaken {
                    Untaken::Later { why, after } => (why, after),
                    Untaken::Unknown(why) | Untaken::Never(why) => (why, None),
                };
                app.metrics.telemetry.failed(signal);
                tracing::warn!(signal, why, "the collector did not take what it was told");
                let draining = app.draining.is_cancelled();
                return (settled, Err(if draining { Ended::Draining } else { Ended::Untaken(after) }));
            }
        }
        settled += part.len();
    }
    (settled, Ok(()))
}

/// From half of a wait to all of it, by chance: servers that fail together do not come back together.
fn jitter(wait: Duration) -> Duration {
    let most = Time(u64::try_from(wait.as_micros()).unwrap_or(u64::MAX));
    Time(most.0 / 2 + most.0 / 2 * u64::from(SystemClock.random()[0]) / 255).to_std()
}
