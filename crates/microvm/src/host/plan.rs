//! From what a caller asks to what a machine is told: checked against the bounds, and against what this tier holds.

use std::path::Path;

use stead_ports::sandbox::{self, BoxError, Content, Offer, Property, Root, Spec, Tier};
use stead_tier::ask::{self, wrong};

use super::folders::{Folder, MOST};
use crate::{
    tree::send::Size,
    wire::{Access, Limits, Place, Plan},
};

/// Memory of a box for which no limit is asked: a machine has some.
const USUAL_MEMORY: u64 = 512 << 20;
/// Least memory that a machine has for a box: what is not touched costs nothing, and a limit can be raised later.
const LEAST_ROOM: u64 = 128 << 20;
/// Most bytes of a path inside: all of a plan is one frame.
const MAX_PATH: usize = 1000;
/// Folders of a machine's own root that are not to be mounted on.
const KEPT: &[&str] = &["bin", "etc"];

/// What the guest is told, the folders that follow, and what the machine is.
#[derive(Debug)]
pub(super) struct Checked {
    pub(super) plan: Plan,
    pub(super) folders: Vec<Folder>,
    /// Bytes of memory for the box and its folders.
    pub(super) memory: u64,
    /// Bytes of it that the box can be given, now or later.
    pub(super) room: u64,
    pub(super) processors: u32,
}

/// Checks what is asked. `most` is the memory that a machine may have. Reads the names of all folders.
pub(super) fn check(spec: &Spec, terminal: Option<(u16, u16)>, offer: &Offer, most: u64) -> Result<Checked, BoxError> {
    ask::requires(spec, offer)?;
    ask::command(&spec.command)?;
    ask::bounds(&spec.limits, spec.egress)?;
    let places = ask::places(spec, KEPT)?;
    let (mut folders, mut mounts) = (Vec::new(), Vec::new());
    if let Root::Folder(path) = &spec.root {
        folders.push(folder(path)?);
    }
    for (at, mount) in places.into_iter().zip(&spec.mounts) {
        let (path, access) = match &mount.content {
            Content::ReadOnly(path) => (path, Access::ReadOnly),
            Content::Layered(path) => (path, Access::Layered),
            Content::ReadWrite(path) => {
                let why = format!(
                    "a machine cannot write the host's own {}: the tier {} gives folders read-only or layered",
                    path.display(),
                    Tier::Microvm
                );
                return Err(wrong(why));
            }
        };
        folders.push(folder(path)?);
        mounts.push(Place { at: short(at)?, access });
    }
    let whole = folders.iter().fold(Size::default(), |sum, folder| sum.plus(folder.size()));
    if whole.entries > MOST.entries || whole.bytes > MOST.bytes {
        return Err(wrong(format!(
            "its folders have {} files and {} bytes, too many for a machine",
            whole.entries, whole.bytes
        )));
    }
    let limits = limits(&spec.limits);
    let room = limits.memory.max(LEAST_ROOM);
    let memory = folders.iter().fold(room, |sum, folder| sum.saturating_add(folder.memory()));
    if memory > most {
        return Err(wrong(format!("a machine for it needs {memory} bytes of memory, and may have {most}")));
    }
    let processors = std::thread::available_parallelism().map_or(1, |n| u32::try_from(n.get()).unwrap_or(1)).min(8);
    let processors = limits.cpu_milli.map_or(processors, |milli| milli.div_ceil(1000).clamp(1, processors));
    let plan = Plan {
        words: spec.command.words.clone(),
        env: spec.command.env.clone(),
        dir: short(ask::dir(&spec.command)?)?,
        own_root: spec.root != Root::Host,
        mounts,
        limits,
        egress: spec.egress,
        terminal,
    };
    Ok(Checked { plan, folders, memory, room, processors })
}

fn folder(path: &Path) -> Result<Folder, BoxError> {
    Folder::look(path).map_err(|e| wrong(format!("the folder {}: {e}", path.display())))
}

fn short(path: String) -> Result<String, BoxError> {
    if path.len() > MAX_PATH {
        return Err(wrong(format!("the path {path} has {} bytes, and may have {MAX_PATH} in a machine", path.len())));
    }
    Ok(path)
}

fn limits(asked: &sandbox::Limits) -> Limits {
    Limits {
        memory: asked.memory.unwrap_or(USUAL_MEMORY),
        pids: asked.pids,
        cpu_milli: asked.cpu_milli,
        disk: asked.disk,
        inodes: asked.inodes,
        file: asked.file,
        open_files: asked.open_files,
    }
}

/// Whether a property is asked for, and so belongs into the evidence.
pub(super) fn asked(spec: &Spec, property: Property) -> bool {
    match property {
        Property::PidsLimit => spec.limits.pids.is_some(),
        Property::CpuLimit => spec.limits.cpu_milli.is_some(),
        // A machine always has a size.
        Property::MemoryLimit => true,
        // What the tier does not claim is told only to who requires it.
        Property::SyscallFilter | Property::FileRules => false,
        _ => true,
    }
}

#[cfg(test)]
mod tests {
    #![expect(clippy::unwrap_used, reason = "tests")]

    use std::{collections::BTreeMap, time::Duration};

    use stead_ports::sandbox::{Command, Mount};
    use stead_tier::ask::{MAX_COMMAND, MAX_MOUNTS};

    use super::*;

    fn spec() -> Spec {
        Spec { command: Command { words: vec!["true".into()], ..Command::default() }, ..Spec::default() }
    }

    fn checked(spec: &Spec) -> Result<Checked, BoxError> {
        let properties = BTreeMap::from([(Property::FileRules, Err("none".to_owned()))]);
        check(spec, None, &Offer { tier: Tier::Microvm, properties }, 4 << 30)
    }

    #[test]
    fn a_machine_has_memory_for_the_box_and_for_its_folders() {
        let dir = tempfile::tempdir().unwrap();
        std::fs::write(dir.path().join("file"), vec![1; 10_000]).unwrap();
        let mut asked = spec();
        asked.mounts.push(Mount { at: "/workspace".into(), content: Content::Layered(dir.path().into()) });
        asked.limits.memory = Some(200 << 20);
        asked.limits.cpu_milli = Some(100);
        let checked = checked(&asked).unwrap();
        assert_eq!(checked.room, 200 << 20);
        assert_eq!(checked.memory, (200 << 20) + 3 * 4096 + EACH_FILE);
        assert_eq!(checked.processors, 1);
    }

    const EACH_FILE: u64 = 1024;

    #[test]
    fn what_is_required_and_not_held_is_refused() {
        let mut asked = spec();
        asked.requires.insert(Property::FileRules);
        assert!(matches!(checked(&asked), Err(BoxError::Lacks { property: Property::FileRules, .. })));
    }

    #[test]
    fn what_cannot_be_a_box_is_refused_before_anything_is_made() {
        let at = |at: &str, content| Mount { at: at.into(), content };
        let tmp = || Content::ReadOnly("/proc/self/fdinfo".into());
        for change in [
            Box::new(|s: &mut Spec| s.command.words.clear()) as Box<dyn FnOnce(&mut Spec)>,
            Box::new(|s| s.command.words.push("a\0b".into())),
            Box::new(|s| s.command.words.push("x".repeat(MAX_COMMAND))),
            Box::new(|s| s.command.env.push(("A=B".into(), String::new()))),
            Box::new(|s| s.command.dir = "relative".into()),
            Box::new(|s| s.command.dir = format!("/{}", "x".repeat(MAX_PATH)).into()),
            Box::new(move |s| s.mounts.push(at("/etc", tmp()))),
            Box::new(move |s| s.mounts.push(at("/proc/1", tmp()))),
            Box::new(move |s| s.mounts.push(at("/workspace/../dev", tmp()))),
            Box::new(move |s| s.mounts.push(at("/", tmp()))),
            Box::new(move |s| s.mounts = vec![at("/data", tmp()); MAX_MOUNTS + 1]),
            Box::new(move |s| s.mounts.push(at("/data", Content::ReadWrite("/tmp".into())))),
            Box::new(|s| s.limits.memory = Some(1)),
            Box::new(|s| s.limits.memory = Some(5 << 30)),
            Box::new(|s| s.limits.pids = Some(1)),
            Box::new(|s| s.limits.wall = Duration::ZERO),
            Box::new(|s| s.egress = Some(0)),
            Box::new(|s| s.root = Root::Folder("/nowhere/at/all".into())),
        ] {
            let mut asked = spec();
            change(&mut asked);
            assert!(matches!(checked(&asked), Err(BoxError::Spec(_))), "{asked:?}");
        }
    }
}
