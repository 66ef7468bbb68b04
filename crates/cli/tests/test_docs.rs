//! Every command that the documentation shows is run, with the files that it has its reader write, and writes what is shown:
//! the README, the manual, the pages of the examples. What differs from run to run (ids, versions, times, ports) may differ.
//!
//! `STEAD_BLESS=1` writes into the pages what the commands say now.

use std::{
    collections::HashMap,
    fs,
    path::{Path, PathBuf},
    process::Command,
};

use crate::common::{
    TestEnvironment, filtered,
    page::{self, Step},
    root,
    shell::Shell,
};

/// The folder that the pages say they are in.
const PLACE: &str = "/home/ada/desk";

#[test]
fn every_command_of_the_documentation_does_what_is_shown() {
    let mut run = 0;
    let mut wrong = String::new();
    for path in pages() {
        let text = fs::read_to_string(root().join(&path)).unwrap();
        let steps = page::steps(&text).unwrap_or_else(|e| panic!("{}: {e}", path.display()));
        if steps.iter().any(|s| matches!(s, Step::Run(_))) {
            run += 1;
            wrong += &check(&path, &text, &steps);
        }
    }
    assert!(wrong.is_empty(), "{wrong}\n(STEAD_BLESS=1 writes what they say now)");
    assert!(run >= 4, "only {run} pages have commands");
}

/// The page that is made from the grammar: its usage lines are no commands, and `cargo xtask tidy` holds it.
const MADE: &str = "docs/cli.md";

/// The pages, from the root, that are written by hand.
fn pages() -> Vec<PathBuf> {
    let mut pages = vec![PathBuf::from("README.md")];
    let mut folders = vec![PathBuf::from("docs"), PathBuf::from("examples")];
    while let Some(folder) = folders.pop() {
        for entry in fs::read_dir(root().join(&folder)).unwrap() {
            let entry = entry.unwrap();
            let path = folder.join(entry.file_name());
            if entry.file_type().unwrap().is_dir() {
                folders.extend((entry.file_name() != "node_modules").then_some(path));
            } else if path.extension().is_some_and(|e| e == "md") {
                pages.push(path);
            }
        }
    }
    pages.retain(|page| page != Path::new(MADE));
    pages.sort();
    pages
}

/// Does what a page says, in a folder of its own. Gives what was not as shown.
fn check(path: &Path, text: &str, steps: &[Step]) -> String {
    let env = TestEnvironment::new();
    std::os::unix::fs::symlink(root().join("examples"), env.path().join("examples")).unwrap();
    let mut shell = Shell::start(bash(&env));
    let place = env.path().canonicalize().unwrap().display().to_string();
    let (mut names, mut wrong) = (Names::default(), String::new());
    let mut lines: Vec<String> = text.lines().map(str::to_owned).collect();
    // Lines that blessing has added or taken away above.
    let mut moved: isize = 0;
    for step in steps {
        let command = match step {
            Step::File { path, text } => {
                env.write(path, text);
                continue;
            }
            Step::Run(command) => command,
        };
        let line = names.told(&command.line);
        let said = match line.strip_suffix(" &") {
            Some(line) => shell.start_in_background(line, command.output.len()),
            None => shell.run(&line),
        };
        let said: Vec<String> = said.into_iter().map(|l| l.replace(&place, PLACE)).collect();
        if !names.same(&command.output, &said) {
            wrong += &format!("{}: $ {}\n{}\n\n", path.display(), command.line, said.join("\n"));
            let said = names.learn(&command.output, said);
            let at = |i: usize| i.checked_add_signed(moved).unwrap();
            lines.splice(at(command.at.start)..at(command.at.end), said.iter().cloned());
            moved += said.len() as isize - command.at.len() as isize;
        }
    }
    if !wrong.is_empty() && std::env::var_os("STEAD_BLESS").is_some() {
        fs::write(root().join(path), lines.join("\n") + "\n").unwrap();
        return String::new();
    }
    wrong
}

/// The environment of a reader who has installed the binary.
fn bash(env: &TestEnvironment) -> Command {
    let bin = env.path().join(".local/bin");
    fs::create_dir_all(&bin).unwrap();
    std::os::unix::fs::symlink(env!("CARGO_BIN_EXE_stead"), bin.join("stead")).unwrap();
    let path = std::env::var("PATH").unwrap_or_default();
    let mut bash = Command::new("bash");
    bash.current_dir(env.path()).env_clear().env("HOME", env.path());
    bash.env("PATH", format!("{}:{path}", bin.display()));
    for name in ["TMPDIR", "LLVM_PROFILE_FILE"] {
        if let Some(value) = std::env::var_os(name) {
            bash.env(name, value);
        }
    }
    bash
}

/// What the ids and addresses of a page are called in this run of it.
#[derive(Default)]
struct Names(HashMap<String, String>);

impl Names {
    /// A command of the page with the names of this run.
    fn told(&self, command: &str) -> String {
        let mut out = command.to_owned();
        for shown in names(command) {
            let real = self.0.get(&shown).unwrap_or_else(|| panic!("no output above has the {shown} of `{command}`"));
            out = out.replace(&shown, real);
        }
        out
    }

    /// Whether the output is the one shown; learns the names in it.
    fn same(&mut self, shown: &[String], said: &[String]) -> bool {
        let Some((first, rest)) = shown.split_first() else {
            return said.is_empty();
        };
        if first.trim() == "…" {
            return (0..=said.len()).any(|skipped| self.same(rest, &said[skipped..]));
        }
        let Some((line, others)) = said.split_first() else {
            return false;
        };
        if filtered(first, "") != filtered(line, "") {
            return false;
        }
        self.0.extend(names(first).into_iter().zip(names(line)));
        self.same(rest, others)
    }

    /// The output as the page would say it: with the names that it has, which the commands below it use.
    fn learn(&mut self, shown: &[String], mut said: Vec<String>) -> Vec<String> {
        for (shown, real) in names(&shown.join("\n")).into_iter().zip(names(&said.join("\n"))) {
            said.iter_mut().for_each(|line| *line = line.replace(&real, &shown));
            self.0.insert(shown, real);
        }
        said
    }
}

/// The ids of runs and sessions and the addresses on loopback in a text.
fn names(text: &str) -> Vec<String> {
    let word = |c: char| c.is_ascii_alphanumeric() || "_.:".contains(c);
    text.split(|c| !word(c))
        .filter_map(|part| {
            let id = |p: &str| part.starts_with(p).then(|| part.split('.').next().unwrap_or(part).to_owned());
            let address = || part.starts_with("127.0.0.1:").then(|| part.to_owned());
            id("run_").or_else(|| id("ses_")).or_else(address)
        })
        .collect()
}

#[test]
fn names_of_the_page_become_those_of_the_run() {
    let shown = |text: &str| text.lines().map(str::to_owned).collect::<Vec<_>>();
    let (doc, real) = ("run_01M7Y9NCB4JM0VGYAXA7S9ACRN", "run_01M7Z000000000000000000000");
    let mut learnt = Names::default();
    assert!(learnt.same(&shown(&format!("a {doc}\n…\nend")), &shown(&format!("a {real}\nx\ny\nend"))));
    assert_eq!(learnt.told(&format!("approve {doc}.e2")), format!("approve {real}.e2"));
    assert!(!learnt.same(&shown("one"), &shown("one\ntwo")));
    assert!(!learnt.same(&shown("one\ntwo"), &shown("one")));
}
