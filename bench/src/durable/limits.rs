//! What the machine can do at best, measured in the same run.

use std::{
    ffi::OsStr,
    fs::File,
    io::{BufRead, BufReader, Read, Write},
    os::unix::fs::FileExt,
    process::{Command, Stdio},
    sync::mpsc,
    time::{Duration, Instant},
};

use serde_json::Value;
use tokio::sync::oneshot;

use super::steps::percentile;

/// Median of one 4 KiB overwrite and `fdatasync`, in microseconds.
pub(crate) fn fdatasync_us(quick: bool) -> u32 {
    let dir = super::scratch();
    let mut file = File::create_new(dir.path().join("sync")).expect("a file can be made");
    let block = [7; 4096];
    // Written once, so that the size of the file does not change while measuring.
    (0..1_024).for_each(|_| file.write_all(&block).expect("the disk has room"));
    file.sync_all().expect("the disk syncs");
    let count = if quick { 1_000 } else { 5_000 };
    let mut times: Vec<u32> = (0..count)
        .map(|i| {
            let begin = Instant::now();
            file.write_all_at(&block, i % 1_024 * 4096).expect("the disk has room");
            file.sync_data().expect("the disk syncs");
            u32::try_from(begin.elapsed().as_micros()).unwrap_or(u32::MAX)
        })
        .collect();
    times.sort_unstable();
    percentile(&times, 0.5)
}

/// Appends of 300 bytes a second to one plain file, `callers` sharing each `fdatasync`: group commit with nothing else.
pub(crate) fn raw_append_per_s(callers: usize, time: Duration) -> u64 {
    let dir = super::scratch();
    let mut file = File::create_new(dir.path().join("log")).expect("a file can be made");
    let (tx, rx) = mpsc::channel::<oneshot::Sender<()>>();
    let writer = std::thread::spawn(move || {
        let row = [7; 300];
        let mut batch = Vec::new();
        while let Ok(first) = rx.recv() {
            let mut waiting = vec![first];
            waiting.extend(rx.try_iter().take(4_096));
            batch.clear();
            waiting.iter().for_each(|_| batch.extend_from_slice(&row));
            file.write_all(&batch).expect("the disk has room");
            file.sync_data().expect("the disk syncs");
            for caller in waiting {
                let _ = caller.send(());
            }
        }
    });
    let total = super::runtime().block_on(async {
        let begin = Instant::now();
        let tasks: Vec<_> = (0..callers)
            .map(|_| {
                let tx = tx.clone();
                tokio::spawn(async move {
                    let mut n = 0_u64;
                    while begin.elapsed() < time {
                        let (done, wait) = oneshot::channel();
                        tx.send(done).expect("the writer lives");
                        wait.await.expect("the writer answers");
                        n += 1;
                    }
                    n
                })
            })
            .collect();
        let mut sum = 0;
        for task in tasks {
            sum += task.await.expect("the caller ends");
        }
        (sum as f64 / begin.elapsed().as_secs_f64()) as u64
    });
    drop(tx);
    writer.join().expect("the writer ends");
    total
}

/// Milliseconds from starting `stead run` on the first example to its first line, and the size of the binary. `null` when
/// `STEAD_BENCH_BINARY` names no binary; `cargo xtask bench` builds it as released and names it.
pub(crate) fn binary() -> (Value, Value) {
    let Some(path) = std::env::var_os("STEAD_BENCH_BINARY") else { return (Value::Null, Value::Null) };
    let Ok(meta) = std::fs::metadata(&path) else { return (Value::Null, Value::Null) };
    let mut times: Vec<u32> = (0..9).map(|_| first_line_ms(&path)).collect();
    times.sort_unstable();
    (percentile(&times, 0.5).into(), meta.len().into())
}

/// One start on a fresh data folder.
fn first_line_ms(binary: &OsStr) -> u32 {
    let dir = super::scratch();
    let begin = Instant::now();
    let mut child = Command::new(binary)
        .args(["run", "examples/refund-desk", "Where is order 1042?", "--data"])
        .arg(dir.path().join("data"))
        .stdin(Stdio::null())
        .stdout(Stdio::null())
        .stderr(Stdio::piped())
        .spawn()
        .expect("the binary can be started");
    let mut stderr = BufReader::new(child.stderr.take().expect("its talk is a pipe"));
    let mut line = String::new();
    stderr.read_line(&mut line).expect("it speaks UTF-8");
    let first = u32::try_from(begin.elapsed().as_millis()).unwrap_or(u32::MAX);
    // To its end: it must not find its listener gone.
    stderr.read_to_string(&mut line).expect("it speaks UTF-8");
    let status = child.wait().expect("it ends");
    assert!(status.success(), "stead run: {status}\n{line}");
    first
}
