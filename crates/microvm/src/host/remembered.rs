//! Something that takes long to find: it is kept when it was found, and looked for again, after a while, when it was not. A host that was
//! too busy for its first machine is not without machines for good.

use std::{
    future::Future,
    sync::Arc,
    time::{Duration, Instant},
};

use tokio::sync::Mutex;

/// See the module.
#[derive(Debug)]
pub(super) struct Remembered<T> {
    /// How long it counts that there was nothing.
    again: Duration,
    last: Mutex<Option<Last<T>>>,
}

#[derive(Debug)]
enum Last<T> {
    Found(Arc<T>),
    Not { why: String, at: Instant },
}

impl<T> Remembered<T> {
    /// Nothing was looked for yet.
    pub(super) fn new(again: Duration) -> Self {
        Self { again, last: Mutex::new(None) }
    }

    /// What there is. Who comes while another looks waits for what that one finds.
    ///
    /// # Errors
    /// Why there is none, in the words of the last look.
    pub(super) async fn get<F>(&self, look: impl FnOnce() -> F) -> Result<Arc<T>, String>
    where
        F: Future<Output = Result<T, String>>,
    {
        let mut last = self.last.lock().await;
        match &*last {
            Some(Last::Found(found)) => return Ok(Arc::clone(found)),
            Some(Last::Not { why, at }) if at.elapsed() < self.again => return Err(why.clone()),
            _ => {}
        }
        let looked = look().await.map(Arc::new);
        *last = Some(match &looked {
            Ok(found) => Last::Found(Arc::clone(found)),
            Err(why) => Last::Not { why: why.clone(), at: Instant::now() },
        });
        looked
    }
}

#[cfg(test)]
mod tests {
    #![expect(clippy::unwrap_used, reason = "tests")]
    use super::*;

    #[tokio::test]
    async fn a_machine_that_did_not_boot_is_tried_again_and_one_that_did_is_kept() {
        let remembered = Remembered::new(Duration::ZERO);
        assert_eq!(
            remembered.get(async || Err("no kernel".to_owned())).await,
            Err::<Arc<u8>, _>("no kernel".to_owned())
        );
        assert_eq!(*remembered.get(async || Ok(1)).await.unwrap(), 1, "it came later");
        assert_eq!(*remembered.get(async || Ok(2)).await.unwrap(), 1, "and is not looked for again");
    }

    #[tokio::test]
    async fn what_was_not_found_just_now_is_not_looked_for_by_each_that_asks() {
        let remembered = Remembered::new(Duration::from_secs(3_600));
        let first = remembered.get(async || Err("no kernel".to_owned())).await;
        assert_eq!(remembered.get(async || Ok(1)).await, first);
    }
}
