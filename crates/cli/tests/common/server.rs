//! A server that runs beside a test.

use std::{
    io::{BufRead as _, BufReader, Read as _},
    process::{Child, Command, Stdio},
};

/// A process that is killed with the test.
pub(crate) struct Serving {
    child: Child,
    /// What it wrote until it was ready.
    pub(crate) banner: String,
}

impl Serving {
    /// Starts a server and waits until it has written a line with `ready` to stderr.
    pub(crate) fn start(mut command: Command, ready: &str) -> Self {
        let mut child = command.stdout(Stdio::null()).stderr(Stdio::piped()).spawn().unwrap();
        let mut lines = BufReader::new(child.stderr.take().unwrap());
        let mut banner = String::new();
        loop {
            let before = banner.len();
            let read = lines.read_line(&mut banner).unwrap();
            assert!(read > 0, "the server ended: {banner}");
            if banner[before..].contains(ready) {
                break;
            }
        }
        // What it writes later must not block it.
        std::thread::spawn(move || lines.read_to_end(&mut Vec::new()));
        Self { child, banner }
    }

    /// Starts a program that prints its URL as the first line of stdout.
    pub(crate) fn with_url(mut command: Command) -> Self {
        let mut child = command.stdout(Stdio::piped()).stderr(Stdio::null()).spawn().unwrap();
        let mut banner = String::new();
        BufReader::new(child.stdout.as_mut().unwrap()).read_line(&mut banner).unwrap();
        Self { child, banner: banner.trim().to_owned() }
    }

    /// Starts a program whose stdout is read as it comes.
    pub(crate) fn watch(mut command: Command) -> Self {
        let child = command.stdout(Stdio::piped()).stderr(Stdio::null()).spawn().unwrap();
        Self { child, banner: String::new() }
    }

    /// Reads stdout until a line has this text; gives what was read.
    pub(crate) fn until(mut self, text: &str) -> (Self, String) {
        let stdout = self.child.stdout.as_mut().unwrap();
        let mut seen = Vec::new();
        // Byte by byte: what follows is for the next look.
        while !(seen.ends_with(b"\n") && String::from_utf8_lossy(&seen).contains(text)) {
            let mut byte = [0];
            stdout.read_exact(&mut byte).unwrap();
            seen.push(byte[0]);
        }
        (self, String::from_utf8(seen).unwrap())
    }

    /// Waits until it ends by itself.
    pub(crate) fn end(mut self) -> Option<i32> {
        self.child.wait().unwrap().code()
    }

    /// Tells it to stop, and waits until it has.
    pub(crate) fn stop(self) -> Option<i32> {
        self.signal("-TERM")
    }

    /// Presses Ctrl-C, and waits until it has ended.
    pub(crate) fn interrupt(self) -> Option<i32> {
        self.signal("-INT")
    }

    /// Kills it with `kill -9`.
    pub(crate) fn kill(mut self) {
        self.child.kill().unwrap();
        self.child.wait().unwrap();
    }

    fn signal(mut self, signal: &str) -> Option<i32> {
        let told = Command::new("kill").args([signal, &self.child.id().to_string()]).status().unwrap();
        assert!(told.success());
        self.child.wait().unwrap().code()
    }
}

impl Drop for Serving {
    fn drop(&mut self) {
        // It may have ended already.
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}
