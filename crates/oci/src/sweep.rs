//! Removing what is left of boxes whose shim died, or whose server and shim both did: the container with its processes and
//! control groups, then the folder.

use std::{
    ffi::OsString,
    fs,
    os::unix::ffi::OsStringExt as _,
    path::{Path, PathBuf},
    process::{Command, Stdio},
    time::{Duration, Instant},
};

use crate::{
    place::{self, Bundle},
    shim::PATIENCE,
};

/// How often it is looked whether a runtime has ended.
const TICK: Duration = Duration::from_millis(5);

/// Removes the folders of servers that are dead. What cannot be removed is told, and tried again at the next start.
pub(crate) fn dead_servers(place: &Path) {
    for server in folders(place).into_iter().filter(|f| place::dead(&name(f), place::started)) {
        for folder in folders(&server) {
            bundle(&Bundle::new(folder.clone(), format!("{}-{}", name(&server), name(&folder))));
        }
        if let Err(error) = fs::remove_dir(&server) {
            tracing::warn!(folder = %server.display(), %error, "something of an earlier server's containers is left");
        }
    }
}

/// Removes one box.
pub(crate) fn bundle(bundle: &Bundle) {
    let runtime = fs::read(bundle.runtime()).map(OsString::from_vec).map(PathBuf::from);
    if let Ok(runtime) = runtime.as_ref()
        && bundle.state().join(bundle.id()).exists()
        && let Err(why) = delete(runtime, bundle)
    {
        tracing::warn!(container = bundle.id(), %why, "a container is left");
        return;
    }
    if let Err(error) = bundle.remove() {
        tracing::warn!(folder = %bundle.folder().display(), %error, "the folder of a container is left");
    }
}

fn delete(runtime: &Path, bundle: &Bundle) -> Result<(), String> {
    let mut command = Command::new(runtime);
    command.arg("--root").arg(bundle.state()).args(["delete", "--force", bundle.id()]).env_clear();
    command.stdin(Stdio::null()).stdout(Stdio::null()).stderr(Stdio::null());
    let mut child = command.spawn().map_err(|e| e.to_string())?;
    let until = Instant::now() + PATIENCE;
    loop {
        match child.try_wait().map_err(|e| e.to_string())? {
            Some(status) if status.success() => return Ok(()),
            Some(status) => return Err(format!("{} delete: {status}", runtime.display())),
            None if Instant::now() < until => std::thread::sleep(TICK),
            None => {
                let _ = child.kill();
                let _ = child.wait();
                return Err(format!("{} delete: no answer", runtime.display()));
            }
        }
    }
}

fn folders(place: &Path) -> Vec<PathBuf> {
    let entries = fs::read_dir(place).into_iter().flatten().flatten();
    entries.filter(|e| e.file_type().is_ok_and(|kind| kind.is_dir())).map(|e| e.path()).collect()
}

fn name(folder: &Path) -> String {
    folder.file_name().unwrap_or_default().to_string_lossy().into_owned()
}
