//! `stead test`.

use std::sync::Arc;

use axum::Router;
use insta::assert_snapshot;
use tokio::sync::Barrier;

use crate::common::TestEnvironment;

const AGENT: &str = "stead: v1
name: payer
model: { rehearsal: ./script.yaml }
instructions: Pay.
tools:
  bank:
    http:
      base_url: https://bank.example
      operations:
        pay: { method: POST, path: /pay, params: { order: { type: string }, cents: { type: integer } } }
        note: { method: POST, path: /note, params: { text: { type: string } } }
    auth: env://BANK_KEY
    effects:
      pay: { class: irreversible, ask: true, on_unknown: ask }
      note: { class: keyed }
    trust: { $: trusted }
";

const SCRIPT: &str = "rules:
  - when: { user: 'pay (?<n>\\d+)' }
    call: [{ tool: bank_pay, args: { order: \"{{n}}\", cents: 500 } }]
  - when: { tool: bank_pay, error: true }
    say: 'Not paid.'
  - when: { tool: bank_pay }
    call: [{ tool: bank_note, args: { text: done } }]
  - when: { tool: bank_note }
    say: '{\"paid\": true}'
";

const DOUBLES: &str = "tools: { bank_pay: { returns: ok }, bank_note: { returns: { id: 1 } } }\n";

fn payer(cases: &[(&str, String)]) -> TestEnvironment {
    let env = TestEnvironment::new();
    env.write("payer/agent.yaml", AGENT);
    env.write("payer/script.yaml", SCRIPT);
    for (name, text) in cases {
        env.write(&format!("payer/tests/{name}.yaml"), &format!("stead: test/v1\n{text}"));
    }
    env
}

const YES: &str = "approvals: [{ tool: bank_pay, answer: approve }]\n";

#[test]
fn the_tests_of_the_example_pass_with_the_runtime_killed_at_every_record() {
    let env = TestEnvironment::with_refund_desk();
    let terminal = env.stead("test refund-desk --junit out.xml").succeeds();
    assert!(terminal.stdout.contains("4 cases: 4 passed, 0 failed"), "{terminal}");
    let crashes = terminal.stdout.lines().find(|l| l.contains("crash · ")).unwrap();
    let killed: u32 = crashes.split(" · ").nth(1).unwrap().split(' ').next().unwrap().parse().unwrap();
    assert!(killed >= 16, "{terminal}");
    let xml = std::fs::read_to_string(env.path().join("out.xml")).unwrap();
    assert!(xml.contains(r#"<testsuites name="refund-desk" tests="4" skipped="0" failures="0" errors="0">"#), "{xml}");
    // Nothing is left behind, and nothing was done in the user's own data folder.
    assert!(!env.path().join(".stead").exists());
}

#[test]
fn what_is_not_as_expected_is_told_with_its_line_and_side_by_side() {
    let env = payer(&[(
        "wrong",
        format!(
            "input: pay 7\n{YES}{DOUBLES}expect:\n  status: failed\n  answer:\n    contains: [thanks]\n    json: {{ paid: \
             false }}\n  calls:\n    - tool: bank_pay\n      args: {{ cents: 501 }}\n      decision: allowed\n  never: \
             [bank_note]\n  effects: {{ bank_pay: 2 }}\n  at_most: {{ tool_calls: 1 }}\n"
        ),
    )]);
    assert_snapshot!(env.stead("test payer --junit out.xml"), @r#"
    exit 1
    --- stdout
    FAIL  wrong · [took]
      payer/tests/wrong.yaml:6: the run is completed, not failed
      payer/tests/wrong.yaml:8: the answer does not contain "thanks"
        answer: {"paid": true}
      payer/tests/wrong.yaml:9: the answer is another
        $.paid: expected false, found true
      payer/tests/wrong.yaml:11: the calls are others (- expected, + made)
        - bank_pay {"cents":501} (allowed)
        + bank_pay {"order":"7","cents":500}
            $.cents: expected 501, found 500
            decision: expected allowed, found approved
        + bank_note {"text":"done"}
      payer/tests/wrong.yaml:14: bank_note was called once
      payer/tests/wrong.yaml:16: it made 2 tool calls
      payer/tests/wrong.yaml:15: bank_pay took effect once, not 2 times

    1 case: 0 passed, 1 failed
    "#);
    let xml = std::fs::read_to_string(env.path().join("out.xml")).unwrap();
    assert!(xml.contains(r#"failures="1""#) && xml.contains("payer/tests/wrong.yaml:6: "), "{xml}");
    let json = env.json("test payer --json");
    assert_eq!((&json["failed"], &json["cases"][0]["findings"][0]["line"]), (&1.into(), &6.into()), "{json}");
}

#[test]
fn a_question_without_an_answer_is_told_with_what_to_add() {
    let two = "approvals:\n  - { tool: bank_pay, answer: approve }\n  - { tool: bank_note, answer: deny }\n";
    let env =
        payer(&[("asks", format!("input: pay 7\n{DOUBLES}")), ("unasked", format!("input: pay 7\n{two}{DOUBLES}"))]);
    let unasked = env.stead("test payer --filter unasked");
    assert!(unasked.stdout.contains("payer/tests/unasked.yaml:5: nobody asked about bank_note"), "{unasked}");
    assert_snapshot!(env.stead("test payer --filter asks"), @r#"
    exit 1
    --- stdout
    FAIL  asks · [took]
      payer/tests/asks.yaml:1: a human was asked about bank_pay {"order":"7","cents":500}, and there is no answer to that
        hint: add `{ tool: bank_pay, reason: manifest, answer: approve }` or `deny`

    1 case: 0 passed, 1 failed
    "#);
}

#[test]
fn a_file_that_is_no_case_is_told_with_the_nearest_key() {
    let env = payer(&[
        ("a", "input: x\nexpects: { status: failed }\n".to_owned()),
        ("b", "input: x\nmodel: { rehearsal: ./gone.yaml }\n".to_owned()),
    ]);
    assert_snapshot!(env.stead("test payer"), @"
    exit 1
    --- stderr
    error[ST0102]

      × unknown key `expects` (at `expects`)
       ╭─[payer/tests/a.yaml:3:1]
     2 │ input: x
     3 │ expects: { status: failed }
       · ───────
       ╰────
      help: did you mean `expect`?
    error[ST0104]

      × `./gone.yaml` cannot be read: No such file or directory (os error 2) (at `model.rehearsal`)
       ╭─[payer/tests/b.yaml:3:21]
     2 │ input: x
     3 │ model: { rehearsal: ./gone.yaml }
       ·                     ───────────
       ╰────
    see: stead errors ST0102
    ");
    assert_snapshot!(TestEnvironment::with_refund_desk().stead("test refund-desk --filter nothing"), @"
    exit 1
    --- stderr
    error[ST0202]: no case in refund-desk/tests has a name that holds `nothing`
    hint: --filter takes a part of a file's name, without `.yaml`
    see: stead errors ST0202
    ");
    let bare = payer(&[]);
    for (folder, line) in [("payer", "test payer --filter nothing"), ("payer/tests", "test payer")] {
        std::fs::create_dir_all(bare.path().join(folder)).unwrap();
        let terminal = bare.stead(line);
        assert!(terminal.stderr.contains("there are no tests in payer/tests"), "{terminal}");
    }
}

#[test]
fn an_agent_is_expected_to_call_nothing() {
    let env = payer(&[
        ("calls", format!("input: pay 7\n{YES}{DOUBLES}expect: {{ calls: [] }}\n")),
        ("none", format!("input: hello\n{DOUBLES}expect: {{ calls: [] }}\n")),
    ]);
    env.write("payer/script.yaml", &format!("{SCRIPT}  - when: {{ user: hello }}\n    say: Hello.\n"));
    env.stead("test payer --filter none").succeeds();
    let terminal = env.stead("test payer --filter calls --update");
    assert!(terminal.stdout.contains("payer/tests/calls.yaml:5: the calls are others"), "{terminal}");
    env.stead("test payer").succeeds();
    // And back: what was expected is not called.
    env.write(
        "payer/tests/none.yaml",
        &format!("stead: test/v1\ninput: hello\n{DOUBLES}expect:\n  calls:\n    - bank_pay\n"),
    );
    assert_eq!(env.stead("test payer --filter none --update").code, Some(1));
    env.stead("test payer").succeeds();
}

#[test]
fn an_input_that_does_not_fit_the_schema_is_told_at_its_key() {
    let env = payer(&[
        ("one", format!("description: none\ninput: pay 7\n{DOUBLES}")),
        ("two", format!("description: none\nturns:\n  - input: \"{{}}\"\n  - input: pay 7\n{DOUBLES}")),
    ]);
    env.write("payer/agent.yaml", &format!("{AGENT}input: ./in.json\n"));
    env.write("payer/script.yaml", "rules:\n  - when: { user: '.' }\n    say: Hello.\n");
    env.write("payer/in.json", r#"{"type": "object"}"#);
    let terminal = env.stead("test payer");
    for place in ["one.yaml:3: ST0218", "two.yaml:5: ST0218"] {
        assert!(terminal.stdout.contains(&format!("payer/tests/{place}: the input does not fit")), "{terminal}");
    }
}

#[test]
fn an_effect_that_was_done_twice_is_found_without_being_asked_for() {
    // Told to go on without knowing, a human lets the payment be made again: that is what the crash is about.
    let twice = "approvals:\n  - { tool: bank_pay, answer: approve }\n  - { tool: bank_pay, reason: outcome_unknown, \
                 answer: approve }\n";
    let env = payer(&[("twice", format!("input: pay 7\n{twice}{DOUBLES}crash: {{ every: true }}\n"))]);
    let terminal = env.stead("test payer");
    assert_eq!(terminal.code, Some(1), "{terminal}");
    assert!(terminal.stdout.contains("one call of bank_pay took effect 2 times (crash before record"), "{terminal}");
}

#[test]
fn a_crash_at_one_record_and_one_that_never_comes() {
    let leave = "approvals:\n  - { tool: bank_pay, answer: approve }\n  - { tool: bank_pay, reason: outcome_unknown, \
                 answer: deny }\n";
    let env = payer(&[
        (
            "once",
            format!("input: pay 7\n{leave}{DOUBLES}expect: {{ effects: {{ bank_pay: 1 }} }}\ncrash: {{ at: 4 }}\n"),
        ),
        ("never", format!("input: pay 7\n{leave}{DOUBLES}crash: {{ at: 900 }}\n")),
    ]);
    let once = env.stead("test payer --filter once").succeeds();
    assert!(once.stdout.starts_with("ok    once · 2 crashes"), "{once}");
    let never = env.stead("test payer --filter never");
    assert!(never.stdout.contains("payer/tests/never.yaml:7: there is no record 900"), "{never}");
}

#[test]
fn cases_are_played_beside_each_other() {
    // A place where a request is answered only when another is there at the same time. Each case makes one: the tool is not
    // asked again.
    let (barrier, listener) = (Arc::new(Barrier::new(2)), std::net::TcpListener::bind("127.0.0.1:0").unwrap());
    listener.set_nonblocking(true).unwrap();
    let address = listener.local_addr().unwrap();
    std::thread::spawn(move || {
        let app = Router::new().fallback(async move || {
            barrier.wait().await;
            "met"
        });
        let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
        runtime
            .block_on(async { axum::serve(tokio::net::TcpListener::from_std(listener).unwrap(), app).await.unwrap() });
    });
    let env = TestEnvironment::new();
    let agent = format!(
        "stead: v1\nname: meeter\nmodel: {{ rehearsal: ./script.yaml }}\ninstructions: Meet.\ntools:\n  place:\n    http:\n      \
         base_url: http://{address}\n      operations: {{ come: {{ method: POST, path: /come }} }}\n    effect: irreversible\n"
    );
    env.write("meeter/agent.yaml", &agent);
    let script = "rules:\n  - when: { user: meet }\n    call: [{ tool: place_come, args: {} }]\n  - when: { tool: place_come, \
                  error: true }\n    say: alone\n  - when: { tool: place_come }\n    say: met\n";
    env.write("meeter/script.yaml", script);
    for case in ["one", "two"] {
        env.write(
            &format!("meeter/tests/{case}.yaml"),
            "stead: test/v1\ninput: meet\nexpect: { answer: met, effects: { place_come: 1 } }\n",
        );
    }
    env.stead("test meeter -j 2").succeeds();
}

#[test]
fn answers_are_given_in_the_order_in_which_it_is_asked() {
    let case = "input: pay both\napprovals:\n  - { tool: bank_pay, answer: approve }\n  - { tool: bank_pay, answer: deny, note: \
                Not twice. }\n";
    let expect = "expect:\n  calls:\n    - { tool: bank_pay, args: { order: a }, decision: approved, outcome: returned }\n    - { \
                  tool: bank_pay, args: { order: b }, decision: denied }\n  other_calls: allowed\n  effects: { bank_pay: 1 }\n";
    let env = payer(&[("both", format!("{case}{DOUBLES}{expect}"))]);
    let both = "rules:\n  - when: { user: both }\n    call:\n      - { tool: bank_pay, args: { order: a, cents: 1 } }\n      - { tool: \
                bank_pay, args: { order: b, cents: 1 } }\n  - when: { tool: bank_pay }\n    say: Done.\n";
    env.write("payer/script.yaml", both);
    env.stead("test payer").succeeds();
}

#[test]
fn a_real_model_is_not_asked_and_a_real_tool_needs_its_secret() {
    let env = payer(&[("one", format!("input: pay 7\n{YES}tools: {{ bank_pay: {{ returns: ok }} }}\n"))]);
    // `bank_note` has no double, so the tool really runs.
    let terminal = env.stead("test payer");
    assert!(terminal.stdout.contains("the environment variable BANK_KEY is not set"), "{terminal}");
    env.write("payer/agent.yaml", &AGENT.replace("{ rehearsal: ./script.yaml }", "openai:gpt-5-mini"));
    env.write("payer/tests/one.yaml", &format!("stead: test/v1\ninput: pay 7\n{DOUBLES}"));
    let terminal = env.stead("test payer");
    assert!(terminal.stdout.contains("ST0160: the agent `payer` has a real model"), "{terminal}");
    let stand_in = format!("stead: test/v1\ninput: pay 7\n{YES}{DOUBLES}model: {{ rehearsal: ./script.yaml }}\n");
    env.write("payer/tests/one.yaml", &stand_in);
    env.stead("test payer").succeeds();
}

#[test]
fn update_writes_what_was_found_and_nothing_else() {
    let before = format!(
        "# As it should be.\ninput: pay 7\n{YES}{DOUBLES}expect:\n  answer: paid # whole\n  calls:\n    - bank_note\n    - \
         bank_pay\n"
    );
    let env = payer(&[("old", before)]);
    let terminal = env.stead("test payer --update");
    assert_eq!(terminal.code, Some(1), "{terminal}");
    let now = std::fs::read_to_string(env.path().join("payer/tests/old.yaml")).unwrap();
    assert_snapshot!(now, @r#"
    stead: test/v1
    # As it should be.
    input: pay 7
    approvals: [{ tool: bank_pay, answer: approve }]
    tools: { bank_pay: { returns: ok }, bank_note: { returns: { id: 1 } } }
    expect:
      answer: "{\"paid\": true}" # whole
      calls:
        - { tool: bank_pay, args: {"order":"7","cents":500} }
        - { tool: bank_note, args: {"text":"done"} }
    "#);
    env.stead("test payer").succeeds();
}

#[test]
fn several_turns_share_a_session_and_answers_follow_the_script() {
    let turns = "turns:\n  - input: pay 1\n    expect: { calls: [bank_pay, bank_note] }\n  - input: pay 2\n    expect:\n      \
                 answer: Not paid.\n      calls: [{ tool: bank_pay, args: { order: \"2\" }, outcome: refused }]\n";
    let env = payer(&[(
        "two",
        format!(
            "{turns}approvals:\n  - {{ tool: bank_pay, answer: approve }}\n  - {{ tool: bank_pay, answer: approve }}\ntools:\n  \
             bank_pay: {{ answers: [{{ returns: ok }}, {{ refuses: no money }}] }}\n  bank_note: {{ returns: ok }}\nexpect:\n  \
             effects: {{ bank_pay: 1, bank_note: 1 }}\n  other_calls: allowed\n  calls: [bank_note]\n"
        ),
    )]);
    env.stead("test payer").succeeds();
}
