//! What one box can do to another: nothing.

use std::time::Duration;

use stead_ports::sandbox::{Content, End, Mount, Stdio};
use tokio::io::AsyncReadExt as _;

use super::{Lab, text, told};

/// 43: what one action plants, the next does not see.
pub async fn nothing_of_one_action_is_there_for_the_next(lab: &dyn Lab) {
    let plant =
        "mkdir -p ~/.cache ~/.local; for d in /tmp ~ ~/.cache /dev/shm /var/tmp; do echo evil > $d/planted; done";
    let outcome = lab.sh(plant).await;
    assert_eq!(outcome.end, End::Exited(0), "{}", told(&outcome));
    let outcome = lab.sh("find /tmp ~ /dev/shm /var/tmp -mindepth 1; ipcs -q | grep -c 0x; true").await;
    assert_eq!(text(&outcome.stdout.bytes), "0\n", "{}", told(&outcome));
}

/// 44: two at once, and what one has the other cannot find.
pub async fn what_another_box_has_cannot_be_found(lab: &dyn Lab) {
    let base = lab.folder("workspace-of-b");
    std::fs::write(base.join("needle"), "needle-of-b").unwrap();
    let script = "for d in /tmp /dev/shm ~; do echo needle-of-b > $d/needle; done
        if ! command -v ipcmk >/dev/null || ipcmk -M 4096 >/tmp/made; then echo ready; fi; exec sleep 1000";
    let mut spec = lab.spec(&["sh", "-c", script]);
    spec.limits.wall = Duration::from_secs(600);
    spec.command.env = vec![("SECRET".into(), "needle-of-b".into())];
    spec.mounts.push(Mount { at: "/workspace".into(), content: Content::Layered(base) });
    let running = lab.start(spec, Stdio::Pipes { keep: 1000 }).await;
    let mut pipes = running.pipes.unwrap();
    pipes.stdout.read_exact(&mut [0; 6]).await.unwrap();
    // In two pieces, so that the search does not find itself.
    let outcome = lab.probe(&["search", "needle-of-", "b"]).await;
    assert_eq!(outcome.end, End::Exited(0), "{}", told(&outcome));
    // It looked, and saw itself: a shell that cannot read anything finds nothing either.
    let said = text(&outcome.stdout.bytes);
    let (looked, rest) = said.split_once(" files\n").unwrap_or_else(|| panic!("{}", told(&outcome)));
    assert!(looked.parse::<u32>().unwrap() > 50, "{said}");
    assert_eq!(rest, "segments 0\n", "{said}");
    running.control.kill();
    running.end.await.unwrap();
}
