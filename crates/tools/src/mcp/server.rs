//! A server, however it is reached: a program that is started, or a URL.

use std::time::Duration;

use stead_core::sandbox::BoxUse;

use super::{
    host::{Held, Hosted},
    process::{Launch, Process},
    remote::Remote,
};
use crate::{config::McpProtocol, secret::Secret};

/// How to come by a session.
pub(super) enum Server {
    /// By starting it as this process's user.
    Program(Launch),
    /// By having it started somewhere else.
    Hosted(Hosted),
    /// By its URL.
    Url(Remote),
}

impl Server {
    /// What messages call it.
    pub(super) fn name(&self) -> String {
        match self {
            Self::Program(launch) => launch.name(),
            Self::Hosted(hosted) => hosted.name.clone(),
            Self::Url(remote) => remote.name(),
        }
    }

    /// How long its handshake, and each list of its tools, may take.
    pub(super) fn patience(&self) -> Duration {
        match self {
            Self::Program(launch) => launch.start_timeout,
            Self::Hosted(hosted) => hosted.start_timeout,
            Self::Url(remote) => remote.start_timeout,
        }
    }

    /// The revision of the protocol that is spoken with it.
    pub(super) fn protocol(&self) -> McpProtocol {
        match self {
            Self::Url(remote) => remote.protocol,
            Self::Program(_) | Self::Hosted(_) => McpProtocol::Any,
        }
    }

    /// What is blotted out of whatever it says.
    pub(super) fn secrets(&self) -> Vec<Secret> {
        match self {
            Self::Program(launch) => launch.secrets(),
            Self::Hosted(hosted) => hosted.secrets.clone(),
            Self::Url(remote) => remote.secrets(),
        }
    }
}

/// What is held of a server that was started.
pub(super) enum Program {
    /// A process of this process's user.
    Process(Process),
    /// Something elsewhere.
    Hosted(Held),
}

impl Program {
    /// The end of what it wrote to its standard error; of one elsewhere, once it has ended.
    pub(super) fn stderr(&self) -> String {
        match self {
            Self::Process(process) => process.stderr(),
            Self::Hosted(held) => held.last_words(),
        }
    }

    /// What its box has used since this was asked last; see [`super::Life::used`]. A process of this process's user is not counted.
    pub(super) async fn used(&self, wall: Duration) -> Option<BoxUse> {
        match self {
            Self::Process(_) => None,
            Self::Hosted(held) => held.used(wall).await,
        }
    }

    /// Kills all of it now.
    pub(super) fn kill(&self) {
        match self {
            Self::Process(process) => process.kill(),
            Self::Hosted(held) => held.kill(),
        }
    }

    /// Waits, but not long, for its last words.
    pub(super) async fn silence(&self) {
        match self {
            Self::Process(process) => process.silence().await,
            Self::Hosted(held) => held.silence().await,
        }
    }

    /// Waits for it to end by itself, now that its input is closed, and then kills what is left.
    pub(super) async fn finish(self) {
        match self {
            Self::Process(process) => process.finish().await,
            Self::Hosted(held) => {
                held.silence().await;
                held.kill();
            }
        }
    }
}
