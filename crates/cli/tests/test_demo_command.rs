//! `stead demo`: kills are real, counts are as observed, and what it says to try next works.

use insta::assert_snapshot;

use crate::common::TestEnvironment;

#[test]
fn twenty_kills_spread_over_the_run_make_one_payment_and_one_mail() {
    let env = TestEnvironment::new();
    let report = env.json("demo --json --quiet");
    assert_eq!((report["kills"].as_u64(), report["status"].as_str()), (Some(20), Some("completed")), "{report}");
    assert_eq!((report["payments"]["done"].as_u64(), report["mails"]["done"].as_u64()), (Some(1), Some(1)), "{report}");
    // Seven kills came when the payment service had been asked and the runtime had heard nothing, and three at the mail.
    assert_eq!(report["payments"]["asked"], 8, "{report}");
    assert_eq!(report["mails"]["asked"], 3, "{report}");
    let hits = report["hits"].as_array().unwrap();
    let sum = |wanted: &dyn Fn(&serde_json::Value) -> bool| -> u64 {
        hits.iter().filter(|h| wanted(h)).map(|h| h["kills"].as_u64().unwrap()).sum()
    };
    assert_eq!(sum(&|_| true), 20, "{report}");
    // And those aimed just before: on a busy machine one of them lands behind the intent, before anything is sent.
    assert!(sum(&|h| h["in_flight"] == true) >= 10, "{report}");
    assert!(hits.len() > 2, "{report}");
    // Each answer of the demo is told: the refund, two mails that did not leave, one that did.
    let approvals: Vec<bool> =
        report["approvals"].as_array().unwrap().iter().map(|a| a["approved"].as_bool().unwrap()).collect();
    assert_eq!(approvals, [true, true, true, false], "{report}");
    assert_eq!(report["scripted"], true);
    assert_eq!(report["spent"]["usd"], 0, "{report}");
    assert_eq!(std::fs::read_dir(env.path()).unwrap().count(), 0, "nothing stays behind");
}

#[test]
fn the_whole_output_with_one_kill() {
    let env = TestEnvironment::new();
    let terminal = env.stead("demo --kills 1").succeeds();
    assert_snapshot!(terminal, @r#"
    exit 0
    --- stdout
    The journal of [run] (26 facts):

    AFTER     FACT                  WHAT
    [took]  run_started           Refund order 1042
    [took]  model_replied         calls orders_lookup {"order_id":"1042"}
    [took]  effect_returned       orders_lookup {"columns":["id","customer","email","item","total_…
    [took]  model_replied         calls payments_refund {"order_id":"1042","amount_cents":4990,"cu…
    [took]  approval_requested    payments_refund: its manifest says so
    [took]  approval_given        payments_refund: approved
    [took]  effect_intended       payments_refund: from here on it may be sent
    [took]  KILL -9
    [took]  effect_unknown        payments_refund: it is repeated under the same key
    [took]  effect_intended       payments_refund: from here on it may be sent
    [took]  effect_returned       payments_refund {"id":"rf_1","key":"1042","order_id":"1042","amo…
    [took]  model_replied         calls mail_send {"to":"ada@example.com","subject":"Your refund f…
    [took]  effect_intended       mail_send: from here on it may be sent
    [took]  effect_returned       mail_send {"id":"msg_1"}
    [took]  model_replied         Done: 49.90 USD for order 1042 is on its way back to Ada Lovelac…
    [took]  run_completed         4 turns

    Where the kills hit:

         1  between the intent of payments_refund and its outcome

    killed     1 time
    payments   1 made (the service was asked 2 times)
    mails      1 sent (the service was asked 1 time)
    approvals  1 given, 0 denied, by the demo in your place
    cost       1,217 tokens · $0; a script stood for the model, no AI
    took       [took]
    status     completed
    answer     Done: 49.90 USD for order 1042 is on its way back to Ada Lovelace, and a mail to ada@example.com says so.

    Try next:

      stead demo --keep       the same; its agent and journal stay in ./stead-demo
      stead demo --kills 100  kill it more often
      stead doctor            what this machine can give
    --- stderr
    An agent refunds an order (scripted model, no AI). Its runtime is killed 1 time with kill -9 meanwhile.
    The payment service and the mail service are stand-ins on loopback, and count.

      in your place the demo approves payments_refund: the order came back
    "#);
}

#[test]
fn what_is_kept_can_be_looked_at_and_used_and_is_not_overwritten() {
    let env = TestEnvironment::new();
    let shown = env.stead("demo --keep --kills 2 --quiet").succeeds().stdout;
    let commands = next(&shown);
    let facts = env.stead(&commands[0]).succeeds();
    assert!(facts.stdout.contains("effect_intended"), "{facts}");
    // The example as it is, over the same shop and the same stand-ins: the key is known to the payment service.
    let mut again = env.command(["--data", "stead-demo/.stead", "run", "--yes", "stead-demo/refund-desk"]);
    again.arg("Refund order 1042");
    env.finish(again).succeeds();
    let list = std::fs::read_to_string(env.path().join("stead-demo/.stead/agents/default/refund-desk/payments.jsonl"));
    assert_eq!(list.unwrap().lines().filter(|line| line.contains("\"refund\"")).count(), 1);
    assert!(commands[1].ends_with("run stead-demo/refund-desk 'Refund order 1042'"), "{shown}");
    let told = env.stead_with_input(&commands[2], "Where is order 1041?\n").succeeds();
    assert!(told.stdout.contains("1041"), "{told}");
    assert_snapshot!(env.stead("demo --keep"), @r#"
    exit 2
    --- stderr
    error: ./stead-demo exists already
    hint: remove it (rm -r stead-demo), or run the demo in another folder
    "#);
}

#[test]
fn what_is_said_to_try_next_without_a_folder_is_there() {
    let env = TestEnvironment::new();
    let shown = env.stead("demo --kills 0 --quiet").succeeds().stdout;
    let commands = next(&shown);
    assert_eq!(commands, ["demo --keep", "demo --kills 100", "doctor"]);
    env.stead("demo --kills 100 --help").succeeds();
    env.stead(&commands[2]).succeeds();
}

/// The three commands at the end, without the program's name.
fn next(shown: &str) -> Vec<String> {
    let (_, next) = shown.split_once("Try next:\n\n").unwrap();
    let command =
        |line: &str| line.trim().split("  ").next().unwrap().strip_prefix("stead ").unwrap().replace('"', "'");
    next.lines().map(command).collect()
}
