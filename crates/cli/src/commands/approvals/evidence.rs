//! `stead approvals receipt` and `stead approvals verify`: evidence that outlives the server.

use std::{fs, path::Path};

use serde_json::json;
use stead_client::Client;
use stead_core::{code, id::EffectId};
use stead_trust::{
    evidence::{Answer, Evidence, Shown},
    hex,
    receipt::Channel,
    shown::{instant, visible},
};

use crate::{
    cli::Global,
    error::{CliError, Outcome},
    exit::Exit,
    ui,
};

/// Longest file of evidence that is read, in bytes.
const MAX: u64 = 64 << 20;

pub(super) async fn write(global: &Global, client: &Client, approval: EffectId, output: Option<&Path>) -> Outcome<()> {
    let asked = client.question(approval).await?;
    if asked.receipts.is_empty() {
        let message = format!("{approval} has no signed answer");
        return Err(CliError::new(code::NOT_FOUND, message));
    }
    let text =
        Evidence { question: asked.question, receipts: asked.receipts, entries: entries(client).await? }.to_text();
    let Some(path) = output else { return Ok(ui::text(&(text + "\n"))?) };
    let failed = |e| CliError::new(code::DATA_READONLY, format!("{}: {e}", path.display()));
    fs::write(path, text + "\n").map_err(failed)?;
    if !global.quiet {
        ui::say(&format!("wrote {}", path.display()));
    }
    Ok(())
}

/// All entries of the directory.
async fn entries(client: &Client) -> Outcome<Vec<String>> {
    let (mut all, mut from) = (Vec::new(), Some(0));
    while let Some(next) = from {
        let page = client.approver_entries(next).await?;
        all.extend(page.items.into_iter().map(|row| row.entry));
        from = page.next;
    }
    Ok(all)
}

pub(super) fn verify(global: &Global, file: &Path, root: Option<&str>) -> Outcome {
    let bad = |why: String| CliError::new(code::APPROVAL_EVIDENCE, format!("{}: {why}", file.display()));
    let root = root.map(|root| hex::decode(root).ok_or_else(|| CliError::usage("a root has 64 hexadecimal digits")));
    let root = root.transpose()?;
    let size = fs::metadata(file).map_err(|e| bad(e.to_string()))?.len();
    if size > MAX {
        return Err(bad("it is too long".to_owned()));
    }
    let text = fs::read_to_string(file).map_err(|e| bad(e.to_string()))?;
    let evidence = Evidence::from_text(&text).map_err(|e| bad(format!("it cannot be read: {e}")))?;
    let shown = evidence.verify(root).map_err(|e| bad(e.to_string()))?;
    if global.json {
        ui::json(&document(&shown, root.is_some()))?;
    } else {
        ui::text(&told(&shown))?;
        if root.is_none() && !global.quiet {
            ui::say(&format!(
                "hint: this holds if the directory's root is {}; `--root` says so",
                hex::encode(&shown.anchor)
            ));
        }
    }
    Ok(Exit::Ok)
}

fn way(channel: Channel) -> &'static str {
    match channel {
        Channel::Page => "a page of the server",
        Channel::Tool => "a program of their own",
    }
}

fn told(shown: &Shown) -> String {
    let mut out = shown.question.shown();
    for Answer { statement: s, verified, channel, revoked } in &shown.answers {
        let said = if s.approved { "approved" } else { "denied" };
        let person = if *verified { ", verified as a person" } else { "" };
        let revoked = revoked.map(|at| format!("; the key was revoked {}", instant(at))).unwrap_or_default();
        let who = visible(&format!("{} of {}", s.human.subject, s.human.issuer));
        out += &format!("{said:<18}by {who} with {} on {}{person}{revoked}\n", s.key, way(*channel));
    }
    out
}

fn document(shown: &Shown, root_known: bool) -> serde_json::Value {
    let answer = |a: &Answer| {
        json!({
            "approved": a.statement.approved, "issuer": a.statement.human.issuer, "subject": a.statement.human.subject,
            "key": a.statement.key.to_string(), "expires": a.statement.expires, "verified": a.verified,
            "page": a.channel == Channel::Page, "revoked": a.revoked,
        })
    };
    let q = &shown.question;
    json!({
        "root": hex::encode(&shown.anchor), "root_known": root_known, "run": q.run, "step": q.step, "tool": q.action.tool,
        "arguments": q.action.arguments, "answers": shown.answers.iter().map(answer).collect::<Vec<_>>(),
    })
}
