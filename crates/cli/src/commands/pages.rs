//! Lists that go over several pages, lists that are watched, and the session that an argument names.

use std::{future::Future, time::Duration};

use clap::Args;
use stead_api::{
    page::{MAX_LIMIT, PageQuery},
    run::StartRun,
    session::SessionRef,
};

use crate::error::Outcome;

/// How often a watched list is read again.
const AGAIN: Duration = Duration::from_secs(1);

/// How much of a list.
#[derive(Clone, Debug, Args)]
pub(crate) struct Paging {
    /// Items at most
    #[arg(long, value_name = "N", default_value_t = 50, value_parser = clap::value_parser!(u32).range(1..=i64::from(MAX_LIMIT)))]
    pub(crate) limit: u32,
    /// Go on where a list before ended
    #[arg(long, value_name = "CURSOR")]
    pub(crate) cursor: Option<String>,
}

impl Paging {
    /// As the API takes it.
    pub(crate) fn query(&self) -> PageQuery {
        PageQuery { cursor: self.cursor.clone(), limit: Some(self.limit) }
    }
}

/// A start in the session that a caller names by its id or by its key, when it names one.
pub(crate) fn in_session(session: Option<&str>) -> StartRun {
    match session.map(|s| SessionRef::new(s, None)) {
        Some(SessionRef::Id(id)) => StartRun { session: Some(id), ..StartRun::default() },
        Some(SessionRef::Key { key, .. }) => StartRun { session_key: Some(key), ..StartRun::default() },
        None => StartRun::default(),
    }
}

/// Says where the list goes on.
pub(crate) fn more(next: Option<&str>) {
    if let Some(next) = next {
        crate::ui::say(&format!("hint: there is more: --cursor {next}"));
    }
}

/// Writes what `read` gives, and with `watch` again whenever it has changed, until Ctrl-C.
pub(crate) async fn watched<F>(watch: bool, mut read: impl FnMut() -> F) -> Outcome<()>
where
    F: Future<Output = Outcome<String>>,
{
    let mut last = String::new();
    loop {
        let text = read().await?;
        if text != last {
            if !last.is_empty() {
                crate::ui::text("\n")?;
            }
            crate::ui::text(&text)?;
            last = text;
        }
        if !watch {
            return Ok(());
        }
        tokio::select! {
            () = tokio::time::sleep(AGAIN) => {}
            _ = tokio::signal::ctrl_c() => return Ok(()),
        }
    }
}
