//! Reading `stead.toml`: places of errors, nearest keys, and what must hold between keys.

use std::{
    collections::BTreeMap,
    fmt, fs,
    io::{self, Read as _},
    ops::Range,
    path::{Path, PathBuf},
    time::Duration,
};

use stead_core::code::{self, Code};

use super::{Config, DatabaseUrl, Place, TokenFile};
use crate::secrets::rules::is_name;

/// Bytes of a configuration file that are read; a longer one is refused.
const MAX_FILE: u64 = 1 << 20;

/// A configuration that cannot be used.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub struct ConfigError {
    /// `ST0110`, or `ST0111` for a listener that is refused.
    pub code: Code,
    /// The file.
    pub file: PathBuf,
    /// Line and column in characters, from 1, when a place in the file is meant.
    pub at: Option<(usize, usize)>,
    /// Bytes of the file that are meant; empty when there is no place.
    pub span: Range<usize>,
    /// What is wrong.
    pub message: String,
    /// What to do about it.
    pub hint: Option<String>,
}

impl fmt::Display for ConfigError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}", self.file.display())?;
        if let Some((line, column)) = self.at {
            write!(f, ":{line}:{column}")?;
        }
        write!(f, ": {}: {}", self.code, self.message)?;
        self.hint.iter().try_for_each(|hint| write!(f, "\n  hint: {hint}"))
    }
}

impl ConfigError {
    pub(crate) fn new(code: Code, file: &Path, message: impl Into<String>) -> Self {
        Self { code, file: file.into(), at: None, span: 0..0, message: message.into(), hint: None }
    }

    pub(crate) fn hint(mut self, hint: impl Into<String>) -> Self {
        self.hint = Some(hint.into());
        self
    }

    /// An error of the TOML reader, with its place and, for an unknown key, the nearest one.
    fn toml(error: &toml::de::Error, text: &str, file: &Path) -> Self {
        let mut out = Self::new(code::CONFIG, file, first_line(error.message()));
        if let Some(span) = error.span() {
            out.at = Some(place(text, span.start));
            out.span = span;
        }
        out.hint = nearest(error.message());
        out
    }
}

impl Config {
    /// Reads a configuration; relative paths in it start at `file`'s folder.
    ///
    /// # Errors
    /// [`ConfigError`] with the place of the first error.
    pub fn parse(text: &str, file: &Path) -> Result<Self, ConfigError> {
        let mut config: Self = toml::from_str(text).map_err(|e| ConfigError::toml(&e, text, file))?;
        let base = file.parent().unwrap_or(Path::new(""));
        let absolute = |path: &mut PathBuf| *path = base.join(&*path);
        absolute(&mut config.data_dir);
        config.encrypt.iter_mut().for_each(|encrypt| encrypt.based(base));
        if let Some(tls) = &mut config.tls {
            absolute(&mut tls.cert);
            absolute(&mut tls.key);
        }
        config.auth.tokens_file.iter_mut().for_each(absolute);
        config.auth.oidc.iter_mut().filter_map(|oidc| oidc.ca.as_mut()).for_each(absolute);
        config.secrets.based(base);
        config.audit.based(base);
        config.telemetry.based(base);
        config.approvals.notices.iter_mut().filter_map(|notice| notice.ca.as_mut()).for_each(absolute);
        config.sandbox.roots.values_mut().for_each(absolute);
        // Without a slash at the end, or two in the middle.
        config.sandbox.mounts.iter_mut().for_each(|path| *path = path.components().collect());
        config.sandboxes.templates.values_mut().filter_map(|t| t.root.as_mut()).for_each(absolute);
        config.check(file)?;
        Ok(config)
    }

    /// Reads the file, and the tokens file that it names; looks whether the folders are there that sandboxes need. `STEAD_DATABASE` in the
    /// environment replaces `database`.
    ///
    /// # Errors
    /// [`ConfigError`] when a file cannot be read or is wrong, or a folder is not there.
    pub fn load(file: &Path) -> Result<Self, ConfigError> {
        let mut config = Self::parse(&read(file)?, file)?;
        if let Some(path) = config.auth.tokens_file.clone() {
            let text = read(&path)?;
            let more: TokenFile = toml::from_str(&text).map_err(|e| ConfigError::toml(&e, &text, &path))?;
            config.auth.tokens.extend(more.tokens);
        }
        if let Ok(url) = std::env::var("STEAD_DATABASE") {
            let url = DatabaseUrl::new(&url);
            let wrong = || ConfigError::new(code::CONFIG, file, "STEAD_DATABASE must begin with `postgres://`");
            config.database = Some(url.ok_or_else(wrong)?);
        }
        config.check(file)?;
        if let Some((message, hint)) = config.sandbox.missing().or_else(|| config.sandboxes.missing()) {
            return Err(ConfigError::new(code::CONFIG, file, message).hint(hint));
        }
        Ok(config)
    }

    /// What must hold between keys; also for a configuration that was made in code.
    ///
    /// # Errors
    /// [`ConfigError`] naming `file`.
    pub fn check(&self, file: &Path) -> Result<(), ConfigError> {
        if !self.listen.ip().is_loopback() && self.tls.is_none() && !self.behind_proxy {
            return Err(ConfigError::new(
                code::CONFIG_LISTEN,
                file,
                format!("refusing to listen on {} without TLS: tokens would travel in the clear", self.listen),
            )
            .hint("set `tls.cert` and `tls.key`, or `behind_proxy = true` when a proxy in front does TLS"));
        }
        let at_least_one = [
            ("limits.json_depth", self.limits.json_depth),
            ("limits.requests", self.limits.requests),
            ("limits.followers", self.limits.followers),
            ("limits.connections", self.limits.connections),
            ("limits.body", self.limits.body.0),
            ("limits.bundle", self.limits.bundle.0),
            ("limits.attachments", self.limits.attachments.0),
            ("engine.max_active", self.engine.max_active),
            ("engine.max_model_calls", self.engine.max_model_calls),
            ("engine.max_tool_calls", self.engine.max_tool_calls),
            ("engine.max_backlog", self.engine.max_backlog),
            ("engine.max_session_queue", self.engine.max_session_queue as usize),
            ("engine.max_hops", self.engine.max_hops.into()),
        ];
        if let Some((key, _)) = at_least_one.iter().find(|(_, n)| *n == 0) {
            return Err(ConfigError::new(code::CONFIG, file, format!("`{key}` must be at least 1")));
        }
        // The reader of JSON gives up at 128 levels by itself; a bound above it would not be the one that counts.
        if self.limits.json_depth > 100 {
            return Err(ConfigError::new(code::CONFIG, file, "`limits.json_depth` can be at most 100"));
        }
        if self.limits.request_timeout.0.is_zero() || self.limits.follower_timeout.0.is_zero() {
            return Err(ConfigError::new(code::CONFIG, file, "a time-out must be longer than 0"));
        }
        for (key, names) in [("agents.env", &self.agents.env), ("sandbox.env", &self.sandbox.env)] {
            if let Some(name) = names.iter().find(|name| !names_variable(name)) {
                return Err(ConfigError::new(code::CONFIG, file, format!("`{key}`: {name:?} names no variable")));
            }
        }
        if let Some(name) = self.agents.secrets.iter().find(|name| !is_name(name)) {
            return Err(ConfigError::new(code::CONFIG, file, format!("`agents.secrets`: {name:?} names no secret")));
        }
        let identity = &self.identity;
        if stead_identity::workload::TrustDomain::new(&identity.trust_domain).is_none() {
            let wrong = "`identity.trust_domain` must be 1 to 255 of `a-z`, `0-9`, `.`, `-` and `_`";
            return Err(ConfigError::new(code::CONFIG, file, wrong));
        }
        if identity.issuer.as_deref().is_some_and(|url| !super::is_provider_url(url)) {
            let wrong = "`identity.issuer` must be an `https` URL without a query or a fragment";
            return Err(ConfigError::new(code::CONFIG, file, wrong));
        }
        let (least, most) = (Duration::from_secs(1), Duration::from_secs(90 * 86_400));
        if !(least..=most).contains(&identity.delegation.0) {
            let wrong = "`identity.delegation` must be from `1s` to `90d`";
            return Err(ConfigError::new(code::CONFIG, file, wrong));
        }
        if let Some((message, hint)) = super::delegation::wrong(&identity.audiences, identity.exchange.as_deref()) {
            return Err(ConfigError::new(code::CONFIG, file, message).hint(hint));
        }
        if let Some((message, hint)) = self.auth.oidc.as_ref().and_then(|oidc| oidc.wrong()) {
            return Err(ConfigError::new(code::CONFIG, file, message).hint(hint));
        }
        if let Some((message, hint)) = self.secrets.wrong() {
            return Err(ConfigError::new(code::CONFIG, file, message).hint(hint));
        }
        if let Some(message) = self.sandbox.wrong() {
            return Err(ConfigError::new(code::CONFIG, file, message));
        }
        if let Some((message, hint)) = super::providers::wrong(&self.providers) {
            return Err(ConfigError::new(code::CONFIG, file, message).hint(hint));
        }
        if let Some(wrong) = self.sandboxes.wrong(&self.sandbox.tiers) {
            return Err(ConfigError::new(code::CONFIG, file, wrong));
        }
        if let Some(wrong) = super::budgets::wrong(&self.budgets) {
            return Err(ConfigError::new(code::CONFIG, file, wrong));
        }
        if let Some(wrong) = self.audit.wrong() {
            return Err(ConfigError::new(code::CONFIG, file, wrong));
        }
        if let Err((message, hint)) = Place::of(self, 0) {
            return Err(ConfigError::new(code::CONFIG, file, message).hint(hint));
        }
        if let Some(wrong) = self.approvals.wrong() {
            return Err(ConfigError::new(code::CONFIG, file, wrong));
        }
        if let Some(wrong) = self.telemetry.wrong() {
            return Err(ConfigError::new(code::CONFIG, file, wrong));
        }
        self.check_tokens(file)
    }

    fn check_tokens(&self, file: &Path) -> Result<(), ConfigError> {
        let mut holders = BTreeMap::new();
        for token in &self.auth.tokens {
            if let Some(wrong) = token.wrong() {
                return Err(ConfigError::new(code::CONFIG, file, wrong));
            }
            // Which of two entries counts must not depend on their order.
            if let Some(other) = holders.insert(token.digest(), &token.subject) {
                let twice = format!("`{other}` and `{}` have the same token", token.subject);
                return Err(ConfigError::new(code::CONFIG, file, twice).hint("give each its own"));
            }
        }
        Ok(())
    }
}

/// Whether a word can name an environment variable: as manifests may write it.
pub(super) fn names_variable(word: &str) -> bool {
    let head = word.bytes().next().is_some_and(|b| b.is_ascii_alphabetic() || b == b'_');
    head && word.len() <= 128 && word.bytes().all(|b| b.is_ascii_alphanumeric() || b == b'_')
}

fn read(file: &Path) -> Result<String, ConfigError> {
    let say = |e: io::Error| ConfigError::new(code::CONFIG, file, format!("cannot be read: {e}"));
    let mut text = String::new();
    fs::File::open(file).map_err(say)?.take(MAX_FILE + 1).read_to_string(&mut text).map_err(say)?;
    if text.len() as u64 > MAX_FILE {
        return Err(ConfigError::new(code::CONFIG, file, format!("is longer than {MAX_FILE} bytes")));
    }
    Ok(text)
}

fn first_line(message: &str) -> &str {
    message.lines().next().unwrap_or_default()
}

/// Line and column in characters, from 1, of byte `at`.
fn place(text: &str, at: usize) -> (usize, usize) {
    let before = text.get(..at).unwrap_or(text);
    let line = before.matches('\n').count() + 1;
    let column = before.rsplit('\n').next().unwrap_or_default().chars().count() + 1;
    (line, column)
}

/// For ``unknown field `lisen`, expected one of `listen`, `tls` ``: the nearest of the expected ones.
fn nearest(message: &str) -> Option<String> {
    let rest = message.strip_prefix("unknown field ").or_else(|| message.strip_prefix("unknown variant "))?;
    let mut words = rest.split('`').skip(1).step_by(2);
    let unknown = words.next()?;
    words
        .map(|word| (strsim::jaro_winkler(unknown, word), word))
        .filter(|(score, _)| *score >= 0.75)
        .max_by(|a, b| a.0.total_cmp(&b.0))
        .map(|(_, word)| format!("did you mean `{word}`?"))
}

#[cfg(test)]
mod tests {
    #![expect(clippy::unwrap_used, reason = "tests")]
    use super::*;

    fn parse(text: &str) -> Result<Config, ConfigError> {
        Config::parse(text, Path::new("/etc/stead/stead.toml"))
    }

    #[test]
    fn an_unknown_key_is_an_error_with_place_and_nearest_key() {
        let error = parse("data_dir = \"d\"\n[limits]\n  bodi = 7\n").unwrap_err();
        assert_eq!(error.to_string().lines().collect::<Vec<_>>()[1], "  hint: did you mean `body`?", "{error}");
        assert_eq!(error.at, Some((3, 3)));
        assert_eq!(error.code, code::CONFIG);
        assert!(error.to_string().starts_with("/etc/stead/stead.toml:3:3: ST0110: unknown field `bodi`"), "{error}");
    }

    #[test]
    fn a_wrong_value_is_an_error_with_place() {
        let error = parse("drain_timeout = \"soon\"").unwrap_err();
        assert_eq!(error.at, Some((1, 17)));
        assert!(error.message.contains("a duration such as"), "{error}");
        assert!(parse("listen = 7").unwrap_err().at.is_some());
        assert_eq!(parse("a = \n").unwrap_err().at.unwrap().0, 1);
        assert!(parse("[limits]\nrequests = 0").unwrap_err().message.contains("limits.requests"));
    }

    #[test]
    fn listening_off_loopback_needs_tls_or_a_declared_proxy() {
        for open in ["0.0.0.0:1", "[::]:1", "10.0.0.1:1"] {
            let error = parse(&format!("listen = \"{open}\"")).unwrap_err();
            assert_eq!(error.code, code::CONFIG_LISTEN);
            assert!(parse(&format!("listen = \"{open}\"\nbehind_proxy = true")).is_ok());
            assert!(parse(&format!("listen = \"{open}\"\n[tls]\ncert = \"c\"\nkey = \"k\"")).is_ok());
        }
        for own in ["127.0.0.1:1", "127.8.8.8:1", "[::1]:1"] {
            assert!(parse(&format!("listen = \"{own}\"")).is_ok());
        }
    }

    #[test]
    fn relative_paths_start_at_the_file() {
        let config = parse("data_dir = \"data\"\n[tls]\ncert = \"c.pem\"\nkey = \"/k.pem\"").unwrap();
        assert_eq!(config.data_dir, Path::new("/etc/stead/data"));
        assert_eq!(config.tls.as_ref().map(|t| t.cert.as_path()), Some(Path::new("/etc/stead/c.pem")));
        assert_eq!(config.tls.map(|t| t.key), Some("/k.pem".into()));
    }

    #[test]
    fn tokens_come_from_the_file_and_from_the_one_it_names() {
        let dir = tempfile::tempdir().unwrap();
        let hash = "ab".repeat(32);
        let main =
            format!("[auth]\ntokens_file = \"t.toml\"\n[[auth.tokens]]\nsubject = \"ann\"\nsha256 = \"{hash}\"\n");
        let file = dir.path().join("stead.toml");
        fs::write(&file, main).unwrap();
        assert!(Config::load(&file).unwrap_err().to_string().contains("t.toml: ST0110: cannot be read"));
        let more = format!("[[tokens]]\nsubject = \"bob\"\ntenant = \"acme\"\nsha256 = \"{}\"\n", "cd".repeat(32));
        fs::write(dir.path().join("t.toml"), &more).unwrap();
        let tokens = Config::load(&file).unwrap().auth.tokens;
        let who: Vec<_> = tokens.iter().map(|t| (t.subject.as_str(), t.tenant.as_str())).collect();
        assert_eq!(who, [("ann", "default"), ("bob", "acme")]);
        fs::write(dir.path().join("t.toml"), more.replace("cd", "ab")).unwrap();
        assert!(Config::load(&file).unwrap_err().message.contains("`ann` and `bob` have the same token"));
        for (what, wrong) in [("\"bob\"", "\"\""), ("\"bob\"", "\"b\\u0007\"")] {
            fs::write(dir.path().join("t.toml"), more.replace(what, wrong)).unwrap();
            assert!(Config::load(&file).unwrap_err().message.contains("cannot name a subject"));
        }
        fs::write(dir.path().join("t.toml"), format!("{more}rights = [\"aply\"]\n")).unwrap();
        assert_eq!(Config::load(&file).unwrap_err().hint.as_deref(), Some("did you mean `apply`?"));
        fs::write(dir.path().join("t.toml"), more.replace("acme", "../up")).unwrap();
        let error = Config::load(&file).unwrap_err();
        assert!(error.message.contains("cannot name a tenant") && error.at.is_some(), "{error}");
    }

    #[test]
    fn a_database_and_the_names_of_variables_are_checked() {
        let error = parse("database = \"mysql://u:hunter2@h/d\"").unwrap_err();
        assert!(error.at.is_some() && !error.to_string().contains("hunter2"), "{error}");
        assert!(parse("database = \"postgres://h/d\"").unwrap().database.is_some());
        assert!(parse("[agents]\nenv = [\"OPENAI_API_KEY\"]").unwrap().agents.env.contains("OPENAI_API_KEY"));
        let allowed = parse("[agents]\naddresses = [\"169.254.10.1\"]").unwrap().agents.addresses;
        assert!(allowed.contains(&"169.254.10.1".parse().unwrap()));
        assert!(parse("[agents]\naddresses = [\"metadata.example\"]").is_err());
        for bad in ["", "A B", "A=B", "1A", "*", "env://A"] {
            for table in ["agents", "sandbox"] {
                assert!(parse(&format!("[{table}]\nenv = [\"{bad}\"]")).is_err(), "{table}: {bad}");
            }
        }
    }

    #[test]
    fn limits_are_those_of_providers_that_there_are() {
        let text = "[providers.openai]\nconcurrent = 8\n[providers.\"gpu.lan:8000\"]\nrequests_per_minute = 60";
        let options = parse(text).unwrap().engine_options("h");
        assert_eq!(options.providers["openai"].concurrent, Some(8));
        assert_eq!(options.providers["gpu.lan:8000"].requests_per_minute, Some(60));
        for (wrong, hint) in [
            ("[providers.opnai]", "docs/providers.md"),
            ("[providers.openai-responses]", "write `[providers.openai]`"),
            ("[providers.openai]\nconcurrent = 0", "leave the key out"),
            ("[providers.openai]\nrequests_per_minut = 1", "requests_per_minute"),
        ] {
            let error = parse(wrong).unwrap_err();
            assert!(error.hint.as_deref().is_some_and(|h| h.contains(hint)), "{wrong}: {error}");
        }
    }

    #[test]
    fn the_schema_names_every_key_and_refuses_others() {
        let schema = super::super::schema();
        assert_eq!(schema["additionalProperties"], false);
        for key in [
            "listen",
            "data_dir",
            "database",
            "encrypt",
            "behind_proxy",
            "tls",
            "auth",
            "agents",
            "limits",
            "engine",
            "drain_timeout",
            "providers",
        ] {
            assert!(schema["properties"][key].is_object(), "{key}");
        }
    }
}
