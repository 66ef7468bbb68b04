//! A page of the documentation as a list of things to do in order: files that it has its reader write, and commands with
//! the output that it shows.
//!
//! A `console` block is a session: a line `$ COMMAND`, then what it writes. A line with `…` alone stands for any lines.
//! `<!-- not run: WHY -->` above a block keeps it from being run; `<!-- file: PATH -->` above a block of any kind is a
//! file that the reader writes. An indented line `stead …` is refused: it would look like a command, and nothing would run it.

/// One thing to do.
#[derive(Debug, PartialEq, Eq)]
pub(crate) enum Step {
    /// Write this file.
    File { path: String, text: String },
    /// Run this command.
    Run(Command),
}

/// A command and the lines under it, with their place in the page.
#[derive(Debug, PartialEq, Eq)]
pub(crate) struct Command {
    pub(crate) line: String,
    pub(crate) output: Vec<String>,
    /// Lines of the page, from 0, that the output takes up.
    pub(crate) at: std::ops::Range<usize>,
}

/// Reads a page. A block that nothing is done with must say why.
pub(crate) fn steps(page: &str) -> Result<Vec<Step>, String> {
    let mut steps = Vec::new();
    let mut above = "";
    let mut lines = page.lines().enumerate();
    while let Some((at, line)) = lines.next() {
        let Some(kind) = line.trim_start().strip_prefix("```") else {
            if indented_command(line) {
                return Err(format!("line {}: commands are shown in a `console` block, which is run", at + 1));
            }
            if !line.trim().is_empty() {
                above = line.trim();
            }
            continue;
        };
        let body: Vec<(usize, &str)> = lines.by_ref().take_while(|(_, l)| !l.trim_start().starts_with("```")).collect();
        let directive = above.strip_prefix("<!-- ").and_then(|d| d.strip_suffix(" -->")).unwrap_or_default();
        above = "";
        if let Some(path) = directive.strip_prefix("file: ") {
            let text = body.iter().map(|(_, l)| format!("{l}\n")).collect();
            steps.push(Step::File { path: path.to_owned(), text });
        } else if directive.strip_prefix("not run: ").is_some_and(|why| !why.is_empty()) {
            continue;
        } else if kind == "console" {
            session(&body, &mut steps).map_err(|e| format!("line {}: {e}", at + 1))?;
        } else if ["sh", "bash", "shell", "zsh"].contains(&kind) {
            return Err(format!("line {}: commands are shown in a `console` block, which is run", at + 1));
        }
    }
    Ok(steps)
}

/// Whether a line outside of a fence is one of an indented code block (CommonMark 0.31.2, section 4.4), and calls the binary.
fn indented_command(line: &str) -> bool {
    let text = line.trim_start().trim_start_matches("$ ");
    (line.starts_with("    ") || line.starts_with('\t')) && text.starts_with("stead ")
}

fn session(body: &[(usize, &str)], steps: &mut Vec<Step>) -> Result<(), String> {
    let mut first = true;
    for (at, line) in body {
        if let Some(command) = line.strip_prefix("$ ") {
            let at = at + 1..at + 1;
            steps.push(Step::Run(Command { line: command.to_owned(), output: Vec::new(), at }));
        } else {
            let Some(Step::Run(command)) = steps.last_mut().filter(|_| !first) else {
                return Err("a console block begins with `$ `".into());
            };
            command.output.push((*line).to_owned());
            command.at.end = at + 1;
        }
        first = false;
    }
    Ok(())
}

#[test]
fn files_and_commands_come_in_order_and_what_is_not_run_says_why() {
    let page = "# T\n<!-- file: a/b.yaml -->\n\n```yaml\nx: 1\n```\ntext\n\n```console\n$ one\nout\n\nmore\n$ two\n```\n\
                <!-- not run: needs root -->\n```console\n$ three\n```\n";
    let run = |line: &str, output: &[&str], at| {
        Step::Run(Command { line: line.into(), output: output.iter().map(|l| (*l).to_owned()).collect(), at })
    };
    let file = Step::File { path: "a/b.yaml".into(), text: "x: 1\n".into() };
    assert_eq!(steps(page).unwrap(), [file, run("one", &["out", "", "more"], 10..13), run("two", &[], 14..14)]);
    assert!(steps("```console\nno prompt\n```\n").is_err());
    assert!(steps("```sh\nls\n```\n").is_err());
    assert!(steps("text\n\n    stead runs ls\n").is_err());
    assert!(steps("text\n\n\t$ stead runs ls\n").is_err());
    assert!(steps("<!-- not run: x -->\n\n    stead runs ls\n").is_err(), "a reason goes with a block");
    assert!(steps("    a stead run\n    steady\n\n```text\n    stead run\n```\n").is_ok_and(|s| s.is_empty()));
    assert!(steps("<!-- not run: -->\n```console\n$ x\n```\n").is_ok_and(|s| s.len() == 1));
}
