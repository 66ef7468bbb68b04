//! What a box can do to another, or to the host's other programs, by the namespaces that it is made of.

use std::time::Duration;

use stead_ports::sandbox::Stdio;

use crate::lab::{Lab, Tried as _, everyone, text, told};

/// 2: when the whole host is short of memory, a box goes first, however its server is protected.
#[tokio::test]
async fn a_box_is_the_first_to_die_when_the_host_is_out_of_memory() {
    for who in everyone() {
        let lab = Lab::new(who);
        let outcome = lab.sh("cat /proc/self/oom_score_adj; echo 0 > /proc/self/oom_score_adj || echo kept").await;
        assert_eq!(text(&outcome.stdout.bytes), "1000\nkept\n", "{}", told(&outcome));
        let launcher = lab.launcher().await;
        let own = |pid: &str| std::fs::read_to_string(format!("/proc/{pid}/oom_score_adj")).unwrap();
        assert_eq!(own(&launcher.to_string()), own("self"), "the launcher stands where its server does");
        lab.close().await;
    }
}

/// An action hands its output to another one that lives on: that does not keep it from ending.
#[tokio::test]
async fn an_output_that_was_handed_to_another_box_is_not_waited_for() {
    for who in everyone() {
        let lab = Lab::new(who);
        let shared = lab.folder("shared");
        std::fs::set_permissions(&shared, std::os::unix::fs::PermissionsExt::from_mode(0o777)).unwrap();
        let in_it = |script: &str| {
            let mut spec = lab.spec(&["python3", "-c", script]);
            let content = stead_ports::sandbox::Content::ReadWrite(shared.clone());
            spec.mounts.push(stead_ports::sandbox::Mount { at: "/workspace".into(), content });
            spec.limits.wall = Duration::from_secs(600);
            spec
        };
        let keeper = in_it(
            "
import socket, time
s = socket.socket(socket.AF_UNIX); s.bind('/workspace/s'); s.listen()
print('listens', flush=True)
c, _ = s.accept()
kept = socket.recv_fds(c, 1, 3)
c.send(b'x')
time.sleep(1000)",
        );
        let running = lab.boxes().start(keeper, Stdio::Pipes { keep: 1000 }).await.unwrap();
        let mut pipes = running.pipes.unwrap();
        tokio::io::AsyncReadExt::read_exact(&mut pipes.stdout, &mut [0; 8]).await.unwrap();
        let giver = in_it(
            "
import socket
c = socket.socket(socket.AF_UNIX); c.connect('/workspace/s')
socket.send_fds(c, [b'x'], [0, 1, 2])
c.recv(1)
print('given away')",
        );
        let outcome = tokio::time::timeout(Duration::from_secs(30), lab.run_spec(giver)).await;
        let outcome = outcome.expect("it ends when all of it is dead").unwrap();
        assert_eq!(text(&outcome.stdout.bytes), "given away\n", "{}", told(&outcome));
        running.control.kill();
        running.end.await.unwrap();
        lab.close().await;
    }
}
