//! What the commit of a workspace costs: ten changes in a tree of 10,000 files, on SQLite with fsync. Beside it, what the machine takes for
//! the same ten files and one synced file, and what it costs to make a directory of the tree.

use std::{
    fs, io,
    os::fd::OwnedFd,
    path::{Path, PathBuf},
    process::ExitCode,
    sync::Arc,
    time::{Duration, Instant},
};

use rustix::fs::{CWD, FileType, Mode, OFlags, mknodat, open};
use serde_json::{Value, json};
use stead_core::id::{Name, TreeId};
use stead_engine::clock::SystemClock;
use stead_ports::workspace::{Marks, Still, Written};
use stead_store::{SqliteOptions, SqliteStore};
use stead_workspace::{Options, Workspaces};

use crate::durable::{runtime, scratch};

/// Directories of the tree, and files of each.
const SHAPE: (usize, usize) = (100, 100);
/// Files that an action changes or adds, besides one that it removes.
const CHANGES: usize = 9;

/// An upper directory that nobody writes to: what a box leaves behind.
struct Upper(PathBuf);

impl Still for Upper {
    fn written(&self) -> io::Result<Written> {
        let dir: OwnedFd = open(&self.0, OFlags::RDONLY | OFlags::DIRECTORY | OFlags::CLOEXEC, Mode::empty())?;
        Ok(Written::Upper { dir, marks: Marks::User })
    }
}

/// Prints one JSON object; `workspace_commit_ms` is the median.
pub(crate) fn commit(quick: bool) -> ExitCode {
    let figures = runtime().block_on(measure(if quick { 10 } else { 40 }));
    println!("{figures}");
    ExitCode::SUCCESS
}

/// The figures: milliseconds, but for the counts.
pub(crate) async fn measure(rounds: usize) -> Value {
    let dir = scratch();
    let store = SqliteStore::open(&dir.path().join("data"), SqliteOptions::default()).expect("a store opens");
    let options = Options::new(dir.path().join("cache"));
    let work = Workspaces::open(Arc::new(store), Arc::new(SystemClock), options).expect("the cache opens");
    let tenant = Name::from("bench");
    let tree = plant(&work, &tenant, dir.path()).await;
    let cold = Instant::now();
    let near = work.lowers(&tenant, tree, None).await.expect("makes a directory");
    let cold = cold.elapsed();
    let (mut commits, mut next, mut whole) = (Vec::new(), Vec::new(), Vec::new());
    let writer = work.writer(&tenant, &"session".into()).await;
    for round in 0..rounds {
        let upper = dir.path().join(format!("upper-{round}"));
        change(&upper, round);
        let start = Instant::now();
        let made = writer.commit(tree, &Upper(upper)).await.expect("commits");
        commits.push(start.elapsed());
        assert_eq!((made.diff.changed, made.diff.removed), (CHANGES as u64, 1));
        let start = Instant::now();
        work.lowers(&tenant, made.made.tree, Some(&near)).await.expect("makes a directory");
        next.push(start.elapsed());
        let start = Instant::now();
        work.materialise(&tenant, made.made.tree).await.expect("makes a directory");
        whole.push(start.elapsed());
    }
    json!({
        "workspace_commit_ms": ms(median(&mut commits)),
        "workspace_commit_worst_ms": ms(commits.last().copied().unwrap_or_default()),
        "materialise_first_ms": ms(cold),
        "lowers_next_ms": ms(median(&mut next)),
        "materialise_next_ms": ms(median(&mut whole)),
        "files": SHAPE.0 * SHAPE.1,
        "changes": CHANGES + 1,
        "machine": { "fsync_ms": ms(synced(dir.path())) },
    })
}

/// A tree of 10,000 small files.
async fn plant(work: &Workspaces, tenant: &Name, dir: &Path) -> TreeId {
    let from = dir.join("planted");
    for d in 0..SHAPE.0 {
        let dir = from.join(format!("dir-{d}"));
        fs::create_dir_all(&dir).expect("a directory is made");
        for f in 0..SHAPE.1 {
            fs::write(dir.join(format!("file-{f}.txt")), format!("file {f} of {d}\n").repeat(20)).expect("is written");
        }
    }
    let empty = work.empty(tenant).await.expect("the store answers").tree;
    let writer = work.writer(tenant, &"plant".into()).await;
    let made = writer.commit(empty, &Whole(from)).await.expect("commits");
    assert_eq!(made.made.entries as usize, SHAPE.0 * (SHAPE.1 + 1));
    made.made.tree
}

/// A whole directory that nobody writes to.
struct Whole(PathBuf);

impl Still for Whole {
    fn written(&self) -> io::Result<Written> {
        let dir: OwnedFd = open(&self.0, OFlags::RDONLY | OFlags::DIRECTORY | OFlags::CLOEXEC, Mode::empty())?;
        Ok(Written::Whole { dir })
    }
}

/// What an overlay leaves in its upper directory when ten files in ten directories change, one of them by going.
fn change(upper: &Path, round: usize) {
    for n in 0..=CHANGES {
        let dir = upper.join(format!("dir-{}", n * 10 + round % 10));
        fs::create_dir_all(&dir).expect("a directory is made");
        let file = dir.join("file-7.txt");
        if n == CHANGES {
            mknodat(CWD, &file, FileType::CharacterDevice, Mode::empty(), 0).expect("a whiteout is made");
        } else {
            fs::write(file, format!("changed in round {round} by {n}\n").repeat(20)).expect("is written");
        }
    }
}

/// One small file, written and synced: the least that anything durable takes here.
fn synced(dir: &Path) -> Duration {
    let mut times: Vec<Duration> = (0..20)
        .map(|n| {
            let start = Instant::now();
            let file = fs::File::create(dir.join(format!("synced-{n}"))).expect("a file is made");
            file.sync_all().expect("syncs");
            start.elapsed()
        })
        .collect();
    median(&mut times)
}

fn median(times: &mut [Duration]) -> Duration {
    times.sort();
    times.get(times.len() / 2).copied().unwrap_or_default()
}

/// Milliseconds with two places.
fn ms(time: Duration) -> f64 {
    (time.as_secs_f64() * 100_000.0).round() / 100.0
}
