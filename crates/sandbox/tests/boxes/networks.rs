//! The network of a box that is dead is another box's only if nobody ever had a socket in it.

use std::{collections::BTreeSet, time::Duration};

use stead_ports::sandbox::{Boxes as _, End, Outcome, Running, Stdio};

use crate::lab::{Lab, Tried as _, Who, everyone, text, told};

/// Ways in which a command, or what it starts, comes to a socket.
const WAYS: &[&str] = &[
    "import socket; socket.socket().close()",
    "import socket; socket.socket(socket.AF_INET6, socket.SOCK_DGRAM).close()",
    "import socket; socket.socket(socket.AF_UNIX).close()",
    "import socket; socket.socketpair()",
    "import os, socket\nif os.fork() == 0: socket.socket(); os._exit(0)\nos.wait()",
    "import threading, socket; t = threading.Thread(target=socket.socket); t.start(); t.join()",
    "import subprocess, sys; subprocess.run([sys.executable, '-c', 'import socket; socket.socket()'], check=True)",
];

/// A launcher that makes no box ahead, and a box that stays alive, through which it can be asked.
struct Watched {
    lab: Lab,
    running: Running,
}

impl Watched {
    async fn new(who: Who) -> Self {
        let lab = Lab::with(who, |settings| settings.ahead = 0);
        let mut long = lab.spec(&["sleep", "1000"]);
        long.limits.wall = Duration::from_secs(600);
        let running = lab.boxes.start(long, Stdio::Quiet).await.unwrap();
        let watched = Self { lab, running };
        assert_eq!(watched.kept().await, 0, "a network for each box that runs, and no other");
        watched
    }

    /// Networks that the launcher keeps for boxes to come. When it answers, it has done what comes of boxes that ended.
    async fn kept(&self) -> usize {
        self.running.control.usage().await.unwrap();
        let links = std::fs::read_dir(format!("/proc/{}/fd", self.lab.launcher().await)).unwrap().flatten();
        let held = links.filter_map(|fd| std::fs::read_link(fd.path()).ok());
        held.filter(|to| to.to_string_lossy().starts_with("net:")).count() - 1
    }

    async fn close(self) {
        self.running.control.kill();
        self.running.end.await.unwrap();
        self.lab.close().await;
    }
}

async fn python(lab: &Lab, script: &str) -> Outcome {
    let outcome = lab.python(script).await;
    assert_eq!(outcome.end, End::Exited(0), "{script}: {}", told(&outcome));
    outcome
}

#[tokio::test]
async fn a_network_in_which_something_had_a_socket_is_let_go() {
    for who in everyone() {
        let watched = Watched::new(who).await;
        for way in WAYS {
            python(&watched.lab, way).await;
            assert_eq!(watched.kept().await, 0, "{way}");
        }
        let mut open = watched.lab.spec(&["true"]);
        open.egress = Some(8080);
        assert_eq!(watched.lab.run_spec(open).await.unwrap().end, End::Exited(0));
        assert_eq!(watched.kept().await, 0, "with a way out somebody outside had a socket");
        // Nobody has told of it what it did.
        let mut late = watched.lab.spec(&["sleep", "1000"]);
        late.limits.wall = Duration::from_millis(30);
        assert_eq!(watched.lab.run_spec(late).await.unwrap().end, End::Deadline);
        assert_eq!(watched.kept().await, 0, "of a box that was killed nothing is known");
        watched.close().await;
    }
}

#[tokio::test]
async fn a_network_in_which_nobody_had_a_socket_serves_another_box() {
    for who in everyone() {
        let watched = Watched::new(who).await;
        let mut seen = BTreeSet::new();
        for _ in 0..4 {
            let outcome = python(&watched.lab, "import os; print(os.readlink('/proc/self/ns/net'))").await;
            seen.insert(text(&outcome.stdout.bytes));
            assert_eq!(watched.kept().await, 1);
        }
        assert_eq!(seen.len(), 1, "{seen:?}");
        // A family that is refused makes no socket.
        let refused = "import socket\ntry: socket.socket(socket.AF_NETLINK)\nexcept OSError: pass";
        python(&watched.lab, refused).await;
        assert_eq!(watched.kept().await, 1);
        watched.close().await;
    }
}

/// Whatever is counted or remembered of a network, the next box sees none of it.
#[tokio::test]
async fn what_a_box_did_on_its_network_no_other_box_can_see() {
    const USES: &str = "
import socket
counts = [l.split() for l in open('/proc/net/snmp')]
active = next(int(b[a.index('ActiveOpens')]) for a, b in zip(counts[::2], counts[1::2]) if a[0] == 'Tcp:')
loopback = next(l.split() for l in open('/proc/net/dev') if l.strip().startswith('lo:'))
left = open('/proc/net/tcp').read().splitlines()[1:]
print(active, loopback[1:3], left)
s = socket.socket(); s.bind(('127.0.0.1', 0)); s.listen()
c = socket.create_connection(s.getsockname()); c.send(b'x'); a, _ = s.accept(); a.recv(1)
# The side that closes first waits for a minute, with nobody who holds it.
a.close(); c.close()";
    for who in everyone() {
        for ahead in [0, 2] {
            let lab = Lab::with(who, |settings| settings.ahead = ahead);
            for turn in 0..6 {
                let outcome = python(&lab, USES).await;
                assert_eq!(text(&outcome.stdout.bytes), "0 ['0', '0'] []\n", "turn {turn}, {ahead} made ahead");
                assert_eq!(lab.sh("true").await.end, End::Exited(0));
            }
            lab.close().await;
        }
    }
}
