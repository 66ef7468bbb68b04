//! Boxes of the namespace tier, with everything on: memory, processes and processor limited by control groups, a disk
//! quota, the filter of system calls, Landlock, output captured.

use std::{
    collections::BTreeSet,
    fs,
    sync::{
        Arc,
        atomic::{AtomicBool, AtomicU64, Ordering},
    },
    time::{Duration, Instant},
};

use serde_json::{Value, json};
use stead_ports::sandbox::{BoxError, Boxes as _, Command, End, Property, Runtime, Served, Spec, Stdio, Zygote};
use stead_sandbox::{Namespaces, Settings};

use super::Times;

pub(super) struct Ours {
    boxes: Arc<Namespaces>,
}

fn spec(words: &[&str]) -> Spec {
    let command = Command { words: words.iter().map(|w| (*w).to_owned()).collect(), ..Command::default() };
    let requires = [
        Property::MemoryLimit,
        Property::PidsLimit,
        Property::CpuLimit,
        Property::DiskQuota,
        Property::EgressControl,
        Property::SyscallFilter,
    ];
    Spec { command, requires: requires.into(), ..Spec::default() }
}

impl Ours {
    pub(super) async fn new() -> Result<Self, String> {
        let boxes = Arc::new(Namespaces::new(Settings::default()));
        boxes.offer().await.map_err(|e| e.to_string())?;
        Ok(Self { boxes })
    }

    /// One box, from the order until its outcome is there.
    pub(super) async fn one(&self, times: &mut Times) -> Result<(), String> {
        let begun = Instant::now();
        run(&self.boxes).await?;
        times.add(begun);
        Ok(())
    }

    /// Waits until a zygote serves.
    pub(super) async fn warm(&self) -> Result<(), String> {
        let until = Instant::now() + Duration::from_secs(20);
        while let Some(Served::Cold { why }) = print_one(&self.boxes, true).await? {
            if Instant::now() > until {
                return Err(format!("no zygote serves: {why}"));
            }
        }
        Ok(())
    }

    /// `print(1)` in a box, by an interpreter of its own or by a zygote.
    pub(super) async fn python(&self, zygote: bool, times: &mut Times) -> Result<(), String> {
        let begun = Instant::now();
        let served = print_one(&self.boxes, zygote).await?;
        // A zygote that is just replaced serves again a little later.
        if zygote == matches!(served, Some(Served::Forked { .. })) {
            times.add(begun);
        }
        Ok(())
    }

    /// The same as [`Self::burst`] by a zygote; those that started cold meanwhile count too.
    pub(super) async fn python_burst(&self, callers: usize, length: Duration) -> Result<u64, String> {
        self.many(callers, length, Kind::Python).await
    }

    /// Boxes a second of so many callers, each of which asks for the next when it has an outcome.
    pub(super) async fn burst(&self, callers: usize, length: Duration) -> Result<u64, String> {
        self.many(callers, length, Kind::True).await
    }

    async fn many(&self, callers: usize, length: Duration, kind: Kind) -> Result<u64, String> {
        let (over, count) = (Arc::new(AtomicBool::new(false)), Arc::new(AtomicU64::new(0)));
        let tasks: Vec<_> = (0..callers)
            .map(|_| {
                let (boxes, over, count) = (Arc::clone(&self.boxes), Arc::clone(&over), Arc::clone(&count));
                tokio::spawn(async move {
                    while !over.load(Ordering::Relaxed) {
                        match kind {
                            Kind::True => run(&boxes).await?,
                            Kind::Python => drop(print_one(&boxes, true).await?),
                        }
                        count.fetch_add(1, Ordering::Relaxed);
                    }
                    Ok::<_, String>(())
                })
            })
            .collect();
        let begun = Instant::now();
        tokio::time::sleep(length).await;
        let (made, passed) = (count.load(Ordering::Relaxed), begun.elapsed());
        over.store(true, Ordering::Relaxed);
        for task in tasks {
            task.await.map_err(|e| e.to_string())??;
        }
        Ok((made as f64 / passed.as_secs_f64()) as u64)
    }

    /// Proportional memory of the processes of a box that sleeps: its init and its command.
    pub(super) async fn memory(&self) -> Result<u64, String> {
        let running = self.boxes.start(spec(&["sleep", "1000"]), Stdio::Quiet).await.map_err(|e| e.to_string())?;
        let launcher = self.boxes.launcher().await.ok_or("the launcher is gone")?;
        let sleeps = children(launcher).into_iter().filter_map(|init| {
            let command = children(init).into_iter().find(|c| name(*c) == "sleep")?;
            Some(share(init)? + share(command)?)
        });
        let found = sleeps.max().ok_or("no box is found below the launcher");
        running.control.kill();
        running.end.await.map_err(|e| e.to_string())?;
        Ok(found?)
    }

    /// What is there after so many boxes, of all endings, that was not there before: processes, groups, mounts, descriptors, namespaces, files.
    pub(super) async fn leaks(&self, callers: usize, cycles: usize) -> Result<Value, String> {
        let launcher = self.boxes.launcher().await.ok_or("the launcher is gone")?;
        let before = self.settled(launcher).await;
        let tasks: Vec<_> = (0..callers)
            .map(|_| {
                let boxes = Arc::clone(&self.boxes);
                tokio::spawn(async move {
                    for turn in 0..cycles.div_ceil(callers) {
                        ending(&boxes, turn).await?;
                    }
                    Ok::<_, String>(())
                })
            })
            .collect();
        for task in tasks {
            task.await.map_err(|e| e.to_string())??;
        }
        let after = self.settled(launcher).await;
        let more: usize = after.iter().zip(before).map(|(after, before)| after.saturating_sub(before)).sum();
        Ok(json!({ "cycles": cycles.div_ceil(callers) * callers, "left_over": more }))
    }

    /// Counts, when the launcher has had time to clean up.
    async fn settled(&self, launcher: u32) -> [usize; 6] {
        tokio::time::sleep(Duration::from_secs(1)).await;
        let launcher_is = launcher.to_string();
        let descriptors = |pid: &str| fs::read_dir(format!("/proc/{pid}/fd")).map_or(0, Iterator::count);
        let mounts =
            |pid: &str| fs::read_to_string(format!("/proc/{pid}/mountinfo")).map_or(0, |text| text.lines().count());
        [
            children(launcher).len(),
            groups(launcher),
            mounts("self") + mounts(&launcher_is),
            descriptors("self") + descriptors(&launcher_is),
            namespaces(launcher),
            ["/tmp", "/dev/shm"].into_iter().map(files).sum(),
        ]
    }
}

/// What runs again and again.
#[derive(Clone, Copy)]
enum Kind {
    True,
    Python,
}

async fn print_one(boxes: &Namespaces, zygote: bool) -> Result<Option<Served>, String> {
    let zygote = zygote.then(|| Zygote { tenant: "bench".to_owned(), runtime: Runtime::Python });
    let spec = Spec { zygote, ..spec(&["python3", "-c", "print(1)"]) };
    let outcome = boxes.run(spec, Stdio::Quiet).await.map_err(|e| e.to_string())?;
    if (outcome.end, &outcome.stdout.bytes[..]) != (End::Exited(0), b"1\n") {
        return Err(format!("`print(1)` ended with {:?}", outcome.end));
    }
    Ok(outcome.evidence.zygote)
}

async fn run(boxes: &Namespaces) -> Result<(), String> {
    let outcome = boxes.run(spec(&["/usr/bin/true"]), Stdio::Quiet).await.map_err(|e| e.to_string())?;
    if outcome.end == End::Exited(0) { Ok(()) } else { Err(format!("`true` ended with {:?}", outcome.end)) }
}

/// One box, ended in one of the ways in which boxes end. Most end by themselves.
async fn ending(boxes: &Namespaces, turn: usize) -> Result<(), String> {
    let say = |e: BoxError| e.to_string();
    let (expected, outcome) = match turn % 20 {
        3 => {
            let mut late = spec(&["sleep", "1000"]);
            late.limits.wall = Duration::from_millis(20);
            (End::Deadline, boxes.run(late, Stdio::Quiet).await)
        }
        7 => (End::Output, boxes.run(spec(&["yes"]), Stdio::Quiet).await),
        11 => (End::Signal(9), boxes.run(spec(&["sh", "-c", "sleep 1000 & kill -9 $$"]), Stdio::Quiet).await),
        13 => {
            let running = boxes.start(spec(&["sleep", "1000"]), Stdio::Quiet).await.map_err(say)?;
            running.control.kill();
            (End::Killed, running.end.await)
        }
        17 => {
            // Nobody waits for it.
            drop(boxes.start(spec(&["sleep", "1000"]), Stdio::Quiet).await.map_err(say)?);
            return Ok(());
        }
        19 => match boxes.run(spec(&["no-such-program"]), Stdio::Quiet).await {
            Err(BoxError::Command { .. }) => return Ok(()),
            other => return Err(format!("a program that is not there: {other:?}")),
        },
        _ => return run(boxes).await,
    };
    let end = outcome.map_err(say)?.end;
    if end == expected { Ok(()) } else { Err(format!("{end:?} instead of {expected:?}")) }
}

/// Namespaces of the processes below the launcher.
fn namespaces(launcher: u32) -> usize {
    let (mut below, mut at) = (vec![launcher], 0);
    while let Some(pid) = below.get(at).copied() {
        below.extend(children(pid));
        at += 1;
    }
    let of = |pid: u32| fs::read_dir(format!("/proc/{pid}/ns")).into_iter().flatten().flatten();
    let links = below.into_iter().flat_map(of).filter_map(|ns| fs::read_link(ns.path()).ok());
    links.collect::<BTreeSet<_>>().len()
}

/// Files and folders of ours in a folder that everybody may write.
fn files(folder: &str) -> usize {
    let entries = fs::read_dir(folder).into_iter().flatten().flatten();
    entries.filter(|entry| entry.file_name().to_string_lossy().starts_with("stead")).count()
}

fn children(pid: u32) -> Vec<u32> {
    let text = fs::read_to_string(format!("/proc/{pid}/task/{pid}/children")).unwrap_or_default();
    text.split_whitespace().filter_map(|word| word.parse().ok()).collect()
}

fn name(pid: u32) -> String {
    fs::read_to_string(format!("/proc/{pid}/comm")).unwrap_or_default().trim().to_owned()
}

/// The proportional set of a process, in bytes.
fn share(pid: u32) -> Option<u64> {
    let text = fs::read_to_string(format!("/proc/{pid}/smaps_rollup")).ok()?;
    let line = text.lines().find_map(|line| line.strip_prefix("Pss:"))?;
    Some(line.trim().trim_end_matches(" kB").parse::<u64>().ok()? * 1024)
}

/// Groups of boxes that the launcher made, in all hierarchies.
fn groups(launcher: u32) -> usize {
    fn walk(folder: &std::path::Path, prefix: &str, depth: usize) -> usize {
        let entries = fs::read_dir(folder).into_iter().flatten().flatten().filter(|e| e.path().is_dir());
        entries
            .map(|entry| {
                if entry.file_name().to_string_lossy().starts_with(prefix) {
                    fs::read_dir(entry.path()).into_iter().flatten().flatten().filter(|e| e.path().is_dir()).count()
                } else if depth > 0 {
                    walk(&entry.path(), prefix, depth - 1)
                } else {
                    0
                }
            })
            .sum()
    }
    walk(std::path::Path::new("/sys/fs/cgroup"), &format!("stead-boxes-{launcher}-"), 4)
}
