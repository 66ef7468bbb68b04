//! What is measured beside: a plain program, bubblewrap with the same namespaces (it has no control groups, no filter and no
//! Landlock of its own), and runc with the profile of `runc spec`.

use std::{
    fs,
    os::unix::fs::symlink,
    path::{Path, PathBuf},
    process::{Command, Stdio},
    sync::atomic::{AtomicBool, AtomicU64, Ordering},
    time::{Duration, Instant},
};

use serde_json::{Value, json};

use super::Times;

/// The standard library spawns with `posix_spawn`, which is vfork and exec.
pub(super) fn plain(times: &mut Times) -> Result<(), String> {
    timed(&mut Command::new("/usr/bin/true"), times)
}

fn timed(command: &mut Command, times: &mut Times) -> Result<(), String> {
    command.stdin(Stdio::null()).stdout(Stdio::null());
    let begun = Instant::now();
    let status = command.status().map_err(|e| format!("{}: {e}", command.get_program().display()))?;
    times.add(begun);
    if status.success() { Ok(()) } else { Err(format!("{} ended with {status}", command.get_program().display())) }
}

pub(super) struct Peers {
    bundle: Result<PathBuf, String>,
    _folder: Option<tempfile::TempDir>,
}

impl Peers {
    pub(super) fn find() -> Self {
        let folder = tempfile::Builder::new().prefix("stead-bench").tempdir_in("/tmp");
        let bundle = match &folder {
            Ok(folder) => bundle(folder.path()),
            Err(e) => Err(e.to_string()),
        };
        Self { bundle, _folder: folder.ok() }
    }

    pub(super) fn no_runc(&self) -> String {
        self.bundle.as_ref().err().cloned().unwrap_or_default()
    }

    pub(super) fn bubblewrap(&self, times: &mut Times) -> Result<(), String> {
        timed(&mut wrapped(), times).map_err(|e| format!("{e}; apt-get install bubblewrap"))
    }

    pub(super) fn runc(&self, times: &mut Times) -> Result<(), String> {
        let Ok(bundle) = &self.bundle else { return Ok(()) };
        static NEXT: AtomicU64 = AtomicU64::new(0);
        let name = format!("stead-bench-{}-{}", std::process::id(), NEXT.fetch_add(1, Ordering::Relaxed));
        timed(Command::new("runc").args(["run", "--bundle"]).arg(bundle).arg(name), times)
    }

    /// Boxes of bubblewrap a second.
    pub(super) fn burst(&self, callers: usize, length: Duration) -> Result<u64, String> {
        let (over, count) = (AtomicBool::new(false), AtomicU64::new(0));
        std::thread::scope(|scope| {
            let lanes: Vec<_> = (0..callers)
                .map(|_| {
                    scope.spawn(|| {
                        while !over.load(Ordering::Relaxed) {
                            self.bubblewrap(&mut Times::default())?;
                            count.fetch_add(1, Ordering::Relaxed);
                        }
                        Ok::<_, String>(())
                    })
                })
                .collect();
            let begun = Instant::now();
            std::thread::sleep(length);
            let (made, passed) = (count.load(Ordering::Relaxed), begun.elapsed());
            over.store(true, Ordering::Relaxed);
            for lane in lanes {
                lane.join().map_err(|_| "a caller panicked".to_owned())??;
            }
            Ok((made as f64 / passed.as_secs_f64()) as u64)
        })
    }
}

fn wrapped() -> Command {
    let mut command = Command::new("bwrap");
    command.args(["--unshare-all", "--die-with-parent", "--new-session", "--clearenv", "--hostname", "box"]);
    command.args(["--ro-bind", "/usr", "/usr", "--proc", "/proc", "--dev", "/dev", "--tmpfs", "/tmp"]);
    for (name, to) in links() {
        command.arg("--symlink").arg(to).arg(Path::new("/").join(name));
    }
    command.arg("/usr/bin/true");
    command
}

/// Folders of the host's root that are links into `/usr`.
fn links() -> Vec<(&'static str, PathBuf)> {
    let names = ["bin", "lib", "lib64", "sbin"];
    names.into_iter().filter_map(|name| Some((name, fs::read_link(Path::new("/").join(name)).ok()?))).collect()
}

/// A bundle that runs `true` on the host's `/usr`; tried once.
fn bundle(folder: &Path) -> Result<PathBuf, String> {
    let text = |e: &dyn std::fmt::Display| e.to_string();
    let made = Command::new("runc").arg("spec").current_dir(folder).output();
    let made = made.map_err(|e| format!("runc: {e}; apt-get install runc"))?;
    if !made.status.success() {
        return Err(String::from_utf8_lossy(&made.stderr).into_owned());
    }
    let root = folder.join("rootfs");
    for name in ["usr", "proc", "dev", "sys", "tmp"] {
        fs::create_dir_all(root.join(name)).map_err(|e| text(&e))?;
    }
    for (name, to) in links() {
        symlink(to, root.join(name)).map_err(|e| text(&e))?;
    }
    let file = folder.join("config.json");
    let mut config: Value = serde_json::from_slice(&fs::read(&file).map_err(|e| text(&e))?).map_err(|e| text(&e))?;
    config["process"]["terminal"] = json!(false);
    config["process"]["args"] = json!(["/usr/bin/true"]);
    if let Some(mounts) = config["mounts"].as_array_mut() {
        mounts.push(json!({ "destination": "/usr", "type": "bind", "source": "/usr", "options": ["rbind", "ro"] }));
    }
    fs::write(&file, config.to_string()).map_err(|e| text(&e))?;
    let tried = Command::new("runc")
        .args(["run", "--bundle"])
        .arg(folder)
        .arg(format!("stead-bench-{}", std::process::id()))
        .stdin(Stdio::null())
        .output()
        .map_err(|e| text(&e))?;
    if tried.status.success() {
        Ok(folder.to_owned())
    } else {
        Err(format!("runc does not run here: {}", String::from_utf8_lossy(&tried.stderr).trim()))
    }
}
