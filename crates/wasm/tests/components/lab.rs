//! A place to try components in, and the host's canaries, looked at when it closes.

use std::{fs, path::PathBuf, time::Duration};

use bytes::Bytes;
use stead_ports::sandbox::{BoxError, Boxes as _, Command, Content, Limits, Mount, Outcome, Spec, Stdio, WhenFull};
use stead_testkit::boxes::{Canaries, Place};
pub(crate) use stead_testkit::boxes::{text, told};
use stead_wasm::{Components, Settings};

pub(crate) struct Lab {
    pub(crate) boxes: Components,
    place: Place,
    before: Canaries,
}

impl Lab {
    pub(crate) fn new() -> Self {
        Self::with(Settings { most: 8, ..Settings::default() })
    }

    pub(crate) fn with(settings: Settings) -> Self {
        let place = Place::new("stead-components");
        let before = Canaries::look(&place, |_| false);
        Self { boxes: Components::new(settings).unwrap(), place, before }
    }

    /// A folder of the host.
    pub(crate) fn folder(&self, name: &str) -> PathBuf {
        self.place.folder(name)
    }

    /// The folder that actions are given, at `/data`.
    pub(crate) fn given(&self) -> PathBuf {
        self.folder("given")
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

    /// Looks whether the host is as it was: an instance has no process, mount or group of its own.
    pub(crate) fn close(self) {
        drop(self.boxes);
        assert_eq!(Canaries::look(&self.place, |_| false), self.before, "the host has changed");
        let names: Vec<_> = fs::read_dir(self.place.path()).unwrap().flatten().map(|e| e.file_name()).collect();
        assert!(names.iter().all(|name| ["canary", "given", "outside"].iter().any(|own| name == own)), "{names:?}");
    }
}

pub(crate) fn capture(input: &str, full: WhenFull) -> Stdio {
    Stdio::Capture { input: Bytes::copy_from_slice(input.as_bytes()), keep: 10_000, full, follower: None }
}
