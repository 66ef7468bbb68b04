//! What is asked of a box, checked before anything is made: against the bounds that hold for every tier, and against what
//! the tier offers.

use std::{
    collections::BTreeMap,
    path::{Component, Path, PathBuf},
    time::Duration,
};

use stead_ports::sandbox::{BoxError, Command, Content, Evidence, Limits, Offer, Property, Spec};

/// Most bytes of a command with its environment.
pub const MAX_COMMAND: usize = 128 << 10;
/// Most folders.
pub const MAX_MOUNTS: usize = 32;
/// Least memory that a box can be given.
pub const LEAST_MEMORY: u64 = 4 << 20;
/// Least processes: the init and the command.
pub const LEAST_PIDS: u32 = 2;
/// Longest life of a box.
pub const LONGEST: Duration = Duration::from_secs(30 * 24 * 3600);

/// Folders of every root that belong to the box and are not to be mounted on.
const KEPT: &[&str] = &["proc", "dev", "sys"];

/// What was asked cannot be a box.
pub fn wrong(what: impl Into<String>) -> BoxError {
    BoxError::Spec(what.into())
}

/// Whether all that is required is offered.
///
/// # Errors
/// [`BoxError::Lacks`].
pub fn requires(spec: &Spec, offer: &Offer) -> Result<(), BoxError> {
    for property in &spec.requires {
        offer.holds(*property)?;
    }
    if let Some(open) = spec.mounts.iter().find(|m| matches!(m.content, Content::ReadWrite(_)))
        && spec.requires.contains(&Property::DiskQuota)
    {
        let why = format!("the folder at {} is writable itself, and has no quota", open.at.display());
        return Err(BoxError::Lacks { tier: offer.tier, property: Property::DiskQuota, why });
    }
    Ok(())
}

/// The command: a program, no NUL bytes, plain names of variables, a bound.
///
/// # Errors
/// [`BoxError::Spec`].
pub fn command(command: &Command) -> Result<(), BoxError> {
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
///
/// # Errors
/// [`BoxError::Spec`].
pub fn inside(path: &Path) -> Result<String, BoxError> {
    let plain = path.is_absolute()
        && path.components().all(|c| matches!(c, Component::RootDir | Component::Normal(_)))
        && path.as_os_str().len() <= 4000;
    path.to_str()
        .filter(|text| plain && !text.contains('\0'))
        .map(|text| if text == "/" { text.to_owned() } else { text.trim_end_matches('/').to_owned() })
        .ok_or_else(|| wrong(format!("{} is no plain absolute path", path.display())))
}

/// Where the mounts go, in their order: plain places that do not belong to the box itself. `kept` are folders of the tier's own.
///
/// # Errors
/// [`BoxError::Spec`].
pub fn places(spec: &Spec, kept: &[&str]) -> Result<Vec<String>, BoxError> {
    if spec.mounts.len() > MAX_MOUNTS {
        return Err(wrong(format!("it has {} mounts, and may have {MAX_MOUNTS}", spec.mounts.len())));
    }
    let place = |at: &Path| {
        let at = inside(at)?;
        if KEPT.iter().chain(kept).any(|kept| Path::new(at.trim_start_matches('/')).starts_with(kept)) || at == "/" {
            return Err(wrong(format!("nothing can be mounted on {at}")));
        }
        Ok(at)
    };
    spec.mounts.iter().map(|mount| place(&mount.at)).collect()
}

/// The working folder, inside.
///
/// # Errors
/// [`BoxError::Spec`].
pub fn dir(command: &Command) -> Result<String, BoxError> {
    if command.dir.as_os_str().is_empty() { Ok("/".to_owned()) } else { inside(&command.dir) }
}

/// A folder of the host: absolute, without links.
///
/// # Errors
/// [`BoxError::Spec`] if it is no folder.
pub fn folder(path: &Path) -> Result<PathBuf, BoxError> {
    let cannot = |why: &dyn std::fmt::Display| wrong(format!("the folder {}: {why}", path.display()));
    let absolute = path.canonicalize().map_err(|e| cannot(&e))?;
    if !absolute.is_dir() {
        return Err(cannot(&"it is no folder"));
    }
    Ok(absolute)
}

/// Limits that a box can be given at all, and a port that can be listened on.
///
/// # Errors
/// [`BoxError::Spec`].
pub fn bounds(limits: &Limits, egress: Option<u16>) -> Result<(), BoxError> {
    if limits.memory.is_some_and(|m| m < LEAST_MEMORY) {
        return Err(wrong(format!("a sandbox needs {LEAST_MEMORY} bytes of memory at least")));
    }
    if limits.pids.is_some_and(|p| p < LEAST_PIDS) {
        return Err(wrong(format!("a sandbox needs {LEAST_PIDS} processes at least")));
    }
    if limits.cpu_milli == Some(0) {
        return Err(wrong("a sandbox needs some part of a processor"));
    }
    if limits.wall.is_zero() || limits.wall > LONGEST {
        return Err(wrong("the deadline is not between now and 30 days from now"));
    }
    if egress == Some(0) {
        return Err(wrong("port 0 is no port to listen on"));
    }
    Ok(())
}

/// What will hold of what is asked, and what will not.
pub fn evidence(spec: &Spec, offer: &Offer) -> Evidence {
    evidence_of(offer, |property| match property {
        Property::MemoryLimit => spec.limits.memory.is_some(),
        Property::PidsLimit => spec.limits.pids.is_some(),
        Property::CpuLimit => spec.limits.cpu_milli.is_some(),
        Property::DiskQuota => !spec.mounts.iter().any(|m| matches!(m.content, Content::ReadWrite(_))),
        Property::OwnKernel => false,
        _ => true,
    })
}

/// What holds and what does not of the properties that are `asked` for.
pub fn evidence_of(offer: &Offer, asked: impl Fn(Property) -> bool) -> Evidence {
    let mut evidence = Evidence { tier: offer.tier, held: BTreeMap::new(), not_held: BTreeMap::new(), zygote: None };
    for (property, found) in offer.properties.iter().filter(|(property, _)| asked(**property)) {
        match found {
            Ok(by) => evidence.held.insert(*property, by.clone()),
            Err(why) => evidence.not_held.insert(*property, why.clone()),
        };
    }
    evidence
}

#[cfg(test)]
mod tests {
    #![expect(clippy::unwrap_used, reason = "tests")]

    use stead_ports::sandbox::{Mount, Tier};

    use super::*;

    fn offer() -> Offer {
        let properties = BTreeMap::from([
            (Property::MemoryLimit, Ok("m".to_owned())),
            (Property::CpuLimit, Err("no cpu".to_owned())),
            (Property::DiskQuota, Ok("d".to_owned())),
        ]);
        Offer { tier: Tier::Oci, properties }
    }

    #[test]
    fn what_is_required_and_not_held_is_refused_and_what_is_only_asked_is_told() {
        let mut spec = Spec::default();
        let told = evidence(&spec, &offer());
        assert_eq!(
            (told.held[&Property::MemoryLimit].as_str(), told.not_held[&Property::CpuLimit].as_str()),
            ("m", "no cpu")
        );
        spec.requires.insert(Property::CpuLimit);
        let error = requires(&spec, &offer()).unwrap_err();
        assert!(matches!(error, BoxError::Lacks { tier: Tier::Oci, property: Property::CpuLimit, .. }), "{error}");
    }

    #[test]
    fn a_writable_folder_has_no_quota_and_says_so() {
        let mut spec = Spec::default();
        spec.mounts.push(Mount { at: "/workspace".into(), content: Content::ReadWrite("/tmp".into()) });
        spec.requires.insert(Property::DiskQuota);
        let error = requires(&spec, &offer()).unwrap_err();
        assert!(matches!(error, BoxError::Lacks { property: Property::DiskQuota, .. }), "{error}");
        assert!(!evidence(&spec, &offer()).held.contains_key(&Property::DiskQuota));
    }

    #[test]
    fn commands_that_no_system_takes_are_refused() {
        let with = |words: &[&str], name: &str| Command {
            words: words.iter().map(|w| (*w).to_owned()).collect(),
            env: vec![(name.to_owned(), String::new())],
            ..Command::default()
        };
        command(&with(&["true"], "A")).unwrap();
        let long = "x".repeat(MAX_COMMAND);
        for bad in [with(&[], "A"), with(&["a\0b"], "A"), with(&[&long], "A"), with(&["true"], "A=B"), with(&["x"], "")]
        {
            assert!(matches!(command(&bad), Err(BoxError::Spec(_))));
        }
    }

    #[test]
    fn nothing_is_mounted_on_what_belongs_to_the_box() {
        let mut spec = Spec::default();
        for at in ["/proc/1", "/workspace/../dev", "/", "relative", "/sys/fs"] {
            spec.mounts = vec![Mount { at: at.into(), content: Content::ReadOnly("/tmp".into()) }];
            assert!(matches!(places(&spec, &[]), Err(BoxError::Spec(_))), "{at}");
        }
        spec.mounts = vec![Mount { at: "/data/".into(), content: Content::ReadOnly("/tmp".into()) }];
        assert_eq!(places(&spec, &[]).unwrap(), ["/data"]);
        assert!(places(&spec, &["data"]).is_err(), "the tier's own");
        spec.mounts = vec![spec.mounts[0].clone(); MAX_MOUNTS + 1];
        assert!(places(&spec, &[]).is_err());
    }

    #[test]
    fn limits_that_leave_nothing_to_run_in_are_refused() {
        let usual = Limits::default();
        bounds(&usual, Some(3128)).unwrap();
        for bad in [
            Limits { memory: Some(1), ..usual },
            Limits { pids: Some(1), ..usual },
            Limits { cpu_milli: Some(0), ..usual },
            Limits { wall: Duration::ZERO, ..usual },
            Limits { wall: LONGEST * 2, ..usual },
        ] {
            assert!(matches!(bounds(&bad, None), Err(BoxError::Spec(_))), "{bad:?}");
        }
        assert!(bounds(&usual, Some(0)).is_err());
    }
}
