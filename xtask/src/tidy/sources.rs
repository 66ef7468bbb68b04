//! Each Rust file opens with what it is; nothing is left behind; the core does not excuse itself from its rules;
//! `unsafe` stays in the sandboxes.

use crate::{Fail, repo::Repo, tidy::Findings};

/// Words that a finished change does not hold. Written in halves, so that this file does not hold them either.
const LEFTOVERS: &[&str] =
    &[concat!("TO", "DO"), concat!("FIX", "ME"), concat!("XX", "X"), concat!("dbg", "!("), concat!("todo", "!(")];

/// Kinds of files that are searched for leftovers.
const TEXT: &[&str] = &[".rs", ".md", ".toml", ".yaml", ".yml", ".sh", ".py", ".js", ".sql", ".html", ".css"];

/// Lines from which a source is named as long; the aim is half of that, see CONTRIBUTING.md.
const LONG: usize = 450;

pub(super) fn check(repo: &Repo) -> Result<Findings, Fail> {
    let mut found = Findings::new();
    for file in repo.files()? {
        if TEXT.iter().any(|kind| file.ends_with(kind)) {
            found.extend(judge(&file, &repo.read(&file)?).into_iter().map(|what| format!("{file}:{what}")));
        }
    }
    Ok(found)
}

/// Hand-written sources outside tests that are long, for the reader's eye.
pub(super) fn long(repo: &Repo) -> Result<Vec<String>, Fail> {
    let mut out = Vec::new();
    for file in repo.files()?.iter().filter(|f| f.ends_with(".rs") && !is_test(f)) {
        let lines = repo.read(file)?.lines().count();
        if lines > LONG {
            out.push(format!("{file} has {lines} lines"));
        }
    }
    Ok(out)
}

fn is_test(file: &str) -> bool {
    file.split('/').any(|part| part == "tests" || part == "tests.rs" || part == "benches")
}

/// Where that keyword may be: for system calls that no library wraps.
const MAY_BE_UNSAFE: &[&str] = &["crates/sandbox/", "crates/microvm/src/sys.rs"];

/// What is wrong with a file, each finding as `line: what`.
fn judge(file: &str, text: &str) -> Findings {
    let mut found = Findings::new();
    for (i, line) in text.lines().enumerate() {
        found.extend(
            LEFTOVERS.iter().filter(|word| holds(line, word)).map(|word| format!("{}: `{word}` left behind", i + 1)),
        );
    }
    if !file.ends_with(".rs") {
        return found;
    }
    let first = text.lines().find(|l| !l.trim().is_empty() && !l.starts_with("#![") && !l.starts_with("#!/"));
    if !first.is_some_and(|l| l.starts_with("//!")) {
        found.push("1: must open with `//!`: what it is, and what it is not".to_owned());
    }
    for (i, line) in text.lines().enumerate() {
        let code = line.split("//").next().unwrap_or_default();
        if holds(code, concat!("un", "safe")) && !MAY_BE_UNSAFE.iter().any(|place| file.starts_with(place)) {
            found.push(format!("{}: this keyword is for crates/sandbox and crates/microvm/src/sys.rs only", i + 1));
        }
        if file.starts_with("crates/core/src/") && code.contains("clippy::disallowed") {
            found.push(format!("{}: the core does not excuse itself from clippy.toml", i + 1));
        }
    }
    found
}

/// Whether `word` stands in `line` by itself, not inside another word.
fn holds(line: &str, word: &str) -> bool {
    let part = |c: Option<char>| c.is_some_and(|c| c.is_alphanumeric() || c == '_');
    line.match_indices(word).any(|(at, _)| {
        let after = line[at + word.len()..].chars().next();
        !part(line[..at].chars().next_back()) && (word.ends_with('(') || !part(after))
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn leftovers_are_found_as_whole_words() {
        for word in LEFTOVERS {
            assert_eq!(judge("a.md", &format!("text {word} text")).len(), 1, "{word}");
        }
        assert!(judge("a.md", concat!("a ma", "ToDo", " list")).is_empty());
        assert!(judge("a.md", concat!("PRE", "TO", "DO", "S")).is_empty());
    }

    #[test]
    fn a_source_opens_with_what_it_is() {
        assert!(judge("a.rs", "#![expect(x, reason = \"y\")]\n//! What.\nfn f() {}\n").is_empty());
        assert_eq!(judge("a.rs", "fn f() {}\n").len(), 1);
        assert_eq!(judge("a.rs", "").len(), 1);
    }

    #[test]
    fn the_keyword_and_the_excuse_are_found_where_they_may_not_be() {
        let text = concat!("//! What.\nun", "safe { f() }\n");
        assert_eq!(judge("crates/store/src/a.rs", text).len(), 1);
        assert!(judge("crates/sandbox/src/a.rs", text).is_empty());
        assert!(judge("a.rs", concat!("//! What.\n// un", "safe in a comment\n")).is_empty());
        let excuse = "//! What.\n#![expect(clippy::disallowed_methods, reason = \"x\")]\n";
        assert_eq!(judge("crates/core/src/a.rs", excuse).len(), 1);
        assert!(judge("crates/core/tests/a.rs", excuse).is_empty());
    }
}
