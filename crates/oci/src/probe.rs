//! Whether a runtime really makes the container that it is asked for: one is run that looks at itself from inside, and what
//! it says is compared, as are its control groups.

use std::{collections::BTreeMap, path::Path, time::Duration};

use bytes::Bytes;
use stead_ports::sandbox::{Command, End, Limits, Offer, Property, Spec, Stdio, Tier, WhenFull};

use crate::{containers::Containers, running, wire::Held};

/// How long all of it may take.
const PATIENCE: Duration = Duration::from_secs(30);

/// A code that no failure has by itself: that it comes back shows that ends are told.
const CODE: i32 = 67;
const SCRIPT: &str = "id -u; grep -E '^(CapPrm|CapEff|CapBnd|NoNewPrivs|Seccomp):' /proc/self/status; exit 67";
const SAID: &str = "1000\nCapPrm:\t0000000000000000\nCapEff:\t0000000000000000\nCapBnd:\t0000000000000000\n\
                    NoNewPrivs:\t1\nSeccomp:\t2\n";

/// Runs a container by a runtime; what it then promises, or why it cannot be used.
pub(crate) async fn probe(containers: &Containers, runtime: &Path) -> Result<Offer, String> {
    match tokio::time::timeout(PATIENCE, look(containers, runtime)).await {
        Ok(looked) => looked,
        Err(_) => Err(format!("no container has run and ended after {} s", PATIENCE.as_secs())),
    }
}

async fn look(containers: &Containers, runtime: &Path) -> Result<Offer, String> {
    let words = ["/bin/sh", "-c", SCRIPT].map(str::to_owned).to_vec();
    let limits = Limits {
        memory: Some(64 << 20),
        pids: Some(16),
        cpu_milli: Some(500),
        wall: PATIENCE / 2,
        ..Limits::default()
    };
    let spec = Spec { command: Command { words, ..Command::default() }, limits, ..Spec::default() };
    let stdio = Stdio::Capture { input: Bytes::new(), keep: 4096, full: WhenFull::Kill, follower: None };
    let nothing = Offer { tier: Tier::Oci, properties: BTreeMap::new() };
    let started = running::start(containers, runtime, &nothing, &spec, stdio).await.map_err(|e| e.to_string())?;
    let outcome = started.running.end.await.map_err(|e| e.to_string())?;
    let said = String::from_utf8_lossy(&outcome.stdout.bytes).into_owned();
    if outcome.end != End::Exited(CODE) {
        let error = String::from_utf8_lossy(&outcome.stderr.bytes).into_owned();
        return Err(format!("a container that ends with code {CODE} is told as {:?} {error}", outcome.end));
    }
    if said != SAID {
        return Err(format!("a container is not what it was asked to be: it sees {said:?}"));
    }
    Ok(offer(runtime, &started.held))
}

fn offer(runtime: &Path, held: &Held) -> Offer {
    let name = runtime.file_name().unwrap_or_default().to_string_lossy();
    let properties = BTreeMap::from([
        (Property::MemoryLimit, held.memory.clone()),
        (Property::PidsLimit, held.pids.clone()),
        (Property::CpuLimit, held.cpu.clone()),
        (Property::Accounting, held.accounting.clone()),
        (Property::DiskQuota, Ok("private folders in memory, of a size".to_owned())),
        (Property::EgressControl, Ok(format!("a network namespace with loopback alone, by {name}"))),
        (Property::SyscallFilter, Ok(format!("seccomp, by a list of what is allowed, loaded by {name}"))),
        (Property::FileRules, Err("OCI runtimes set no Landlock rules".to_owned())),
        (Property::OwnKernel, Err("a container shares the host's kernel, as far as this tier can tell".to_owned())),
    ]);
    Offer { tier: Tier::Oci, properties }
}
