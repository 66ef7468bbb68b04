//! `stead run`.

use std::{io::Read as _, net::TcpListener};

use insta::assert_snapshot;

use crate::common::{Serving, TestEnvironment, root};

#[test]
fn a_run_that_needs_a_human_sleeps_and_goes_on_after_the_answer() {
    let env = TestEnvironment::with_refund_desk();
    assert_snapshot!(env.stead("run refund-desk 'Refund order 1042'"), @r#"
    exit 3
    --- stderr
    refund-desk [version] · scripted model, no AI
    [run]

    Let me look at order 1042.
      model    rehearsal · [took] · 193 tokens · $0
      call     orders_lookup {"order_id":"1042"}
      result   orders_lookup · [took] · {"columns":["id","customer","email","item","total_cents","total","currency","status"],"rows":[{"id":"1042","customer":"A…
    Order 1042 came back to us, so 49.90 USD can be refunded.
      model    rehearsal · [took] · 294 tokens · $0
      call     payments_refund {"order_id":"1042","amount_cents":4990,"currency":"USD"}
      ask      payments_refund needs a human: its manifest says so
    waiting · 2 turns · 2 effects · 487 tokens · $0 · [took]
    approval needed: payments_refund {"order_id":"1042","amount_cents":4990,"currency":"USD"}
    hint: stead approvals approve [run].e2
    hint: stead approvals deny [run].e2
    hint: stead run --resume [run]
    "#);
    let approval = env.approval();
    assert_snapshot!(env.stead(&format!("approvals approve {approval}")), @"
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
    assert_snapshot!(env.stead("run --resume"), @r#"
    exit 0
    --- stdout
    Done: 49.90 USD for order 1042 is on its way back to Ada Lovelace, and a mail to ada@example.com says so.
    --- stderr
    refund-desk [version] · scripted model, no AI
    [run]

    Let me look at order 1042.
      model    rehearsal · [took] · 193 tokens · $0
      call     orders_lookup {"order_id":"1042"}
      result   orders_lookup · [took] · {"columns":["id","customer","email","item","total_cents","total","currency","status"],"rows":[{"id":"1042","customer":"A…
    Order 1042 came back to us, so 49.90 USD can be refunded.
      model    rehearsal · [took] · 294 tokens · $0
      call     payments_refund {"order_id":"1042","amount_cents":4990,"currency":"USD"}
      ask      payments_refund needs a human: its manifest says so
      approved payments_refund by owner
      result   payments_refund · [took] · {"id":"rf_1","key":"1042","order_id":"1042","amount_cents":4990,"currency":"USD"}
      model    rehearsal · [took] · 350 tokens · $0
      call     mail_send {"to":"ada@example.com","subject":"Your refund for order 1042","text":"Dear Ada Lovelace, we have refunded 49.90 USD for…
      result   mail_send · [took] · {"id":"msg_1"}
      model    rehearsal · [took] · 380 tokens · $0
    completed · 4 turns · 3 effects · 1,217 tokens · $0 · [took]
    "#);
    assert_snapshot!(env.stead("run --resume"), @"
    exit 1
    --- stderr
    error[ST0202]: there is no unfinished run here
    see: stead errors ST0202
    ");
}

#[test]
fn a_denial_is_told_to_the_model() {
    let env = TestEnvironment::with_refund_desk();
    env.stead("run refund-desk 'Refund order 1042'");
    let approval = env.approval();
    env.stead(&format!("approvals deny {approval} --note 'Not without the receipt'")).succeeds();
    assert_snapshot!(env.stead("run --resume --quiet"), @"
    exit 0
    --- stdout
    The refund of order 1042 was not made. ST0044: a human (owner) denied this action: Not without the receipt
    ");
}

#[test]
fn yes_approves_what_the_manifest_asks_and_quiet_leaves_the_answer_only() {
    let env = TestEnvironment::with_refund_desk();
    assert_snapshot!(env.stead("run --yes --quiet refund-desk 'Refund order 1042'"), @"
    exit 0
    --- stdout
    Done: 49.90 USD for order 1042 is on its way back to Ada Lovelace, and a mail to ada@example.com says so.
    ");
}

#[test]
fn the_input_can_come_from_stdin() {
    let env = TestEnvironment::with_refund_desk();
    assert_snapshot!(env.stead_with_input("run --quiet refund-desk", "Where is order 1041?"), @"
    exit 0
    --- stdout
    Order 1041 (Alarm clock) is shipped.
    ");
    assert_snapshot!(env.stead_with_input("run --quiet refund-desk/agent.yaml -", "Refund order 1043"), @"
    exit 0
    --- stdout
    Order 1043 is delivered. Once it has come back to us I can refund it.
    ");
}

#[test]
fn an_input_that_is_not_text_is_refused_before_anything_is_opened() {
    let env = TestEnvironment::with_refund_desk();
    assert_snapshot!(env.stead_with_input("run refund-desk", b"Where is order 1041\xff?"), @"
    exit 1
    --- stderr
    error[ST0201]: the input is not text: byte 20 is not UTF-8
    hint: convert it first, for example with `iconv -t utf-8`
    see: stead errors ST0201
    ");
    assert!(!env.path().join(".stead").exists());
}

#[test]
fn json_writes_the_run_to_stdout() {
    let env = TestEnvironment::with_refund_desk();
    let run = env.json("run --json --quiet refund-desk 'Where is order 1041?'");
    assert_eq!(run["status"], "completed");
    assert_eq!(run["output"], "Order 1041 (Alarm clock) is shipped.");
    assert_eq!(run["turns"], 2);
}

#[test]
fn runs_of_a_session_share_the_conversation() {
    let env = TestEnvironment::with_refund_desk();
    for _ in 0..2 {
        env.stead("run --quiet --session customer/42 refund-desk 'Where is order 1041?'").succeeds();
    }
    assert_eq!(env.json("sessions ls --json")["items"].as_array().unwrap().len(), 1);
}

#[test]
fn a_run_that_fails_says_why() {
    let env = TestEnvironment::new();
    env.write(
        "agent/agent.yaml",
        "stead: v1\nname: small\nmodel: rehearsal:auto\ninstructions: Be kind.\nbudget: { tokens: 10 }\n",
    );
    assert_snapshot!(env.stead("run agent hello"), @"
    exit 1
    --- stderr
    small [version] · scripted model, no AI
    [run]

      stop     a limit is reached
    failed · 0 turns · 0 effects · 0 tokens · $0 · [took]
    error[ST0001]: the next model call could cross the run's limit of tokens (budget.tokens)
    hint: stead runs facts [run] shows what happened
    see: stead errors ST0001
    ");
}

#[test]
fn a_wrong_manifest_is_shown_with_its_lines() {
    let env = TestEnvironment::new();
    env.write("agent/agent.yaml", "stead: v1\nname: a\nmodel: rehearsal:auto\ninstructons: Be kind.\n");
    assert_snapshot!(env.stead("run agent hello"), @"
    exit 1
    --- stderr
    error[ST0102]

      × unknown key `instructons` (at `instructons`)
       ╭─[agent/agent.yaml:4:1]
     3 │ model: rehearsal:auto
     4 │ instructons: Be kind.
       · ───────────
       ╰────
      help: did you mean `instructions`?
    see: stead errors ST0102
    ");
    assert_snapshot!(env.stead("run nowhere hello"), @"
    exit 1
    --- stderr
    error[ST0100]

      × nowhere: cannot be read: No such file or directory (os error 2)
      help: give a folder with an `agent.yaml`, or the path of one
    see: stead errors ST0100
    ");
}

#[test]
fn what_is_missing_on_the_command_line_is_told() {
    let env = TestEnvironment::new();
    assert_snapshot!(env.stead("run"), @"
    exit 2
    --- stderr
    error: the following required arguments were not provided:
      <DIR|FILE>

    Usage: stead run <DIR|FILE> [INPUT]

    For more information, try '--help'.
    ");
    assert_snapshot!(env.stead("run --resume run_1"), @"
    exit 2
    --- stderr
    error: invalid value 'run_1' for '--resume [<RUN>]': `run_1` is not a run id (expected run_ and 26 characters)

    For more information, try '--help'.
    ");
    assert_snapshot!(env.stead("run --resume run_01M7Y5Z2Z48QY2QNWKEQN3FNRV"), @"
    exit 1
    --- stderr
    error[ST0202]: [run] does not exist
    see: stead errors ST0202
    ");
}

#[test]
fn an_interrupted_run_finishes_what_is_under_way_and_goes_on_with_resume() {
    let env = TestEnvironment::with_refund_desk();
    let script = std::fs::read_to_string(env.path().join("refund-desk/script.yaml")).unwrap();
    // Slow enough that the first reply is being written when Ctrl-C comes.
    env.write("refund-desk/script.yaml", &format!("delay: 1s\n{script}"));
    let run = Serving::start(env.command(["run", "refund-desk", "Where is order 1041?"]), "run_");
    assert_eq!(run.interrupt(), Some(130));
    let run = &env.json("runs ls --json")["items"][0];
    assert_eq!((run["status"].as_str(), run["turns"].as_u64()), (Some("running"), Some(1)), "{run}");
    assert_snapshot!(env.stead("run --resume --quiet"), @"
    exit 0
    --- stdout
    Order 1041 (Alarm clock) is shipped.
    ");
    let facts = env.stead(&format!("runs facts {}", run["id"].as_str().unwrap())).stdout;
    assert!(!facts.contains("model_failed"), "no reply was lost: {facts}");
}

#[test]
fn with_a_server_on_the_data_folder_run_is_its_client() {
    let env = TestEnvironment::with_refund_desk();
    let dev = Serving::start(env.command(["dev", "--port", "0"]), "try");
    assert_snapshot!(env.stead("run --yes refund-desk 'Refund order 1042'"), @r#"
    exit 0
    --- stdout
    Done: 49.90 USD for order 1042 is on its way back to Ada Lovelace, and a mail to ada@example.com says so.
    --- stderr
    refund-desk [version] · scripted model, no AI
    [run]

    Let me look at order 1042.
      model    rehearsal · [took] · 193 tokens · $0
      call     orders_lookup {"order_id":"1042"}
      result   orders_lookup · [took] · {"columns":["id","customer","email","item","total_cents","total","currency","status"],"rows":[{"id":"1042","customer":"A…
    Order 1042 came back to us, so 49.90 USD can be refunded.
      model    rehearsal · [took] · 294 tokens · $0
      call     payments_refund {"order_id":"1042","amount_cents":4990,"currency":"USD"}
      ask      payments_refund needs a human: its manifest says so
      approved payments_refund by owner
      result   payments_refund · [took] · {"id":"rf_1","key":"1042","order_id":"1042","amount_cents":4990,"currency":"USD"}
      model    rehearsal · [took] · 350 tokens · $0
      call     mail_send {"to":"ada@example.com","subject":"Your refund for order 1042","text":"Dear Ada Lovelace, we have refunded 49.90 USD for…
      result   mail_send · [took] · {"id":"msg_1"}
      model    rehearsal · [took] · 380 tokens · $0
    completed · 4 turns · 3 effects · 1,217 tokens · $0 · [took]
    "#);
    assert_eq!(dev.stop(), Some(0));
    // The run is the data folder's, whoever worked on it.
    assert_eq!(env.json("runs ls --json")["items"][0]["status"], "completed");
}

#[test]
fn when_the_process_that_works_is_killed_the_other_goes_on_by_itself() {
    let env = TestEnvironment::with_refund_desk();
    let script = std::fs::read_to_string(env.path().join("refund-desk/script.yaml")).unwrap();
    env.write("refund-desk/script.yaml", &format!("delay: 300ms\n{script}"));
    let owner = Serving::start(env.command(["dev", "--port", "0"]), "try");
    let guest = Serving::start(env.command(["run", "--yes", "refund-desk", "Refund order 1042"]), "run_");
    drop(owner);
    assert_eq!(guest.end(), Some(0));
    let runs = env.json("runs ls --json");
    assert_eq!(runs["items"].as_array().unwrap().len(), 1, "{runs}");
    assert_eq!(runs["items"][0]["status"], "completed");
}

#[test]
fn the_services_of_a_manifest_end_with_the_process_that_started_them() {
    let env = TestEnvironment::with_refund_desk();
    let mut command = env.command(["dev", "--port", "0", "refund-desk"]);
    let mut dev = command.stdout(std::process::Stdio::null()).stderr(std::process::Stdio::piped()).spawn().unwrap();
    let mut stderr = dev.stderr.take().unwrap();
    let mut seen = Vec::new();
    while !String::from_utf8_lossy(&seen).contains("try") {
        let mut byte = [0; 1];
        stderr.read_exact(&mut byte).unwrap();
        seen.push(byte[0]);
    }
    let children = children(dev.id());
    assert_eq!(children.len(), 2, "payments and mail");
    dev.kill().unwrap();
    dev.wait().unwrap();
    // The kernel ends them; this returns once it has.
    for child in children {
        let gone = |pid: u32| !std::path::Path::new(&format!("/proc/{pid}/exe")).exists();
        while !gone(child) {
            std::thread::yield_now();
        }
    }
}

fn children(pid: u32) -> Vec<u32> {
    let mut found = Vec::new();
    for task in std::fs::read_dir(format!("/proc/{pid}/task")).unwrap() {
        let text = std::fs::read_to_string(task.unwrap().path().join("children")).unwrap_or_default();
        found.extend(text.split_whitespace().map(|p| p.parse::<u32>().unwrap()));
    }
    found
}

#[test]
fn a_tool_server_that_hangs_is_not_waited_for_and_does_not_outlive_the_run() {
    let env = TestEnvironment::new();
    env.allow_none();
    let line = TcpListener::bind("127.0.0.1:0").unwrap();
    env.write(
        "a/agent.yaml",
        &format!(
            "stead: v1\nname: a\nmodel: {{ rehearsal: ./s.yaml }}\ninstructions: Ask.\ntools:\n  srv:\n    mcp: {{ command: [python3, '{}', hang, '{}', '{}'] }}\n    sandbox: none\n    only: [echo]\n    effect: irreversible\n    ask: false\n    timeout: 3s\n",
            root().join("crates/tools/tests/fixtures/server.py").display(),
            env.path().display(),
            line.local_addr().unwrap().port(),
        ),
    );
    env.write(
        "a/s.yaml",
        "rules:\n- when: { tool: srv_echo }\n  say: '{{result | text}}'\n- call: [{ tool: srv_echo, args: { text: x } }]\n",
    );
    let told = env.stead("run --quiet a go");
    assert!(told.stdout.starts_with("ST0042: ") && told.stdout.contains("unknown"), "{told}");
    let run = env.json("runs ls --json")["items"][0]["id"].as_str().unwrap().to_owned();
    let facts = env.stead(&format!("runs facts {run} --json")).succeeds().stdout;
    assert!(facts.contains("\"effect_unknown\""), "{facts}");
    // The call had reached it; its end of the line is closed as it dies.
    line.set_nonblocking(true).unwrap();
    let (mut held, _) = line.accept().unwrap();
    held.set_nonblocking(false).unwrap();
    assert_eq!(held.read(&mut [0; 1]).unwrap_or(0), 0);
}

/// An agent whose input is an order.
fn taking_orders() -> TestEnvironment {
    let env = TestEnvironment::new();
    env.write(
        "desk/agent.yaml",
        "stead: v1\nname: desk\nmodel: { rehearsal: ./script.yaml }\ninstructions: Be kind.\ninput: ./input.json\n",
    );
    env.write("desk/script.yaml", "rules: [{ say: Done. }]\n");
    env.write(
        "desk/input.json",
        r#"{ "type": "object", "properties": { "order_id": { "type": "integer" } }, "required": ["order_id"] }"#,
    );
    env
}

#[test]
fn an_input_that_does_not_fit_the_agents_schema_is_refused_with_one_that_does() {
    let env = taking_orders();
    assert_snapshot!(env.stead("run desk 'Refund order 1042'"), @r#"
    exit 1
    --- stderr
    error[ST0218]: the input does not fit the agent's schema: the input is not valid JSON: expected value at line 1 column 1
    hint: an input that fits: {"order_id":1}
    see: stead errors ST0218
    "#);
    assert_snapshot!(env.stead(r#"run desk '{"order_id": "1042"}'"#), @r#"
    exit 1
    --- stderr
    error[ST0218]: the input does not fit the agent's schema: at `/order_id`: the value is not of type "integer" (found "1042")
    hint: an input that fits: {"order_id":1}
    see: stead errors ST0218
    "#);
    let refused = env.stead(r#"run desk --json '{"order_id": "1042"}'"#);
    let problem: serde_json::Value = serde_json::from_str(refused.stderr.trim()).unwrap();
    assert_eq!((&problem["code"], &problem["errors"][0]["key"]), (&"ST0218".into(), &"/order_id".into()));
    assert!(env.json("runs ls --json")["items"].as_array().unwrap().is_empty());
    env.stead(r#"run desk '{"order_id": 1042}'"#).succeeds();
    assert_snapshot!(env.stead("agents show desk"), @r#"
    exit 0
    --- stdout
    agent    desk
    version  [version] (live)
    applied  [time]
    models   rehearsal (scripted model, no AI)

    each input satisfies:
    {
      "type": "object",
      "properties": {
        "order_id": {
          "type": "integer"
        }
      },
      "required": [
        "order_id"
      ]
    }

    Be kind.
    "#);
}

#[test]
fn a_line_that_does_not_fit_ends_no_conversation_and_a_case_tells_it() {
    let env = taking_orders();
    let talk = "Hello?\n{\"order_id\": 1042}\n";
    assert_snapshot!(env.stead_with_input("chat ./desk --session ann --quiet", talk), @r#"
    exit 0
    --- stdout
    Done.
    --- stderr
    error[ST0218]: the input does not fit the agent's schema: the input is not valid JSON: expected value at line 1 column 1
    hint: an input that fits: {"order_id":1}
    see: stead errors ST0218
    "#);
    env.write("desk/tests/words.yaml", "stead: test/v1\ninput: Refund order 1042\nexpect: { status: completed }\n");
    env.write("desk/tests/fits.yaml", "stead: test/v1\ninput: '{\"order_id\": 1042}'\nexpect: { status: completed }\n");
    assert_snapshot!(env.stead("test desk"), @r#"
    exit 1
    --- stdout
    ok    fits · [took]
    FAIL  words · [took]
      desk/tests/words.yaml:2: ST0218: the input does not fit the agent's schema: the input is not valid JSON: expected value at line 1 column 1
        hint: an input that fits: {"order_id":1}

    2 cases: 1 passed, 1 failed
    "#);
}

#[test]
fn a_command_line_that_is_not_understood_is_told_as_json_when_that_is_asked_for() {
    let env = TestEnvironment::new();
    let told = |line: &str| {
        let terminal = env.stead(line);
        assert_eq!((terminal.code, terminal.stdout.as_str()), (Some(2), ""), "{terminal}");
        assert_eq!(terminal.stderr.lines().count(), 1, "{terminal}");
        serde_json::from_str::<serde_json::Value>(&terminal.stderr).unwrap()
    };
    let wrong = told("runs ls --json --statsu failed");
    assert_eq!(wrong["detail"], "unexpected argument '--statsu' found");
    let hint = wrong["hint"].as_str().unwrap();
    assert!(hint.contains("'--status'") && hint.contains("usage: stead runs ls"), "{hint}");
    assert!(told("runs show --json")["detail"].as_str().unwrap().contains("<RUN>"), "{wrong}");
    assert!(told("runs --json")["detail"].as_str().unwrap().contains("requires a subcommand"));
    // Words behind `--` are no options, and help is no failure.
    assert!(env.stead("runs ls --statsu -- --json").stderr.starts_with("error: "));
    assert!(env.stead("runs --json --help").succeeds().stdout.contains("Usage:"));
}
