//! What a box may use, and that it is told when it met the bound.

use std::time::Duration;

use stead_ports::sandbox::{BoxError, Boxes as _, Change, End, Property, Stdio};

use crate::lab::{Lab, everyone, text, told};

fn resident() -> u64 {
    let status = std::fs::read_to_string("/proc/self/status").unwrap();
    let line = status.lines().find(|l| l.starts_with("VmRSS:")).unwrap();
    line.split_whitespace().nth(1).unwrap().parse().unwrap()
}

/// 2
#[tokio::test]
async fn too_much_memory_is_killed_in_the_box_and_told() {
    for who in everyone() {
        let lab = Lab::new(who);
        let mut spec = lab.spec(&["python3", "-c", "x = bytearray(10 << 30)"]);
        spec.limits.memory = Some(64 << 20);
        spec.requires.insert(Property::MemoryLimit);
        if lab.holds(Property::MemoryLimit).await {
            let before = resident();
            let outcome = lab.run_spec(spec).await.unwrap();
            assert_eq!(outcome.end, End::Memory, "{}", told(&outcome));
            assert!(outcome.usage.oom_kills.is_some_and(|n| n > 0));
            assert!(outcome.usage.memory_peak.is_some_and(|n| n <= 64 << 20), "{:?}", outcome.usage);
            assert!(resident() < before + (16 << 10), "the server grew from {before} to {} KiB", resident());
        } else {
            // Nothing is lowered in silence.
            let error = lab.run_spec(spec).await.unwrap_err();
            assert!(matches!(error, BoxError::Lacks { property: Property::MemoryLimit, .. }), "{error}");
            assert_eq!(error.code().to_string(), "ST0221");
            let outcome = lab.sh("true").await;
            assert!(outcome.evidence.not_held.contains_key(&Property::MemoryLimit), "{:?}", outcome.evidence);
        }
        lab.close().await;
    }
}

#[tokio::test]
async fn the_tests_of_root_have_control_groups() {
    if crate::lab::is_root() {
        let lab = Lab::new(crate::lab::Who::Root);
        for property in [Property::MemoryLimit, Property::PidsLimit, Property::CpuLimit, Property::Accounting] {
            let held = lab.boxes.offer().await.unwrap();
            assert!(held.holds(property).is_ok_and(|by| by.starts_with("control group")), "{held:?}");
        }
        lab.close().await;
    }
}

/// A box that was made ahead, with the usual limits, keeps none that is not asked for.
#[tokio::test]
async fn what_is_not_limited_is_not_limited() {
    for who in everyone() {
        let lab = Lab::new(who);
        lab.boxes.offer().await.unwrap();
        for _ in 0..3 {
            let mut spec = lab.spec(&["python3", "-c", "x = bytearray(600 << 20); print(len(x))"]);
            (spec.limits.memory, spec.limits.pids, spec.limits.cpu_milli) = (None, None, None);
            let outcome = lab.run_spec(spec).await.unwrap();
            assert_eq!(outcome.end, End::Exited(0), "{}", told(&outcome));
        }
        lab.close().await;
    }
}

/// 3, 5: bytes and files of all private folders together.
#[tokio::test]
async fn private_folders_end_at_their_quota() {
    for who in everyone() {
        let lab = Lab::new(who);
        let mut spec = lab.spec(&[
            "sh",
            "-c",
            "head -c 6000000 /dev/zero > /tmp/a; head -c 6000000 /dev/zero > ~/b; echo $?; wc -c < ~/b",
        ]);
        spec.limits.disk = 8 << 20;
        let outcome = lab.run_spec(spec).await.unwrap();
        assert!(text(&outcome.stderr.bytes).contains("No space left on device"), "{}", told(&outcome));
        let kept: u64 = text(&outcome.stdout.bytes).lines().last().unwrap().trim().parse().unwrap();
        assert!(kept + 6_000_000 <= 8 << 20, "{kept}");

        let many = "import errno, os, sys\ntry:\n for i in range(1000000): open(f'/tmp/{i}', 'w').close()\nexcept OSError as e: print(errno.errorcode[e.errno], i)";
        let mut spec = lab.spec(&["python3", "-c", many]);
        spec.limits.inodes = 1000;
        let outcome = lab.run_spec(spec).await.unwrap();
        let told = text(&outcome.stdout.bytes);
        let made: u32 = told.trim().strip_prefix("ENOSPC ").unwrap_or_else(|| panic!("{told}")).parse().unwrap();
        assert!((900..=1016).contains(&made), "{made}");
        lab.close().await;
    }
}

/// 4
#[tokio::test]
async fn a_huge_sparse_file_is_refused() {
    for who in everyone() {
        let lab = Lab::new(who);
        let mut spec = lab.spec(&[
            "python3",
            "-c",
            "import os\nf = os.open('/tmp/x', os.O_CREAT | os.O_RDWR)\nos.ftruncate(f, 1 << 42)",
        ]);
        spec.limits.file = 1 << 20;
        let outcome = lab.run_spec(spec).await.unwrap();
        let refused =
            outcome.end == End::Signal(libc::SIGXFSZ) || text(&outcome.stderr.bytes).contains("File too large");
        assert!(refused, "{}", told(&outcome));
        lab.close().await;
    }
}

/// 10: the deadline holds while somebody holds stdout.
#[tokio::test]
async fn the_deadline_holds_whoever_holds_the_output() {
    for who in everyone() {
        let lab = Lab::new(who);
        let mut spec = lab.spec(&["sh", "-c", "sleep 1000 & sleep 1000"]);
        spec.limits.wall = Duration::from_millis(300);
        let outcome = lab.run_spec(spec).await.unwrap();
        assert_eq!(outcome.end, End::Deadline);
        // And an action whose command has ended does not wait for what it left.
        let outcome = lab.sh("sleep 1000 & echo done").await;
        assert_eq!((outcome.end, text(&outcome.stdout.bytes)), (End::Exited(0), "done\n".to_owned()));
        lab.close().await;
    }
}

#[tokio::test]
async fn what_was_used_is_measured() {
    for who in everyone() {
        let lab = Lab::new(who);
        let outcome = lab
            .python(
                "import time\nx = bytearray(40 << 20)\nt = time.process_time()\nwhile time.process_time() < t + 0.2: pass",
            )
            .await;
        assert_eq!(outcome.end, End::Exited(0), "{}", told(&outcome));
        assert!(outcome.usage.cpu.is_some_and(|c| c >= Duration::from_millis(200)), "{:?}", outcome.usage);
        if lab.holds(Property::MemoryLimit).await {
            assert!(outcome.usage.memory_peak.is_some_and(|m| m >= 40 << 20), "{:?}", outcome.usage);
        }
        lab.close().await;
    }
}

#[tokio::test]
async fn limits_of_a_box_that_runs_can_be_changed() {
    for who in everyone() {
        let lab = Lab::new(who);
        let mut spec = lab.spec(&["sh", "-c", "read x; python3 -c 'x = bytearray(100 << 20)'; echo $?; read x; python3 -c 'x = bytearray(100 << 20)'; echo $?"]);
        spec.limits.memory = Some(50 << 20);
        let held = lab.holds(Property::MemoryLimit).await;
        let running = lab.boxes.start(spec, Stdio::Pipes { keep: 4096 }).await.unwrap();
        let (mut pipes, control) = (running.pipes.unwrap(), running.control);
        let end = tokio::spawn(running.end);
        if held {
            use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
            pipes.stdin.write_all(b"\n").await.unwrap();
            let mut code = [0; 4];
            pipes.stdout.read_exact(&mut code).await.unwrap();
            assert_eq!(text(&code), "137\n");
            let change = Change { memory: Some(300 << 20), pids: Some(50), cpu_milli: Some(2000) };
            control.limit(change).await.unwrap();
            pipes.stdin.write_all(b"\n").await.unwrap();
            let mut rest = Vec::new();
            pipes.stdout.read_to_end(&mut rest).await.unwrap();
            assert_eq!(text(&rest), "0\n");
        } else {
            let error = control.limit(Change { memory: Some(300 << 20), ..Change::default() }).await.unwrap_err();
            assert!(matches!(error, BoxError::Lacks { property: Property::MemoryLimit, .. }), "{error}");
            control.kill();
        }
        end.await.unwrap().unwrap();
        let error = control.limit(Change::default()).await.unwrap_err();
        assert!(matches!(error, BoxError::Lost(_)), "{error}");
        lab.close().await;
    }
}

/// What a control loop looks at while boxes run: who uses most is seen, and the end is told apart.
#[tokio::test]
async fn what_a_box_uses_is_seen_while_it_runs() {
    use tokio::io::AsyncReadExt as _;
    for who in everyone() {
        let lab = Lab::new(who);
        let script = "
import os, time
x = bytearray(40 << 20)
t = time.process_time()
while time.process_time() < t + 0.2: pass
for _ in range(5):
    if os.fork() == 0:
        time.sleep(1000)
print('busy', flush=True)
time.sleep(1000)";
        let running = lab.boxes.start(lab.spec(&["python3", "-c", script]), Stdio::Pipes { keep: 4096 }).await.unwrap();
        let (mut pipes, control) = (running.pipes.unwrap(), running.control);
        let end = tokio::spawn(running.end);
        let mut line = [0; 5];
        pipes.stdout.read_exact(&mut line).await.unwrap();
        let usage = control.usage().await.unwrap();
        assert!(usage.wall >= Duration::from_millis(200), "{usage:?}");
        if lab.holds(Property::MemoryLimit).await {
            assert!(usage.memory.is_some_and(|m| (40 << 20..512 << 20).contains(&m)), "{usage:?}");
            assert!(usage.memory_peak >= usage.memory, "{usage:?}");
            assert!(usage.cpu.is_some_and(|c| c >= Duration::from_millis(200)), "{usage:?}");
            // The init, the command and its five children.
            assert_eq!(usage.pids, Some(7), "{usage:?}");
        } else {
            assert_eq!((usage.memory, usage.pids), (None, None), "nothing measures it");
        }
        control.kill();
        let outcome = end.await.unwrap().unwrap();
        assert_eq!((outcome.end, outcome.usage.memory, outcome.usage.pids), (End::Killed, None, None));
        let error = control.usage().await.unwrap_err();
        assert!(matches!(error, BoxError::Lost(_)), "{error}");
        lab.close().await;
    }
}

/// A busy loop gets its share of the processors and no more.
#[tokio::test]
async fn processor_time_is_held_to_its_share() {
    for who in everyone() {
        let lab = Lab::new(who);
        if lab.holds(Property::CpuLimit).await {
            let mut spec = lab.spec(&["sh", "-c", "while :; do :; done & while :; do :; done"]);
            spec.limits.cpu_milli = Some(100);
            spec.limits.wall = Duration::from_secs(2);
            let outcome = lab.run_spec(spec).await.unwrap();
            assert_eq!(outcome.end, End::Deadline);
            // A tenth of two seconds, and what a period may overshoot.
            assert!(outcome.usage.cpu.is_some_and(|c| c <= Duration::from_millis(500)), "{:?}", outcome.usage);
        }
        lab.close().await;
    }
}
