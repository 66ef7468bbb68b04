//! `stead secrets`: keys and credentials, kept encrypted beside the data.

use std::{
    fs::File,
    io::{self, Read},
    path::PathBuf,
};

use clap::{Args, Subcommand};
use serde::Serialize;
use stead_core::{code, time::Timestamp};
use stead_server::{
    config::{self, Config},
    secrets::{Found, KeySource, SHORTEST_SEARCHED, Secret, SecretError, SecretsFile, Source, Sources, rules, sources},
    serve::ServeError,
};

use crate::{
    cli::Global,
    error::{CliError, Outcome},
    exit::Exit,
    ui::{self, table::table, term, text},
};

/// Keep keys and credentials, encrypted
///
/// Manifests name them: `key: secret://NAME`, `auth: secret://NAME`. They are used by name, shown to nobody, and sent only
/// where the manifest says. A server uses a changed secret from the next call on.
#[derive(Debug, Args)]
pub(crate) struct Secrets {
    /// Keep them where this stead.toml says; without it in the data folder
    #[arg(long, value_name = "FILE", global = true)]
    config: Option<PathBuf>,
    #[command(subcommand)]
    verb: Verb,
}

#[derive(Debug, Subcommand)]
enum Verb {
    /// Set a secret; its value is asked for, or read from stdin
    ///
    /// A line end after the value is not part of it.
    Set {
        /// Its name: letters, digits, `_`, `-` and `.`. A provider's key has the name of its usual variable, such as
        /// OPENAI_API_KEY
        name: String,
        /// Take the value of this environment variable
        #[arg(long, value_name = "VARIABLE", conflicts_with = "from_file")]
        from_env: Option<String>,
        /// Take the content of this file
        #[arg(long, value_name = "FILE")]
        from_file: Option<PathBuf>,
    },
    /// List names, with the source of each and when it was set; never values
    Ls,
    /// Remove a secret
    Rm {
        /// Its name
        name: String,
    },
}

#[derive(Serialize)]
struct Listed<'a> {
    name: &'a str,
    /// `file`, `dir`, `env` or `vault`.
    source: &'static str,
    #[serde(skip_serializing_if = "Option::is_none")]
    set_at: Option<Timestamp>,
    /// Sources after it that have the name too.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    hides: Vec<&'static str>,
}

impl<'a> Listed<'a> {
    fn of(found: &'a Found) -> Self {
        let hides = found.hidden.iter().map(|source| source.as_str()).collect();
        Self { name: &found.name, source: found.source.as_str(), set_at: found.set_at, hides }
    }
}

pub(crate) async fn run(global: &Global, args: Secrets) -> Outcome {
    let sources = opened(global, args.config)?;
    let file = &sources.file;
    match args.verb {
        Verb::Set { name, from_env, from_file } => {
            // Before anybody types a value that would be for nothing.
            if !rules::is_name(&name) {
                let message = "a secret's name has letters, digits, `_`, `-` and `.`, a letter or `_` first";
                return Err(CliError::new(code::SECRET_VALUE, message));
            }
            let value = match (from_env, from_file) {
                (Some(variable), _) => of_variable(&variable)?,
                (None, Some(path)) => read(File::open(&path).map_err(|e| unread(&path.display().to_string(), &e))?)?,
                (None, None) if term::can_ask() => asked(&name)?,
                (None, None) => read(io::stdin().lock())?,
            };
            set(global, file, &name, &value)
        }
        Verb::Ls => ls(global, &sources).await,
        Verb::Rm { name } => rm(global, file, &name),
    }
}

/// The sources that the data folder, or a server's configuration, means.
pub(super) fn opened(global: &Global, config: Option<PathBuf>) -> Outcome<Sources> {
    let found = match config {
        Some(path) => {
            let config = Config::load(&path).map_err(ServeError::from)?;
            sources(&config.data_dir, &config.secrets)
        }
        None => sources(&global.data, &config::Secrets::default()),
    };
    Ok(found?)
}

fn set(global: &Global, file: &SecretsFile, name: &str, value: &Secret) -> Outcome {
    let made = match &file.place().key {
        KeySource::File(path) if !path.exists() => Some(path.clone()),
        _ => None,
    };
    let replaced = file.set(name, value, text::now())?;
    if !global.quiet && value.expose().trim().len() < SHORTEST_SEARCHED {
        ui::say(&format!(
            "{name} has fewer than {SHORTEST_SEARCHED} bytes: where a service sends it back, it is not blotted out"
        ));
    }
    if global.json {
        ui::json(&serde_json::json!({ "name": name, "replaced": replaced }))?;
    } else if !global.quiet {
        ui::say(&format!("{name} {}", if replaced { "changed" } else { "set" }));
        if let Some(path) = made {
            ui::say(&format!("made the key {}: keep a copy of it elsewhere, nothing opens without it", path.display()));
        }
    }
    Ok(Exit::Ok)
}

async fn ls(global: &Global, sources: &Sources) -> Outcome {
    let listed = sources.list().await?;
    if global.json {
        let items: Vec<_> = listed.iter().map(Listed::of).collect();
        ui::json(&serde_json::json!({ "items": items }))?;
    } else if listed.is_empty() {
        ui::say("no secrets");
    } else if listed.iter().all(|found| found.source == Source::File) {
        let rows: Vec<_> =
            listed.into_iter().map(|f| [f.name, f.set_at.map_or_else(String::new, text::instant)]).collect();
        ui::text(&table(["NAME", "SET"], &rows))?;
    } else {
        let row = |found: Found| {
            let hidden: Vec<_> = found.hidden.iter().map(|source| source.as_str()).collect();
            let hides = if hidden.is_empty() { "-".to_owned() } else { hidden.join(", ") };
            let set = found.set_at.map_or_else(|| "-".to_owned(), text::instant);
            [found.name, found.source.as_str().to_owned(), set, hides]
        };
        let rows: Vec<_> = listed.into_iter().map(row).collect();
        ui::text(&table(["NAME", "FROM", "SET", "HIDES"], &rows))?;
    }
    Ok(Exit::Ok)
}

fn rm(global: &Global, file: &SecretsFile, name: &str) -> Outcome {
    if !file.remove(name)? {
        return Err(CliError::new(code::SECRET_MISSING, format!("there is no secret `{name}`")));
    }
    if global.json {
        ui::json(&serde_json::json!({ "name": name, "removed": true }))?;
    } else if !global.quiet {
        ui::say(&format!("{name} removed"));
    }
    Ok(Exit::Ok)
}

/// Asks the person at the terminal, who does not see what is typed.
fn asked(name: &str) -> Outcome<Secret> {
    let typed = rpassword::prompt_password(format!("value of {name} (not shown): "))?;
    Ok(Secret::new(typed))
}

fn of_variable(name: &str) -> Outcome<Secret> {
    let missing =
        |_| CliError::new(code::SECRET_VALUE, format!("the environment variable {name} is not set, or no text"));
    std::env::var(name).map(Secret::new).map_err(missing)
}

/// Reads a value, bounded; the bytes of what is refused are overwritten as those of a secret are.
fn read(from: impl Read) -> Outcome<Secret> {
    let mut text = String::with_capacity(rules::MAX_VALUE + 4);
    let read = from.take(rules::MAX_VALUE as u64 + 3).read_to_string(&mut text);
    let end = text.strip_suffix('\n').map_or(text.len(), |t| t.strip_suffix('\r').unwrap_or(t).len());
    text.truncate(end);
    let secret = Secret::new(text);
    match read {
        Ok(_) => Ok(secret),
        Err(e) if e.kind() == io::ErrorKind::InvalidData => {
            Err(CliError::new(code::SECRET_VALUE, "the value is not text in UTF-8"))
        }
        Err(e) => Err(unread("the value", &e)),
    }
}

fn unread(what: &str, e: &io::Error) -> CliError {
    CliError::new(code::SECRET_VALUE, format!("{what} cannot be read: {e}"))
}

impl From<SecretError> for CliError {
    fn from(e: SecretError) -> Self {
        Self::new(e.code, e.detail)
    }
}

#[cfg(test)]
mod tests {
    #![expect(clippy::unwrap_used, reason = "tests")]
    use super::*;

    #[test]
    fn one_line_end_is_not_part_of_a_value() {
        for (text, value) in [("k\n", "k"), ("k\r\n", "k"), ("k\n\n", "k\n"), ("k", "k"), ("a\nb\n", "a\nb")] {
            assert_eq!(read(text.as_bytes()).unwrap().expose(), value);
        }
        assert_eq!(read(&b"\xff"[..]).unwrap_err().code(), Some(code::SECRET_VALUE));
        assert!(read(io::repeat(b'x')).unwrap().expose().len() > rules::MAX_VALUE);
    }
}
