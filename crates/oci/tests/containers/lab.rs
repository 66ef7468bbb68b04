//! A place to try containers in, and the host's canaries, looked at when it closes.

use std::{
    fs,
    path::{Path, PathBuf},
    time::Duration,
};

use libc::{EACCES, ENOSYS, EPERM, ESRCH};
use stead_oci::{Containers, Settings, USER};
use stead_ports::{
    BoxFuture,
    sandbox::{Boxes, Command, Content, Limits, Mount, Spec},
};
use stead_testkit::boxes::{Answers, Canaries, First, Place};
pub(crate) use stead_testkit::boxes::{Lab as Tried, capture, is_root, text, told};

/// What containers answer in their own way.
const ANSWERS: Answers = Answers {
    probe: &["/data/probe"],
    calls: &[
        // Not a matter of the filter: there is nobody to send it to, and no right.
        ("kill_all", &[ESRCH]),
        ("kill_host", &[ESRCH]),
        ("nice", &[EACCES]),
        // As if the kernel did not know it.
        ("clone3_user", &[ENOSYS]),
        // What a later kernel brings is not there: of that the profile has no name, and of the others the runtime may have none.
        ("later", &[ENOSYS]),
        ("statmount", &[ENOSYS, EPERM]),
        ("listmount", &[ENOSYS, EPERM]),
        ("open_tree_attr", &[ENOSYS, EPERM]),
    ],
    harmless: &[],
    harmless_sockets: &[],
    x32: &["code 159"],
    own_kernel: &[],
    ended_whole: false,
    first: First::Command,
};

pub(crate) struct Lab {
    pub(crate) boxes: Containers,
    place: Place,
    before: Canaries,
}

impl Lab {
    pub(crate) fn new() -> Self {
        Self::with(|_| {})
    }

    pub(crate) fn with(change: impl FnOnce(&mut Settings)) -> Self {
        as_root();
        assert!(
            ["/usr/sbin/runc", "/usr/bin/runc", "/usr/local/sbin/runc"].iter().any(|path| Path::new(path).exists()),
            "runc is missing; install it: apt-get install runc"
        );
        let place = Place::new("stead-oci");
        place.tools(probe());
        let mut settings = settings(&place.path().join("place"));
        change(&mut settings);
        let before = Canaries::look(&place, ours);
        Self { boxes: Containers::new(settings), place, before }
    }

    /// The folder of bundles.
    pub(crate) fn bundles(&self) -> PathBuf {
        self.place.path().join("place")
    }

    /// Ends all, and looks whether the host is as it was.
    pub(crate) async fn close(self) {
        self.boxes.close().await;
        let left = fs::read_dir(self.bundles()).map_or(0, Iterator::count);
        assert_eq!(left, 0, "a bundle is left");
        self.before.return_to_this(|| Canaries::look(&self.place, ours)).await;
    }
}

impl Tried for Lab {
    fn boxes(&self) -> &dyn Boxes {
        &self.boxes
    }

    fn place(&self) -> &Place {
        &self.place
    }

    fn answers(&self) -> &'static Answers {
        &ANSWERS
    }

    fn user(&self) -> BoxFuture<'_, u32> {
        Box::pin(async { USER })
    }

    /// A command with the probe at hand as `/data/probe`.
    fn spec(&self, words: &[&str]) -> Spec {
        let words = words.iter().map(|w| (*w).to_owned()).collect();
        let command = Command { words, dir: "/tmp".into(), ..Command::default() };
        let tools = Mount { at: "/data".into(), content: Content::ReadOnly(self.place.path().join("tools")) };
        let limits = Limits { wall: Duration::from_secs(20), ..Limits::default() };
        Spec { command, mounts: vec![tools], limits, ..Spec::default() }
    }
}

/// What needs containers fails without root, and says why.
pub(crate) fn as_root() {
    assert!(is_root(), "NOT RUN: containers need root; run these tests as root");
}

/// The example of this crate, which is built with its tests.
fn probe() -> PathBuf {
    let test = std::env::current_exe().unwrap();
    let path = test.parent().and_then(|deps| deps.parent()).unwrap().join("examples/oci-probe");
    assert!(path.exists(), "{} is missing; build it: cargo build -p stead-oci --examples", path.display());
    path
}

pub(crate) fn settings(place: &Path) -> Settings {
    Settings {
        shim: vec![env!("CARGO_BIN_EXE_stead-oci-shim").into()],
        runtimes: vec!["runc".into()],
        place: place.to_owned(),
        ..Settings::default()
    }
}

/// Whether a control group is one of this process's containers.
fn ours(name: &str) -> bool {
    name.starts_with(&format!("stead-oci-{}-", std::process::id()))
}
