//! From what a caller asks to what a box is made of: checked against the bounds, and against what this host holds.

use std::{collections::BTreeMap, os::fd::OwnedFd, path::Path};

use rustix::fs::{Mode, OFlags};
use stead_ports::sandbox::{self, BoxError, Content, Evidence, Offer, Property, Root, Runtime, Spec, Tier, Zygote};
use stead_tier::ask;

use crate::wire::{Access, Folder, Found, Host, Limits, Place, Plan};

/// Most folders of a box that stays: a descriptor of each goes to the server.
pub(crate) const MAX_RESIDENT_MOUNTS: usize = 16;
/// Most bytes of a tenant's name.
pub(crate) const MAX_TENANT: usize = 128;

/// What the launcher is told, the folders held so that nothing else takes their numbers, and what will hold.
#[derive(Debug)]
pub(crate) struct Checked {
    pub(crate) plan: Plan,
    pub(crate) held: Vec<OwnedFd>,
    pub(crate) evidence: Evidence,
}

/// Checks what is asked.
pub(crate) fn check(spec: &Spec, terminal: Option<(u16, u16)>, offer: &Offer) -> Result<Checked, BoxError> {
    ask::command(&spec.command)?;
    made_of(spec, terminal, offer)
}

/// Checks what is asked of a box that stays, whose commands come later.
pub(crate) fn check_resident(spec: &Spec, offer: &Offer) -> Result<Checked, BoxError> {
    if spec.mounts.len() > MAX_RESIDENT_MOUNTS {
        return Err(ask::wrong(format!(
            "a box that stays may have {MAX_RESIDENT_MOUNTS} mounts, not {}",
            spec.mounts.len()
        )));
    }
    let mut checked = made_of(spec, None, offer)?;
    checked.plan.resident = true;
    Ok(checked)
}

fn made_of(spec: &Spec, terminal: Option<(u16, u16)>, offer: &Offer) -> Result<Checked, BoxError> {
    ask::requires(spec, offer)?;
    ask::bounds(&spec.limits, spec.egress)?;
    let places = ask::places(spec, &[])?;
    let mut held = Vec::new();
    let root = match &spec.root {
        Root::Host => None,
        Root::Folder(path) => Some(folder(path, &mut held)?),
    };
    let mounts = places.into_iter().zip(&spec.mounts).map(|(at, mount)| {
        let (path, access) = match &mount.content {
            Content::ReadOnly(path) => (path, Access::ReadOnly),
            Content::ReadWrite(path) => (path, Access::ReadWrite),
            Content::Layered(path) => (path, Access::Layered),
        };
        Ok(Place { at, from: folder(path, &mut held)?, access })
    });
    let mounts = mounts.collect::<Result<_, _>>()?;
    let plan = Plan {
        words: spec.command.words.clone(),
        env: spec.command.env.clone(),
        dir: ask::dir(&spec.command)?,
        root,
        mounts,
        limits: limits(&spec.limits),
        egress: spec.egress,
        terminal,
        resident: false,
        freezer: false,
        zygote: spec.zygote.as_ref().map(tenant).transpose()?,
    };
    Ok(Checked { plan, held, evidence: ask::evidence(spec, offer) })
}

/// Whose zygote is asked for. There is one runtime.
fn tenant(asked: &Zygote) -> Result<String, BoxError> {
    let Zygote { tenant, runtime: Runtime::Python } = asked;
    match tenant.len() {
        1..=MAX_TENANT => Ok(tenant.clone()),
        bytes => Err(ask::wrong(format!("the tenant of its zygote has {bytes} bytes, and may have 1 to {MAX_TENANT}"))),
    }
}

/// A folder of the host, as it is now.
fn folder(path: &Path, held: &mut Vec<OwnedFd>) -> Result<Folder, BoxError> {
    let absolute = ask::folder(path)?;
    let cannot = |why: &dyn std::fmt::Display| ask::wrong(format!("the folder {}: {why}", path.display()));
    let flags = OFlags::PATH | OFlags::DIRECTORY | OFlags::NOFOLLOW | OFlags::CLOEXEC;
    let open = rustix::fs::open(&absolute, flags, Mode::empty()).map_err(|e| cannot(&e))?;
    let found = rustix::fs::fstat(&open).map_err(|e| cannot(&e))?;
    held.push(open);
    let path = absolute.to_str().ok_or_else(|| cannot(&"its path is not UTF-8"))?;
    Ok(Folder { path: path.to_owned(), device: found.st_dev, inode: found.st_ino })
}

fn limits(asked: &sandbox::Limits) -> Limits {
    Limits {
        memory: asked.memory,
        pids: asked.pids,
        cpu_milli: asked.cpu_milli,
        disk: asked.disk,
        inodes: asked.inodes,
        file: asked.file,
        open_files: asked.open_files,
        wall_ms: u64::try_from(asked.wall.as_nanos().div_ceil(1_000_000)).unwrap_or(u64::MAX),
        nproc: false,
    }
}

/// What the tier promises on a host.
pub(crate) fn offer(host: &Host) -> Offer {
    let found = |found: &Found| match found {
        Found::By(by) => Ok(by.clone()),
        Found::Not(why) => Err(why.clone()),
    };
    let properties = BTreeMap::from([
        (Property::MemoryLimit, found(&host.memory)),
        (Property::PidsLimit, found(&host.pids)),
        (Property::CpuLimit, found(&host.cpu)),
        (Property::Accounting, found(&host.accounting)),
        (Property::DiskQuota, Ok("private folders in memory, of a size".to_owned())),
        (Property::EgressControl, Ok("a network namespace with loopback alone".to_owned())),
        (Property::SyscallFilter, Ok("seccomp, by a list of what is allowed".to_owned())),
        (
            Property::FileRules,
            host.landlock
                .map(|v| format!("Landlock, version {v}"))
                .ok_or_else(|| "the kernel has no Landlock".to_owned()),
        ),
        (Property::OwnKernel, Err("a namespace shares the host's kernel".to_owned())),
    ]);
    Offer { tier: Tier::Namespace, properties }
}

#[cfg(test)]
mod tests {
    #![expect(clippy::unwrap_used, reason = "tests")]

    use std::time::Duration;

    use stead_ports::sandbox::{Command, Mount};
    use stead_tier::ask::{MAX_COMMAND, MAX_MOUNTS};

    use super::*;

    fn spec() -> Spec {
        Spec { command: Command { words: vec!["true".into()], ..Command::default() }, ..Spec::default() }
    }

    fn host() -> Host {
        Host { memory: Found::By("m".into()), cpu: Found::Not("no cpu".into()), ..Host::default() }
    }

    fn refused(change: impl FnOnce(&mut Spec)) -> BoxError {
        let mut spec = spec();
        change(&mut spec);
        check(&spec, None, &offer(&host())).unwrap_err()
    }

    #[test]
    fn what_is_required_and_not_held_is_refused_and_what_is_only_asked_is_told() {
        let error = refused(|s| {
            s.requires.insert(Property::CpuLimit);
        });
        assert!(matches!(error, BoxError::Lacks { property: Property::CpuLimit, .. }), "{error}");
        let evidence = check(&spec(), None, &offer(&host())).unwrap().evidence;
        assert_eq!(evidence.not_held[&Property::CpuLimit], "no cpu");
        assert_eq!(evidence.held[&Property::MemoryLimit], "m");
    }

    #[test]
    fn a_writable_folder_has_no_quota_and_says_so() {
        let open = Mount { at: "/workspace".into(), content: Content::ReadWrite("/tmp".into()) };
        let error = refused(|s| {
            s.mounts.push(open);
            s.requires.insert(Property::DiskQuota);
        });
        assert!(matches!(error, BoxError::Lacks { property: Property::DiskQuota, .. }), "{error}");
    }

    #[test]
    fn what_cannot_be_a_box_is_refused_before_anything_is_made() {
        let at = |at: &str| Mount { at: at.into(), content: Content::ReadOnly("/tmp".into()) };
        for change in [
            Box::new(|s: &mut Spec| s.command.words.clear()) as Box<dyn FnOnce(&mut Spec)>,
            Box::new(|s| s.command.words.push("a\0b".into())),
            Box::new(|s| s.command.words.push("x".repeat(MAX_COMMAND))),
            Box::new(|s| s.command.env.push(("A=B".into(), String::new()))),
            Box::new(|s| s.command.dir = "relative".into()),
            Box::new(move |s| s.mounts.push(at("/proc/1"))),
            Box::new(move |s| s.mounts.push(at("/workspace/../dev"))),
            Box::new(move |s| s.mounts.push(at("/"))),
            Box::new(move |s| s.mounts = vec![at("/data"); MAX_MOUNTS + 1]),
            Box::new(|s| s.limits.memory = Some(1)),
            Box::new(|s| s.limits.pids = Some(1)),
            Box::new(|s| s.limits.wall = Duration::ZERO),
            Box::new(|s| s.egress = Some(0)),
            Box::new(|s| s.zygote = Some(Zygote { tenant: String::new(), runtime: Runtime::Python })),
            Box::new(|s| s.root = Root::Folder("/nowhere/at/all".into())),
        ] {
            assert!(matches!(refused(change), BoxError::Spec(_)));
        }
    }
}
