//! A PostgreSQL server of one's own: a fresh cluster in a temporary folder, on a free port, gone with the test.
//!
//! Not here: a server that outlives its test, and clients whose answers anyone reads.

use std::{
    fs,
    io::{self, BufRead as _, BufReader, Write as _},
    net::TcpListener,
    os::unix::{
        fs::{MetadataExt as _, OpenOptionsExt as _, chown},
        process::CommandExt as _,
    },
    path::{Path, PathBuf},
    process::{Child, ChildStderr, Command, Stdio},
    thread,
};

use tempfile::TempDir;
use tokio_postgres::NoTls;

const MISSING: &str = "PostgreSQL's server programs are missing: apt-get install postgresql";

/// Starts the server and ends it when its standard input closes. That happens whenever the test's process ends,
/// however it ends. The log is the server's alone, so that it ends with the server.
const KEEPER: &str = r#"
"$@" < /dev/null & server=$!
exec 2> /dev/null
read -r _
kill -QUIT "$server"
wait "$server"
"#;

/// A running server; superuser `postgres`, no password, reachable from this machine only. It syncs to disk as one in
/// production does. It ends when this is dropped.
#[derive(Debug)]
pub struct TestPostgres {
    bin: PathBuf,
    user: Option<(u32, u32)>,
    port: u16,
    keeper: Option<Child>,
    dir: TempDir,
    tls: bool,
}

impl TestPostgres {
    /// Makes a cluster and starts its server. Takes about a second.
    ///
    /// # Panics
    /// When PostgreSQL is not installed, or does not start.
    pub fn start() -> Self {
        Self::start_with(None)
    }

    /// The same with TLS for those who ask for it, by this certificate and key (PEM).
    ///
    /// # Panics
    /// As [`TestPostgres::start`].
    pub fn start_with_tls(cert: &str, key: &str) -> Self {
        Self::start_with(Some((cert, key)))
    }

    fn start_with(tls: Option<(&str, &str)>) -> Self {
        let bin = server_programs().expect(MISSING);
        let user = unprivileged();
        let dir = tempfile::Builder::new().prefix("stead-pg-").tempdir().expect("a temporary directory");
        if let Some((uid, gid)) = user {
            chown(dir.path(), Some(uid), Some(gid)).expect("root may give a directory away");
        }
        let mut server = Self { bin, user, port: 0, keeper: None, dir, tls: tls.is_some() };
        server.init();
        if let Some((cert, key)) = tls {
            server.keep("server.crt", cert);
            server.keep("server.key", key);
        }
        // The port is free when it is looked for, and another process may take it before the server does.
        let started = (0..5).any(|_| {
            server.port = free_port();
            server.try_resume().is_ok()
        });
        assert!(started, "PostgreSQL does not start in {}", server.dir.path().display());
        server
    }

    /// The URL of its database `postgres`.
    pub fn url(&self) -> String {
        format!("postgres://postgres@127.0.0.1:{}/postgres", self.port)
    }

    /// Executes a script, such as a dump, in its database `postgres`. Lines for `psql`, which begin with a backslash, are left out.
    ///
    /// # Panics
    /// When the server refuses it.
    pub async fn execute(&self, script: &str) {
        let (client, connection) =
            tokio_postgres::connect(&self.url(), NoTls).await.expect("the server takes a client");
        let connection = tokio::spawn(connection);
        let sql: String = script.lines().filter(|l| !l.starts_with('\\')).flat_map(|l| [l, "\n"]).collect();
        client.batch_execute(&sql).await.expect("the script is for this server");
        drop(client);
        connection.await.expect("the connection ends").expect("and in peace");
    }

    /// Ends the server at once, as a crash would. Its data stays.
    pub fn crash(&mut self) {
        if let Some(mut keeper) = self.keeper.take() {
            drop(keeper.stdin.take());
            keeper.wait().expect("the server ends");
        }
    }

    /// Starts the server again on its data and port.
    ///
    /// # Panics
    /// When it does not start.
    pub fn resume(&mut self) {
        if let Err(said) = self.try_resume() {
            panic!("PostgreSQL does not start again: {said}");
        }
    }

    /// Writes a file that only the server's user reads.
    fn keep(&self, name: &str, content: &str) {
        let path = self.dir.path().join(name);
        let mut file = fs::OpenOptions::new().write(true).create_new(true).mode(0o600).open(&path).expect("is new");
        file.write_all(content.as_bytes()).expect("can be written");
        if let Some((uid, gid)) = self.user {
            chown(&path, Some(uid), Some(gid)).expect("root may give a file away");
        }
    }

    fn data(&self) -> PathBuf {
        self.dir.path().join("data")
    }

    fn command(&self, program: impl AsRef<Path>) -> Command {
        let mut command = Command::new(program.as_ref());
        command.current_dir(self.dir.path()).env("LC_ALL", "C").stdin(Stdio::null());
        if let Some((uid, gid)) = self.user {
            command.uid(uid).gid(gid);
        }
        command
    }

    fn init(&self) {
        let mut initdb = self.command(self.bin.join("initdb"));
        initdb.args(["--username=postgres", "--auth=trust", "--encoding=UTF8", "--no-locale", "--no-sync"]);
        // The smallest log segments: a fresh cluster is 16 MiB smaller by it.
        let made = initdb.arg("--wal-segsize=1").arg("-D").arg(self.data()).output().expect(MISSING);
        assert!(made.status.success(), "initdb: {}", String::from_utf8_lossy(&made.stderr));
    }

    /// Starts the server and waits until it says that it is ready; otherwise gives what it said.
    fn try_resume(&mut self) -> Result<(), String> {
        let mut keeper = self.command("/bin/sh");
        keeper.args(["-c", KEEPER, "keeper"]).arg(self.bin.join("postgres")).arg("-D").arg(self.data());
        for setting in [
            format!("port={}", self.port),
            "listen_addresses=127.0.0.1".into(),
            format!("unix_socket_directories={}", self.dir.path().display()),
            "max_connections=300".into(),
            "logging_collector=off".into(),
            "log_destination=stderr".into(),
        ] {
            keeper.arg("-c").arg(setting);
        }
        if self.tls {
            let file = |name: &str| self.dir.path().join(name).display().to_string();
            for (setting, value) in
                [("ssl", "on".into()), ("ssl_cert_file", file("server.crt")), ("ssl_key_file", file("server.key"))]
            {
                keeper.arg("-c").arg(format!("{setting}={value}"));
            }
        }
        let mut keeper = keeper
            .stdin(Stdio::piped())
            .stdout(Stdio::null())
            .stderr(Stdio::piped())
            .spawn()
            .map_err(|e| format!("/bin/sh: {e}"))?;
        let log = keeper.stderr.take().ok_or("its log is a pipe")?;
        match wait_until_ready(log) {
            Ok(()) => {
                self.keeper = Some(keeper);
                Ok(())
            }
            Err(said) => {
                drop(keeper.stdin.take());
                // It has ended already, or ends now.
                let _ = keeper.wait();
                Err(said)
            }
        }
    }
}

impl Drop for TestPostgres {
    fn drop(&mut self) {
        self.crash();
    }
}

/// Reads the log up to the line that says so; afterwards it is read on, for a full pipe would stop the server.
fn wait_until_ready(log: ChildStderr) -> Result<(), String> {
    let mut log = BufReader::new(log);
    let mut said = String::new();
    loop {
        let before = said.len();
        match log.read_line(&mut said) {
            Ok(0) => return Err(said),
            Ok(_) if said[before..].contains("ready to accept connections") => break,
            Ok(_) => {}
            Err(e) => return Err(format!("{said}{e}")),
        }
    }
    thread::spawn(move || io::copy(&mut log, &mut io::sink()));
    Ok(())
}

/// Where the newest installed server is: Debian keeps it out of `PATH`.
fn server_programs() -> Option<PathBuf> {
    let debian = fs::read_dir("/usr/lib/postgresql").into_iter().flatten().flatten();
    let newest = debian
        .filter_map(|d| Some((d.file_name().to_str()?.parse::<u32>().ok()?, d.path().join("bin"))))
        .filter(|(_, bin)| bin.join("initdb").exists() && bin.join("postgres").exists())
        .max();
    let path = std::env::var_os("PATH").unwrap_or_default();
    let mut in_path = std::env::split_paths(&path).filter(|d| d.join("initdb").exists() && d.join("postgres").exists());
    newest.map(|(_, bin)| bin).or_else(|| in_path.next())
}

/// PostgreSQL refuses to run as root: then the user to run it as.
fn unprivileged() -> Option<(u32, u32)> {
    if fs::metadata("/proc/self").map(|m| m.uid()).ok()? != 0 {
        return None;
    }
    let users = fs::read_to_string("/etc/passwd").ok()?;
    ["postgres", "nobody"].into_iter().find_map(|wanted| {
        let mut words = users.lines().map(|l| l.split(':').collect::<Vec<_>>()).find(|w| w.first() == Some(&wanted))?;
        words.drain(..2);
        Some((words.first()?.parse().ok()?, words.get(1)?.parse().ok()?))
    })
}

fn free_port() -> u16 {
    let probe = TcpListener::bind(("127.0.0.1", 0)).and_then(|l| l.local_addr());
    probe.expect("a free port").port()
}
