//! `stead sandboxes`.

use std::{io::Write as _, process::Stdio};

use insta::assert_snapshot;

use crate::common::{Serving, TestEnvironment};

fn serving() -> (TestEnvironment, Serving) {
    let env = TestEnvironment::new();
    let server = Serving::start(env.command(["dev", "--port", "0"]), "try");
    (env, server)
}

fn create(env: &TestEnvironment) -> String {
    env.stead("sandboxes create").succeeds().stdout.trim().to_owned()
}

#[test]
fn without_a_server_there_are_none() {
    let env = TestEnvironment::new();
    assert_snapshot!(env.stead("sandboxes create"), @"
    exit 5
    --- stderr
    error[ST0151]: sandboxes live in a server, and none runs on this data folder
    hint: start one: `stead dev`, or `stead serve`
    see: stead errors ST0151
    ");
}

#[test]
fn a_command_ends_here_as_it_does_there() {
    let (env, _server) = serving();
    let id = create(&env);
    let ran = env.stead(&format!("sandboxes exec {id} -- sh -c 'echo out; echo err >&2; exit 7'"));
    assert_eq!((ran.stdout.as_str(), ran.stderr.as_str(), ran.code), ("out\n", "err\n", Some(7)));
    assert_eq!(env.stead(&format!("sandboxes exec {id} sh -c 'kill -9 $$'")).code, Some(137));
    let ran = env.stead_with_input(&format!("sandboxes exec -i {id} sort"), "b\na\n");
    assert_eq!((ran.stdout.as_str(), ran.code), ("a\nb\n", Some(0)), "{ran}");
    // Without -i there is nothing to read; into a pipe bytes come as they are.
    let ran =
        env.stead(&format!("sandboxes exec -e X=y -w /tmp {id} -- sh -c 'cat; pwd; echo $X; printf \"\\033[2J\"'"));
    assert_eq!((ran.stdout.as_str(), ran.code), ("/tmp\ny\n\x1b[2J", Some(0)), "{ran}");
    assert_snapshot!(env.stead(&format!("sandboxes exec {id} no-such-program")), @"
    exit 1
    --- stderr
    error[ST0223]: `no-such-program` cannot be started in the sandbox: No such file or directory (os error 2)
    see: stead errors ST0223
    ");
}

#[test]
fn sandboxes_are_listed_shown_changed_and_removed() {
    let (env, _server) = serving();
    let id =
        env.stead("sandboxes create --label 'my box' --ttl 30m --memory 128Mi").succeeds().stdout.trim().to_owned();
    let list = env.stead("sandboxes ls").succeeds();
    assert!(list.stdout.contains(&id) && list.stdout.contains("my box"), "{list}");
    env.stead(&format!("sandboxes exec {id} true")).succeeds();
    let shown = env.stead(&format!("sandboxes show {id}")).succeeds();
    for part in ["my box", "134,217,728", "egress     nothing", "1  ended with 0  true"] {
        assert!(shown.stdout.contains(part), "{part}: {shown}");
    }
    let changed = env.json(&format!("sandboxes limit {id} --ttl 1h --egress api.example.com:443 --json"));
    assert_eq!(changed["egress"][0]["host"], "api.example.com");
    assert_eq!(env.stead(&format!("sandboxes limit {id}")).code, Some(2));
    assert_eq!(env.stead(&format!("sandboxes rm {id}")).succeeds().stdout.trim(), id);
    assert_snapshot!(env.stead(&format!("sandboxes show {id}")), @"
    exit 1
    --- stderr
    error[ST0320]: the sandbox [sandbox] is gone: it was removed
    hint: make another: `stead sandboxes create`
    see: stead errors ST0320
    ");
}

#[test]
fn files_are_copied_listed_and_moved() {
    let (env, _server) = serving();
    let id = create(&env);
    env.write("here.txt", "from here\n");
    env.stead(&format!("sandboxes cp here.txt {id}:/workspace")).succeeds();
    assert_eq!(env.stead(&format!("sandboxes exec {id} cat here.txt")).succeeds().stdout, "from here\n");
    env.stead_with_input(&format!("sandboxes cp - {id}:/tmp/in"), b"\x00\xff").succeeds();
    env.stead(&format!("sandboxes cp {id}:/tmp/in out.bin")).succeeds();
    assert_eq!(std::fs::read(env.path().join("out.bin")).unwrap(), b"\x00\xff");
    assert_eq!(env.stead(&format!("sandboxes cp {id}:here.txt -")).succeeds().stdout, "from here\n");
    env.stead(&format!("sandboxes files mkdir -p {id}:a/b")).succeeds();
    env.stead(&format!("sandboxes files mv {id}:here.txt a/b/there")).succeeds();
    // A name that would drive the terminal is shown harmless.
    env.stead(&format!("sandboxes exec {id} -- sh -c 'touch \"$(printf \"x\\033[2J\\ny\")\"; ln -s a l'")).succeeds();
    let list = env.stead(&format!("sandboxes files ls {id}")).succeeds().stdout;
    assert!(list.contains("x\u{fffd}[2J\u{fffd}y") && list.contains("l -> a") && list.contains("a/"), "{list}");
    env.stead(&format!("sandboxes files rm -r {id}:a")).succeeds();
    assert_eq!(env.stead(&format!("sandboxes cp {id}:a/b/there -")).code, Some(1));
    assert_eq!(env.stead("sandboxes cp a b").code, Some(2));
}

#[test]
fn a_snapshot_is_what_another_sandbox_begins_with() {
    let (env, _server) = serving();
    let id = create(&env);
    env.stead(&format!("sandboxes exec {id} -- sh -c 'echo kept > f'")).succeeds();
    let kept = env.stead(&format!("sandboxes snapshot {id} --hold 1h"));
    if kept.stderr.contains("ST0326") {
        return;
    }
    let tree = kept.succeeds().stdout.trim().to_owned();
    let second = env.stead(&format!("sandboxes create --tree {tree}")).succeeds().stdout.trim().to_owned();
    assert_eq!(env.stead(&format!("sandboxes exec {second} cat f")).succeeds().stdout, "kept\n");
}

/// On a person's screen output is shown harmless; with `-t` the sandbox's own terminal is seen, and keys go there.
#[test]
fn on_a_terminal_output_is_escaped_unless_a_terminal_is_asked_for() {
    let (env, _server) = serving();
    let id = create(&env);
    let on_terminal = |line: &str, typed: &str| {
        let stead = format!("{} {line}", env!("CARGO_BIN_EXE_stead"));
        let mut command = std::process::Command::new("script");
        command
            .args(["--quiet", "--return", "--echo", "never", "--command", &stead, "/dev/null"])
            .current_dir(env.path())
            .env_clear()
            .env("PATH", std::env::var_os("PATH").unwrap())
            .env("HOME", env.path())
            .env("TERM", "xterm");
        let started = command.stdin(Stdio::piped()).stdout(Stdio::piped()).spawn();
        let mut child = started.expect("`script` is missing; install it: sudo apt-get install bsdutils");
        child.stdin.as_mut().unwrap().write_all(typed.as_bytes()).unwrap();
        let output = child.wait_with_output().unwrap();
        (String::from_utf8_lossy(&output.stdout).into_owned(), output.status.code())
    };
    let (shown, code) = on_terminal(&format!("sandboxes exec {id} -- printf 'a\\033[2Jb'"), "");
    assert_eq!((shown.as_str(), code), ("a\u{fffd}[2Jb", Some(0)));
    let (shown, code) = on_terminal(&format!("sandboxes exec -t {id} -- printf 'a\\033[2Jb'"), "");
    assert_eq!((shown.as_str(), code), ("a\x1b[2Jb", Some(0)));
    let script = "stty -echo; test -t 0 && test -t 1 && read x && echo got $x; exit 5";
    let (shown, code) = on_terminal(&format!("sandboxes exec -it {id} -- sh -c '{script}'"), "word\r");
    assert!(shown.contains("got word"), "{shown:?}");
    assert_eq!(code, Some(5));
}
