//! `SANDBOX:PATH`, as `docker cp` and `kubectl cp` write it.

use std::path::PathBuf;

use stead_core::id::SandboxId;

use crate::error::{CliError, Outcome};

/// Where a file is.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Place {
    /// In a sandbox.
    There(SandboxId, String),
    /// On this machine.
    Here(PathBuf),
    /// stdin or stdout.
    Stream,
}

impl Place {
    /// What a text names. One that begins with the id of a sandbox is in it.
    pub(super) fn read(text: &str) -> Outcome<Self> {
        match text.split_once(':') {
            Some((id, path)) if id.starts_with("sbx_") => there(id, path).map(|(id, path)| Self::There(id, path)),
            _ if text == "-" => Ok(Self::Stream),
            _ => Ok(Self::Here(text.into())),
        }
    }
}

/// A place in a sandbox; without a path its workspace.
pub(super) fn inside(text: &str) -> Outcome<(SandboxId, String)> {
    let (id, path) = text.split_once(':').unwrap_or((text, ""));
    there(id, path)
}

fn there(id: &str, path: &str) -> Outcome<(SandboxId, String)> {
    let id = id.parse().map_err(|e: stead_core::id::BadId| CliError::usage(e.to_string()))?;
    let path = match path {
        "" => "/workspace".to_owned(),
        path if path.starts_with('/') => path.to_owned(),
        path => format!("/workspace/{path}"),
    };
    Ok((id, path))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_place_is_in_a_sandbox_exactly_when_it_says_so() {
        let id = SandboxId(7);
        let read = |text: &str| Place::read(text).ok();
        assert_eq!(read(&format!("{id}:/tmp/x")), Some(Place::There(id, "/tmp/x".into())));
        assert_eq!(read(&format!("{id}:x/y")), Some(Place::There(id, "/workspace/x/y".into())));
        assert_eq!(read("./a:b"), Some(Place::Here("./a:b".into())));
        assert_eq!((read("-"), read("sbx_1:x")), (Some(Place::Stream), None));
        assert_eq!(inside(&id.to_string()).ok(), Some((id, "/workspace".into())));
    }
}
