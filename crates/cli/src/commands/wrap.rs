//! `stead wrap`: an MCP server that is in use already, under journal and approval.

use std::{
    collections::{BTreeMap, BTreeSet},
    ffi::OsString,
    fs::File,
    io,
    os::fd::AsFd,
    path::{Path, PathBuf},
    time::Duration,
};

use clap::Args;
use stead_core::{effect::EffectClass, id::Name};
use stead_server::{
    config::units::Time,
    serve::told_to_stop,
    wrap::{Ask, Ended, WrapError, WrapOptions, wrap},
};
use tokio::io::BufReader;

use crate::{
    cli::Global,
    error::{CliError, Outcome},
    exit::Exit,
};

/// Longest name.
const MAX_NAME: usize = 64;
/// Programs that start the program named by their first argument.
const STARTERS: &[&str] = &["npx", "bunx", "uvx", "pipx", "node", "bun", "deno", "python", "python3", "uv"];

/// Put an MCP server that you use already under journal and approval
///
/// Speaks MCP over stdio in the server's place: in your editor's configuration, `stead` becomes the command, and `wrap --`
/// comes before what was there. Everything passes as it is; each call of a tool is journaled before it reaches the server,
/// checked against the tool's schema, and put before a human where `--ask` says so. `stead approvals` on the same folder
/// answers. After a crash nothing is repeated, and calls of unknown outcome are told. See docs/wrap.md.
#[derive(Debug, Args)]
pub(crate) struct Wrap {
    /// Name of the agent that stands for the server in the journal; without it, made from the command
    #[arg(long, value_parser = name)]
    name: Option<String>,
    /// Which calls a human is asked about: `all`; `none`; `write`, all but those of tools that say that they only read; or
    /// the names of tools, separated by commas
    #[arg(long, value_name = "WHICH", default_value = "all", value_parser = ask)]
    ask: Ask,
    /// What a tool promises about repetition: `TOOL=pure` for one that only reads, `TOOL=irreversible`, which is what every
    /// tool counts as otherwise
    #[arg(long, value_name = "TOOL=CLASS", value_delimiter = ',', value_parser = effect)]
    effects: Vec<(String, EffectClass)>,
    /// How long a call may take once it was sent
    #[arg(long, value_name = "TIME", default_value = "10m", value_parser = time)]
    timeout: Duration,
    /// How long a human is waited for; then the call counts as denied
    #[arg(long, value_name = "TIME", default_value = "1h", value_parser = time)]
    approval_ttl: Duration,
    /// Most calls of one session
    #[arg(long, value_name = "N", default_value_t = 10_000)]
    max_calls: u32,
    /// The MCP server's program and arguments
    #[arg(last = true, required = true, value_name = "MCP_COMMAND")]
    command: Vec<OsString>,
}

pub(crate) async fn run(global: &Global, args: Wrap) -> Outcome {
    let name = args.name.unwrap_or_else(|| named(&args.command));
    let data = if global.data == Path::new(".stead") { usual_place(&name)? } else { global.data.clone() };
    // A server that does not end when its input does would outlive a client that was killed.
    let launcher = ["with-parent".into(), std::process::id().to_string().into(), "--".into()];
    let launcher = std::iter::once(std::env::current_exe()?.into_os_string()).chain(launcher).collect();
    let options = WrapOptions {
        launcher,
        name: Name::from(name),
        command: args.command,
        data,
        ask: args.ask,
        effects: args.effects.into_iter().collect::<BTreeMap<_, _>>(),
        timeout: args.timeout,
        approval_ttl: args.approval_ttl,
        max_calls: args.max_calls,
        program: "stead --data".into(),
    };
    let input = BufReader::with_capacity(64 * 1024, pipe(std::io::stdin())?);
    match wrap(options, input, pipe(std::io::stdout())?, told_to_stop()).await? {
        Ended::Client | Ended::Told => Ok(Exit::Ok),
        Ended::Server => Err(CliError::new(stead_core::code::TOOL_SERVER, "the wrapped MCP server has ended")),
    }
}

/// One of this process's own pipes, read and written beside everything else.
fn pipe(own: impl AsFd) -> io::Result<tokio::fs::File> {
    Ok(tokio::fs::File::from_std(File::from(own.as_fd().try_clone_to_owned()?)))
}

impl From<WrapError> for CliError {
    fn from(e: WrapError) -> Self {
        match e.code() {
            Some(code) => Self::new(code, e.to_string()),
            None => Self::other(e.to_string()),
        }
    }
}

/// Where data of programs is kept (XDG Base Directory Specification).
fn usual_place(name: &str) -> Outcome<PathBuf> {
    let set = |variable| std::env::var_os(variable).map(PathBuf::from).filter(|path| path.is_absolute());
    let data = set("XDG_DATA_HOME").or_else(|| set("HOME").map(|home| home.join(".local/share")));
    let data = data.ok_or_else(|| CliError::usage("there is no HOME").hint("name a folder with --data"))?;
    Ok(data.join("stead/wrap").join(name))
}

/// A name for a command: that of the package or program which is the server.
fn named(command: &[OsString]) -> String {
    let mut words = command.iter().map(|word| word.to_string_lossy());
    let mut name = words.next().unwrap_or_default().into_owned();
    if STARTERS.contains(&base(&name)) {
        name = words.find(|word| !word.starts_with('-')).map_or(name, |word| word.into_owned());
    }
    // A version is no part of it.
    let name = base(&name).split('@').next().unwrap_or_default();
    let fits = |c: char| if c.is_ascii_alphanumeric() { c.to_ascii_lowercase() } else { '-' };
    let name: String = name.chars().map(fits).take(MAX_NAME).collect();
    let name = name.trim_matches('-');
    if name.is_empty() { "wrapped".into() } else { name.into() }
}

fn base(path: &str) -> &str {
    path.rsplit('/').next().unwrap_or(path)
}

fn name(text: &str) -> Result<String, String> {
    let fits = |c: char| c.is_ascii_lowercase() || c.is_ascii_digit() || c == '-';
    if text.is_empty() || text.len() > MAX_NAME || !text.chars().all(fits) || text.starts_with('-') {
        return Err(format!("a name has 1 to {MAX_NAME} of a-z, 0-9 and `-`, which is not the first"));
    }
    Ok(text.into())
}

fn ask(text: &str) -> Result<Ask, String> {
    match text {
        "all" => Ok(Ask::All),
        "none" => Ok(Ask::None),
        "write" => Ok(Ask::Write),
        names => {
            let names: BTreeSet<String> = names.split(',').map(|name| name.trim().to_owned()).collect();
            if names.contains("") { Err("a tool's name is missing".into()) } else { Ok(Ask::Tools(names)) }
        }
    }
}

fn effect(text: &str) -> Result<(String, EffectClass), String> {
    match text.split_once('=') {
        Some((tool, "pure")) if !tool.is_empty() => Ok((tool.into(), EffectClass::Pure)),
        Some((tool, "irreversible")) if !tool.is_empty() => Ok((tool.into(), EffectClass::Irreversible)),
        _ => {
            Err("write TOOL=pure or TOOL=irreversible; MCP has no keys and no way to ask whether a call happened"
                .into())
        }
    }
}

fn time(text: &str) -> Result<Duration, String> {
    Time::parse(text)
        .map(|time| time.0)
        .filter(|t| !t.is_zero())
        .ok_or_else(|| "write a time such as 30s, 10m or 1h".into())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_command_has_the_name_of_its_server() {
        let of = |line: &str| named(&line.split(' ').map(OsString::from).collect::<Vec<_>>());
        assert_eq!(of("npx -y @modelcontextprotocol/server-filesystem@1.2 ."), "server-filesystem");
        assert_eq!(of("uvx mcp-server-git --repository x"), "mcp-server-git");
        assert_eq!(of("/usr/bin/python3 -u ./My_Server.py"), "my-server-py");
        assert_eq!(of("./node_modules/.bin/mcp-server-filesystem files"), "mcp-server-filesystem");
        assert_eq!(of("???"), "wrapped");
    }

    #[test]
    fn classes_that_mcp_cannot_keep_are_refused() {
        assert_eq!(effect("read=pure"), Ok(("read".into(), EffectClass::Pure)));
        for wrong in ["read=keyed", "read", "=pure", "read=compensable"] {
            assert!(effect(wrong).is_err(), "{wrong}");
        }
        assert_eq!(ask("a, b"), Ok(Ask::Tools(["a".to_owned(), "b".to_owned()].into())));
        assert!(ask("a,,b").is_err() && name("-a").is_err() && name("a/b").is_err() && time("0s").is_err());
    }
}
