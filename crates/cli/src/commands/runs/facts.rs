//! The facts of a run: one a line, or with `--json` as JSON Lines.

use stead_api::{
    fact::{AnyFact, FactEvent},
    page::{MAX_LIMIT, PageQuery},
};
use stead_client::Client;
use stead_core::{
    fact::{EffectOutcome, Fact},
    id::RunId,
    record::Actor,
};

use crate::{
    cli::Global,
    error::Outcome,
    ui::{self, action, term::short, text},
};

/// Characters of a fact's text on its line.
const SHOWN: usize = 80;

/// Writes all facts, page by page.
pub(super) async fn write(global: &Global, client: &Client, run: RunId) -> Outcome<()> {
    let mut cursor = None;
    if !global.json {
        ui::line(&format!("{:<9}  {:<24}  {:<18}  {:<8}  TEXT", "POSITION", "AT", "FACT", "BY"))?;
    }
    loop {
        let page = client.facts(run, &PageQuery { cursor, limit: Some(MAX_LIMIT) }).await?;
        for event in &page.items {
            if global.json { ui::json_line(event)? } else { ui::line(&line(event))? }
        }
        cursor = page.next;
        if cursor.is_none() {
            return Ok(());
        }
    }
}

fn line(event: &FactEvent) -> String {
    let place = format!("{}.{}", event.seq, event.index);
    let by = match &event.actor {
        Actor::Runtime => "runtime".to_owned(),
        Actor::User(name) => short(name, 20),
        Actor::Run(run) => run.to_string(),
    };
    let text = short(event.text.as_deref().unwrap_or_default(), SHOWN);
    let text = match &event.fact {
        AnyFact::Known(Fact::EffectReturned(EffectOutcome { action: Some(done), .. })) => {
            format!("{text}  [{}]", action::brief(done))
        }
        _ => text,
    };
    let line = format!("{place:<9}  {}  {:<18}  {by:<8}  {text}", text::instant(event.at), event.fact.kind());
    line.trim_end().to_owned()
}
