//! A PostgreSQL server of a test's own, on a socket in a folder of its own.

use std::{
    fs,
    os::unix::fs::PermissionsExt as _,
    path::{Path, PathBuf},
    process::{Command, Stdio},
};

/// A running server. Dropping it stops it.
pub(crate) struct Server {
    dir: tempfile::TempDir,
    bin: PathBuf,
}

impl Server {
    pub(crate) fn start() -> Self {
        let dir = tempfile::tempdir().unwrap();
        fs::set_permissions(dir.path(), fs::Permissions::from_mode(0o777)).unwrap();
        let server = Self { dir, bin: bin() };
        server.run("initdb", &["-U", "postgres", "-A", "trust", "--no-sync"]);
        let options = format!("-c listen_addresses= -c fsync=off -c unix_socket_directories={}", server.path());
        let log = server.dir.path().join("log");
        server.run("pg_ctl", &["start", "-w", "-l", log.to_str().unwrap(), "-o", &options]);
        server
    }

    fn path(&self) -> &str {
        self.dir.path().to_str().unwrap()
    }

    /// A URL for that user.
    pub(crate) fn url(&self, user: &str) -> String {
        format!("postgres://{user}@{}/postgres", self.path().replace('/', "%2F"))
    }

    /// Where it listens.
    pub(crate) fn socket(&self) -> PathBuf {
        self.dir.path().join(".s.PGSQL.5432")
    }

    /// Stops at once, as a crash would.
    pub(crate) fn stop(&self) {
        self.run("pg_ctl", &["stop", "-m", "immediate"]);
    }

    fn run(&self, tool: &str, arguments: &[&str]) {
        // PostgreSQL refuses to run as root.
        let mut command = if rustix::process::geteuid().is_root() {
            let mut command = Command::new("setpriv");
            command.args(["--reuid=postgres", "--regid=postgres", "--clear-groups"]).arg(self.bin.join(tool));
            command
        } else {
            Command::new(self.bin.join(tool))
        };
        command.arg("-D").arg(self.dir.path().join("data")).args(arguments).current_dir("/");
        // Not a pipe: the server would keep it open.
        let status = command.stdout(Stdio::null()).stderr(Stdio::null()).status().unwrap();
        assert!(status.success(), "{tool}: {status}");
    }
}

impl Drop for Server {
    fn drop(&mut self) {
        if self.dir.path().join("data/postmaster.pid").exists() {
            self.stop();
        }
    }
}

fn bin() -> PathBuf {
    let versions = fs::read_dir("/usr/lib/postgresql").into_iter().flatten().flatten().map(|e| e.path().join("bin"));
    let found = versions.chain(std::env::var_os("PATH").iter().flat_map(std::env::split_paths).collect::<Vec<_>>());
    let whole = |dir: &PathBuf| ["initdb", "pg_ctl", "postgres"].iter().all(|t| Path::new(dir).join(t).exists());
    found.into_iter().find(whole).expect("PostgreSQL is missing; install it with: apt-get install postgresql")
}
