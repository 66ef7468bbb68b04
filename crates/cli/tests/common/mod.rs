//! A folder of its own for each test, and the binary in it with a bare environment.

pub(crate) mod browser;
mod filters;
mod mcp;
pub(crate) mod page;
mod server;
pub(crate) mod shell;
mod world;

use std::{
    ffi::OsStr,
    fmt,
    io::Write as _,
    path::{Path, PathBuf},
    process::{Command, Output, Stdio},
};

use tempfile::TempDir;

pub(crate) use filters::filtered;
pub(crate) use mcp::Mcp;
pub(crate) use server::Serving;
pub(crate) use world::World;

/// The repository.
pub(crate) fn root() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("../..").canonicalize().unwrap()
}

/// See the module.
pub(crate) struct TestEnvironment {
    dir: TempDir,
}

impl TestEnvironment {
    /// An empty folder.
    pub(crate) fn new() -> Self {
        Self { dir: tempfile::tempdir().unwrap() }
    }

    /// A folder with a copy of `examples/refund-desk`.
    pub(crate) fn with_refund_desk() -> Self {
        let env = Self::new();
        let (from, to) = (root().join("examples/refund-desk"), env.path().join("refund-desk"));
        copy(&from, &to);
        env
    }

    /// The folder.
    pub(crate) fn path(&self) -> &Path {
        self.dir.path()
    }

    /// Writes a file, and the folders above it.
    /// Lets manifests run MCP servers outside of any sandbox, for what a sandbox would keep from the test.
    pub(crate) fn allow_none(&self) {
        self.write(".stead/stead.toml", "[sandbox]\nallow_none = true\n");
    }

    /// Writes a file.
    pub(crate) fn write(&self, name: &str, text: &str) {
        let path = self.path().join(name);
        std::fs::create_dir_all(path.parent().unwrap()).unwrap();
        std::fs::write(path, text).unwrap();
    }

    /// The binary, ready to run in the folder.
    pub(crate) fn command<S: AsRef<OsStr>>(&self, args: impl IntoIterator<Item = S>) -> Command {
        let mut command = Command::new(env!("CARGO_BIN_EXE_stead"));
        command.args(args).current_dir(self.path()).env_clear().env("HOME", self.path());
        for name in ["PATH", "TMPDIR", "LLVM_PROFILE_FILE"] {
            if let Some(value) = std::env::var_os(name) {
                command.env(name, value);
            }
        }
        command.stdin(Stdio::null());
        command
    }

    /// Runs a command line, split at spaces; `'…'` keeps its spaces.
    pub(crate) fn stead(&self, line: &str) -> Terminal {
        self.finish(self.command(words(line)))
    }

    /// The same with something on stdin.
    pub(crate) fn stead_with_input(&self, line: &str, input: impl AsRef<[u8]>) -> Terminal {
        let mut command = self.command(words(line));
        let mut child = command.stdin(Stdio::piped()).stdout(Stdio::piped()).stderr(Stdio::piped()).spawn().unwrap();
        // A program that reads nothing closes the pipe.
        let _ = child.stdin.take().unwrap().write_all(input.as_ref());
        Terminal::of(child.wait_with_output().unwrap(), self)
    }

    /// Runs a command to its end.
    pub(crate) fn finish(&self, mut command: Command) -> Terminal {
        Terminal::of(command.output().unwrap(), self)
    }

    /// What a command that was run otherwise has written.
    pub(crate) fn told(&self, output: Output) -> Terminal {
        Terminal::of(output, self)
    }

    /// Runs a command line that writes JSON.
    pub(crate) fn json(&self, line: &str) -> serde_json::Value {
        let terminal = self.stead(line);
        serde_json::from_str(&terminal.stdout).unwrap_or_else(|e| panic!("{e}: {terminal}"))
    }

    /// The name of the only open approval.
    pub(crate) fn approval(&self) -> String {
        let open = self.json("approvals ls --json");
        assert_eq!(open["items"].as_array().unwrap().len(), 1, "{open}");
        open["items"][0]["id"].as_str().unwrap().to_owned()
    }
}

fn copy(from: &Path, to: &Path) {
    std::fs::create_dir(to).unwrap();
    for entry in std::fs::read_dir(from).unwrap() {
        let (from, to) = (entry.as_ref().unwrap().path(), to.join(entry.unwrap().file_name()));
        if from.is_dir() {
            copy(&from, &to);
        } else {
            std::fs::copy(from, to).unwrap();
        }
    }
}

fn words(line: &str) -> Vec<String> {
    let mut words = Vec::new();
    for (i, part) in line.split('\'').enumerate() {
        if i % 2 == 1 {
            words.push(part.to_owned());
        } else {
            words.extend(part.split_whitespace().map(str::to_owned));
        }
    }
    words
}

/// Everything that a command wrote, and how it ended.
pub(crate) struct Terminal {
    pub(crate) stdout: String,
    pub(crate) stderr: String,
    pub(crate) code: Option<i32>,
    place: String,
}

impl Terminal {
    fn of(output: Output, env: &TestEnvironment) -> Self {
        Self {
            stdout: String::from_utf8(output.stdout).unwrap(),
            stderr: String::from_utf8(output.stderr).unwrap(),
            code: output.status.code(),
            place: env.path().canonicalize().unwrap().display().to_string(),
        }
    }

    /// Demands that the command did what it was asked.
    pub(crate) fn succeeds(self) -> Self {
        assert_eq!(self.code, Some(0), "{self}");
        self
    }
}

/// As in a snapshot: exit code, stdout, stderr; what differs from run to run is replaced.
impl fmt::Display for Terminal {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let code = self.code.map_or_else(|| "killed".to_owned(), |c| c.to_string());
        let mut text = format!("exit {code}\n");
        for (name, part) in [("stdout", &self.stdout), ("stderr", &self.stderr)] {
            if !part.is_empty() {
                text.push_str(&format!("--- {name}\n{part}"));
                if !part.ends_with('\n') {
                    text.push_str("(no line end)\n");
                }
            }
        }
        f.write_str(&filtered(&text, &self.place))
    }
}
