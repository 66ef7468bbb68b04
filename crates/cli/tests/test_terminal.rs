//! What a person at a terminal sees and is asked. The terminal is a real one: `script` makes it.

use std::process::Stdio;

use insta::assert_snapshot;

use crate::common::{TestEnvironment, filtered};

/// Runs a command line on a terminal of its own, with these lines typed.
fn on_terminal(env: &TestEnvironment, line: &str, typed: &str, color: bool) -> String {
    let mut probe = std::process::Command::new("script");
    let installed = probe.arg("--version").stdout(Stdio::null()).stderr(Stdio::null()).status();
    assert!(installed.is_ok(), "`script` is missing; install it: sudo apt-get install bsdutils");
    let mut command = std::process::Command::new("script");
    let stead = format!("{} {line}", env!("CARGO_BIN_EXE_stead"));
    command
        .args(["--quiet", "--return", "--echo", "never", "--command", &stead, "/dev/null"])
        .current_dir(env.path())
        .env_clear()
        .env("PATH", std::env::var_os("PATH").unwrap())
        .env("HOME", env.path())
        .env("TERM", "xterm");
    if !color {
        command.env("NO_COLOR", "1");
    }
    let mut child = command.stdin(Stdio::piped()).stdout(Stdio::piped()).spawn().unwrap();
    std::io::Write::write_all(child.stdin.as_mut().unwrap(), typed.as_bytes()).unwrap();
    let output = child.wait_with_output().unwrap();
    let text = String::from_utf8(output.stdout).unwrap().replace('\r', "");
    filtered(&text, "")
}

#[test]
fn a_person_is_asked_and_the_answer_is_shown_once() {
    let env = TestEnvironment::with_refund_desk();
    assert_snapshot!(on_terminal(&env, "run refund-desk 'Refund order 1042'", "y\n", false), @r#"
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

    payments_refund {"order_id":"1042","amount_cents":4990,"currency":"USD"}
    Approve? [y/N]   approved payments_refund by owner
      result   payments_refund · [took] · {"id":"rf_1","key":"1042","order_id":"1042","amount_cents":4990,"currency":"USD"}
      model    rehearsal · [took] · 350 tokens · $0
      call     mail_send {"to":"ada@example.com","subject":"Your refund for order 1042","text":"Dear Ada Lovelace, we have refunded 49.90 USD for…
      result   mail_send · [took] · {"id":"msg_1"}
    Done: 49.90 USD for order 1042 is on its way back to Ada Lovelace, and a mail to ada@example.com says so.
      model    rehearsal · [took] · 380 tokens · $0
    completed · 4 turns · 3 effects · 1,217 tokens · $0 · [took]
    "#);
}

#[test]
fn anything_but_yes_is_no() {
    let env = TestEnvironment::with_refund_desk();
    assert_snapshot!(on_terminal(&env, "run refund-desk 'Refund order 1042'", "\n", false), @r#"
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

    payments_refund {"order_id":"1042","amount_cents":4990,"currency":"USD"}
    Approve? [y/N]   denied   payments_refund by owner
    The refund of order 1042 was not made. ST0044: a human (owner) denied this action.
      model    rehearsal · [took] · 325 tokens · $0
    completed · 3 turns · 2 effects · 812 tokens · $0 · [took]
    "#);
}

#[test]
fn colours_are_for_terminals_that_want_them() {
    let env = TestEnvironment::new();
    assert!(on_terminal(&env, "agents show nobody", "", true).contains("\u{1b}[1;31merror[ST0202]:"));
    assert!(!on_terminal(&env, "agents show nobody", "", false).contains('\u{1b}'));
}
