//! `stead approvals`.

use insta::assert_snapshot;

use crate::common::{Serving, TestEnvironment};

#[test]
fn an_open_approval_is_listed_shown_and_answered_once() {
    let env = TestEnvironment::with_refund_desk();
    env.stead("run --quiet refund-desk 'Refund order 1042'");
    assert_snapshot!(env.stead("approvals ls"), @r#"
    exit 0
    --- stdout
    APPROVAL                           AGENT        TOOL             AGE  ARGUMENTS
    [run].e2  refund-desk  payments_refund  [age]  {"order_id":"1042","amount_cents":4990,"currency":"USD"}
    "#);
    let approval = env.approval();
    assert_snapshot!(env.stead(&format!("approvals show {approval}")), @r#"
    exit 0
    --- stdout
    approval   [run].e2
    run        [run]
    session    [session]
    agent      refund-desk
    tool       payments_refund
    effect     keyed
    arguments  {"order_id":"1042","amount_cents":4990,"currency":"USD"}
    reason     its manifest says so
    needs      1 of supervisor (critical)
    since      [time]
    expires    [time]
    "#);
    assert_snapshot!(env.stead(&format!("approvals deny {approval} --note 'No receipt'")), @"
    exit 0
    --- stdout
    run      [run]
    agent    refund-desk [version]
    status   running
    session  [session]
    input    Refund order 1042
    created  [time]
    updated  [time]
    spent    2 turns · 2 effects · 487 tokens · $0
    --- stderr
    hint: stead run --resume [run]
    ");
    assert_snapshot!(env.stead(&format!("approvals approve {approval}")), @"
    exit 1
    --- stderr
    error[ST0008]: nobody is asked about this effect, or it has been answered
    see: stead errors ST0008
    ");
    assert_snapshot!(env.stead("approvals ls"), @"
    exit 0
    --- stdout
    APPROVAL  AGENT  TOOL  AGE  ARGUMENTS
    ");
}

#[test]
fn an_approval_that_does_not_exist_is_told() {
    let env = TestEnvironment::new();
    assert_snapshot!(env.stead("approvals approve run_01M7Y5Z2Z48QY2QNWKEQN3FNRV.e1"), @"
    exit 1
    --- stderr
    error[ST0202]: an open approval [run].e1 does not exist
    hint: it may be answered or expired; see the run's facts
    see: stead errors ST0202
    ");
    assert_snapshot!(env.stead("approvals show nonsense"), @"
    exit 2
    --- stderr
    error: invalid value 'nonsense' for '<APPROVAL>': `nonsense` is not a effect id (expected a run id, `.e` and a number)

    For more information, try '--help'.
    ");
}

#[test]
fn who_works_alone_signs_without_a_word_and_what_they_signed_is_verified_without_a_server() {
    let env = TestEnvironment::with_refund_desk();
    let dev = Serving::start(env.command(["dev", "--port", "0", "refund-desk"]), "try");
    env.stead("run --quiet refund-desk 'Refund order 1042'");
    let approval = env.approval();
    let shown = env.stead(&format!("approvals show {approval} --signed")).to_string();
    assert!(shown.contains("arguments         {\"order_id\":\"1042\""), "{shown}");
    assert!(shown.contains("needs             1 of supervisor (critical)"), "{shown}");
    let answered = env.stead(&format!("approvals approve {approval}")).to_string();
    assert!(answered.starts_with("exit 0"), "{answered}");
    let written = env.stead(&format!("approvals receipt {approval} --output refund.evidence")).to_string();
    assert!(written.contains("wrote refund.evidence"), "{written}");
    assert_eq!(dev.stop(), Some(0));
    let root = env.json("approvals keys ls --json")["anchor"].as_str().unwrap().to_owned();

    let verified = env.json(&format!("approvals verify refund.evidence --root {root} --json"));
    assert_eq!((&verified["tool"], &verified["answers"][0]["subject"]), (&"payments_refund".into(), &"owner".into()));
    assert_eq!(verified["answers"][0]["approved"], true);
    let evidence = std::fs::read_to_string(env.path().join("refund.evidence")).unwrap();
    let other = format!("approvals verify refund.evidence --root {}", "0".repeat(64));
    assert!(env.stead(&other).to_string().contains("error[ST0374]"));
    for (was, is) in [("1042", "1043"), ("4990", "4991"), ("payments_refund", "payments_refuse"), ("owner", "0wner")] {
        assert!(evidence.contains(was), "{was}");
        env.write("changed.evidence", &evidence.replace(was, is));
        let said = env.stead(&format!("approvals verify changed.evidence --root {root}")).to_string();
        assert!(said.contains("error[ST0374]"), "{was}: {said}");
    }
}

#[test]
fn keys_of_a_root_are_made_offline_and_enrol_an_ssh_key_that_signs() {
    let env = TestEnvironment::with_refund_desk();
    let made = env.stead("init root --holder xenia --holder yves --threshold 2").to_string();
    assert!(made.contains("wrote root/root.entry"), "{made}");
    assert!(env.stead("approvals keys submit root/root.entry").to_string().contains("2 of xenia, yves"));
    let keygen = |arguments: &[&str]| {
        let done = std::process::Command::new("ssh-keygen").args(arguments).current_dir(env.path()).output();
        assert!(done.expect("install openssh-client").status.success());
    };
    keygen(&["-q", "-t", "ed25519", "-N", "", "-f", "bob"]);
    let enrol = "approvals keys enrol bob.pub --subject owner --role supervisor";
    let refused = env.stead(&format!("{enrol} --sign-with root/xenia.key")).to_string();
    assert!(refused.contains("error[ST0372]"), "{refused}");
    // From one holder to the next, as a file.
    env.stead(&format!("{enrol} --sign-with root/xenia.key --output entry"));
    assert!(env.stead("approvals keys sign entry --sign-with root/yves.key").to_string().contains("with 2 signatures"));
    let added = env.stead("approvals keys submit entry").to_string();
    assert!(added.contains("ssh-ed25519") && added.contains("counts"), "{added}");

    env.stead("run --quiet refund-desk 'Refund order 1042'");
    let approval = env.approval();
    let unsigned = env.stead(&format!("approvals approve {approval}")).to_string();
    assert!(unsigned.contains("error[ST0370]"), "{unsigned}");
    // The one person of this folder began the run, and who began something does not approve it.
    let own = env.stead(&format!("approvals approve {approval} --ssh-key bob")).to_string();
    assert!(own.contains("you sign, as approved") && own.contains("who began this"), "{own}");
    let denied = env.stead(&format!("approvals deny {approval}")).to_string();
    assert!(denied.starts_with("exit 0"), "{denied}");
}
