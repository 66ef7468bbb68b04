//! A command that a zygote starts is what it would have been cold: in its rights, and in what the interpreter does.

use stead_ports::sandbox::Boxes as _;
use stead_ports::sandbox::{Content, Mount, Outcome, Spec, Stdio, WhenFull};

use crate::lab::{Lab, Tried as _, Way, everyone, text, told};

/// All that a process can find out of its rights. What differs by its nature (numbers of processes, times, sizes) is left out.
const RIGHTS: &str = "
import ctypes, os, resource, signal, sys
for line in open('/proc/self/status'):
    name = line.split(':')[0]
    if name in ('Umask', 'State', 'Uid', 'Gid', 'Groups', 'FDSize', 'NStgid', 'Threads', 'SigPnd', 'ShdPnd', 'SigBlk', 'SigIgn', 'SigCgt',
                'CapInh', 'CapPrm', 'CapEff', 'CapBnd', 'CapAmb', 'NoNewPrivs', 'Seccomp', 'CoreDumping', 'THP_enabled',
                'Speculation_Store_Bypass', 'SpeculationIndirectBranch', 'Cpus_allowed', 'Mems_allowed') and name != 'NStgid':
        print(line.strip())
libc = ctypes.CDLL(None, use_errno=True)
for name, option in (('dumpable', 3), ('keep capabilities', 7), ('timing', 13), ('secure bits', 27), ('timer slack', 30),
                     ('subreaper', None), ('no new privileges', 39), ('transparent huge pages', 42)):
    if option is not None: print(name, libc.prctl(option, 0, 0, 0, 0))
value = ctypes.c_int(-1)
libc.prctl(2, ctypes.byref(value), 0, 0, 0); print('dies with its parent', value.value)
libc.prctl(37, ctypes.byref(value), 0, 0, 0); print('subreaper', value.value)
print('parent', os.getppid(), 'session', os.getsid(0) == os.getpid(), 'group', os.getpgrp() == os.getpid())
print('nice', os.nice(0), os.sched_getscheduler(0), sorted(os.sched_getaffinity(0)), open('/proc/self/oom_score_adj').read().strip())
for name in sorted(n for n in dir(resource) if n.startswith('RLIMIT_')): print(name, resource.getrlimit(getattr(resource, name)))
for name in ('uid_map', 'gid_map', 'setgroups', 'cgroup', 'mountinfo', 'personality', 'limits', 'loginuid', 'sessionid', 'comm'):
    try: print(name, ''.join(line for line in open('/proc/self/' + name) if ' /proc ' not in line or True))
    except OSError as e: print(name, e)
print('hidden', os.stat('/proc/self').st_uid, [n for n in ('mem', 'maps', 'environ', 'root') if not os.access('/proc/self/' + n, os.R_OK)])
print(os.uname().nodename, os.getcwd(), os.getgroups(), os.getresuid(), os.getresgid(), sorted(os.environ.items()))
def attempt(name, f):
    try: print(name, f())
    except OSError as e: print(name, e.errno)
attempt('signal to the init', lambda: os.kill(1, 0))
attempt('setns', lambda: libc.setns(0, 0) and ctypes.get_errno())
attempt('unshare', lambda: libc.syscall(272, 0x10000000) and ctypes.get_errno())
for path in ('/', '/usr', '/run', '/proc/self/comm', '/tmp', '/dev/null', '/dev/shm', '/workspace', '/data'):
    attempt('writing ' + path, lambda: os.access(path, os.W_OK))
attempt('making in /data', lambda: os.open('/data/x', os.O_CREAT | os.O_WRONLY))
attempt('own control of memory', lambda: open('/proc/self/mem', 'r+b').close())
attempt('rename', lambda: os.rename('/tmp', '/data/y'))
for number in range(64):
    try: os.fstat(number); print('descriptor', number)
    except OSError: pass
";

async fn run(lab: &Lab, words: &[&str], cold: bool, change: impl Fn(&mut Spec)) -> Outcome {
    let mut spec = lab.spec(words);
    let folder = lab.folder("work");
    spec.mounts.push(Mount { at: "/workspace".into(), content: Content::ReadOnly(folder) });
    spec.command.dir = "/workspace".into();
    change(&mut spec);
    if cold {
        spec.zygote = None;
    } else {
        lab.warm("lab").await;
    }
    let input = bytes::Bytes::from_static(b"print('from standard input', 1/0)\n");
    let stdio = Stdio::Capture { input, keep: 1 << 20, full: WhenFull::Drop, follower: None };
    lab.boxes.run(spec, stdio).await.unwrap()
}

/// Both ways; what they print, by line.
async fn both(lab: &Lab, words: &[&str], change: impl Fn(&mut Spec)) -> [(String, String); 2] {
    let cold = run(lab, words, true, &change).await;
    let warm = run(lab, words, false, &change).await;
    // Addresses are not the same, and mounts and namespaces have numbers of their own.
    let plain = |bytes: &[u8]| {
        let words = text(bytes);
        words
            .split_inclusive([' ', '\n', ')', '>'])
            .map(|w| if w.starts_with("0x") { "0x " } else { w })
            .collect::<String>()
    };
    [cold, warm].map(|o| (format!("{:?}\n{}", o.end, plain(&o.stdout.bytes)), plain(&o.stderr.bytes)))
}

#[tokio::test]
async fn it_has_the_same_rights_as_one_that_started_cold() {
    for who in everyone() {
        let lab = Lab::new(Way { who, zygote: true });
        for limits in [None, Some(7)] {
            let [cold, warm] = both(&lab, &["python3", "-c", RIGHTS], |spec| {
                if let Some(pids) = limits {
                    (spec.limits.pids, spec.limits.open_files, spec.limits.file) = (Some(pids), 77, 7777);
                }
            })
            .await;
            let comparable = |text: &str| {
                text.lines()
                    .map(|line| match line.split_once(" - ") {
                        // ID, parent, device, root, mount point, options.
                        Some((mount, kind)) => {
                            let fields: Vec<_> = mount.trim_start_matches("mountinfo ").split(' ').skip(3).collect();
                            format!("{} - {kind}", fields.join(" "))
                        }
                        None => line.to_owned(),
                    })
                    // Mounts stand in the order of their numbers, which the kernel uses again.
                    .collect::<std::collections::BTreeSet<_>>()
            };
            assert!(warm.1.is_empty(), "{}", warm.1);
            let (warm, start) = (comparable(&warm.0), comparable(&cold.0));
            let others: Vec<_> = warm.symmetric_difference(&start).collect();
            assert!(others.is_empty(), "as {who:?}: {others:#?}");
            assert!(cold.0.starts_with("Exited(0)\n") && cold.0.lines().count() > 60, "{}", cold.0);
        }
        lab.close().await;
    }
}

/// Texts that show how an interpreter begins and ends.
const TEXTS: &[&str] = &[
    "import sys; print(sys.argv, sys.path, sys.executable, sys.orig_argv, sys.flags, sys.version)",
    "print(sorted(globals()), __name__, __loader__, __builtins__, __doc__, __annotations__)",
    "import sys; print([(s.name, s.mode, s.encoding, s.errors, s.line_buffering, s.buffer.raw.name, s.seekable()) for s in (sys.stdin, sys.stdout, sys.stderr)])",
    "import signal; print([signal.getsignal(n) for n in (1, 2, 13, 15, 17, 25)])",
    "import sys; sys.stdout.write('no newline'); print('and', file=sys.stderr)",
    "1/0",
    "x = (",
    "try: 1/0\nexcept Exception as e: raise RuntimeError('b') from e",
    "import sys\ndef hook(*a): print('hook', a[0])\nsys.excepthook = hook\n1/0",
    "import sys\ndef hook(*a): raise ValueError\nsys.excepthook = hook\n1/0",
    "import sys; sys.exit(3)",
    "import sys; sys.exit('in words')",
    "import sys; sys.exit(-1)",
    "import sys; sys.exit(2 ** 70)",
    "raise KeyboardInterrupt",
    "import os; os._exit(5)",
    "import os; os.abort()",
    "f = open('/tmp/out', 'w'); f.write('unflushed')\nimport atexit, os\natexit.register(lambda: print(os.path.getsize('/tmp/out')))",
    "class A:\n def __del__(self): print('gone')\na = A(); b = [a]; b.append(b)",
    "import threading, time; threading.Thread(target=lambda: (time.sleep(.05), print('thread'))).start()",
    "import os\nif os.fork() == 0: print('child')\nelse: os.wait(); print('parent')",
    "import subprocess; print(subprocess.run(['python3', '-c', 'print(2)'], capture_output=True))",
    "import multiprocessing as m\np = m.Process(target=print, args=('process',)); p.start(); p.join(); print(p.exitcode)",
    "import ctypes; ctypes.CDLL(None).printf(b'of the C library %d\\n', 3)",
    "import asyncio; asyncio.run(asyncio.sleep(0)); print('ok')",
    "import pickle\nclass C: pass\nprint(pickle.loads(pickle.dumps(C())).__class__)",
    "import sys; sys.stdout.close()",
    "import sys, io; print(sys.stdin.read(), type(sys.stdin.buffer))",
    "import site, locale, time; print(site.getusersitepackages(), locale.getlocale(), time.tzname)",
];

#[tokio::test]
async fn it_begins_and_ends_as_an_interpreter_does() {
    let lab = Lab::new(Way { who: everyone()[0], zygote: true });
    let work = lab.folder("work");
    for (name, content) in [
        ("main.py", "import sys, helper\nprint(__file__, sys.argv, sys.path[0], __spec__, __cached__, helper.x)\n"),
        ("helper.py", "x = 5\n"),
        ("mistake.py", "x = (\n"),
        ("boom.py", "def f():\n    return 1/0\nf()\n"),
        ("package/__init__.py", ""),
        ("package/__main__.py", "import sys\nprint('package', sys.argv, sys.path[0])\n"),
    ] {
        std::fs::create_dir_all(work.join("package")).unwrap();
        std::fs::write(work.join(name), content).unwrap();
    }
    let mut all: Vec<Vec<&str>> = TEXTS.iter().map(|text| vec!["python3", "-c", text, "argument"]).collect();
    for words in [
        &["main.py", "x", "-y"][..],
        &["/workspace/main.py"],
        &["mistake.py"],
        &["boom.py"],
        &["nowhere.py"],
        &["package"],
        &["-m", "package", "x"],
        &["-m", "helper"],
        &["-m", "nowhere"],
        &["-"],
        &["-", "x"],
        &[],
    ] {
        all.push([&["python3"], words].concat());
    }
    for words in all {
        let [cold, warm] = both(&lab, &words, |spec| spec.command.env.push(("TZ".into(), "Asia/Tokyo".into()))).await;
        assert_eq!(warm, cold, "{words:?}");
    }
    let told = told(&lab.python("import sys; print('statistics' in sys.modules)").await);
    assert!(told.contains("True"), "it was loaded before: {told}");
    lab.close().await;
}
