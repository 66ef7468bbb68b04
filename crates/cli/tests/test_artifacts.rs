//! Files in and out of runs.

use std::fs;

use insta::assert_snapshot;

use crate::common::{Serving, TestEnvironment, root};

/// An agent that draws a picture, and says what it was told of it.
fn artist(env: &TestEnvironment) {
    let script = root().join("crates/cli/tests/fixtures/counting_mcp.py");
    env.write("artist/server.py", &fs::read_to_string(script).unwrap());
    env.write(
        "artist/agent.yaml",
        "stead: v1\nname: artist\nmodel: { rehearsal: ./script.yaml }\ninstructions: Draw.\ntools:\n  art:\n    mcp: { command: [python3, ./server.py, /tmp/log] }\n    only: [picture, look]\n    effect: pure\n",
    );
    env.write(
        "artist/script.yaml",
        "rules:\n- when: { user: draw }\n  call: [{ tool: art_picture, args: {} }]\n- when: { tool: art_picture }\n  say: '{{result | text}}'\n- when: { user: look }\n  call: [{ tool: art_look, args: { text: '{{user}}' } }]\n- when: { tool: art_look }\n  say: 'Looked.'\n",
    );
}

fn last_run(env: &TestEnvironment) -> String {
    env.json("runs ls --json")["items"][0]["id"].as_str().unwrap().to_owned()
}

#[test]
fn a_picture_that_a_tool_draws_is_listed_and_fetched_byte_for_byte() {
    let env = TestEnvironment::new();
    artist(&env);
    assert_snapshot!(env.stead("run --quiet artist draw"), @"
    exit 0
    --- stdout
    [image image/png, 3 bytes, kept as the file e1-1.png]
    ");
    let run = last_run(&env);
    assert_snapshot!(env.stead(&format!("runs artifacts {run}")), @"
    exit 0
    --- stdout
    NAME      TYPE       BYTES  FROM  SHA256
    e1-1.png  image/png  3      e1    [version]
    ");
    env.stead(&format!("runs artifact {run} e1-1.png -o out.png")).succeeds();
    assert_eq!(fs::read(env.path().join("out.png")).unwrap(), [0, 1, 2]);
    assert_snapshot!(env.stead(&format!("runs artifact {run} other.png -o out.png")), @"
    exit 1
    --- stderr
    error[ST0202]: a file of that name in [run] does not exist
    see: stead errors ST0202
    ");
}

#[test]
fn files_that_a_run_is_given_are_kept_and_read_by_the_model() {
    let env = TestEnvironment::new();
    env.write("a/agent.yaml", "stead: v1\nname: a\nmodel: { rehearsal: ./s.yaml }\ninstructions: Read.\n");
    env.write(
        "a/s.yaml",
        "rules:\n- when: { user: 'the reactor is warm' }\n  say: 'It is warm.'\n- say: 'I see nothing.'\n",
    );
    env.write("notes.txt", "the reactor is warm\n");
    fs::write(env.path().join("dot.png"), [0x89, b'P', b'N', b'G']).unwrap();
    fs::write(env.path().join("x.bin"), [0xff, 0xfe]).unwrap();
    let done = env.stead("run --quiet a 'How is it?' --attach notes.txt --attach dot.png --attach x.bin").succeeds();
    assert_eq!(done.stdout, "It is warm.\n");
    let run = last_run(&env);
    let listed = env.json(&format!("runs artifacts {run} --json"));
    let told: Vec<_> = listed["items"]
        .as_array()
        .unwrap()
        .iter()
        .map(|a| (a["name"].as_str().unwrap(), a["media_type"].as_str().unwrap()))
        .collect();
    assert_eq!(told, [("notes.txt", "text/plain"), ("dot.png", "image/png"), ("x.bin", "application/octet-stream")]);
    assert_eq!(env.stead(&format!("runs artifact {run} notes.txt")).succeeds().stdout, "the reactor is warm\n");
    let seen = env.stead(&format!("runs context {run} 1")).succeeds().stdout;
    for words in ["[file notes.txt, text/plain, 20 bytes]", "[image dot.png, image/png, 4 bytes]", "x.bin", "not shown"]
    {
        assert!(seen.contains(words), "{words}: {seen}");
    }
}

#[test]
fn files_go_with_a_backup_and_come_out_of_a_restore() {
    let env = TestEnvironment::new();
    artist(&env);
    env.stead("run --quiet artist draw").succeeds();
    let run = last_run(&env);
    env.stead("backup all.backup").succeeds();
    env.stead("restore all.backup --data other").succeeds();
    env.stead(&format!("runs artifact {run} e1-1.png -o out.png --data other")).succeeds();
    assert_eq!(fs::read(env.path().join("out.png")).unwrap(), [0, 1, 2]);
}

#[test]
fn a_server_refuses_files_that_are_too_large_or_too_many() {
    let env = TestEnvironment::new();
    env.write("a/agent.yaml", "stead: v1\nname: a\nmodel: rehearsal:auto\ninstructions: Read.\n");
    env.write("stead.toml", "listen = \"127.0.0.1:0\"\ndata_dir = \".stead\"\n[limits]\nattachments = \"1Ki\"\n");
    env.write("big.txt", &"x".repeat(1_025));
    env.write("fits.txt", &"x".repeat(1_024));
    let _server = Serving::start(env.command(["serve"]), "serving");
    let refused = env.stead("run --quiet a hello --attach big.txt");
    assert!(refused.code == Some(1) && refused.stderr.contains("ST0203"), "{refused}");
    env.stead("run --quiet a hello --attach fits.txt").succeeds();
    let many = format!("run --quiet a hello {}", "--attach fits.txt ".repeat(17));
    assert_eq!(env.stead(&many).code, Some(2));
    let twice = env.stead("run --quiet a hello --attach big.txt --attach big.txt");
    assert_eq!(twice.code, Some(1));
}
