//! Whoever kept a checkpoint finds every change of what was before it, whoever made it and with whatever key.
//! `cargo xtask bench audit` does the same 100,000 times.
#![expect(unreachable_pub, dead_code, reason = "the modules are shared with other tests and the bench")]

#[path = "shared/attack.rs"]
mod attack;
#[path = "shared/history.rs"]
mod history;

use attack::{NAMES, Target};
use history::Seeded;

/// Attacks of each kind.
const OF_EACH: usize = 120;
/// Attacks on one log.
const ON_ONE: usize = 20;

#[test]
fn every_change_of_what_a_kept_checkpoint_covers_is_found() {
    let mut seeded = Seeded(6);
    for (kind, name) in NAMES.iter().enumerate() {
        for _ in 0..OF_EACH / ON_ONE {
            let n = 5 + seeded.below(60);
            let mut target = Target::new(n, &mut seeded);
            assert!(target.honest_is_believed(&mut seeded), "an honest log of {n} leaves is not believed");
            for _ in 0..ON_ONE {
                let before = seeded.clone();
                assert!(target.is_found(kind, &mut seeded), "not found: {name}, {n} leaves, {before:?}");
            }
        }
    }
}
