//! A shell that is kept over several commands, as a reader's is: variables and `$!` last. What each command writes to either
//! stream comes in the order in which it was written.

use std::{
    fs,
    io::{BufReader, Write as _},
    process::{Child, ChildStdin, Command, Stdio},
    sync::mpsc::{Receiver, RecvTimeoutError, channel},
    time::Duration,
};

use tempfile::TempDir;

/// Longest silence of a command. It is there so that a page that hangs fails and names its command.
const SILENCE: Duration = Duration::from_secs(120);

/// Printed after each command, with its exit code.
const END: &str = "--- end of the command ---";

/// See the module.
pub(crate) struct Shell {
    child: Child,
    stdin: ChildStdin,
    lines: Receiver<String>,
    /// For the pipes of commands in the background.
    pipes: TempDir,
    jobs: usize,
}

impl Shell {
    /// A shell in a folder, with nothing but these variables in its environment.
    pub(crate) fn start(mut bash: Command) -> Self {
        bash.args(["--noprofile", "--norc"]).stdin(Stdio::piped()).stdout(Stdio::piped()).stderr(Stdio::null());
        let mut child = bash.spawn().expect("bash is there");
        let stdin = child.stdin.take().unwrap();
        let lines = lines(BufReader::new(child.stdout.take().unwrap()));
        Self { child, stdin, lines, pipes: tempfile::tempdir().unwrap(), jobs: 0 }
    }

    /// Runs a command to its end and gives the lines that it wrote.
    pub(crate) fn run(&mut self, command: &str) -> Vec<String> {
        writeln!(self.stdin, "{{ {command}\n}} 2>&1 </dev/null\necho '{END}'").unwrap();
        let mut out = Vec::new();
        loop {
            let line = next(&self.lines, command);
            if let Some(rest) = line.strip_suffix(END) {
                // The last line had no end.
                out.extend((!rest.is_empty()).then(|| rest.to_owned()));
                return out;
            }
            // What bash says, beside the command, of a process in the background that was killed.
            if !(line.starts_with("bash: line ") && line.contains("Killed")) {
                out.push(line);
            }
        }
    }

    /// Starts a command in the background and waits until it has written so many lines.
    pub(crate) fn start_in_background(&mut self, command: &str, count: usize) -> Vec<String> {
        self.jobs += 1;
        let pipe = self.pipes.path().join(self.jobs.to_string());
        let made = Command::new("mkfifo").arg(&pipe).status().unwrap();
        assert!(made.success());
        writeln!(self.stdin, "{{ {command} & }} >{} 2>&1 </dev/null", pipe.display()).unwrap();
        let written = lines(BufReader::new(fs::File::open(&pipe).unwrap()));
        let out = (0..count).map(|_| next(&written, command)).collect();
        // What it writes later must not block it.
        std::thread::spawn(move || written.iter().for_each(drop));
        out
    }
}

impl Drop for Shell {
    fn drop(&mut self) {
        // It may have ended already.
        let _ = writeln!(self.stdin, "kill $(jobs -p) 2>/dev/null; wait; exit");
        let _ = self.child.wait();
    }
}

fn lines(from: impl std::io::BufRead + Send + 'static) -> Receiver<String> {
    let (tell, lines) = channel();
    std::thread::spawn(move || {
        for line in from.lines().map_while(Result::ok) {
            if tell.send(line).is_err() {
                return;
            }
        }
    });
    lines
}

fn next(lines: &Receiver<String>, command: &str) -> String {
    match lines.recv_timeout(SILENCE) {
        Ok(line) => line,
        Err(RecvTimeoutError::Timeout) => panic!("`{command}` has said nothing for {SILENCE:?}"),
        Err(RecvTimeoutError::Disconnected) => panic!("`{command}` ended the shell, or said less than the page shows"),
    }
}
