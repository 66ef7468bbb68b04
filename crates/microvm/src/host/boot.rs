//! A machine from nothing to its hello.

use std::{
    sync::Arc,
    time::{Duration, Instant},
};

use tokio::time::timeout;

use super::{
    accelerator::Found,
    hand::Guard,
    link::{Heard, Link},
};
use crate::{
    fault::{At, Fault},
    image, role,
    vmm::{Accelerator, Machine, Process},
    wire::News,
};

/// Bytes that the guest's kernel and first process take, beyond what is asked for a box.
const OWN: u64 = 96 << 20;

/// A machine that has said hello.
pub(super) struct Booted {
    pub(super) process: Arc<Process>,
    pub(super) guard: Guard,
    pub(super) link: Arc<Link>,
    pub(super) heard: Heard,
    pub(super) kernel: String,
}

/// What the kernel is told, whatever runs it. Its first filesystem is one without a size: `tmpfs` would take half of the memory at most, which a
/// large program does not fit into while the image of it is still there.
fn line() -> String {
    format!(
        "console=ttyS0 quiet loglevel=3 panic=-1 oops=panic rootfstype=ramfs cryptomgr.notests random.trust_cpu=on rdinit=/{} -- {} {}",
        image::PROGRAM,
        role::WORD,
        role::INIT
    )
}

/// Boots a machine with so much memory for a box.
pub(super) async fn boot(
    found: &Found,
    accelerator: Accelerator,
    memory: u64,
    processors: u32,
    patience: Duration,
) -> Result<Booted, Fault> {
    // The image is there twice while it is unpacked.
    let memory = memory.saturating_add(OWN + 2 * found.image.size).next_multiple_of(1 << 20);
    let machine = Machine {
        accelerator,
        kernel: found.parts.kernel.clone(),
        image: Arc::new(found.image.file.try_clone().at("handing the image on")?),
        line: line(),
        memory,
        processors,
    };
    let vmm = Arc::clone(&found.vmm);
    let started = tokio::task::spawn_blocking(move || vmm.start(&machine)).await;
    let started = started.map_err(|e| Fault(e.to_string()))??;
    let process = Arc::new(started.process);
    // The tasks of the link hold the process too, so whoever stops waiting must end it by more than letting go.
    let guard = Guard(Arc::clone(&process));
    let (link, mut heard) = Link::open(started.channel, Arc::clone(&process))?;
    match timeout(patience, heard.news.recv()).await {
        Ok(Some(News::Hello { kernel })) => Ok(Booted { process, guard, link, heard, kernel: shown(&kernel) }),
        Ok(Some(_)) => Err(Fault("the machine's first words are not those of its first process".to_owned())),
        Ok(None) => {
            process.kill();
            process.ended().await;
            Err(Fault(format!("it ended, {}", process.last_words())))
        }
        Err(_) => {
            process.kill();
            process.ended().await;
            Err(Fault(format!("it did not say hello within {} s, {}", patience.as_secs(), process.last_words())))
        }
    }
}

/// What a guest says, fit to be shown.
fn shown(text: &str) -> String {
    text.chars().filter(|c| !c.is_control()).take(100).collect()
}

/// Boots the smallest machine, and tells its kernel and how long it took.
pub(super) async fn hello(
    found: &Found,
    accelerator: Accelerator,
    patience: Duration,
) -> Result<(String, Duration), Fault> {
    let begun = Instant::now();
    let booted = boot(found, accelerator, 32 << 20, 1, patience).await?;
    let took = begun.elapsed();
    let Booted { process, guard, kernel, .. } = booted;
    drop(guard);
    process.ended().await;
    Ok((kernel, took))
}
