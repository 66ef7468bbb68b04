//! Waits for the first piece of a reply that is being written: the event stream of the run, from the process that works on it.

use std::{
    fs,
    io::{BufRead as _, BufReader, Write as _},
    net::TcpStream,
    path::Path,
    time::Duration,
};

use serde_json::Value;

use crate::Fail;

/// How long the stream may be silent: it sends comments to stay open, and the model may think.
const SILENCE: Duration = Duration::from_secs(120);

/// Returns when a piece of a reply of the run has come; the reply goes on. `data` is the folder of the process that works on
/// it.
pub(super) fn first(data: &Path, run: &str) -> Result<(), Fail> {
    let read = |name: &str| {
        let path = data.join(name);
        fs::read_to_string(&path).map_err(|e| format!("{}: {e}", path.display()))
    };
    let presence: Value = serde_json::from_str(&read("server.json")?).map_err(|e| e.to_string())?;
    let url = presence["url"].as_str().unwrap_or_default();
    let host = url.strip_prefix("http://").ok_or_else(|| format!("the run's process is at {url:?}"))?;
    let token = read("token")?;
    let lost = |e: std::io::Error| format!("the events of {run} at {url}: {e}");
    let mut stream = TcpStream::connect(host).map_err(lost)?;
    stream.set_read_timeout(Some(SILENCE)).map_err(lost)?;
    let ask = format!(
        "GET /v1/runs/{run}/stream HTTP/1.1\r\nHost: {host}\r\nAccept: text/event-stream\r\nAuthorization: Bearer {}\r\n\
         Connection: close\r\n\r\n",
        token.trim()
    );
    stream.write_all(ask.as_bytes()).map_err(lost)?;
    let mut head = None;
    for line in BufReader::new(stream).lines() {
        let line = line.map_err(lost)?;
        let head = head.get_or_insert_with(|| line.clone());
        match line.trim_end() {
            "event: delta" => return Ok(()),
            "event: end" => return Err(format!("{run} ended before a piece of its reply came")),
            _ if !head.starts_with("HTTP/1.1 200") => return Err(format!("the events of {run}: {head}")),
            _ => {}
        }
    }
    Err(format!("the events of {run} broke off before a piece of its reply came"))
}
