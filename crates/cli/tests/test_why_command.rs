//! `stead runs why` and `stead runs context`.

use insta::assert_snapshot;

use crate::common::TestEnvironment;

/// An environment with a run of the refund desk that asks a human, and the run.
fn asking() -> (TestEnvironment, String) {
    let env = TestEnvironment::with_refund_desk();
    env.stead("run refund-desk 'Refund order 1042'");
    let approval = env.approval();
    let run = approval.split('.').next().unwrap().to_owned();
    (env, run)
}

#[test]
fn why_tells_what_a_run_waits_for_and_what_led_to_a_step() {
    let (env, run) = asking();
    assert_snapshot!(env.stead(&format!("runs why {run}")), @"");
    assert_snapshot!(env.stead(&format!("runs why {run} e2")), @"");
    env.stead(&format!("approvals deny {run}.e2 --note 'not today'"));
    env.stead(&format!("run --resume {run}"));
    assert_snapshot!(env.stead(&format!("runs why {run}")), @"");
    assert_snapshot!(env.stead(&format!("runs why {run} 2")), @"");
    assert_snapshot!(env.stead(&format!("runs why {run} e99")), @"");
    assert_snapshot!(env.stead(&format!("runs why {run} nonsense")), @"");
    assert_eq!(env.json(&format!("runs why {run} --json"))["causes"][0]["cause"], "completed");
}

#[test]
fn context_shows_what_the_model_saw_by_source() {
    let (env, run) = asking();
    assert_snapshot!(env.stead(&format!("runs context {run} 2")), @"");
    let seen = env.json(&format!("runs context {run} e2 --json"));
    assert_eq!((&seen["turn"], &seen["messages"][0]["source"]), (&2.into(), &"user".into()));
    assert_snapshot!(env.stead(&format!("runs context {run} 9")), @"");
}
