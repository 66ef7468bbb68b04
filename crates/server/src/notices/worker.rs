//! One destination's notices, sent as they come to be owed. What cannot be sent is tried again, later and later; what cannot be sent
//! at all is given up, and said.

use std::time::Duration;

use futures_util::{StreamExt as _, stream};
use stead_core::{
    id::Name,
    time::{Span, Timestamp},
};
use stead_ports::{clock::Clock as _, journal::StoreError, notices::Owed};

use super::{Notices, build, send::TIMEOUT};
use crate::{clock::SystemClock, http::app::Shared};

/// Looked at in one go, and sent at once.
const BATCH: u32 = 64;
const AT_ONCE: usize = 4;
/// How often it is looked for what another server, or a wait that is over, left to send.
const LOOK: Duration = Duration::from_secs(2);
/// How long one is taken for: longer than sending takes.
const TAKEN: Span = Span::from_secs(2 * TIMEOUT.as_secs());
/// The first wait before a notice is tried again; it doubles.
const FIRST: Span = Span::from_secs(2);
/// The longest.
const LONGEST: Span = Span::from_secs(600);
/// Attempts at a notice, over some two hours.
const ATTEMPTS: u32 = 20;
/// How long what is noted of a destination that is gone is kept.
const KEPT: i64 = 24 * 3_600 * 1_000_000;
/// How often it is looked for such.
const SWEEP: Span = Span::from_secs(3_600);

/// Sends what destination `n` is owed until the server ends.
pub(super) async fn keep(notices: Notices, n: usize, app: Shared) {
    let mut news = app.runtime.engine().asked_news();
    // Not at once: what was closed while no server worked is told first.
    let mut swept = SystemClock.now();
    loop {
        let now = SystemClock.now();
        if now.since(swept) >= SWEEP {
            swept = now;
            if let Err(error) = notices.0.store.forget(Timestamp(now.0 - KEPT)).await {
                tracing::warn!(%error, "what is noted of destinations that are gone stays for now");
            }
        }
        news.borrow_and_update();
        let full = match round(&notices, n, &app).await {
            Ok(full) => full,
            Err(error) => {
                tracing::warn!(%error, notice = notices.0.senders[n].notice.name, "what is owed cannot be read now");
                false
            }
        };
        if app.draining.is_cancelled() {
            return;
        }
        if full {
            continue;
        }
        tokio::select! {
            () = app.draining.cancelled() => {}
            () = tokio::time::sleep(LOOK) => {}
            changed = news.changed() => if changed.is_err() { return },
        }
    }
}

/// Sends what is owed now; says whether there may be more.
async fn round(notices: &Notices, n: usize, app: &Shared) -> Result<bool, StoreError> {
    let inner = &notices.0;
    let dest = Name::from(inner.senders[n].notice.name.as_str());
    let now = SystemClock.now();
    let owed = inner.store.owed(&dest, now, BATCH).await?;
    let full = owed.len() >= BATCH as usize;
    let dest = &dest;
    let each = owed.into_iter().map(|owed| async move { one(notices, n, app, dest, owed).await });
    let mut done = stream::iter(each).buffer_unordered(AT_ONCE);
    let mut moved = false;
    while let Some(one) = done.next().await {
        moved |= one?;
    }
    Ok(full && moved)
}

/// Sends one, unless somebody else does. Says whether it is settled.
async fn one(notices: &Notices, n: usize, app: &Shared, dest: &Name, owed: Owed) -> Result<bool, StoreError> {
    let inner = &notices.0;
    let (sender, store) = (&inner.senders[n], &inner.store);
    if app.draining.is_cancelled() {
        return Ok(false);
    }
    let now = SystemClock.now();
    let Some(attempt) = store.take(dest, &owed, now, now.after(TAKEN)).await? else { return Ok(false) };
    let name = sender.notice.name.as_str();
    let message = build::message(app.runtime.engine(), &sender.notice, &inner.url, &owed).await;
    let failed = match message {
        Ok(None) => {
            store.told(dest, &owed, false, SystemClock.now()).await?;
            return Ok(true);
        }
        Ok(Some(message)) => match sender.send(&message).await {
            Ok(()) => {
                app.metrics.notice(name, "sent");
                store.told(dest, &owed, true, SystemClock.now()).await?;
                return Ok(true);
            }
            Err(e) => e.to_string(),
        },
        Err(e) => format!("the question cannot be read: {e}"),
    };
    if attempt >= ATTEMPTS {
        app.metrics.notice(name, "given_up");
        tracing::error!(notice = name, approval = %owed.effect, attempt, why = failed, "a notice is given up");
        store.told(dest, &owed, false, SystemClock.now()).await?;
        return Ok(true);
    }
    app.metrics.notice(name, "failed");
    let wait = wait(attempt, SystemClock.random()[0]);
    tracing::warn!(notice = name, approval = %owed.effect, attempt, why = failed, again_in = %wait, "a notice was not sent");
    store.again(dest, &owed, SystemClock.now().after(wait)).await?;
    Ok(false)
}

/// How long to wait after an attempt: twice as long each time, and from half of it to all of it by chance.
fn wait(attempt: u32, chance: u8) -> Span {
    let most = FIRST.0.saturating_mul(1 << attempt.saturating_sub(1).min(16)).min(LONGEST.0);
    Span(most / 2 + most / 2 * u64::from(chance) / 255)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn it_is_waited_longer_and_longer_and_never_too_long() {
        assert_eq!(wait(1, 255), FIRST);
        assert_eq!(wait(1, 0), Span(FIRST.0 / 2));
        assert_eq!(wait(3, 255), Span(FIRST.0 * 4));
        for attempt in 1..=ATTEMPTS {
            assert!(wait(attempt, 255) <= LONGEST && wait(attempt, 0) >= Span(FIRST.0 / 2));
        }
    }
}
