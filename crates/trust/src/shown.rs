//! What a person is shown of a question: the very text whose hash they sign. Whoever shows it makes it anew from the question, so
//! that what a server says it shows is nothing to go by.
//!
//! Nothing in it can move the cursor, hide a letter or turn the order of letters around, and words of mixed alphabets are pointed out.

use std::fmt::Write as _;

use unicode_security::MixedScript as _;

use crate::question::{Gate, Question};

/// The text, each line ending with a line feed.
pub fn render(q: &Question) -> String {
    let a = &q.action;
    let mut lines = Lines(String::new());
    lines.row("tool", &a.tool);
    lines.row("arguments", &a.arguments);
    lines.row("target", &or(a.target.join(", "), "nothing that is known before"));
    let on_behalf = or(a.behalf.user.clone().unwrap_or_default(), "nobody");
    let through = a.behalf.callers.iter().map(|c| format!(", through {c}")).collect::<String>();
    lines.row("on behalf of", &(on_behalf + &through));
    lines.row("agent", &format!("{} {}", a.agent, a.version));
    lines.row("if it is cut off", &after_a_crash(&a.class));
    lines.row("asked because", &q.reason);
    for why in &q.why {
        lines.row("", why);
    }
    for (argument, said) in &q.labels {
        lines.row(&format!("{argument} comes from"), said);
    }
    lines.row("cost", &or(a.cost.clone().unwrap_or_default(), "not known before"));
    lines.row("sandbox", &or(a.environment.clone().unwrap_or_default(), "none"));
    lines.row("workspace", &or(a.workspace.clone().unwrap_or_default(), "none"));
    lines.row("secrets", &or(a.secrets.join(", "), "none"));
    if let Some(preview) = &q.preview {
        lines.row("preview", &preview.text);
        match &preview.precondition {
            Some(holds) => lines.row("", &format!("done only while this holds: {holds}")),
            None => lines.row("", "not binding: what is done may differ"),
        }
    }
    for gate in &q.gates {
        lines.row("needs", &needs(gate));
        for (from, to) in &gate.escalate {
            lines.row("", &format!("from {} on {to} may answer that, too", instant(*from)));
        }
    }
    lines.row("people", &q.quorum.max(1).to_string());
    lines.row("a denial", &q.denial);
    let silence = q.expires.map_or("this is asked until somebody answers".to_owned(), |at| {
        format!("counts as a denial after {}", instant(at))
    });
    lines.row("no answer", &silence);
    lines.row("asked", &instant(q.asked));
    lines.row("run", &format!("{} step {} of tenant {}", q.run, q.step, a.tenant));
    for note in notes(q) {
        lines.row("BEWARE", &note);
    }
    lines.0
}

struct Lines(String);

impl Lines {
    fn row(&mut self, name: &str, value: &str) {
        let _ = writeln!(self.0, "{:<18}{}", visible(name), visible(value));
    }
}

fn or(text: String, other: &str) -> String {
    if text.is_empty() { other.to_owned() } else { text }
}

fn needs(gate: &Gate) -> String {
    let verified = if gate.verified { ", each verified by their authenticator" } else { "" };
    let channels = if gate.channels { ", over two channels" } else { "" };
    format!("{} of {}{verified}{channels} ({})", gate.quorum, gate.approvers.join(" or "), gate.policy)
}

fn after_a_crash(class: &str) -> String {
    match class {
        "pure" | "contained" => "it is done again",
        "keyed" => "it is done again under the same key",
        "reconcilable" => "the destination is asked whether it was done",
        _ => "it is not done again",
    }
    .to_owned()
}

/// What a reader could miss.
fn notes(q: &Question) -> Vec<String> {
    let texts = [&q.action.tool, &q.action.arguments].into_iter().chain(&q.action.target);
    let mut notes = Vec::new();
    for text in texts {
        if text.chars().any(is_hidden) && !notes.iter().any(|n: &String| n.starts_with("it has invisible")) {
            notes.push("it has invisible or control characters, written here as \\u{…}".to_owned());
        }
        let words = text.split(|c: char| !c.is_alphanumeric());
        for word in words.filter(|w| !w.is_empty() && !w.is_single_script()).take(8) {
            notes.push(format!("the word \"{word}\" mixes alphabets: {}", spelled(word)));
        }
    }
    notes
}

/// A word with what is not ASCII written as its number.
fn spelled(word: &str) -> String {
    word.chars().map(|c| if c.is_ascii() { c.to_string() } else { format!("\\u{{{:x}}}", u32::from(c)) }).collect()
}

/// A text in which nothing is hidden.
pub fn visible(text: &str) -> String {
    let mut out = String::with_capacity(text.len());
    for c in text.chars() {
        if is_hidden(c) {
            let _ = write!(out, "\\u{{{:x}}}", u32::from(c));
        } else {
            out.push(c);
        }
    }
    out
}

/// Control characters, characters without a shape, those that turn the direction of writing, spaces that are none, and what is
/// nobody's letter.
fn is_hidden(c: char) -> bool {
    c.is_control()
        || (c.is_whitespace() && c != ' ')
        || matches!(u32::from(c),
            0xad | 0x34f | 0x61c | 0x115f..=0x1160 | 0x17b4..=0x17b5 | 0x180b..=0x180f
            | 0x200b..=0x200f | 0x202a..=0x202e | 0x2060..=0x206f | 0x2800 | 0x3164
            | 0xd7b0..=0xd7ff | 0xe000..=0xf8ff | 0xfe00..=0xfe0f | 0xfeff | 0xffa0 | 0xfff0..=0xfffb
            | 0x1bca0..=0x1bca3 | 0x1d173..=0x1d17a | 0xe0000..=0x10_ffff)
}

/// A time as `2026-08-01T12:00:00Z`.
pub fn instant(seconds: u64) -> String {
    let (days, second) = ((seconds / 86_400) as i64, seconds % 86_400);
    // Days since 0000-03-01 in eras of 400 years (Howard Hinnant's `civil_from_days`).
    let z = days + 719_468;
    let era = z.div_euclid(146_097);
    let doe = z.rem_euclid(146_097);
    let yoe = (doe - doe / 1_460 + doe / 36_524 - doe / 146_096) / 365;
    let doy = doe - (365 * yoe + yoe / 4 - yoe / 100);
    let mp = (5 * doy + 2) / 153;
    let (day, month) = (doy - (153 * mp + 2) / 5 + 1, if mp < 10 { mp + 3 } else { mp - 9 });
    let year = yoe + era * 400 + i64::from(month <= 2);
    format!("{year:04}-{month:02}-{day:02}T{:02}:{:02}:{:02}Z", second / 3_600, second / 60 % 60, second % 60)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::action::Action;

    #[test]
    fn what_hides_is_written_out_and_mixed_alphabets_are_pointed_out() {
        let action = Action {
            tool: "mail_send".into(),
            arguments: "{\"to\":\"p\u{430}ypal\u{200b}\u{202e}\",\"x\":\"\u{1b}[2J\"}".into(),
            ..Action::default()
        };
        let shown = render(&Question { action, ..Question::default() });
        assert!(shown.contains(r#"arguments         {"to":"pаypal\u{200b}\u{202e}","x":"\u{1b}[2J"}"#), "{shown}");
        assert!(shown.contains(r#"the word "pаypal" mixes alphabets: p\u{430}ypal"#), "{shown}");
        assert!(shown.contains("BEWARE            it has invisible"), "{shown}");
        assert!(!shown.chars().any(|c| is_hidden(c) && c != '\n'));
    }

    #[test]
    fn a_value_cannot_add_a_line_of_its_own() {
        let action = Action { arguments: "x\ncost              nothing".into(), ..Action::default() };
        let with = render(&Question { action, ..Question::default() });
        assert_eq!(with.lines().filter(|l| l.starts_with("cost ")).count(), 1);
    }

    #[test]
    fn times_are_those_of_the_calendar() {
        assert_eq!(instant(0), "1970-01-01T00:00:00Z");
        assert_eq!(instant(951_782_400), "2000-02-29T00:00:00Z");
        assert_eq!(instant(1_785_585_600), "2026-08-01T12:00:00Z");
    }
}
