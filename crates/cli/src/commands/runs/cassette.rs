//! `stead runs record` and `stead runs replay`: cassettes of runs.

use std::{
    io::Write as _,
    path::Path,
    sync::{Arc, Mutex, PoisonError},
};

use futures_util::StreamExt as _;
use serde_json::json;
use stead_client::Client;
use stead_core::{code, id::RunId};
use stead_server::cassettes::{Replayed, Told, replay};

use crate::{
    cli::Global,
    error::{CliError, Outcome},
    exit::Exit,
    testing::suite::read_text,
    ui::{self, term},
};

/// Writes the cassette of a run to a file.
pub(crate) async fn record(global: &Global, client: &Client, run: RunId, path: &Path) -> Outcome<()> {
    let failed = |e: std::io::Error| CliError::new(code::DATA_READONLY, format!("{}: {e}", path.display()));
    let mut pieces = std::pin::pin!(client.cassette(run).await?);
    // Beside it first: half a cassette takes no other's place.
    let draft = path.with_added_extension("new");
    let mut file = std::fs::File::create(&draft).map_err(failed)?;
    while let Some(piece) = pieces.next().await {
        file.write_all(&piece?).map_err(failed)?;
    }
    file.sync_all().and_then(|()| std::fs::rename(&draft, path)).map_err(failed)?;
    if !global.quiet {
        ui::say(&format!("wrote {}", path.display()));
    }
    Ok(())
}

/// Plays a cassette, and tells what is not read as it was recorded.
pub(crate) async fn play(global: &Global, path: &Path, paced: bool) -> Outcome {
    let text = read_text(path).map_err(|e| CliError::new(code::CASSETTE_READ, e))?;
    // What is said is written while it is played, when somebody looks.
    let open = Arc::new(Mutex::new(false));
    let line = Arc::clone(&open);
    let show = !global.json && !global.quiet;
    let said = move |told: Told| {
        if let (true, Told::Text(text)) = (show, told) {
            *line.lock().unwrap_or_else(PoisonError::into_inner) = true;
            let mut err = std::io::stderr().lock();
            // That nobody listens is no error.
            let _ = err.write_all(term::clean(&text).as_bytes()).and_then(|()| err.flush());
        }
    };
    let mut all = Vec::new();
    let each = |played: &Replayed| {
        if std::mem::take(&mut *open.lock().unwrap_or_else(PoisonError::into_inner)) {
            ui::say("");
        }
        all.push(played.clone());
    };
    replay(&text, paced, said, each)
        .await
        .map_err(|e| CliError::new(code::CASSETTE_READ, format!("{}: {e}", path.display())))?;
    if global.json {
        ui::json(&all.iter().map(told).collect::<Vec<_>>())?;
    } else {
        all.iter().try_for_each(|played| ui::line(&line_of(played)))?;
    }
    let others = all.iter().filter(|p| !p.differs.is_empty()).count();
    if others == 0 {
        return Ok(Exit::Ok);
    }
    let what = format!("{others} of {} exchanges are not read as they were recorded", all.len());
    Err(CliError::new(code::CASSETTE_MISMATCH, what))
}

fn told(played: &Replayed) -> serde_json::Value {
    json!({
        "turn": played.turn,
        "attempt": played.attempt,
        "model": played.model,
        "wire": played.wired,
        "reply": played.came.as_ref().ok(),
        "error": played.came.as_ref().err(),
        "differs": played.differs,
    })
}

fn line_of(played: &Replayed) -> String {
    let came = match &played.came {
        Ok(reply) => {
            let calls: Vec<String> = reply.calls.iter().map(|c| term::short(&c.name, 64)).collect();
            let calls = if calls.is_empty() { String::new() } else { format!(" · calls {}", calls.join(", ")) };
            let tokens = reply.usage.input + reply.usage.output;
            format!("{}{calls} · {}", term::short(&reply.text, 60), ui::text::counted(tokens, "token"))
        }
        Err(e) => term::short(e, 100),
    };
    let source = if played.wired { "wire" } else { "reply" };
    let differs = played.differs.iter().map(|d| format!("\n  {}", term::clean(d))).collect::<String>();
    format!(
        "turn {} · attempt {} · {} · {source} · {came}{differs}",
        played.turn,
        played.attempt,
        term::clean(&played.model)
    )
}
