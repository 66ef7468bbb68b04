//! A place to try components in, and the host's canaries, looked at when it closes.

use std::{fs, path::PathBuf, time::Duration};

use bytes::Bytes;
use stead_ports::sandbox::{BoxError, Boxes as _, Command, Content, Limits, Mount, Outcome, Spec, Stdio, WhenFull};
use stead_wasm::{Components, Settings};

pub(crate) struct Lab {
    pub(crate) boxes: Components,
    folder: tempfile::TempDir,
}

impl Lab {
    pub(crate) fn new() -> Self {
        Self::with(Settings { most: 8, ..Settings::default() })
    }

    pub(crate) fn with(settings: Settings) -> Self {
        let folder = tempfile::tempdir().unwrap();
        fs::write(folder.path().join("canary"), "untouched").unwrap();
        fs::create_dir(folder.path().join("given")).unwrap();
        Self { boxes: Components::new(settings).unwrap(), folder }
    }

    /// The folder that actions are given, at `/data`.
    pub(crate) fn given(&self) -> PathBuf {
        self.folder.path().join("given")
    }

    /// An action of a component of this text, with these arguments.
    pub(crate) fn spec(&self, component: &str, arguments: &[&str]) -> Spec {
        let bytes = wat::parse_str(component).unwrap_or_else(|e| panic!("{e}"));
        fs::write(self.given().join("it.wasm"), bytes).unwrap();
        let words = ["/data/it.wasm"].iter().chain(arguments).map(|word| (*word).to_owned()).collect();
        Spec {
            command: Command { words, ..Command::default() },
            mounts: vec![Mount { at: "/data".into(), content: Content::ReadOnly(self.given()) }],
            limits: Limits { wall: Duration::from_secs(20), ..Limits::default() },
            ..Spec::default()
        }
    }

    pub(crate) async fn run(&self, component: &str) -> Outcome {
        self.run_spec(self.spec(component, &[])).await.unwrap()
    }

    pub(crate) async fn run_spec(&self, spec: Spec) -> Result<Outcome, BoxError> {
        self.boxes.run(spec, capture("", WhenFull::Drop)).await
    }

    /// Looks whether the host is as it was: nothing but the component was ever written.
    pub(crate) fn close(self) {
        assert_eq!(fs::read(self.folder.path().join("canary")).unwrap(), b"untouched");
        let names: Vec<_> = fs::read_dir(self.folder.path()).unwrap().flatten().map(|e| e.file_name()).collect();
        assert_eq!(names.len(), 2, "{names:?}");
    }
}

pub(crate) fn capture(input: &str, full: WhenFull) -> Stdio {
    Stdio::Capture { input: Bytes::copy_from_slice(input.as_bytes()), keep: 10_000, full, follower: None }
}

pub(crate) fn text(bytes: &[u8]) -> String {
    String::from_utf8_lossy(bytes).into_owned()
}

pub(crate) fn told(outcome: &Outcome) -> String {
    format!("{:?}: {}{}", outcome.end, text(&outcome.stdout.bytes), text(&outcome.stderr.bytes))
}
