//! An MCP client that writes and reads lines, so that a test sees every byte that a server sends.

use std::{
    io::{BufRead as _, BufReader, Write as _},
    process::{Child, ChildStdin, ChildStdout, Command, Stdio},
};

use serde_json::{Value, json};

/// A server over stdio that is killed with the test.
pub(crate) struct Mcp {
    child: Child,
    stdin: Option<ChildStdin>,
    stdout: BufReader<ChildStdout>,
    /// What came while something else was waited for.
    pub(crate) other: Vec<Value>,
}

impl Mcp {
    /// Starts it, and shakes hands; gives the handshake's answer.
    pub(crate) fn start(mut command: Command) -> (Self, Value) {
        let mut child = command.stdin(Stdio::piped()).stdout(Stdio::piped()).stderr(Stdio::inherit()).spawn().unwrap();
        let stdin = child.stdin.take();
        let stdout = BufReader::new(child.stdout.take().unwrap());
        let mut mcp = Self { child, stdin, stdout, other: Vec::new() };
        let info = json!({"name": "editor", "version": "1"});
        let params = json!({"protocolVersion": "2025-06-18", "capabilities": {"roots": {}}, "clientInfo": info});
        let greeting = mcp.ask("hello", "initialize", params);
        mcp.say(json!({"method": "notifications/initialized"}));
        (mcp, greeting)
    }

    /// Sends a message.
    pub(crate) fn say(&mut self, mut message: Value) {
        message["jsonrpc"] = "2.0".into();
        self.line(&message.to_string());
    }

    /// Sends a line as it is.
    pub(crate) fn line(&mut self, line: &str) {
        let stdin = self.stdin.as_mut().unwrap();
        writeln!(stdin, "{line}").and_then(|()| stdin.flush()).unwrap();
    }

    /// Sends a request, without waiting for its answer.
    pub(crate) fn request(&mut self, id: &str, method: &str, params: Value) {
        self.say(json!({"id": id, "method": method, "params": params}));
    }

    /// Calls a tool, without waiting for its answer.
    pub(crate) fn call(&mut self, id: &str, tool: &str, arguments: Value) {
        self.request(id, "tools/call", json!({"name": tool, "arguments": arguments}));
    }

    /// The next line.
    pub(crate) fn next(&mut self) -> String {
        let mut line = String::new();
        assert!(self.stdout.read_line(&mut line).unwrap() > 0, "the server ended");
        line.trim_end().to_owned()
    }

    /// The next message that fits; others are kept.
    pub(crate) fn until(&mut self, fits: impl Fn(&Value) -> bool) -> Value {
        if let Some(found) = self.other.iter().position(&fits) {
            return self.other.remove(found);
        }
        loop {
            let message: Value = serde_json::from_str(&self.next()).unwrap();
            if fits(&message) {
                return message;
            }
            self.other.push(message);
        }
    }

    /// The answer to a request.
    pub(crate) fn answer(&mut self, id: &str) -> Value {
        self.until(|message| message["id"] == id && message.get("method").is_none())
    }

    /// A request and its answer.
    pub(crate) fn ask(&mut self, id: &str, method: &str, params: Value) -> Value {
        self.request(id, method, params);
        self.answer(id)
    }

    /// Kills it with SIGKILL.
    pub(crate) fn kill(mut self) {
        self.child.kill().unwrap();
        self.child.wait().unwrap();
    }

    /// Closes its input, and waits for its end.
    pub(crate) fn leave(mut self) -> Option<i32> {
        self.stdin.take();
        self.child.wait().unwrap().code()
    }
}

impl Drop for Mcp {
    fn drop(&mut self) {
        // It may have ended already.
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}
