//! The engine's clock: true time plus a jump, and seeded dice.

use std::{sync::Arc, time::Duration};

use stead_core::time::Timestamp;
use stead_ports::{BoxFuture, clock::Clock};

use super::cosmos::Cosmos;

/// Longest sleep without a look at the wall clock, which may jump.
const NAP: Duration = Duration::from_secs(2);

pub(super) struct SimClock(pub Arc<Cosmos>);

impl Clock for SimClock {
    fn now(&self) -> Timestamp {
        self.0.wall()
    }

    fn boot_micros(&self) -> u64 {
        self.0.true_time()
    }

    fn random(&self) -> [u8; 16] {
        self.0.random()
    }

    fn sleep_until(&self, at: Timestamp) -> BoxFuture<'static, ()> {
        let cosmos = self.0.clone();
        Box::pin(async move {
            loop {
                let left = at.since(cosmos.wall()).to_std();
                if left.is_zero() {
                    return;
                }
                tokio::time::sleep(left.min(NAP)).await;
            }
        })
    }
}
