//! What logins came to: a file of this user's, readable by nobody else, with a token for each server. A token that is about to end is
//! replaced by another one as long as the identity provider gives one.

use std::{
    collections::BTreeMap,
    fs, io,
    io::{Read as _, Write as _},
    os::unix::fs::{DirBuilderExt as _, OpenOptionsExt as _, PermissionsExt as _},
    path::{Path, PathBuf},
    time::{SystemTime, UNIX_EPOCH},
};

use serde::{Deserialize, Serialize};
use stead_api::login::Login;
use stead_client::login::{Provider, Tokens};
use stead_core::code;

use crate::error::{CliError, Outcome};

/// Bytes of the file that are read.
const MAX_FILE: u64 = 1 << 20;
/// How many seconds before its end a token is replaced.
const EARLY: u64 = 30;

/// What a login came to.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub(crate) struct Entry {
    pub(crate) login: Login,
    pub(crate) tokens: Tokens,
}

/// By server.
type All = BTreeMap<String, Entry>;

/// One name for each server, however its URL is written.
fn name(url: &str) -> String {
    url.trim_end_matches('/').to_owned()
}

fn path() -> Outcome<PathBuf> {
    let of = |variable: &str| std::env::var_os(variable).filter(|v| !v.is_empty()).map(PathBuf::from);
    let base = of("XDG_CONFIG_HOME").or_else(|| of("HOME").map(|home| home.join(".config")));
    let base = base.ok_or_else(|| CliError::new(code::LOGIN, "neither HOME nor XDG_CONFIG_HOME is set"))?;
    Ok(base.join("stead").join("credentials.json"))
}

fn trouble(path: &Path) -> impl Fn(io::Error) -> CliError + '_ {
    move |e| CliError::new(code::LOGIN, format!("{}: {e}", path.display()))
}

fn read(path: &Path) -> Outcome<All> {
    let file = match fs::File::open(path) {
        Ok(file) => file,
        Err(e) if e.kind() == io::ErrorKind::NotFound => return Ok(All::new()),
        Err(e) => return Err(trouble(path)(e)),
    };
    let failed = trouble(path);
    if file.metadata().map_err(&failed)?.permissions().mode() & 0o077 != 0 {
        file.set_permissions(fs::Permissions::from_mode(0o600)).map_err(&failed)?;
    }
    let mut text = String::new();
    file.take(MAX_FILE).read_to_string(&mut text).map_err(&failed)?;
    serde_json::from_str(&text).map_err(|e| {
        CliError::new(code::LOGIN, format!("{} cannot be read: {e}", path.display())).hint("remove it and log in again")
    })
}

fn write(path: &Path, all: &All) -> Outcome<()> {
    let failed = trouble(path);
    if let Some(folder) = path.parent() {
        fs::DirBuilder::new().recursive(true).mode(0o700).create(folder).map_err(&failed)?;
    }
    let draft = path.with_extension(format!("{}.new", std::process::id()));
    let file = fs::OpenOptions::new().write(true).create(true).truncate(true).mode(0o600).open(&draft);
    let mut file = file.map_err(&failed)?;
    file.write_all(serde_json::to_string_pretty(all)?.as_bytes()).map_err(&failed)?;
    file.sync_all().map_err(&failed)?;
    fs::rename(&draft, path).map_err(&failed)
}

/// Keeps what a login at a server came to.
pub(crate) fn keep(url: &str, entry: Entry) -> Outcome<()> {
    let path = path()?;
    let mut all = read(&path)?;
    all.insert(name(url), entry);
    write(&path, &all)
}

/// Forgets the login at a server and tells what it was.
pub(crate) fn forget(url: &str) -> Outcome<Option<Entry>> {
    let path = path()?;
    let mut all = read(&path)?;
    let entry = all.remove(&name(url));
    if entry.is_some() {
        write(&path, &all)?;
    }
    Ok(entry)
}

/// The token for a server, if somebody is logged in there.
pub(crate) async fn of(url: &str) -> Outcome<Option<String>> {
    // Who has no home has never logged in.
    let Ok(path) = path() else { return Ok(None) };
    let Some(Entry { login, tokens }) = read(&path)?.remove(&name(url)) else { return Ok(None) };
    let now = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default().as_secs();
    if now.saturating_add(EARLY) < tokens.expires {
        return Ok(Some(tokens.bearer));
    }
    let over = || CliError::new(code::LOGIN, format!("the login at {url} is over")).hint("log in again: `stead login`");
    let refresh = tokens.refresh.as_deref().ok_or_else(over)?;
    let provider = Provider::discover(login.clone()).await?;
    let tokens = provider.refresh(refresh).await.map_err(|_| over())?;
    let bearer = tokens.bearer.clone();
    keep(url, Entry { login, tokens })?;
    Ok(Some(bearer))
}
