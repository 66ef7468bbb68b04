//! `stead usage`.

use insta::assert_snapshot;

use crate::common::TestEnvironment;

#[test]
fn usage_is_summed_by_what_is_asked_for() {
    let env = TestEnvironment::with_refund_desk();
    assert_snapshot!(env.stead("usage"), @"
    exit 0
    --- stdout
    AGENT  RUNS  CALLS  TOOLS  INPUT  CACHED  OUTPUT  REASONING  COST  OF IT ESTIMATED
    total  0     0      0      0      0       0       0          $0    -
    ");
    env.stead("run refund-desk 'Refund order 1042' --yes").succeeds();
    assert_snapshot!(env.stead("usage"), @"
    exit 0
    --- stdout
    AGENT        RUNS  CALLS  TOOLS  INPUT  CACHED  OUTPUT  REASONING  COST  OF IT ESTIMATED
    refund-desk  1     4      3      1,107  0       110     0          $0    -
    total        1     4      3      1,107  0       110     0          $0    -
    ");
    assert_snapshot!(env.stead("usage --by agent,model,user --since 1d"), @"
    exit 0
    --- stdout
    AGENT · MODEL · USER             RUNS  CALLS  TOOLS  INPUT  CACHED  OUTPUT  REASONING  COST  OF IT ESTIMATED
    refund-desk · rehearsal · owner  1     4      3      1,107  0       110     0          $0    -
    total                            1     4      3      1,107  0       110     0          $0    -
    ");
    assert_snapshot!(env.stead("usage --by agent,model,user,session --since 30d --csv"), @"
    exit 0
    --- stdout
    agent,model,user,session,runs,model_calls,failed_calls,tool_calls,input_tokens,cached_tokens,cache_write_tokens,output_tokens,reasoning_tokens,total_tokens,micro_usd,known_micro_usd,unpriced_calls,estimated_tokens,estimated_micro_usd
    refund-desk,rehearsal,owner,[session],1,4,0,3,1107,0,0,110,0,1217,0,0,0,0,0
    ");
    assert_snapshot!(env.stead("usage --by nobody"), @"
    exit 2
    --- stderr
    error: invalid value 'nobody' for '--by <BY>': not one of agent, model, user, session

    For more information, try '--help'.
    ");
    let report = env.json("usage --by session --json");
    let run = env.json("runs ls --json")["items"][0].clone();
    assert_eq!(report["groups"][0]["session"], run["session"]);
    assert_eq!(report["total"]["spent"], run["spent"]);
}
