//! The `config.json` of a bundle (OCI runtime specification 1.0): every namespace, no capability, a root that is read-only,
//! and of the rest as little as a command needs. The folders that a box is given hang in its root already, for the shim
//! puts them there without following a link.

mod seccomp;

use std::path::Path;

use oci_spec::runtime::Spec as Config;
use serde_json::{Value, json};
use stead_ports::sandbox::{BoxError, Spec};
use stead_tier::{
    ask, program,
    resources::{self, FIXED},
    root::COVERED,
    users::{INIT, INSIDE, USER},
};

use crate::{place::Bundle, wire::Limits};

/// The period in which a share of the processors is counted, in microseconds: the kernel's usual one.
const PERIOD: u64 = 100_000;

const NAMESPACES: [&str; 7] = ["pid", "network", "ipc", "uts", "mount", "cgroup", "user"];

/// What is not to be written in `/proc`.
const CLOSED: &[&str] = &["asound", "bus", "fs", "irq", "sys", "sysrq-trigger"];

/// The whole of it. `swap`: whether the kernel counts swap, so that it can be told that there is none.
pub(crate) fn config(spec: &Spec, bundle: &Bundle, terminal: bool, swap: bool) -> Result<Config, BoxError> {
    let command = &spec.command;
    let limits = &spec.limits;
    let both = |kind: &str, value: u64| json!({ "type": kind, "hard": value, "soft": value });
    let mut bounds: Vec<Value> = FIXED.iter().map(|fixed| both(fixed.name, fixed.most)).collect();
    bounds.push(both("RLIMIT_NOFILE", resources::open_files(limits.open_files)));
    bounds.push(both("RLIMIT_FSIZE", limits.file));
    let nothing: [&str; 0] = [];
    let namespaces = NAMESPACES.map(|kind| json!({ "type": kind }));
    let below = |names: &[&str]| names.iter().map(|name| format!("/proc/{name}")).collect::<Vec<_>>();
    let config = json!({
        "ociVersion": "1.0.2",
        "hostname": "box",
        "root": { "path": bundle.rootfs(), "readonly": true },
        "process": {
            "terminal": terminal,
            "user": { "uid": INSIDE, "gid": INSIDE, "umask": 0o022 },
            "args": command.words,
            "env": program::environment(&command.env),
            "cwd": ask::dir(command)?,
            "noNewPrivileges": true,
            "capabilities": {
                "bounding": nothing, "effective": nothing, "inheritable": nothing, "permitted": nothing,
                "ambient": nothing,
            },
            "rlimits": bounds,
        },
        "mounts": mounts(bundle),
        "linux": {
            "namespaces": namespaces,
            "uidMappings": mappings(),
            "gidMappings": mappings(),
            "cgroupsPath": bundle.id(),
            "resources": resources(&Limits::of(limits), swap, true),
            "seccomp": seccomp::profile(),
            "maskedPaths": below(COVERED),
            "readonlyPaths": below(CLOSED),
        },
    });
    serde_json::from_value(config).map_err(|e| BoxError::Lost(format!("the configuration of a container: {e}")))
}

impl Limits {
    pub(crate) fn of(limits: &stead_ports::sandbox::Limits) -> Self {
        Self { memory: limits.memory, pids: limits.pids, cpu_milli: limits.cpu_milli }
    }
}

/// Outside, the container's root and its user are two that belong to nobody.
fn mappings() -> Value {
    json!([
        { "containerID": 0, "hostID": INIT, "size": 1 },
        { "containerID": INSIDE, "hostID": USER, "size": 1 },
    ])
}

fn mounts(bundle: &Bundle) -> Value {
    json!([
        { "destination": "/proc", "type": "proc", "source": "proc", "options": ["nosuid", "noexec", "nodev", "ro"] },
        {
            "destination": "/dev", "type": "tmpfs", "source": "tmpfs",
            "options": ["nosuid", "noexec", "mode=755", "size=64k", "nr_inodes=64", "ro"],
        },
        {
            "destination": "/dev/pts", "type": "devpts", "source": "devpts",
            "options": ["nosuid", "noexec", "newinstance", "ptmxmode=0666", "mode=0620", "max=64"],
        },
        {
            "destination": "/dev/shm", "type": "bind", "source": bundle.scratch().join("shm"),
            "options": ["bind", "rw", "nosuid", "nodev"],
        },
    ])
}

/// Limits as the runtime takes them, in `config.json` and for `update`. `devices`: also that there are none but the usual.
pub(crate) fn resources(limits: &Limits, swap: bool, devices: bool) -> Value {
    let mut out = json!({});
    if let Some(bytes) = limits.memory {
        out["memory"] = if swap { json!({ "limit": bytes, "swap": bytes }) } else { json!({ "limit": bytes }) };
    }
    if let Some(pids) = limits.pids {
        out["pids"] = json!({ "limit": pids });
    }
    if let Some(milli) = limits.cpu_milli {
        // The kernel refuses less than a millisecond.
        out["cpu"] = json!({ "quota": (u64::from(milli) * PERIOD / 1000).max(1000), "period": PERIOD });
    }
    if devices {
        out["devices"] = json!([{ "allow": false, "access": "rwm" }]);
    }
    out
}

/// Whether the kernel counts swap in groups, so that a box can be told that it has none.
pub(crate) fn swap_is_counted() -> bool {
    let one = Path::new("/sys/fs/cgroup/memory");
    if one.exists() { one.join("memory.memsw.limit_in_bytes").exists() } else { Path::new("/proc/swaps").exists() }
}

#[cfg(test)]
mod tests {
    #![expect(clippy::unwrap_used, reason = "tests")]

    use stead_ports::sandbox::Command;

    use super::*;

    fn made(change: impl FnOnce(&mut Spec)) -> Value {
        let command = Command { words: vec!["true".into()], ..Command::default() };
        let mut spec = Spec { command, ..Spec::default() };
        change(&mut spec);
        let bundle = Bundle::new("/run/x".into(), "box".into());
        serde_json::to_value(config(&spec, &bundle, false, true).unwrap()).unwrap()
    }

    /// What the types of the specification do not know is lost on the way, so the whole is looked at after it.
    #[test]
    fn a_container_has_every_namespace_no_capability_and_a_root_that_is_closed() {
        let config = made(|_| {});
        let kinds: Vec<_> =
            config["linux"]["namespaces"].as_array().unwrap().iter().map(|n| n["type"].as_str().unwrap()).collect();
        assert_eq!(kinds, ["pid", "network", "ipc", "uts", "mount", "cgroup", "user"]);
        for set in ["bounding", "effective", "inheritable", "permitted", "ambient"] {
            assert_eq!(config["process"]["capabilities"][set], json!([]), "{set}");
        }
        assert_eq!(config["root"]["readonly"], json!(true));
        assert_eq!(config["process"]["noNewPrivileges"], json!(true));
        assert_eq!(config["process"]["user"], json!({ "uid": 1000, "gid": 1000, "umask": 18 }));
        assert_eq!(config["linux"]["seccomp"]["defaultAction"], json!("SCMP_ACT_ERRNO"));
        assert_eq!(config["linux"]["seccomp"]["defaultErrnoRet"], json!(1));
        assert!(
            config["linux"]["uidMappings"].as_array().unwrap().iter().all(|m| m["hostID"].as_u64() > Some(1 << 30))
        );
        assert!(config["mounts"].as_array().unwrap().iter().all(|m| m["destination"] != json!("/sys")));
    }

    #[test]
    fn limits_are_what_was_asked_without_swap() {
        let resources = made(|spec| spec.limits.cpu_milli = Some(5))["linux"]["resources"].clone();
        assert_eq!(resources["memory"], json!({ "limit": 512 << 20, "swap": 512 << 20 }));
        assert_eq!(resources["pids"], json!({ "limit": 128 }));
        assert_eq!(
            (resources["cpu"]["quota"].clone(), resources["cpu"]["period"].clone()),
            (json!(1000), json!(100_000))
        );
        let resources =
            made(|spec| spec.limits = stead_ports::sandbox::Limits { memory: None, pids: None, ..spec.limits });
        assert_eq!(resources["linux"]["resources"].get("memory"), None);
    }
}
