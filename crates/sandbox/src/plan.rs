//! From what a caller asks to what a box is made of: checked against the bounds, and against what this host holds.

use std::{
    collections::BTreeMap,
    os::fd::OwnedFd,
    path::{Component, Path},
    time::Duration,
};

use rustix::fs::{Mode, OFlags};
use stead_ports::sandbox::{BoxError, Command, Content, Evidence, Offer, Property, Root, Runtime, Spec, Tier, Zygote};

use crate::wire::{Access, Folder, Found, Host, Limits, Place, Plan};

/// Most bytes of a command with its environment.
pub(crate) const MAX_COMMAND: usize = 128 << 10;
/// Most folders.
pub(crate) const MAX_MOUNTS: usize = 32;
/// Most folders of a box that stays: a descriptor of each goes to the server.
pub(crate) const MAX_RESIDENT_MOUNTS: usize = 16;
/// Most bytes of a tenant's name.
pub(crate) const MAX_TENANT: usize = 128;
/// Least memory that a box can be given.
pub(crate) const LEAST_MEMORY: u64 = 4 << 20;
/// Least processes: the init and the command.
pub(crate) const LEAST_PIDS: u32 = 2;
/// Longest life of a box.
pub(crate) const LONGEST: Duration = Duration::from_secs(30 * 24 * 3600);

/// Places that are not to be mounted on.
const KEPT: &[&str] = &["proc", "dev", "sys"];

/// What the launcher is told, the folders held so that nothing else takes their numbers, and what will hold.
#[derive(Debug)]
pub(crate) struct Checked {
    pub(crate) plan: Plan,
    pub(crate) held: Vec<OwnedFd>,
    pub(crate) evidence: Evidence,
}

/// Checks what is asked.
pub(crate) fn check(spec: &Spec, terminal: Option<(u16, u16)>, offer: &Offer) -> Result<Checked, BoxError> {
    command(&spec.command)?;
    made_of(spec, terminal, offer)
}

/// Checks what is asked of a box that stays, whose commands come later.
pub(crate) fn check_resident(spec: &Spec, offer: &Offer) -> Result<Checked, BoxError> {
    if spec.mounts.len() > MAX_RESIDENT_MOUNTS {
        return Err(wrong(format!(
            "a box that stays may have {MAX_RESIDENT_MOUNTS} mounts, not {}",
            spec.mounts.len()
        )));
    }
    let mut checked = made_of(spec, None, offer)?;
    checked.plan.resident = true;
    Ok(checked)
}

fn made_of(spec: &Spec, terminal: Option<(u16, u16)>, offer: &Offer) -> Result<Checked, BoxError> {
    for property in &spec.requires {
        offer.holds(*property)?;
    }
    if let Some(open) = spec.mounts.iter().find(|m| matches!(m.content, Content::ReadWrite(_)))
        && spec.requires.contains(&Property::DiskQuota)
    {
        let why = format!("the folder at {} is writable itself, and has no quota", open.at.display());
        return Err(BoxError::Lacks { tier: Tier::Namespace, property: Property::DiskQuota, why });
    }
    let mut held = Vec::new();
    let root = match &spec.root {
        Root::Host => None,
        Root::Folder(path) => Some(folder(path, &mut held)?),
    };
    if spec.mounts.len() > MAX_MOUNTS {
        return Err(wrong(format!("it has {} mounts, and may have {MAX_MOUNTS}", spec.mounts.len())));
    }
    let mounts = spec.mounts.iter().map(|mount| {
        let at = inside(&mount.at)?;
        if KEPT.iter().any(|kept| Path::new(at.trim_start_matches('/')).starts_with(kept)) || at == "/" {
            return Err(wrong(format!("nothing can be mounted on {at}")));
        }
        let (path, access) = match &mount.content {
            Content::ReadOnly(path) => (path, Access::ReadOnly),
            Content::ReadWrite(path) => (path, Access::ReadWrite),
            Content::Layered(path) => (path, Access::Layered),
        };
        Ok(Place { at, from: folder(path, &mut held)?, access })
    });
    let mounts = mounts.collect::<Result<_, _>>()?;
    if spec.egress == Some(0) {
        return Err(wrong("port 0 is no port to listen on"));
    }
    let plan = Plan {
        words: spec.command.words.clone(),
        env: spec.command.env.clone(),
        dir: folder_of(&spec.command)?,
        root,
        mounts,
        limits: limits(spec)?,
        egress: spec.egress,
        terminal,
        resident: false,
        freezer: false,
        zygote: spec.zygote.as_ref().map(tenant).transpose()?,
    };
    Ok(Checked { plan, held, evidence: evidence(spec, offer) })
}

/// Whose zygote is asked for. There is one runtime.
fn tenant(asked: &Zygote) -> Result<String, BoxError> {
    let Zygote { tenant, runtime: Runtime::Python } = asked;
    match tenant.len() {
        1..=MAX_TENANT => Ok(tenant.clone()),
        bytes => Err(wrong(format!("the tenant of its zygote has {bytes} bytes, and may have 1 to {MAX_TENANT}"))),
    }
}

fn wrong(what: impl Into<String>) -> BoxError {
    BoxError::Spec(what.into())
}

/// The working folder of a command.
pub(crate) fn folder_of(command: &Command) -> Result<String, BoxError> {
    if command.dir.as_os_str().is_empty() { Ok("/".to_owned()) } else { inside(&command.dir) }
}

/// Checks a command by itself.
pub(crate) fn command(command: &Command) -> Result<(), BoxError> {
    if command.words.first().is_none_or(String::is_empty) {
        return Err(wrong("the command has no program"));
    }
    let pairs = command.env.iter().flat_map(|(name, value)| [name, value]);
    let texts = || command.words.iter().chain(pairs.clone());
    if texts().any(|t| t.contains('\0')) {
        return Err(wrong("a word of the command or of its environment holds a NUL byte"));
    }
    if command.env.iter().any(|(name, _)| name.is_empty() || name.contains('=')) {
        return Err(wrong("a variable of the environment has an empty name, or one with `=`"));
    }
    let bytes: usize = texts().map(|t| t.len() + 4).sum();
    if bytes > MAX_COMMAND {
        return Err(wrong(format!("command and environment have {bytes} bytes, and may have {MAX_COMMAND}")));
    }
    Ok(())
}

/// An absolute path inside, without `.` and `..`.
fn inside(path: &Path) -> Result<String, BoxError> {
    let plain = path.is_absolute()
        && path.components().all(|c| matches!(c, Component::RootDir | Component::Normal(_)))
        && path.as_os_str().len() <= 4000;
    path.to_str()
        .filter(|text| plain && !text.contains('\0'))
        .map(|text| if text == "/" { text.to_owned() } else { text.trim_end_matches('/').to_owned() })
        .ok_or_else(|| wrong(format!("{} is no plain absolute path", path.display())))
}

/// A folder of the host, as it is now.
fn folder(path: &Path, held: &mut Vec<OwnedFd>) -> Result<Folder, BoxError> {
    let cannot = |why: &dyn std::fmt::Display| wrong(format!("the folder {}: {why}", path.display()));
    let absolute = path.canonicalize().map_err(|e| cannot(&e))?;
    let flags = OFlags::PATH | OFlags::DIRECTORY | OFlags::NOFOLLOW | OFlags::CLOEXEC;
    let open = rustix::fs::open(&absolute, flags, Mode::empty()).map_err(|e| cannot(&e))?;
    let found = rustix::fs::fstat(&open).map_err(|e| cannot(&e))?;
    held.push(open);
    let path = absolute.to_str().ok_or_else(|| cannot(&"its path is not UTF-8"))?;
    Ok(Folder { path: path.to_owned(), device: found.st_dev, inode: found.st_ino })
}

fn limits(spec: &Spec) -> Result<Limits, BoxError> {
    let asked = &spec.limits;
    if asked.memory.is_some_and(|m| m < LEAST_MEMORY) {
        return Err(wrong(format!("a sandbox needs {LEAST_MEMORY} bytes of memory at least")));
    }
    if asked.pids.is_some_and(|p| p < LEAST_PIDS) {
        return Err(wrong(format!("a sandbox needs {LEAST_PIDS} processes at least")));
    }
    if asked.cpu_milli == Some(0) {
        return Err(wrong("a sandbox needs some part of a processor"));
    }
    if asked.wall.is_zero() || asked.wall > LONGEST {
        return Err(wrong("the deadline is not between now and 30 days from now"));
    }
    Ok(Limits {
        memory: asked.memory,
        pids: asked.pids,
        cpu_milli: asked.cpu_milli,
        disk: asked.disk,
        inodes: asked.inodes,
        file: asked.file,
        open_files: asked.open_files,
        wall_ms: u64::try_from(asked.wall.as_nanos().div_ceil(1_000_000)).unwrap_or(u64::MAX),
        nproc: false,
    })
}

fn evidence(spec: &Spec, offer: &Offer) -> Evidence {
    let asked = |property: &Property| match property {
        Property::MemoryLimit => spec.limits.memory.is_some(),
        Property::PidsLimit => spec.limits.pids.is_some(),
        Property::CpuLimit => spec.limits.cpu_milli.is_some(),
        Property::DiskQuota => !spec.mounts.iter().any(|m| matches!(m.content, Content::ReadWrite(_))),
        Property::OwnKernel => false,
        _ => true,
    };
    let mut evidence = Evidence { tier: offer.tier, held: BTreeMap::new(), not_held: BTreeMap::new(), zygote: None };
    for (property, found) in offer.properties.iter().filter(|(property, _)| asked(property)) {
        match found {
            Ok(by) => evidence.held.insert(*property, by.clone()),
            Err(why) => evidence.not_held.insert(*property, why.clone()),
        };
    }
    evidence
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

    use stead_ports::sandbox::Mount;

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
