//! What the README shows of the first command is what it does.

use crate::common::{TestEnvironment, filtered, root};

#[test]
fn the_transcript_of_the_readme_is_true() {
    let readme = std::fs::read_to_string(root().join("README.md")).unwrap();
    let (_, rest) = readme.split_once("<!-- transcript -->\n\n```console\n").expect("README has a transcript");
    let (transcript, _) = rest.split_once("```").unwrap();
    let mut shown: Vec<(String, String)> = Vec::new();
    for line in transcript.lines() {
        match (line.strip_prefix("$ "), shown.last_mut()) {
            (Some(command), _) => shown.push((command.to_owned(), String::new())),
            (None, Some((_, output))) => output.push_str(&format!("{line}\n")),
            (None, None) => panic!("the transcript begins with a command"),
        }
    }
    let env = TestEnvironment::new();
    std::os::unix::fs::symlink(root().join("examples"), env.path().join("examples")).unwrap();
    for (command, output) in shown {
        let mut line = command.strip_prefix("stead ").unwrap().replace('"', "'");
        if line.starts_with("approvals approve") {
            line = format!("approvals approve {}", env.approval());
        }
        let terminal = env.stead(&line);
        // On a terminal both streams come together: a run ends with its answer, other commands with a hint.
        let (said, data) = (&terminal.stderr, &terminal.stdout);
        let both = if line.starts_with("run") { format!("{said}{data}") } else { format!("{data}{said}") };
        assert_eq!(filtered(&both, ""), filtered(&output, ""), "$ {command}");
    }
}
