//! A small share of the simulated histories of the real engine, and that a seed means one history. More of them run by
//! `cargo xtask sim --profile engine`.
#![expect(clippy::unwrap_used, reason = "tests")]

use stead_sim::{failure::Profile, fleet, live::history::run_history};

#[test]
fn every_check_holds_in_histories_of_the_engine() {
    let summary = fleet::many(Profile::Engine, 0, 400, 2, false).unwrap_or_else(|f| panic!("{f}"));
    // A simulation in which nothing goes wrong proves nothing.
    assert!(summary.crashes > 400, "{summary:?}");
    assert!(summary.fenced > 50, "{summary:?}");
    assert!(summary.unknown > 50, "{summary:?}");
    assert!(summary.requests > 1_000, "{summary:?}");
}

#[test]
fn the_same_seed_gives_the_same_bytes_in_the_engine() {
    for seed in 0..60 {
        let once = run_history(seed, false).unwrap();
        assert_eq!(run_history(seed, false).unwrap(), once, "seed {seed}");
        assert_eq!(run_history(seed, true).unwrap(), once, "seed {seed}, traced");
        assert_ne!(run_history(seed + 1, false).unwrap().digest, once.digest);
    }
}
