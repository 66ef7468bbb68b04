//! Actions that zygotes start: who is served by one, and what one action leaves to the next.

use std::{collections::BTreeSet, fs, sync::Arc, time::Duration};

use stead_ports::sandbox::{Boxes as _, Content, End, Mount, Served, Spec, Stdio, WhenFull};

use crate::lab::{Lab, Tried as _, Way, Who, capture, everyone, text, told, zygote_of};

pub(crate) fn by_zygote(who: Who) -> Way {
    Way { who, zygote: true }
}

/// What a line of Python prints, run by the zygote of a tenant.
async fn print(lab: &Lab, tenant: &str, script: &str) -> String {
    let mut spec = lab.spec(&["python3", "-c", script]);
    spec.zygote = Some(zygote_of(tenant));
    let outcome = lab.run_spec(spec).await.unwrap();
    assert_eq!(outcome.end, End::Exited(0), "{}", told(&outcome));
    text(&outcome.stdout.bytes)
}

pub(crate) async fn served(lab: &Lab, spec: Spec) -> Served {
    let outcome = lab.boxes.run(spec, capture(WhenFull::Drop)).await.unwrap();
    outcome.evidence.zygote.unwrap()
}

#[tokio::test]
async fn the_first_action_starts_cold_and_those_after_it_are_forks_and_each_says_so() {
    for who in everyone() {
        let lab = Lab::new(by_zygote(who));
        let spec = lab.spec(&["python3", "-c", "print(1)"]);
        let first = served(&lab, spec.clone()).await;
        assert_eq!(first, Served::Cold { why: "its zygote has not started yet".to_owned() });
        lab.warm("lab").await;
        let Served::Forked { program, forks } = served(&lab, spec.clone()).await else { panic!("it is cold") };
        assert!(program.ends_with("python3") && forks > 0, "{program} {forks}");

        let mut other = spec.clone();
        other.command.words = vec!["sh".into(), "-c".into(), "echo 1".into()];
        assert!(matches!(served(&lab, other).await, Served::Cold { why } if why.contains("is not the zygote's")));
        // Only the files inside tell: then it becomes another program while nothing of it has run.
        let mut package = spec.clone();
        package.command.words = vec!["python3".into(), "/tmp".into()];
        assert!(matches!(served(&lab, package).await, Served::Cold { why } if why.contains("not a file of text")));
        let mut unasked = spec;
        unasked.zygote = None;
        let outcome = lab.boxes.run(unasked, capture(WhenFull::Drop)).await.unwrap();
        assert_eq!((outcome.evidence.zygote, text(&outcome.stdout.bytes)), (None, "1\n".to_owned()));
        lab.close().await;
    }
}

/// 43: the zygote's own modules are as they were, whatever an action does to its copy.
#[tokio::test]
async fn what_an_action_plants_in_modules_the_next_does_not_see() {
    for who in everyone() {
        let lab = Lab::new(by_zygote(who));
        let plant = "
import builtins, json, os, random, site, sys, types
builtins.len = lambda x: 'evil'
json.loads = lambda text: 'evil'
sys.modules['re'] = sys.modules['evil'] = types.ModuleType('evil')
sys.path.insert(0, '/tmp'); sys.excepthook = print
os.environ['EVIL'] = '1'; random.seed(1); os.umask(0); os.nice(1)
sys.meta_path.insert(0, object()); site.USER_SITE = '/tmp'
os.posix_spawn('/bin/sh', ['sh', '-c', 'sleep 30'], {})
open('/tmp/json.py', 'w').write('evil')
print('planted')
";
        let look = "
import builtins, json, os, re, site, sys
print(len('ab'), json.loads('1'), re.__name__, 'evil' in sys.modules, '/tmp' in sys.path, 'EVIL' in os.environ,
      sys.excepthook is sys.__excepthook__, oct(os.umask(0)), os.nice(0), len(sys.meta_path), site.USER_SITE, os.listdir('/tmp'))
";
        let before = print(&lab, "a", look).await;
        assert_eq!(print(&lab, "a", plant).await, "planted\n");
        assert_eq!(print(&lab, "a", look).await, before);
        assert!(before.starts_with("2 1 re False False False True 0o22 "), "{before}");
        lab.close().await;
    }
}

#[tokio::test]
async fn nothing_random_is_the_same_in_two_actions_but_the_layout_and_that_only_within_a_tenant() {
    let lab = Lab::new(by_zygote(everyone()[0]));
    let draw = "import os, random, secrets, tempfile, uuid\n\
                print(random.random(), random.SystemRandom().random(), uuid.uuid4(), secrets.token_hex(8), os.urandom(8).hex(), \
                tempfile.mkdtemp())";
    let mut seen = BTreeSet::new();
    for _ in 0..4 {
        for word in print(&lab, "a", draw).await.split_whitespace() {
            assert!(seen.insert(word.to_owned()), "{word} twice");
        }
    }
    let layout =
        "print(hash('x'), [line.split()[0] for line in open('/proc/self/maps') if 'libc' in line or '[vdso]' in line])";
    let first = print(&lab, "a", layout).await;
    assert_eq!(print(&lab, "a", layout).await, first);
    assert_ne!(print(&lab, "b", layout).await, first, "two tenants have one layout");
    lab.close().await;
}

/// 31, 44: neither the zygote nor the launcher can be talked to, and nothing of them is there.
#[tokio::test]
async fn an_action_holds_nothing_of_its_zygote() {
    for who in everyone() {
        let lab = Lab::new(by_zygote(who));
        let script = "
import fcntl, os, socket
for number in range(1024):
    try: fcntl.fcntl(number, fcntl.F_GETFD); print(number, socket.socket is None)
    except OSError: pass
print(sorted(os.listdir('/proc')).index('1') == 0, os.getppid(), os.getsid(0) == os.getpid())
print(sorted(os.environ), os.getcwd(), os.readlink('/proc/self/root'))
try: os.kill(1, 0); print('reached')
except OSError as e: print(e.errno)
";
        let told = print(&lab, "lab", script).await;
        let expected = "0 False\n1 False\n2 False\nTrue 1 True\n['HOME', 'LANG', 'PATH', 'TMPDIR', 'USER'] /tmp /\n1\n";
        assert_eq!(told, expected);
        lab.close().await;
    }
}

#[tokio::test]
async fn many_at_once_are_served_and_each_has_its_own_streams() {
    for who in everyone() {
        let lab = Lab::new(by_zygote(who));
        lab.warm("lab").await;
        let lab = Arc::new(lab);
        let mut running = tokio::task::JoinSet::new();
        for n in 0..24 {
            let lab = Arc::clone(&lab);
            running.spawn(async move {
                let spec = lab.spec(&["python3", "-c", &format!("import sys; print({n}, sys.stdin.read())")]);
                let input = bytes::Bytes::from(format!("in {n}"));
                let stdio = Stdio::Capture { input, keep: 1 << 10, full: WhenFull::Drop, follower: None };
                let outcome = lab.boxes.run(spec, stdio).await.unwrap();
                assert_eq!(text(&outcome.stdout.bytes), format!("{n} in {n}\n"), "{}", told(&outcome));
                assert!(
                    matches!(outcome.evidence.zygote, Some(Served::Forked { .. })),
                    "{:?}",
                    outcome.evidence.zygote
                );
            });
        }
        running.join_all().await;
        let lab = Arc::into_inner(lab).unwrap();
        lab.close().await;
    }
}

/// Limits, layers and folders are those of any box.
#[tokio::test]
async fn a_fork_writes_into_its_layer_and_dies_of_its_limits() {
    for who in everyone() {
        let lab = Lab::new(by_zygote(who));
        let folder = lab.folder("work");
        fs::write(folder.join("main.py"), "import helper; open('out', 'w').write(helper.word); print(__file__)")
            .unwrap();
        fs::write(folder.join("helper.py"), "word = 'written'").unwrap();
        let mut spec = lab.spec(&["python3", "main.py"]);
        spec.command.dir = "/workspace".into();
        spec.mounts.push(Mount { at: "/workspace".into(), content: Content::Layered(folder.clone()) });
        let outcome = lab.run_spec(spec).await.unwrap();
        assert_eq!(text(&outcome.stdout.bytes), "/workspace/main.py\n", "{}", told(&outcome));
        let upper = rustix::fs::openat(
            &outcome.layers[0].upper,
            "out",
            rustix::fs::OFlags::RDONLY | rustix::fs::OFlags::CLOEXEC,
            rustix::fs::Mode::empty(),
        );
        let mut written = String::new();
        std::io::Read::read_to_string(&mut fs::File::from(upper.unwrap()), &mut written).unwrap();
        assert_eq!(written, "written");
        assert!(!folder.join("out").exists());
        drop(outcome);

        let mut endless = lab.spec(&["python3", "-c", "import time\nwhile True: time.sleep(1)"]);
        endless.limits.wall = Duration::from_millis(300);
        assert_eq!(lab.run_spec(endless).await.unwrap().end, End::Deadline);
        let mut full = lab.spec(&["python3", "-c", "open('/tmp/x', 'wb').write(bytes(2 << 20))"]);
        full.limits.disk = 1 << 20;
        let outcome = lab.run_spec(full).await.unwrap();
        assert!(text(&outcome.stderr.bytes).contains("No space left on device"), "{}", told(&outcome));
        let mut gone = lab.spec(&["python3", "-c", ""]);
        gone.command.dir = "/nowhere".into();
        lab.warm("lab").await;
        let error = lab.boxes.run(gone, capture(WhenFull::Drop)).await.unwrap_err();
        assert!(error.to_string().contains("its working folder /nowhere: No such file or directory"), "{error}");
        lab.close().await;
    }
}
