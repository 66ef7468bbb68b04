//! How actions end, whatever they started and whoever they say they are.

use std::{
    fs,
    os::unix::fs::{MetadataExt as _, PermissionsExt as _},
    time::Duration,
};

use stead_ports::sandbox::{Content, End, Mount, Property};

use super::{Lab, deadlines::Later, text, told};

/// 1
pub async fn a_fork_bomb_meets_the_limit_of_processes_and_dies_at_its_deadline(lab: &dyn Lab) {
    let mut spec = lab.spec(&[lab.answers().probe, &["forks"]].concat());
    spec.limits.pids = Some(64);
    spec.limits.wall = Duration::from_millis(1500);
    spec.requires.insert(Property::PidsLimit);
    let later = Later::than(spec.limits.wall, lab).await;
    let outcome = lab.run_spec(spec).await.unwrap();
    later.was_not_reached("a fork bomb", &outcome).await;
    assert_eq!(outcome.end.code().map(|c| c.to_string()).as_deref(), Some("ST0227"));
    if lab.holds(Property::Accounting).await && !lab.answers().ended_whole {
        assert!(outcome.usage.pids_refused.is_some_and(|n| n > 0), "{:?}", outcome.usage);
    } else {
        assert_eq!(outcome.usage.pids_refused, None, "nothing counts them, or nobody can tell");
    }
    assert_eq!(lab.sh("echo usable").await.end, End::Exited(0), "the host is not usable again");
}

/// 8, 9, 11: no way of living on.
pub async fn grandchildren_daemons_and_zombies_end_with_the_action(lab: &dyn Lab) {
    // It ignores what can be ignored, leaves its session twice, keeps stdout open, and leaves zombies behind.
    let daemon = "
import os, signal, time
for s in (signal.SIGTERM, signal.SIGHUP, signal.SIGINT, signal.SIGPIPE): signal.signal(s, signal.SIG_IGN)
for _ in range(20):
    if os.fork() == 0: os._exit(0)
if os.fork() == 0:
    os.setsid()
    if os.fork() == 0:
        os.setsid()
        if os.fork() == 0:
            while True: pass
        while True: time.sleep(1)
    os._exit(0)
print('left', flush=True)
";
    let outcome = lab.python(daemon).await;
    assert_eq!((outcome.end, text(&outcome.stdout.bytes)), (End::Exited(0), "left\n".to_owned()));

    let mut spec = lab.spec(&["python3", "-c", &format!("{daemon}\nwhile True: pass")]);
    spec.limits.wall = Duration::from_millis(800);
    let later = Later::than(spec.limits.wall, lab).await;
    let outcome = lab.run_spec(spec).await.unwrap();
    later.was_not_reached("busy grandchildren", &outcome).await;
}

/// 10: the deadline holds while somebody holds stdout.
pub async fn the_deadline_holds_whoever_holds_the_output(lab: &dyn Lab) {
    let mut spec = lab.spec(&["sh", "-c", "sleep 1000 & sleep 1000"]);
    spec.limits.wall = Duration::from_millis(300);
    let outcome = lab.run_spec(spec).await.unwrap();
    assert_eq!(outcome.end, End::Deadline);
    // And an action whose command has ended does not wait for what it left.
    let outcome = lab.sh("sleep 1000 & echo done").await;
    assert_eq!((outcome.end, text(&outcome.stdout.bytes)), (End::Exited(0), "done\n".to_owned()));
}

/// 20: a set-user-id program in a folder of the host gains nothing.
pub async fn a_set_user_id_program_gains_nothing(lab: &dyn Lab) {
    let folder = lab.folder("work");
    fs::copy("/usr/bin/id", folder.join("id")).unwrap();
    fs::set_permissions(folder.join("id"), fs::Permissions::from_mode(0o6755)).unwrap();
    let mut spec = lab.spec(&["/workspace/id", "-u"]);
    spec.mounts.push(Mount { at: "/workspace".into(), content: Content::ReadOnly(folder) });
    let outcome = lab.run_spec(spec).await.unwrap();
    assert_eq!(text(&outcome.stdout.bytes), "1000\n", "{}", told(&outcome));
}

/// 20, 21: what it writes in a folder of the host belongs to a user without rights, and has no bit that gives some.
pub async fn whoever_it_says_it_is_inside_it_is_nobody_outside(lab: &dyn Lab) {
    let folder = lab.folder("open");
    lab.give(&folder).await;
    let mut spec =
        lab.spec(&["sh", "-c", "echo x > /workspace/made; chmod 4755 /workspace/made; ls -ln /workspace/made"]);
    spec.mounts.push(Mount { at: "/workspace".into(), content: Content::ReadWrite(folder.clone()) });
    let outcome = lab.run_spec(spec).await.unwrap();
    let (made, user) = (fs::metadata(folder.join("made")).unwrap(), lab.user().await);
    assert_eq!((made.uid(), made.mode() & 0o7000), (user, 0), "{}", told(&outcome));
    assert_ne!(user, 0);
}
