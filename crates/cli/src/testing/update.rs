//! Writing what was found into the cases: for expectations that were right once and are to be right again. Only what a
//! person can review in a diff is written: calls with their arguments, and an answer that was given whole.

use std::{fs, ops::Range, path::PathBuf};

use serde_json::json;
use stead_core::code;
use stead_manifest::cases::parse_case;

use super::{suite::Verdict, trace::Made};
use crate::error::{CliError, Outcome};

/// Writes the cases whose calls or whole answers were others; gives the files that changed.
pub(crate) fn write(verdicts: &[Verdict<'_>]) -> Outcome<Vec<PathBuf>> {
    let mut changed = Vec::new();
    for verdict in verdicts.iter().filter(|v| !v.passed()) {
        let file = &verdict.test.file;
        let unkept = |e: std::io::Error| CliError::new(code::DATA_READONLY, format!("{}: {e}", file.display()));
        let text = fs::read_to_string(file).map_err(unkept)?;
        let new = updated(&text, verdict);
        if new == text {
            continue;
        }
        // What cannot be read again is not written.
        parse_case(&new, &file.display().to_string())?;
        let draft = file.with_extension("yaml.new");
        fs::write(&draft, new).and_then(|()| fs::rename(&draft, file)).map_err(unkept)?;
        changed.push(file.clone());
    }
    Ok(changed)
}

fn updated(text: &str, verdict: &Verdict<'_>) -> String {
    let (Some(played), Some(plain)) = (&verdict.first, verdict.repetitions.first()) else { return text.to_owned() };
    let mut edits: Vec<(Range<usize>, String)> = Vec::new();
    let case = &verdict.test.case;
    let mut wanted = vec![("expect".to_owned(), 0..played.turns.len())];
    wanted.extend((0..played.turns.len()).map(|n| (format!("turns[{n}].expect"), n..n + 1)));
    for (path, turns) in wanted {
        let found = |key: &str| {
            let key = format!("{path}.{key}");
            plain.findings.iter().any(|f| f.path == key || f.path.starts_with(&format!("{key}[")))
        };
        if found("calls")
            && let Some(span) = case.span(&format!("{path}.calls"))
        {
            let made: Vec<&Made> = played.turns[turns.clone()].iter().flat_map(|t| &t.calls).collect();
            edits.push((span.clone(), calls(text, span.start, &made)));
        }
        let whole = [format!("{path}.answer.equals"), format!("{path}.answer")];
        let place = whole.iter().find_map(|path| case.span(path));
        if let (true, Some(span), Some(last)) = (found("answer.equals"), place, played.turns[turns].last()) {
            edits.push((span, json!(last.answer).to_string()));
        }
    }
    edits.sort_by_key(|(span, _)| std::cmp::Reverse(span.start));
    let mut new = text.to_owned();
    for (span, with) in edits {
        new.replace_range(span, &with);
    }
    new
}

/// The calls as YAML, in the manner of the list that stands there.
fn calls(text: &str, at: usize, made: &[&Made]) -> String {
    if made.is_empty() {
        return "[]".to_owned();
    }
    let items = made.iter().map(|m| format!("{{ tool: {}, args: {} }}", m.tool, m.arguments));
    if text[at..].starts_with('[') {
        return format!("[{}]", items.collect::<Vec<_>>().join(", "));
    }
    let indent = at - text[..at].rfind('\n').map_or(0, |n| n + 1);
    items.map(|item| format!("- {item}")).collect::<Vec<_>>().join(&format!("\n{}", " ".repeat(indent)))
}
