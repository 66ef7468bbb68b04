//! A small share of the simulated histories of the machine, and that a seed means one history. The full number runs by
//! `cargo xtask sim`.
#![expect(clippy::unwrap_used, reason = "tests")]

use stead_sim::{
    failure::{Failure, Profile, Summary, Violation},
    fleet,
    machine::history::run_history,
};

#[test]
fn every_check_holds_in_histories_with_crashes_faults_and_busy_people() {
    let summary = fleet::many(Profile::Core, 0, 3_000, 2, false).unwrap_or_else(|f| panic!("{f}"));
    // A simulation in which nothing goes wrong proves nothing.
    assert!(summary.crashes > 3_000, "{summary:?}");
    assert!(summary.restores > 500, "{summary:?}");
    assert!(summary.fenced > 100, "{summary:?}");
    assert!(summary.unknown > 300, "{summary:?}");
    assert!(summary.requests > 10_000, "{summary:?}");
}

#[test]
fn the_same_seed_gives_the_same_bytes() {
    for seed in 0..100 {
        let once = run_history(seed, false).unwrap();
        assert_eq!(run_history(seed, false).unwrap(), once, "seed {seed}");
        assert_eq!(run_history(seed, true).unwrap(), once, "seed {seed}, traced");
        assert_ne!(run_history(seed + 1, false).unwrap().digest, once.digest);
    }
}

#[test]
fn the_number_of_threads_changes_nothing() {
    let sum = |threads| fleet::many(Profile::Core, 7, 300, threads, false).unwrap();
    let one: Summary = sum(1);
    assert_eq!(sum(2), one);
    assert_eq!(sum(5), one);
}

#[test]
fn a_failure_prints_the_command_that_repeats_it() {
    let violation = Violation { check: "never repeated", detail: "it was".into() };
    let failure = Failure { seed: 42, profile: Profile::Core, violation, trace: vec![] };
    let text = failure.to_string();
    assert!(text.contains("seed 42 broke `never repeated`: it was"), "{text}");
    assert!(text.ends_with("cargo xtask sim --profile core --seed 42 --trace"), "{text}");
}
