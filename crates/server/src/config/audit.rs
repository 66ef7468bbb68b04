//! `[audit]` of `stead.toml`: what the audit log is called, where its checkpoints are published, and which witnesses sign them.

use std::{
    path::{Path, PathBuf},
    time::Duration,
};

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use stead_audit::{
    key::{Role, VerifierKey},
    origin::MAX_BASE,
};

use super::units::Time;

/// Places and witnesses, each.
const MOST: usize = 16;
/// Shortest time between two publications.
const OFTEN: Duration = Duration::from_secs(1);

/// The audit log.
#[derive(Clone, Debug, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields, default)]
#[schemars(rename = "Audit")]
pub struct Audit {
    /// What the logs of this server are called, as `audit.example.com`: each log's name begins with it. To be set before the first start,
    /// and not changed after; without it the name is `stead-` and digits that are drawn with the key.
    #[schemars(regex(pattern = "^[A-Za-z0-9._-]+(/[A-Za-z0-9._-]+)*$"))]
    pub name: Option<String>,
    /// How often checkpoints that are new are published.
    pub every: Time,
    /// Where checkpoints are published: places that whoever has this server cannot change.
    pub publish: Vec<PublishTo>,
    /// Witnesses that are asked to sign checkpoints (C2SP tlog-witness).
    pub witnesses: Vec<Witness>,
}

/// A place for checkpoints: one of `folder`, `webhook` and `git`.
#[derive(Clone, Default, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields, default)]
#[schemars(rename = "PublishTo")]
pub struct PublishTo {
    /// A folder, relative to this file, as on a disk of another machine: for each log the file `checkpoint` is replaced, and `history` gets a line more.
    pub folder: Option<PathBuf>,
    /// An `http` or `https` URL to which each checkpoint is posted as JSON.
    #[serde(skip_serializing)]
    pub webhook: Option<String>,
    /// A folder that is a clone of a git repository, relative to this file: the same files, committed, and pushed when it has a remote.
    pub git: Option<PathBuf>,
}

// A webhook's URL is often a secret.
impl std::fmt::Debug for PublishTo {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("PublishTo").field("folder", &self.folder).field("git", &self.git).finish_non_exhaustive()
    }
}

/// A witness.
#[derive(Clone, Debug, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
#[schemars(rename = "Witness")]
pub struct Witness {
    /// Where it answers: checkpoints are posted to `add-checkpoint` below it.
    pub url: String,
    /// Its key, `NAME+ID+KEY`.
    pub key: String,
}

impl Default for Audit {
    fn default() -> Self {
        Self { name: None, every: Time(Duration::from_secs(10)), publish: Vec::new(), witnesses: Vec::new() }
    }
}

impl Audit {
    pub(super) fn based(&mut self, base: &Path) {
        for place in &mut self.publish {
            place.folder.iter_mut().chain(&mut place.git).for_each(|path| *path = base.join(&*path));
        }
    }

    /// What must hold of it.
    pub(super) fn wrong(&self) -> Option<String> {
        if let Some(name) = self.name.as_deref().filter(|name| !is_name(name)) {
            return Some(format!(
                "`audit.name`: {name:?} is no name: letters, digits, `.`, `-` and `_`, in parts between slashes, at most {MAX_BASE} bytes"
            ));
        }
        if self.every.0 < OFTEN {
            return Some("`audit.every` must be a second or more".into());
        }
        if self.publish.len() > MOST || self.witnesses.len() > MOST {
            return Some(format!("`audit` has at most {MOST} places and as many witnesses"));
        }
        for place in &self.publish {
            let named = [place.folder.is_some(), place.webhook.is_some(), place.git.is_some()];
            if named.into_iter().filter(|named| *named).count() != 1 {
                return Some("a place of `audit.publish` has one of `folder`, `webhook` and `git`".into());
            }
            if place.webhook.as_deref().is_some_and(|url| !is_url(url)) {
                return Some("`audit.publish.webhook` must be an `http` or `https` URL".into());
            }
        }
        self.witnesses.iter().find_map(|witness| match witness.key.parse::<VerifierKey>() {
            Err(e) => Some(format!("`audit.witnesses.key`: {e}")),
            Ok(key) if key.role() != Role::Witness => Some("`audit.witnesses.key`: it is the key of a log".into()),
            Ok(_) if !is_url(&witness.url) => Some("`audit.witnesses.url` must be an `http` or `https` URL".into()),
            Ok(_) => None,
        })
    }
}

/// A name that can be a path of files too.
fn is_name(name: &str) -> bool {
    let plain = |b: u8| b.is_ascii_alphanumeric() || matches!(b, b'.' | b'-' | b'_');
    let part = |part: &str| !matches!(part, "" | "." | "..") && part.bytes().all(plain);
    (1..=MAX_BASE).contains(&name.len()) && name.split('/').all(part)
}

fn is_url(text: &str) -> bool {
    text.parse::<axum::http::Uri>().is_ok_and(|url| {
        matches!(url.scheme_str(), Some("http" | "https")) && url.host().is_some_and(|host| !host.is_empty())
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_log_is_called_what_can_be_a_path_and_a_place_is_one_place() {
        let wrong = |text: &str| toml::from_str::<Audit>(text).map_or(true, |audit| audit.wrong().is_some());
        let witness = "witness.example/w1+6e1a0a9e+AQ";
        for good in ["", "name = \"audit.example.com/one\"", "[[publish]]\nfolder = \"a\"", "every = \"1s\""] {
            assert!(!wrong(good), "{good}");
        }
        for bad in [
            "name = \"a b\"",
            "name = \"../x\"",
            "name = \"/x\"",
            "name = \"\"",
            "every = \"10ms\"",
            "[[publish]]",
            "[[publish]]\nfolder = \"a\"\ngit = \"b\"",
            "[[publish]]\nwebhook = \"ftp://x\"",
            &format!("[[witnesses]]\nurl = \"https://w\"\nkey = \"{witness}\""),
        ] {
            assert!(wrong(bad), "{bad}");
        }
    }
}
