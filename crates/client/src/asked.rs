//! Following what happens to a tenant's approvals; a lost connection is taken up after the last event seen.

use stead_api::approval::{ApprovalEvent, event};

use crate::{
    client::Client,
    error::ClientError,
    events::{ATTEMPTS, Events, data},
    follow::{BACKOFF, BACKOFF_MAX},
};

/// Something that a follower of approvals hears.
#[derive(Clone, Debug, PartialEq)]
pub enum HeardAsked {
    /// What is open now follows: nothing that was heard before counts.
    Reset,
    /// Something happened: its name, one of [`event`], and what it is about.
    Event(String, Box<ApprovalEvent>),
}

/// A stream of approvals, taken up again whenever it is lost.
pub struct FollowApprovals {
    client: Client,
    last: Option<String>,
    events: Option<Events>,
    failed: u32,
}

impl std::fmt::Debug for FollowApprovals {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("FollowApprovals").field("last", &self.last).finish_non_exhaustive()
    }
}

impl Client {
    /// Follows what happens to approvals, from what is open now on, or after an event that was seen before.
    pub fn follow_approvals(&self, after: Option<String>) -> FollowApprovals {
        FollowApprovals { client: self.clone(), last: after, events: None, failed: 0 }
    }
}

impl FollowApprovals {
    /// The id of the last event heard: where another follower may go on.
    pub fn last(&self) -> Option<&str> {
        self.last.as_deref()
    }

    /// The next event.
    ///
    /// # Errors
    /// [`ClientError`] when the server refuses, or stays away for about half a minute. Calling again tries again.
    pub async fn next(&mut self) -> Result<HeardAsked, ClientError> {
        loop {
            match self.step().await {
                Ok(None) => {}
                Ok(Some(heard)) => {
                    self.failed = 0;
                    return Ok(heard);
                }
                Err(e) => {
                    self.events = None;
                    self.failed += 1;
                    if !e.is_temporary() || self.failed >= ATTEMPTS {
                        self.failed = 0;
                        return Err(e);
                    }
                    let pause = BACKOFF * 2_u32.saturating_pow(self.failed.min(10) - 1);
                    tokio::time::sleep(pause.min(BACKOFF_MAX)).await;
                }
            }
        }
    }

    async fn step(&mut self) -> Result<Option<HeardAsked>, ClientError> {
        let events = match &mut self.events {
            Some(events) => events,
            none => {
                let url = self.client.url(&["v1", "approvals"])?;
                none.insert(Events::connect(&self.client, url, self.last.as_deref()).await?)
            }
        };
        let frame = events.next().await?;
        self.last = frame.id.clone().or_else(|| self.last.take());
        Ok(match frame.event.as_str() {
            event::RESET => Some(HeardAsked::Reset),
            event::OPENED
            | event::REMINDED
            | event::ESCALATED
            | event::APPROVED
            | event::DENIED
            | event::EXPIRED
            | event::CLOSED => Some(HeardAsked::Event(frame.event.clone(), Box::new(data(&frame)?))),
            // Of a later release.
            _ => None,
        })
    }
}
