//! What one box can do to another, or to the host's other programs: nothing.

use stead_ports::sandbox::{Boxes as _, Content, End, Mount, Stdio};

use crate::lab::{Lab, everyone, text, told};

/// 43: what one action plants, the next does not see.
#[tokio::test]
async fn nothing_of_one_action_is_there_for_the_next() {
    for who in everyone() {
        let lab = Lab::new(who);
        let plant = "mkdir -p ~/.cache ~/.local; for d in /tmp ~ ~/.cache /dev/shm; do echo evil > $d/planted; done; \
                     python3 -c 'import socket; s = socket.socket(socket.AF_UNIX); s.bind(\"/tmp/sock\")'";
        assert_eq!(lab.sh(plant).await.end, End::Exited(0));
        let outcome = lab.sh("find /tmp ~ /dev/shm -mindepth 1; ipcs -q | grep -c 0x; true").await;
        assert_eq!(text(&outcome.stdout.bytes), "0\n", "{}", told(&outcome));
        lab.close().await;
    }
}

/// 44: two at once, and what one has the other cannot find.
#[tokio::test]
async fn what_another_box_has_cannot_be_found() {
    use tokio::io::AsyncReadExt as _;
    for who in everyone() {
        let lab = Lab::new(who);
        let base = lab.folder("workspace-of-b");
        std::fs::write(base.join("needle"), "needle-of-b").unwrap();
        let script = "echo needle-of-b > /tmp/needle; echo needle-of-b > /dev/shm/needle; echo needle-of-b > ~/needle; \
                      ipcmk -M 4096 > /tmp/made || exit 3; echo ready; exec sleep 1000";
        let mut spec = lab.spec(&["sh", "-c", script]);
        spec.command.env = vec![("SECRET".into(), "needle-of-b".into())];
        spec.mounts.push(Mount { at: "/workspace".into(), content: Content::Layered(base) });
        let running = lab.boxes.start(spec, Stdio::Pipes { keep: 1000 }).await.unwrap();
        let mut pipes = running.pipes.unwrap();
        pipes.stdout.read_exact(&mut [0; 6]).await.unwrap();
        let search = "
import os, subprocess
found = []
for top in ('/tmp', '/home', '/dev/shm', '/workspace', '/data', '/mnt', '/opt', '/srv', '/run', '/var', '/proc'):
    for folder, folders, files in os.walk(top):
        for name in files:
            path = os.path.join(folder, name)
            # Not this search itself.
            if path.startswith(f'/proc/{os.getpid()}/') or path.startswith('/proc/self/') or path.startswith('/proc/thread-self/'): continue
            if name == 'needle': found.append(path)
            try:
                fd = os.open(path, os.O_RDONLY | os.O_NONBLOCK)
                if b'needle-of-' + b'b' in os.read(fd, 1 << 16): found.append(path)
                os.close(fd)
            except OSError: pass
print('segments', sum(1 for line in open('/proc/sysvipc/shm')) - 1)
print('sleeps', sum(1 for p in os.listdir('/proc') if p.isdigit() and 'sleep' in open(f'/proc/{p}/comm').read()))
print('found', found)";
        let outcome = lab.python(search).await;
        assert_eq!(text(&outcome.stdout.bytes), "segments 0\nsleeps 0\nfound []\n", "{}", told(&outcome));
        running.control.kill();
        running.end.await.unwrap();
        lab.close().await;
    }
}

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
