//! Session sandboxes over the API: a real server, real boxes, and the client that programs use.

use std::{
    fs,
    os::unix::fs::PermissionsExt as _,
    time::{Duration, Instant},
};

use base64::{Engine as _, engine::general_purpose::STANDARD};
use futures_util::{StreamExt as _, stream};
use stead_api::sandbox::{
    ChangeSandbox, CreateSandbox, ExecState, FileHappened, FileKind, MakeFolder, MoveFile, OutputSource,
    ResourceLimits, Sandbox, StartExec, TakeSnapshot, TerminalSize,
};
use stead_client::{Client, ClientError, Output};
use stead_core::{code, id::SandboxId, time::Span};

use crate::common::{Serving, TestEnvironment};

struct Lab {
    env: TestEnvironment,
    server: Serving,
    client: Client,
}

fn second(n: u64) -> Span {
    Span(n * 1_000_000)
}

const OTHER: &str = "token-of-another-tenant-that-is-long-enough";

impl Lab {
    fn new() -> Self {
        Self::with("")
    }

    fn with(config: &str) -> Self {
        let env = TestEnvironment::new();
        let digest = sha256(OTHER);
        env.write(
            "stead.toml",
            &format!(
                "listen = \"127.0.0.1:0\"\ndata_dir = \".stead\"\n[[auth.tokens]]\nsubject = \"eve\"\ntenant = \"other\"\n\
                 sha256 = \"{digest}\"\nrights = [\"sandbox\"]\n{config}"
            ),
        );
        let (server, client) = serve(&env, "serve");
        Self { env, server, client }
    }

    /// One of a command line on the user's own machine, where callers may write every rule.
    fn dev() -> Self {
        let env = TestEnvironment::new();
        let (server, client) = serve(&env, "dev");
        Self { env, server, client }
    }

    fn other(&self) -> Client {
        Client::new(self.client.base().as_str(), OTHER).unwrap()
    }

    async fn create(&self) -> Sandbox {
        self.client.create_sandbox(&CreateSandbox::default()).await.unwrap()
    }

    /// Runs a command to its end: output, errors, code.
    async fn run(&self, id: SandboxId, script: &str) -> (String, String, Option<i32>) {
        run(&self.client, id, script).await
    }
}

fn serve(env: &TestEnvironment, word: &str) -> (Serving, Client) {
    let words: &[&str] = if word == "dev" { &["dev", "--port", "0", "--json"] } else { &["serve", "--json"] };
    let (server, line) = Serving::watch(env.command(words)).until("\n");
    let told: serde_json::Value = serde_json::from_str(&line).unwrap();
    let token = fs::read_to_string(told["token"].as_str().unwrap()).unwrap();
    (server, Client::new(told["url"].as_str().unwrap(), token.trim()).unwrap())
}

/// By the program that is everywhere.
fn sha256(text: &str) -> String {
    let mut child = std::process::Command::new("sha256sum")
        .stdin(std::process::Stdio::piped())
        .stdout(std::process::Stdio::piped())
        .spawn()
        .unwrap();
    std::io::Write::write_all(&mut child.stdin.take().unwrap(), text.as_bytes()).unwrap();
    String::from_utf8(child.wait_with_output().unwrap().stdout).unwrap()[..64].to_owned()
}

fn sh(script: &str) -> StartExec {
    StartExec { command: ["sh", "-c", script].map(str::to_owned).to_vec(), ..StartExec::default() }
}

async fn run(client: &Client, id: SandboxId, script: &str) -> (String, String, Option<i32>) {
    let exec = client.exec(id, &sh(script), None).await.unwrap();
    let mut follow = client.follow_exec(id, exec.n, 0).unwrap();
    let (mut out, mut err) = (Vec::new(), Vec::new());
    loop {
        match follow.next().await.unwrap().unwrap() {
            Output::Chunk(chunk) => {
                let to = if chunk.source == OutputSource::Stderr { &mut err } else { &mut out };
                to.extend(STANDARD.decode(chunk.data).unwrap());
            }
            Output::Lost(lost) => panic!("{lost:?}"),
            Output::Exit(exit) => return (text(&out), text(&err), exit.end.code),
        }
    }
}

fn text(bytes: &[u8]) -> String {
    String::from_utf8_lossy(bytes).into_owned()
}

fn refused<T: std::fmt::Debug>(
    result: Result<T, ClientError>,
    status: u16,
    code: stead_core::code::Code,
) -> ClientError {
    let error = result.unwrap_err();
    assert_eq!((error.status, error.code), (Some(status), code), "{error}");
    error
}

async fn read(client: &Client, id: SandboxId, path: &str) -> Result<Vec<u8>, ClientError> {
    let mut pieces = client.read_file(id, path).await?;
    let mut out = Vec::new();
    while let Some(piece) = pieces.next().await {
        out.extend_from_slice(&piece?);
    }
    Ok(out)
}

async fn write(client: &Client, id: SandboxId, path: &str, text: &str) -> Result<u64, ClientError> {
    let piece = bytes::Bytes::from(text.to_owned());
    Ok(client.write_file(id, path, None, stream::iter([Ok(piece)])).await?.size)
}

/// Waits until something holds; what it waits for comes from elsewhere and cannot be waited for itself.
async fn until(what: &str, mut holds: impl FnMut() -> bool) {
    let end = Instant::now() + Duration::from_secs(20);
    while !holds() {
        assert!(Instant::now() < end, "not within 20 s: {what}");
        tokio::time::sleep(Duration::from_millis(10)).await;
    }
}

/// Whether a process of this host has that word among its arguments.
fn runs(word: &str) -> bool {
    fs::read_dir("/proc").unwrap().flatten().any(|entry| {
        let words = fs::read(entry.path().join("cmdline")).unwrap_or_default();
        words.split(|b| *b == 0).any(|w| w == word.as_bytes())
    })
}

/// A number of seconds that no other test sleeps.
fn unique(n: u32) -> String {
    format!("{}.{n}", 1_000_000 + u64::from(std::process::id()))
}

#[tokio::test]
async fn a_sandbox_is_made_used_and_removed_and_belongs_to_its_tenant() {
    let lab = Lab::new();
    let mine = CreateSandbox { label: Some("mine".into()), ..CreateSandbox::default() };
    let made = lab.client.create_sandbox(&mine).await.unwrap();
    assert_eq!(
        (made.label.as_deref(), made.template.as_str(), made.owner.as_str()),
        (Some("mine"), "default", "owner")
    );
    assert_eq!(lab.run(made.id, "echo out; echo err >&2; exit 3").await, ("out\n".into(), "err\n".into(), Some(3)));
    assert_eq!(lab.run(made.id, "echo kept > f; cat f").await.0, "kept\n");
    let shown = lab.client.sandbox(made.id).await.unwrap();
    assert!(shown.usage.unwrap().pids.is_none_or(|n| n >= 2), "{shown:?}");
    assert_eq!(lab.client.execs(made.id).await.unwrap().items.len(), 2);
    // To another tenant it is not there.
    let eve = lab.other();
    assert!(eve.sandboxes().await.unwrap().items.is_empty());
    refused(eve.sandbox(made.id).await, 404, code::NOT_FOUND);
    refused(eve.exec(made.id, &sh("true"), None).await, 404, code::NOT_FOUND);
    refused(read(&eve, made.id, "/workspace/f").await, 404, code::NOT_FOUND);
    refused(eve.remove_sandbox(made.id).await, 404, code::NOT_FOUND);

    assert_eq!(lab.client.sandboxes().await.unwrap().items.len(), 1);
    lab.client.remove_sandbox(made.id).await.unwrap();
    let error = refused(lab.client.sandbox(made.id).await, 410, code::SESSION_SANDBOX_GONE);
    assert!(error.detail.contains("it was removed"), "{error}");
    refused(eve.sandbox(made.id).await, 404, code::NOT_FOUND);
    refused(lab.client.sandbox(SandboxId(u128::MAX >> 1)).await, 404, code::NOT_FOUND);
    assert_eq!(lab.server.stop(), Some(0));
}

#[tokio::test]
async fn output_is_taken_up_again_after_a_lost_connection_and_a_key_runs_a_command_once() {
    let lab = Lab::new();
    let id = lab.create().await.id;
    let start = StartExec { stdin: true, ..sh("echo one; read x; echo $x; echo run >> runs; cat runs") };
    let exec = lab.client.exec(id, &start, Some("step-1")).await.unwrap();
    let mut follow = lab.client.follow_exec(id, exec.n, 0).unwrap();
    let Output::Chunk(first) = follow.next().await.unwrap().unwrap() else { panic!("no output") };
    assert_eq!((first.seq, first.data), (1, STANDARD.encode("one\n")));
    let last = follow.last();
    drop(follow);
    // Asked again, it is the same one; another command with this key is refused.
    assert_eq!(lab.client.exec(id, &start, Some("step-1")).await.unwrap().n, exec.n);
    refused(lab.client.exec(id, &sh("true"), Some("step-1")).await, 409, code::IDEMPOTENCY);
    lab.client.exec_input(id, exec.n, "two\n".into(), true).await.unwrap();
    let mut follow = lab.client.follow_exec(id, exec.n, last).unwrap();
    let mut out = String::new();
    loop {
        match follow.next().await.unwrap().unwrap() {
            Output::Chunk(chunk) => out += &text(&STANDARD.decode(chunk.data).unwrap()),
            Output::Exit(exit) => break assert_eq!(exit.end.code, Some(0)),
            Output::Lost(lost) => panic!("{lost:?}"),
        }
    }
    assert_eq!(out, "two\nrun\n");
    assert!(follow.next().await.is_none());
    // Without a stream it is there at once, from any number on.
    let page = lab.client.exec_output(id, exec.n, 0).await.unwrap();
    assert_eq!((page.chunks[0].seq, page.exit.unwrap().seq), (1, page.next));
    assert!(lab.client.exec_output(id, exec.n, page.next).await.unwrap().exit.is_none());
    refused(lab.client.exec_output(id, 99, 0).await, 404, code::NOT_FOUND);
    refused(lab.client.exec_input(id, exec.n, "late".into(), false).await, 409, code::SANDBOX_INPUT);
    lab.server.stop();
}

#[tokio::test]
async fn what_is_lost_of_a_flood_is_told_and_the_end_is_heard() {
    let lab = Lab::new();
    let id = lab.create().await.id;
    let exec = lab.client.exec(id, &sh("yes | head -c 5000000; echo end"), None).await.unwrap();
    let ended = loop {
        let state = lab.client.exec_state(id, exec.n).await.unwrap();
        if state.end.state != ExecState::Running {
            break state;
        }
    };
    assert_eq!(ended.end.code, Some(0));
    let mut follow = lab.client.follow_exec(id, exec.n, 0).unwrap();
    let Output::Lost(lost) = follow.next().await.unwrap().unwrap() else { panic!("nothing is lost") };
    assert_eq!(lost.from, 1);
    let (mut next, mut last) = (lost.to + 1, Vec::new());
    loop {
        match follow.next().await.unwrap().unwrap() {
            Output::Chunk(chunk) => {
                assert_eq!(chunk.seq, next);
                next += 1;
                last = STANDARD.decode(chunk.data).unwrap();
            }
            Output::Exit(exit) => break assert_eq!(exit.seq, next),
            Output::Lost(lost) => panic!("{lost:?}"),
        }
    }
    assert!(last.ends_with(b"end\n"));
    lab.server.stop();
}

#[tokio::test]
async fn a_terminal_is_typed_into_and_resized_and_commands_are_killed_and_end_in_time() {
    let lab = Lab::new();
    let id = lab.create().await.id;
    let start = StartExec {
        terminal: Some(TerminalSize { rows: 24, columns: 80 }),
        ..sh("stty size; stty -echo; read x; stty size; echo got $x")
    };
    let exec = lab.client.exec(id, &start, None).await.unwrap();
    let mut follow = lab.client.follow_exec(id, exec.n, 0).unwrap();
    let mut shown = String::new();
    while !shown.contains("24 80") {
        let Output::Chunk(chunk) = follow.next().await.unwrap().unwrap() else { panic!("{shown}") };
        assert_eq!(chunk.source, OutputSource::Terminal);
        shown += &text(&STANDARD.decode(chunk.data).unwrap());
    }
    lab.client.exec_resize(id, exec.n, TerminalSize { rows: 50, columns: 132 }).await.unwrap();
    lab.client.exec_input(id, exec.n, "word\n".into(), false).await.unwrap();
    while let Output::Chunk(chunk) = follow.next().await.unwrap().unwrap() {
        shown += &text(&STANDARD.decode(chunk.data).unwrap());
    }
    assert!(shown.contains("50 132") && shown.ends_with("got word\r\n"), "{shown}");

    let end = async |start: &StartExec, signal: Option<Option<i32>>| {
        let exec = lab.client.exec(id, start, None).await.unwrap();
        if let Some(signal) = signal {
            lab.client.exec_kill(id, exec.n, signal).await.unwrap();
        }
        let mut follow = lab.client.follow_exec(id, exec.n, 0).unwrap();
        loop {
            if let Output::Exit(exit) = follow.next().await.unwrap().unwrap() {
                return (exit.end.state, exit.end.signal);
            }
        }
    };
    let word = unique(1);
    let stubborn = sh(&format!("trap '' TERM; (setsid sleep {word} &); sleep {word}; sleep {word}"));
    assert_eq!(end(&stubborn, Some(None)).await, (ExecState::Killed, None));
    assert!(!runs(&word), "something of it lives on");
    let plain = StartExec { command: vec!["sleep".into(), word.clone()], ..StartExec::default() };
    assert_eq!(end(&plain, Some(Some(15))).await, (ExecState::Signalled, Some(15)));
    let timed = StartExec { timeout: Some(Span(100_000)), ..stubborn };
    assert_eq!(end(&timed, None).await, (ExecState::Timeout, None));
    assert!(!runs(&word), "something of it lives on");
    refused(
        lab.client.exec(id, &StartExec { command: vec!["no-such".into()], ..plain }, None).await,
        422,
        code::SANDBOX_COMMAND,
    );
    lab.server.stop();
}

#[tokio::test]
async fn files_go_in_and_out_and_both_sides_see_the_same() {
    let lab = Lab::new();
    let (client, id) = (&lab.client, lab.create().await.id);
    assert_eq!(write(client, id, "/workspace/a", "from outside").await.unwrap(), 12);
    let seen = lab.run(id, "cat a; stat -c ' %U %a' a; echo inside > a && cat a").await;
    assert_eq!(seen.0, "from outside box 644\ninside\n", "{}", seen.1);
    assert_eq!(read(client, id, "/workspace/a").await.unwrap(), b"inside\n");
    client.make_folder(id, &MakeFolder { path: "/workspace/d/e/f".into(), parents: true }).await.unwrap();
    refused(
        client.make_folder(id, &MakeFolder { path: "/workspace/d".into(), parents: false }).await,
        422,
        code::SANDBOX_FILE,
    );
    let to = MoveFile { from: "/workspace/a".into(), to: "/workspace/d/e/b".into() };
    assert_eq!(client.move_file(id, &to).await.unwrap().name, "b");
    assert_eq!(lab.run(id, "cat d/e/b; touch d/e/mine && ls d/e").await.0, "inside\nb\nf\nmine\n");
    let names: Vec<_> = client.list_files(id, "/workspace/d/e").await.unwrap().entries;
    let names: Vec<_> = names.into_iter().map(|e| (e.name, e.kind)).collect();
    let expected = [("b", FileKind::File), ("f", FileKind::Folder), ("mine", FileKind::File)];
    assert_eq!(names, expected.map(|(name, kind)| (name.to_owned(), kind)));
    refused(client.remove_file(id, "/workspace/d", false).await, 422, code::SANDBOX_FILE);
    client.remove_file(id, "/workspace/d", true).await.unwrap();
    refused(client.stat_file(id, "/workspace/d").await, 404, code::NOT_FOUND);
    // Larger than what goes at once, byte for byte; and what does not fit leaves nothing.
    let big: Vec<u8> = (0..5_000_000_u32).map(|n| (n % 251) as u8).collect();
    let pieces: Vec<_> = big.chunks(70_001).map(|c| Ok(bytes::Bytes::copy_from_slice(c))).collect();
    client.write_file(id, "/tmp/big", Some(0o600), stream::iter(pieces)).await.unwrap();
    assert!(read(client, id, "/tmp/big").await.unwrap() == big);
    let endless = stream::repeat_with(|| Ok(bytes::Bytes::from(vec![0; 1 << 20]))).take(275);
    refused(client.write_file(id, "/tmp/endless", None, endless).await, 507, code::SANDBOX_FILE_ROOM);
    assert_eq!(lab.run(id, "ls -A /tmp").await.0, "big\n");
    for (path, status) in [
        ("/etc/passwd", 422),
        ("/workspace/../etc/passwd", 422),
        ("workspace/a", 422),
        ("/workspace/no", 404),
        ("/proc/1/environ", 422),
    ] {
        assert_eq!(read(client, id, path).await.unwrap_err().status, Some(status), "{path}");
    }
    lab.server.stop();
}

/// 29: links of either kind, and what is no file.
#[tokio::test]
async fn what_is_no_file_of_the_sandbox_is_not_read_and_not_written_to() {
    let lab = Lab::new();
    let (client, id) = (&lab.client, lab.create().await.id);
    let canary = tempfile::tempdir().unwrap();
    fs::set_permissions(canary.path(), fs::Permissions::from_mode(0o777)).unwrap();
    fs::write(canary.path().join("file"), "canary").unwrap();
    let place = canary.path().display();
    lab.run(id, &format!("ln -s /etc/shadow shadow; ln -s {place}/file out; ln -s {place} folder; mkfifo pipe; ln -s /proc/self/environ env; ln /etc/shadow hard 2>/dev/null; ln -s ../../../../../../{place}/file up")).await;
    for path in ["shadow", "out", "folder/file", "env", "up", "pipe"] {
        refused(read(client, id, &format!("/workspace/{path}")).await, 422, code::SANDBOX_FILE);
    }
    refused(read(client, id, "/workspace/hard").await, 404, code::NOT_FOUND);
    refused(write(client, id, "/workspace/folder/new", "x").await, 422, code::SANDBOX_FILE);
    // A link that has the name is replaced, and what it led to is as it was.
    write(client, id, "/workspace/out", "mine").await.unwrap();
    assert_eq!(client.stat_file(id, "/workspace/out").await.unwrap().kind, FileKind::File);
    client.remove_file(id, "/workspace/folder", true).await.unwrap();
    assert_eq!(fs::read_to_string(canary.path().join("file")).unwrap(), "canary");
    assert_eq!(fs::read_dir(canary.path()).unwrap().count(), 1);
    lab.server.stop();
}

/// 28: a folder and a link take turns while files go in and out.
#[tokio::test]
async fn a_folder_that_turns_into_a_link_and_back_leads_nowhere() {
    let lab = Lab::new();
    let (client, id) = (&lab.client, lab.create().await.id);
    let canary = tempfile::tempdir().unwrap();
    fs::set_permissions(canary.path(), fs::Permissions::from_mode(0o777)).unwrap();
    fs::write(canary.path().join("file"), "outside").unwrap();
    let swap = format!(
        "import os\nos.mkdir('a'); open('a/file','w').write('inside'); os.symlink('{}', 'b')\nprint('up', flush=True)\n\
         while True:\n  os.rename('a','x'); os.rename('b','a'); os.rename('a','b'); os.rename('x','a')\n",
        canary.path().display()
    );
    let start = StartExec { command: vec!["python3".into(), "-c".into(), swap], ..StartExec::default() };
    let exec = client.exec(id, &start, None).await.unwrap();
    let mut follow = client.follow_exec(id, exec.n, 0).unwrap();
    assert!(matches!(follow.next().await, Some(Ok(Output::Chunk(_)))));
    let (mut inside, mut stopped) = (0, 0);
    for n in 0..300 {
        match read(client, id, "/workspace/a/file").await {
            Ok(found) => {
                assert_eq!(text(&found), "inside");
                inside += 1;
            }
            Err(error) => {
                assert!(matches!(error.code, code::SANDBOX_FILE | code::NOT_FOUND), "{error}");
                stopped += 1;
            }
        }
        let _ = write(client, id, &format!("/workspace/a/up{n}"), "x").await;
        let _ = client.remove_file(id, "/workspace/a/file2", true).await;
        let _ = client.list_files(id, "/workspace/a").await.map(|listing| {
            assert!(listing.entries.iter().all(|e| e.name != "outside-only"));
        });
    }
    assert!(inside > 0, "{inside} and {stopped}");
    let left: Vec<_> = fs::read_dir(canary.path()).unwrap().flatten().map(|e| e.file_name()).collect();
    assert_eq!(left, ["file"]);
    assert_eq!(fs::read_to_string(canary.path().join("file")).unwrap(), "outside");
    lab.server.stop();
}

#[tokio::test]
async fn changes_of_files_are_told_as_they_happen() {
    let lab = Lab::new();
    let (client, id) = (&lab.client, lab.create().await.id);
    let mut watch = client.watch_files(id, "/workspace", true).await.unwrap();
    let mut hear = async |n: usize| {
        let mut heard = Vec::new();
        while heard.len() < n {
            let change = tokio::time::timeout(Duration::from_secs(20), watch.next()).await.unwrap().unwrap();
            if !change.path.contains(".stead-") {
                heard.push((change.what, change.path.trim_start_matches("/workspace/").to_owned()));
            }
        }
        heard
    };
    let told =
        |all: &[(FileHappened, &str)]| all.iter().map(|(what, path)| (*what, (*path).to_owned())).collect::<Vec<_>>();
    use FileHappened::{Created, MovedFrom, MovedTo, Removed, Written};
    lab.run(id, "echo x > one").await;
    assert_eq!(hear(2).await, told(&[(Created, "one"), (Written, "one")]));
    lab.run(id, "mkdir d").await;
    assert_eq!(hear(1).await, told(&[(Created, "d")]));
    lab.run(id, "mv one d/two; rm d/two").await;
    assert_eq!(hear(3).await, told(&[(MovedFrom, "one"), (MovedTo, "d/two"), (Removed, "d/two")]));
    write(client, id, "/workspace/three", "from outside").await.unwrap();
    assert_eq!(hear(1).await, told(&[(MovedTo, "three")]));
    refused(client.watch_files(id, "/workspace/three", false).await.map(drop), 422, code::SANDBOX_FILE);
    lab.server.stop();
}

#[tokio::test]
async fn a_workspace_is_kept_and_another_sandbox_begins_with_it() {
    let lab = Lab::new();
    let (client, id) = (&lab.client, lab.create().await.id);
    lab.run(id, "mkdir d; echo one > d/f; ln -s d/f link; mkfifo p; echo gone > /tmp/t").await;
    // Something writes all the time: it stands still for the snapshot, and goes on.
    let busy = client.exec(id, &sh("while :; do echo x >> grows; done"), None).await.unwrap();
    lab.run(id, "until [ -s grows ]; do :; done").await;
    let kept = match client.snapshot_sandbox(id, &TakeSnapshot { hold: Some(second(3600)) }).await {
        Err(error) if error.code == code::SANDBOX_STILL => {
            // Not root, and no group was handed down: it says so, and the sandbox goes on.
            assert_eq!(lab.run(id, "cat d/f").await.0, "one\n");
            assert!(!rustix::process::geteuid().is_root(), "{error}");
            return;
        }
        kept => kept.unwrap(),
    };
    assert!(kept.added >= 3 && kept.left_out == 1, "{kept:?}");
    assert_eq!(client.exec_state(id, busy.n).await.unwrap().end.state, ExecState::Running);
    client.remove_sandbox(id).await.unwrap();

    let begin = CreateSandbox { tree: Some(kept.tree), ..CreateSandbox::default() };
    let second_one = client.create_sandbox(&begin).await.unwrap();
    assert_eq!(second_one.tree, kept.tree);
    let found = lab.run(second_one.id, "cat link; ls; ls /tmp; echo two > d/f; cat d/f").await;
    assert_eq!(found.0, "one\nd\ngrows\nlink\ntwo\n", "{}", found.1);
    let again = client.snapshot_sandbox(second_one.id, &TakeSnapshot::default()).await.unwrap();
    assert_eq!((again.added, again.changed, again.removed), (0, 1, 0));
    // The first tree is what it was, and nobody else's.
    let third = client.create_sandbox(&begin).await.unwrap();
    assert_eq!(lab.run(third.id, "cat d/f").await.0, "one\n");
    refused(lab.other().create_sandbox(&begin).await, 404, code::NOT_FOUND);
    lab.server.stop();
}

#[tokio::test]
async fn a_sandbox_whose_time_is_up_is_gone_with_all_that_ran_and_a_renewed_one_stays() {
    let lab = Lab::new();
    let word = unique(2);
    let brief = CreateSandbox { ttl: Some(second(2)), ..CreateSandbox::default() };
    let (gone, stays) =
        (lab.client.create_sandbox(&brief).await.unwrap(), lab.client.create_sandbox(&brief).await.unwrap());
    let renewed = ChangeSandbox { ttl: Some(second(600)), ..ChangeSandbox::default() };
    let renewed = lab.client.change_sandbox(stays.id, &renewed).await.unwrap();
    assert!(renewed.expires > stays.expires);
    let exec = lab.client.exec(gone.id, &sh(&format!("(setsid sleep {word} &); sleep {word}")), None).await.unwrap();
    let mut follow = lab.client.follow_exec(gone.id, exec.n, 0).unwrap();
    // Its followers hear that it was killed.
    let Some(Ok(Output::Exit(exit))) = follow.next().await else { panic!("it has no output") };
    assert_eq!(exit.end.state, ExecState::Killed);
    until("the sandbox is gone", || !runs(&word)).await;
    let error = loop {
        match lab.client.sandbox(gone.id).await {
            Err(error) if error.code == code::SESSION_SANDBOX_GONE => break error,
            Err(error) => assert_eq!(error.code, code::SANDBOX_LOST, "{error}"),
            Ok(_) => {}
        }
    };
    assert!(error.detail.contains("its time was up"), "{error}");
    assert_eq!(lab.run(stays.id, "echo here").await.0, "here\n");
    refused(
        lab.client
            .change_sandbox(stays.id, &ChangeSandbox { ttl: Some(second(90_000)), ..ChangeSandbox::default() })
            .await,
        422,
        code::SESSION_SANDBOX_REFUSED,
    );
    lab.server.stop();
}

#[tokio::test]
async fn ten_at_once_do_not_see_each_other_and_there_are_no_more_than_there_may_be() {
    let lab = Lab::with("[sandboxes]\nmost_of_tenant = 10\n");
    let made = futures_util::future::join_all((0..10).map(|_| lab.create())).await;
    let ran = made.iter().enumerate().map(async |(n, sandbox)| {
        lab.run(
            sandbox.id,
            &format!("echo {n} > /tmp/own; echo {n} > own; sleep 0.1; cat /tmp/own own; ls /workspace; ls /tmp"),
        )
        .await
        .0
    });
    for (n, out) in futures_util::future::join_all(ran).await.into_iter().enumerate() {
        assert_eq!(out, format!("{n}\n{n}\nown\nown\n"));
    }
    refused(lab.client.create_sandbox(&CreateSandbox::default()).await, 429, code::SESSION_SANDBOXES_FULL);
    // Another tenant has places of its own.
    let eve = lab.other();
    let hers = eve.create_sandbox(&CreateSandbox::default()).await.unwrap();
    assert_eq!(run(&eve, hers.id, "echo hers").await.0, "hers\n");
    lab.client.remove_sandbox(made[0].id).await.unwrap();
    lab.create().await;
    lab.server.stop();
}

#[tokio::test]
async fn a_killed_server_leaves_nothing_and_the_next_one_says_what_became_of_its_sandboxes() {
    let lab = Lab::new();
    let (id, word) = (lab.create().await.id, unique(3));
    lab.client.exec(id, &sh(&format!("(setsid sleep {word} &); sleep {word}")), None).await.unwrap();
    until("it runs", || runs(&word)).await;
    lab.server.kill();
    until("everything of the sandbox is dead", || !runs(&word)).await;
    let (server, client) = serve(&lab.env, "serve");
    let error = refused(client.sandbox(id).await, 410, code::SESSION_SANDBOX_GONE);
    assert!(error.detail.contains("sandboxes end with their server"), "{error}");
    assert!(client.sandboxes().await.unwrap().items.is_empty());

    // One that is told to stop ends them in order.
    let again = client.create_sandbox(&CreateSandbox::default()).await.unwrap();
    client.exec(again.id, &sh(&format!("exec sleep {word}")), None).await.unwrap();
    until("it runs", || runs(&word)).await;
    assert_eq!(server.stop(), Some(0));
    assert!(!runs(&word));
}

#[tokio::test]
async fn limits_and_egress_are_changed_while_it_runs() {
    let lab = Lab::dev();
    let (client, id) = (&lab.client, lab.create().await.id);
    // A host of this machine's own, which counts who asks.
    let listener = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
    let port = listener.local_addr().unwrap().port();
    std::thread::spawn(move || {
        for stream in listener.incoming().flatten() {
            let mut stream = stream;
            let _ = std::io::Read::read(&mut stream, &mut [0; 4096]);
            let _ = std::io::Write::write_all(
                &mut stream,
                b"HTTP/1.1 200 OK\r\nContent-Length: 5\r\nConnection: close\r\n\r\nhello",
            );
        }
    });
    let ask = format!(
        "python3 -c \"\nimport socket\ns = socket.create_connection(('127.0.0.1', 3128))\n\
         s.sendall(b'GET http://localhost:{port}/ HTTP/1.1\\r\\nHost: localhost:{port}\\r\\nConnection: close\\r\\n\\r\\n')\n\
         d = b''\nwhile True:\n  p = s.recv(4096)\n  if not p: break\n  d += p\nprint(d.decode().split()[1])\""
    );
    let status = async || lab.run(id, &ask).await.0.trim().to_owned();
    assert_eq!(status().await, "403");
    let rule = serde_json::json!({ "host": "localhost", "ports": [port], "scheme": "http", "addresses": ["127.0.0.0/8", "::1/128"] });
    let change = |egress| ChangeSandbox { egress: Some(egress), ..ChangeSandbox::default() };
    let changed = client.change_sandbox(id, &change(vec![rule])).await.unwrap();
    assert_eq!(changed.egress[0]["host"], "localhost");
    assert_eq!(status().await, "200");
    client.change_sandbox(id, &change(vec![])).await.unwrap();
    assert_eq!(status().await, "403");
    let usage = client.sandbox(id).await.unwrap().usage.unwrap();
    assert_eq!((usage.allowed, usage.denied), (1, 2));
    refused(client.change_sandbox(id, &change(vec!["10.0.0.1:443".into()])).await, 422, code::EGRESS_RULE);

    let limits = |limits| ChangeSandbox { limits, ..ChangeSandbox::default() };
    let fewer = limits(ResourceLimits { pids: Some(12), ..ResourceLimits::default() });
    match client.change_sandbox(id, &fewer).await {
        Ok(changed) => {
            assert_eq!(changed.limits.pids, Some(12));
            let (_, err, _) =
                lab.run(id, "for i in 1 2 3 4 5 6 7 8 9 0 1 2; do sleep 1000 >/dev/null 2>&1 & done").await;
            assert!(err.contains("fork"), "{err}");
        }
        // Without root no control group holds it, and it says so.
        Err(error) => assert_eq!(error.code, code::SANDBOX_LACKS, "{error}"),
    }
    let much = limits(ResourceLimits { memory: Some(1 << 40), ..ResourceLimits::default() });
    refused(client.change_sandbox(id, &much).await, 422, code::SESSION_SANDBOX_REFUSED);
    lab.server.stop();
}

#[tokio::test]
async fn a_template_bounds_what_callers_get_and_its_secrets_stay_outside() {
    let lab = Lab::with(
        "[sandboxes.templates.small]\nmemory = \"64Mi\"\nmax_memory = \"128Mi\"\nany_egress = false\nenv = { KEY = \"secret://example\", WORD = \"w\" }\n\
         egress = [{ host = \"api.example.com\", secrets = [{ secret = \"example\", inject = \"bearer\" }] }]\n",
    );
    let create = async |change: fn(&mut CreateSandbox)| {
        let mut create = CreateSandbox { template: Some("small".into()), ..CreateSandbox::default() };
        change(&mut create);
        lab.client.create_sandbox(&create).await
    };
    let made = create(|_| {}).await.unwrap();
    assert_eq!((made.limits.memory, made.egress.len()), (Some(64 << 20), 1));
    let (out, ..) = lab.run(made.id, "echo $WORD $KEY").await;
    assert!(out.starts_with("w stead-secret-") && out.len() > 40, "{out}");
    refused(create(|c| c.limits.memory = Some(256 << 20)).await, 422, code::SESSION_SANDBOX_REFUSED);
    refused(create(|c| c.egress = Some(vec!["b.example.com".into()])).await, 422, code::SESSION_SANDBOX_REFUSED);
    refused(create(|c| c.egress = Some(vec![])).await, 422, code::SESSION_SANDBOX_REFUSED);
    refused(create(|c| c.template = Some("none".into())).await, 422, code::SANDBOX_TEMPLATE);
    // Of the usual template callers choose hosts, and bind no secret to one.
    let own =
        serde_json::json!({ "host": "evil.example.com", "secrets": [{ "secret": "example", "inject": "bearer" }] });
    let take = CreateSandbox { egress: Some(vec![own]), ..CreateSandbox::default() };
    refused(lab.client.create_sandbox(&take).await, 422, code::SESSION_SANDBOX_REFUSED);
    lab.server.stop();
}
