//! `cargo xtask smoke-local-model`: a real model on this machine, end to end. SmolLM2-135M is too small to reason and
//! enough to show that a reply is streamed, counted, recorded, played again and stopped. Not part of `./test`: it
//! fetches some 200 MB and builds llama.cpp once.
//!
//! `STEAD_SMOKE_URL` names a server that runs already (`http://127.0.0.1:11434/v1`), `STEAD_SMOKE_MODEL` its model.

mod pieces;
mod server;

use std::{
    fs,
    path::{Path, PathBuf},
    process::{Command, Output, Stdio},
    thread,
    time::{Duration, Instant},
};

use serde_json::Value;

use crate::{Fail, programs, repo::Repo};
use server::Running;

/// How long a run may take to begin.
const BEGIN: Duration = Duration::from_secs(60);
/// How often to look again.
const PAUSE: Duration = Duration::from_millis(100);

/// Runs the whole.
pub(crate) fn local_model(repo: &Repo) -> Result<(), Fail> {
    let dir = programs::target(repo)?.join("smoke-local-model");
    fs::create_dir_all(&dir).map_err(|e| format!("{}: {e}", dir.display()))?;
    let (url, _server) = match std::env::var("STEAD_SMOKE_URL") {
        Ok(url) => (url, None),
        Err(_) => server::start(&dir).map(|(url, server)| (url, Some(server)))?,
    };
    let smoke = Smoke::new(programs::build(repo, &["--package", "stead"], "stead")?, &dir, &url)?;
    smoke.answers()?;
    smoke.stops()?;
    println!("all of it holds");
    Ok(())
}

/// The product, in a folder of its own.
struct Smoke {
    stead: PathBuf,
    dir: PathBuf,
}

impl Smoke {
    fn new(stead: PathBuf, dir: &Path, url: &str) -> Result<Self, Fail> {
        let work = dir.join("work");
        // What an earlier run left.
        let _ = fs::remove_dir_all(&work);
        let name = std::env::var("STEAD_SMOKE_MODEL").unwrap_or_else(|_| "local".to_owned());
        let manifest = format!(
            "stead: v1\nname: small\ninstructions: You answer in one sentence.\nmodel:\n  use: \"openai:{name}\"\n  base_url: \
             \"{url}\"\n  max_output_tokens: 2000\n"
        );
        fs::create_dir_all(work.join("small"))
            .and_then(|()| fs::write(work.join("small/agent.yaml"), manifest))
            .map_err(|e| format!("{}: {e}", work.display()))?;
        Ok(Self { stead, dir: work })
    }

    fn command(&self, args: &[&str]) -> Command {
        let mut command = Command::new(&self.stead);
        command.args(args).current_dir(&self.dir).stdin(Stdio::null());
        command
    }

    fn json(&self, args: &[&str]) -> Result<Value, Fail> {
        let out = output(&mut self.command(args))?;
        serde_json::from_slice(&out.stdout).map_err(|e| format!("stead {}: {e}", args.join(" ")))
    }

    /// A reply is streamed, counted and recorded, and the recording comes to the same.
    fn answers(&self) -> Result<(), Fail> {
        let asked =
            ["run", "small", "What is the capital of France?", "--json", "--quiet", "--record", "small.cassette"];
        let run = self.json(&asked)?;
        let (status, answer) = (run["status"].as_str(), run["output"].as_str().unwrap_or_default());
        if status != Some("completed") || answer.is_empty() {
            return Err(format!("the run is {status:?} and answers \"{answer}\""));
        }
        let cassette = fs::read_to_string(self.dir.join("small.cassette")).map_err(|e| e.to_string())?;
        let exchange = cassette.lines().nth(1).ok_or("the cassette is empty")?;
        let exchange: Value = serde_json::from_str(exchange).map_err(|e| e.to_string())?;
        let pieces = exchange["wire"]["body"].as_array().map_or(&[][..], Vec::as_slice);
        let times = pieces.iter().filter_map(|p| p[0].as_u64());
        let (first, last) = (times.clone().min().unwrap_or(0), times.max().unwrap_or(0));
        if pieces.len() < 2 || first == last {
            return Err(format!("the reply came in {} piece(s), not as a stream", pieces.len()));
        }
        println!("streaming: {} pieces over {} ms: {answer}", pieces.len(), (last - first) / 1_000);
        self.counts(&run, &pieces.iter().filter_map(|p| p[1].as_str()).collect::<String>())?;
        output(&mut self.command(&["runs", "replay", "small.cassette"]))?;
        println!("cassette: read again to the same reply");
        Ok(())
    }

    /// What the server counted in its stream is what the run spent and what `stead usage` tells, to the token.
    fn counts(&self, run: &Value, stream: &str) -> Result<(), Fail> {
        let frames = stream.lines().filter_map(|line| line.strip_prefix("data:"));
        let counted = frames.filter_map(|frame| serde_json::from_str::<Value>(frame).ok());
        let mut counted = counted.filter_map(|frame| {
            let usage = &frame["usage"];
            Some((usage["prompt_tokens"].as_u64()?, usage["completion_tokens"].as_u64()?))
        });
        let Some((input, output)) = counted.next_back() else {
            return Err("the server counts no tokens in a stream; take one that heeds `stream_options`".into());
        };
        let total = &self.json(&["usage", "--json"])?["total"];
        let told = (total["input"].as_u64(), total["output"].as_u64(), total["estimated"]["tokens"].as_u64());
        if input == 0 || output == 0 || told != (Some(input), Some(output), Some(0)) {
            return Err(format!("the server counts {input} tokens in and {output} out; `stead usage` tells {total}"));
        }
        if run["spent"]["tokens"].as_u64() != Some(input + output) {
            return Err(format!("the server counts {input} tokens in and {output} out; the run has {}", run["spent"]));
        }
        println!("usage: {input} tokens in, {output} out, as the server counts");
        Ok(())
    }

    /// A run is stopped in the middle of a reply, and the server, which makes one at a time, is free for the next: it has given up
    /// the one that nobody waits for.
    fn stops(&self) -> Result<(), Fail> {
        let long = "Write a very long story about the sea, with many chapters.";
        let child = self.command(&["run", "small", long, "--quiet"]).stdout(Stdio::null()).spawn();
        let mut child = Running(child.map_err(|e| e.to_string())?);
        let run = until(BEGIN, "the run does not begin", || {
            let running = self.json(&["runs", "ls", "--status", "running", "--json"])?;
            Ok(running["items"][0]["id"].as_str().map(str::to_owned))
        })?;
        pieces::first(&self.dir.join(".stead"), &run)?;
        println!("cancel: the reply is being written");
        let began = Instant::now();
        output(&mut self.command(&["runs", "cancel", &run]))?;
        let facts = output(&mut self.command(&["runs", "facts", &run, "--json"]))?;
        if String::from_utf8_lossy(&facts.stdout).contains("model_replied") {
            return Err(format!("{run} had its whole reply before it was cancelled"));
        }
        let status = child.0.wait().map_err(|e| e.to_string())?;
        if status.code() != Some(4) {
            return Err(format!("the cancelled run ended with {status}, not with exit code 4"));
        }
        println!("cancel: the run ended {} ms after it was told", began.elapsed().as_millis());
        output(&mut self.command(&["run", "small", "Say hello.", "--quiet"]))?;
        println!("cancel: the server answers the next run");
        Ok(())
    }
}

/// Asks again until there is an answer.
fn until<T>(limit: Duration, late: &str, mut look: impl FnMut() -> Result<Option<T>, Fail>) -> Result<T, Fail> {
    let end = Instant::now() + limit;
    loop {
        if let Some(found) = look()? {
            return Ok(found);
        }
        if Instant::now() > end {
            return Err(late.to_owned());
        }
        thread::sleep(PAUSE);
    }
}

fn done(command: &mut Command) -> Result<(), Fail> {
    let name = command.get_program().display().to_string();
    match command.status() {
        Ok(status) if status.success() => Ok(()),
        Ok(status) => Err(format!("{name}: {status}")),
        Err(e) => Err(format!("{name}: {e}")),
    }
}

fn output(command: &mut Command) -> Result<Output, Fail> {
    let out = command.output().map_err(|e| format!("{}: {e}", command.get_program().display()))?;
    if out.status.success() {
        return Ok(out);
    }
    let args: Vec<_> = command.get_args().map(|a| a.to_string_lossy()).collect();
    Err(format!("stead {}: {}\n{}", args.join(" "), out.status, String::from_utf8_lossy(&out.stderr)))
}
