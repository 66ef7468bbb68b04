//! A server, however it is reached: a program that is started, or a URL.

use std::time::Duration;

use super::{process::Launch, remote::Remote};
use crate::secret::Secret;

/// How to come by a session.
pub(super) enum Server {
    /// By starting it.
    Program(Launch),
    /// By its URL.
    Url(Remote),
}

impl Server {
    /// What messages call it.
    pub(super) fn name(&self) -> String {
        match self {
            Self::Program(launch) => launch.name(),
            Self::Url(remote) => remote.name(),
        }
    }

    /// How long its handshake, and each list of its tools, may take.
    pub(super) fn patience(&self) -> Duration {
        match self {
            Self::Program(launch) => launch.start_timeout,
            Self::Url(remote) => remote.start_timeout,
        }
    }

    /// What is blotted out of whatever it says.
    pub(super) fn secrets(&self) -> Vec<Secret> {
        match self {
            Self::Program(launch) => launch.secrets(),
            Self::Url(remote) => remote.secrets(),
        }
    }
}
