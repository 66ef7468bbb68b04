//! `docs/cli.md`, made from the grammar: `cargo xtask gen` writes it, and `cargo xtask tidy` keeps the two equal.

use std::fmt::Write as _;

use clap::{Arg, Command, CommandFactory as _, Id};

use crate::{cli::Cli, exit};

/// The whole page.
pub(crate) fn reference() -> String {
    let mut root = Cli::command();
    root.build();
    let mut out = String::from(
        "# The command line\n\n<!-- Made by `stead markdown`; not edited by hand. -->\n\n\
         stdout is data, stderr is talk: what a command is asked for goes to stdout, as text or with `--json` as JSON, and\n\
         everything else (steps, hints, questions, errors) to stderr. An error has a code; `stead errors CODE` explains it.\n\n\
         A command talks to the server that `--server` names, else to the one that owns the data folder, else it opens the\n\
         data folder itself for as long as it runs. Commands that only look or answer take up no unfinished work then.\n\n\
         ## Exit codes\n\n| code | meaning |\n|--:|---|\n",
    );
    for (code, meaning) in exit::ALL {
        let _ = writeln!(out, "| {} | {meaning} |", code.number());
    }
    out.push_str("\n## Options of every command\n\n");
    let everywhere: Vec<&Arg> = root.get_arguments().filter(|a| a.is_global_set()).collect();
    arguments(&mut out, everywhere.iter().copied());
    let everywhere: Vec<&Id> = everywhere.iter().map(|a| a.get_id()).collect();
    out.push_str(
        "\nThe environment: `STEAD_TOKEN` (bearer token for `--server`), `STEAD_LOG` (what the layers below say on stderr, such as\n\
         `info` or `stead_engine=debug`), `NO_COLOR`.\n",
    );
    for command in root.get_subcommands().filter(|c| !c.is_hide_set() && c.get_name() != "help") {
        section(&mut out, command, "stead", 2, &everywhere);
    }
    out
}

/// A command and those below it; options that are told once for every command are left out.
fn section(out: &mut String, command: &Command, above: &str, level: usize, everywhere: &[&Id]) {
    let name = format!("{above} {}", command.get_name());
    let _ = writeln!(out, "\n{} {name}\n", "#".repeat(level));
    let about = command.get_long_about().or(command.get_about()).map(ToString::to_string).unwrap_or_default();
    let _ = writeln!(out, "{about}");
    let verbs: Vec<&Command> =
        command.get_subcommands().filter(|c| !c.is_hide_set() && c.get_name() != "help").collect();
    let known = |a: &Arg| everywhere.contains(&a.get_id()) || a.get_id() == "help";
    let own: Vec<&Arg> = command.get_arguments().filter(|a| !known(a)).collect();
    if verbs.is_empty() || !own.is_empty() {
        // Of a command that also has verbs, the line that names those says no more than their sections.
        let usage = command.clone().render_usage().to_string();
        let usage = usage.trim_start_matches("Usage: ").lines().next().unwrap_or_default();
        let _ = writeln!(out, "\n    {usage}\n");
        arguments(out, own.into_iter());
    }
    for verb in verbs {
        section(out, verb, &name, level + 1, everywhere);
    }
}

fn arguments<'a>(out: &mut String, arguments: impl Iterator<Item = &'a Arg>) {
    let rows: Vec<_> = arguments.filter(|a| !a.is_hide_set()).map(row).collect();
    if !rows.is_empty() {
        let _ = write!(out, "| | |\n|---|---|\n{}", rows.concat());
    }
}

fn row(arg: &Arg) -> String {
    let value = arg.get_value_names().filter(|_| arg.get_action().takes_values());
    let value = value.map(|names| names.iter().map(ToString::to_string).collect::<Vec<_>>().join(" "));
    let mut name = match (arg.get_long(), arg.get_short()) {
        (Some(long), Some(short)) => format!("-{short}, --{long}"),
        (Some(long), None) => format!("--{long}"),
        _ => String::new(),
    };
    if let Some(value) = value {
        if !name.is_empty() {
            name.push(' ');
        }
        name.push_str(&value);
    }
    let mut help = arg.get_help().map(ToString::to_string).unwrap_or_default();
    let defaults: Vec<_> = arg.get_default_values().iter().map(|v| v.to_string_lossy()).collect();
    if !defaults.is_empty() && arg.get_action().takes_values() {
        let _ = write!(help, " (default `{}`)", defaults.join(" "));
    }
    if let Some(env) = arg.get_env() {
        let _ = write!(help, " (environment: `{}`)", env.to_string_lossy());
    }
    let possible: Vec<_> =
        arg.get_possible_values().iter().filter(|v| !v.is_hide_set()).map(|v| format!("`{}`", v.get_name())).collect();
    if !possible.is_empty() && arg.get_action().takes_values() {
        let _ = write!(help, ": {}", possible.join(", "));
    }
    format!("| `{}` | {} |\n", name.replace('|', "\\|"), help.replace('|', "\\|").replace('\n', " "))
}

#[cfg(test)]
mod tests {
    use super::*;

    /// The part of the page about one command.
    fn about<'p>(page: &'p str, heading: &str) -> &'p str {
        let (_, rest) = page.split_once(&format!("{heading}\n")).expect(heading);
        rest.split_once("\n#").map_or(rest, |(part, _)| part)
    }

    #[test]
    fn a_command_with_verbs_and_arguments_of_its_own_shows_both() {
        let page = reference();
        let backup = about(&page, "## stead backup");
        assert!(backup.contains("\n    stead backup [OPTIONS] <FILE>\n"), "{backup}");
        assert!(backup.contains("| `FILE` |") && backup.contains("| `--key-file FILE` |"), "{backup}");
        assert!(about(&page, "### stead backup verify").contains("stead backup verify [OPTIONS] <FILE>"));
        assert!(!about(&page, "## stead runs").contains("\n    stead "), "a command without arguments of its own");
    }

    #[test]
    fn an_option_of_a_command_and_its_verbs_is_told_there_and_one_of_every_command_once() {
        let page = reference();
        for heading in ["## stead secrets", "### stead secrets set", "### stead secrets ls", "### stead secrets rm"] {
            let part = about(&page, heading);
            assert!(part.contains("| `--config FILE` |") && !part.contains("| `--data "), "{part}");
        }
        assert_eq!(page.matches("| `--data ").count(), 1);
    }
}
