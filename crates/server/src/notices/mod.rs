//! Notices: people are told that they are asked. What is owed is derived from the index of open questions, so nothing is lost with a
//! process; who sends it is settled by compare-and-set, so that of several servers one does. It is sent at least once; what is sent
//! twice has the same id.
//!
//! A notice leads to a question. No notice can answer one: there is no button that approves, in any format.

mod build;
mod error;
mod form;
mod mail;
mod secret;
mod send;
mod worker;

use std::sync::Arc;

use stead_core::id::Name;
use stead_ports::{address::Reach, notices::NoticeStore, secret::Secrets};
use tokio::task::JoinSet;

use crate::{
    config::{self, Notice},
    http::app::Shared,
};

pub(crate) use error::Unsent;
use send::Sender;

/// All notices of a server.
#[derive(Clone)]
pub(crate) struct Notices(Arc<Inner>);

struct Inner {
    senders: Vec<Sender>,
    store: Arc<dyn NoticeStore>,
    /// The URL under which people reach this server.
    url: String,
}

impl Notices {
    pub(crate) fn new(
        told: &[Notice],
        url: String,
        store: Arc<dyn NoticeStore>,
        secrets: &Arc<dyn Secrets>,
        reach: &Reach,
    ) -> Self {
        let senders = told.iter().map(|notice| Sender::new(notice.clone(), secrets.clone(), reach.clone())).collect();
        Self(Arc::new(Inner { senders, store, url }))
    }

    /// Sends what is owed until the server ends.
    pub(crate) async fn keep(&self, app: Shared) {
        let mut tasks = JoinSet::new();
        for n in 0..self.0.senders.len() {
            tasks.spawn(worker::keep(self.clone(), n, app.clone()));
        }
        tasks.join_all().await;
    }

    /// The configured notices.
    pub(crate) fn all(&self) -> impl Iterator<Item = &config::Notice> {
        self.0.senders.iter().map(|sender| &sender.notice)
    }

    /// Sends one that says that it is a test.
    ///
    /// # Errors
    /// `None` when none has that name; why it was not sent.
    pub(crate) async fn test(&self, name: &str, tenant: &Name) -> Result<(), Option<Unsent>> {
        let Some(sender) = self.0.senders.iter().find(|sender| sender.notice.name == name) else { return Err(None) };
        sender.send(&build::test(&self.0.url, tenant)).await.map_err(Some)
    }
}
