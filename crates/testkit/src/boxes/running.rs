//! A box that runs: what it uses is seen, its limits are changed, its share of the processors is held.

use std::time::Duration;

use stead_ports::sandbox::{BoxError, Change, End, Property, Stdio};
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};

use super::{First, Lab, text, told};

/// The outcome tells what was used.
pub async fn what_was_used_is_measured(lab: &dyn Lab) {
    let script =
        "import time\nx = bytearray(40 << 20)\nt = time.process_time()\nwhile time.process_time() < t + 0.2: pass";
    let outcome = lab.python(script).await;
    assert_eq!(outcome.end, End::Exited(0), "{}", told(&outcome));
    assert!(outcome.usage.cpu.is_some_and(|c| c >= Duration::from_millis(200)), "{:?}", outcome.usage);
    if lab.holds(Property::MemoryLimit).await {
        assert!(outcome.usage.memory_peak.is_some_and(|m| m >= 40 << 20), "{:?}", outcome.usage);
    }
}

/// What a control loop looks at while boxes run: who uses most is seen, and the end is told apart.
pub async fn what_a_box_uses_is_seen_while_it_runs(lab: &dyn Lab) {
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
    let running = lab.start(lab.spec(&["python3", "-c", script]), Stdio::Pipes { keep: 4096 }).await;
    let (mut pipes, control) = (running.pipes.unwrap(), running.control);
    let end = tokio::spawn(running.end);
    let mut line = [0; 5];
    pipes.stdout.read_exact(&mut line).await.unwrap();
    let usage = control.usage().await.unwrap();
    assert!(usage.wall >= Duration::from_millis(200), "{usage:?}");
    if lab.holds(Property::Accounting).await {
        assert!(usage.memory.is_some_and(|m| (40 << 20..512 << 20).contains(&m)), "{usage:?}");
        assert!(usage.memory_peak >= usage.memory, "{usage:?}");
        assert!(usage.cpu.is_some_and(|c| c >= Duration::from_millis(200)), "{usage:?}");
        // The command and its five children, and the init where there is one.
        let init = u64::from(lab.answers().first == First::Init);
        assert_eq!(usage.pids, Some(6 + init), "{usage:?}");
    } else {
        assert_eq!((usage.memory, usage.pids), (None, None), "nothing measures it");
    }
    control.kill();
    let outcome = end.await.unwrap().unwrap();
    assert_eq!((outcome.end, outcome.usage.memory, outcome.usage.pids), (End::Killed, None, None));
    let error = control.usage().await.unwrap_err();
    assert!(matches!(error, BoxError::Lost(_)), "{error}");
}

/// More memory is given while the command runs, where memory is limited.
pub async fn limits_of_a_box_that_runs_can_be_changed(lab: &dyn Lab) {
    let hungry = "read x; python3 -c 'x = bytearray(100 << 20)'; echo $?";
    let mut spec = lab.spec(&["sh", "-c", &format!("{hungry}; {hungry}")]);
    spec.limits.memory = Some(50 << 20);
    let held = lab.holds(Property::MemoryLimit).await;
    let running = lab.start(spec, Stdio::Pipes { keep: 4096 }).await;
    let (mut pipes, control) = (running.pipes.unwrap(), running.control);
    let end = tokio::spawn(running.end);
    if held {
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
}

/// A busy loop gets its share of the processors and no more; where nothing holds it to one, that is told.
pub async fn processor_time_is_held_to_its_share(lab: &dyn Lab) {
    let mut spec = lab.spec(&["sh", "-c", "while :; do :; done & while :; do :; done"]);
    spec.limits.cpu_milli = Some(100);
    spec.limits.wall = Duration::from_secs(2);
    let outcome = lab.run_spec(spec).await.unwrap();
    assert_eq!(outcome.end, End::Deadline);
    if lab.holds(Property::CpuLimit).await {
        // A tenth of two seconds, and what a period may overshoot.
        assert!(outcome.usage.cpu.is_some_and(|c| c <= Duration::from_millis(500)), "{:?}", outcome.usage);
    } else {
        assert!(outcome.evidence.not_held.contains_key(&Property::CpuLimit), "{:?}", outcome.evidence);
    }
}
