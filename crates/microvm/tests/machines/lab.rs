//! A place to try machines in, and the host's canaries, looked at when it closes.

use std::{
    fs,
    path::{Path, PathBuf},
    time::Duration,
};

use libc::{EACCES, ENOSYS, EPERM, ESRCH};
use stead_microvm::{Machines, Settings, WORD};
use stead_ports::{
    BoxFuture,
    sandbox::{Boxes, Command, Content, Limits, Mount, Spec},
};
use stead_testkit::boxes::{Answers, Canaries, First, Place};
pub(crate) use stead_testkit::boxes::{Lab as Tried, capture, resident, text, told};

/// What machines answer in their own way. Each of these calls could gain the guest at most; they are refused all the same.
const ANSWERS: Answers = Answers {
    probe: &["/data/loader", "--library-path", "/data", "/data/probe"],
    calls: &[
        // It is the machine's only process of its user, and those of others do not hear it.
        ("kill_all", &[ESRCH, 0]),
        ("kill_host", &[ESRCH, EPERM]),
        ("nice", &[EACCES]),
        ("clone3_user", &[ENOSYS]),
        ("later", &[ENOSYS]),
    ],
    // A box of namespaces is refused them, for through them it could hold up the host or another box. Here nobody else is there.
    harmless: &[
        "line_discipline",
        "watch_opens",
        "watch_all",
        "lease",
        "notify",
        "seccomp_listener",
        "sched_core",
        "memory_map",
        "io_setup",
        "statmount",
        "listmount",
        "open_tree_attr",
        "cachestat",
        "memfd_secret",
    ],
    // Other kinds of connections over a network that has loopback alone, where the machine's kernel knows them.
    harmless_sockets: &["sctp", "sctp6", "mptcp"],
    // The machine's kernel has no such gate: the call reaches the filter as one that does not exist.
    x32: &["x32 38", "code 0"],
    own_kernel: &["/proc/cmdline"],
    ended_whole: true,
    first: First::Init,
};

pub(crate) struct Lab {
    pub(crate) machines: Machines,
    place: Place,
    before: Canaries,
}

impl Lab {
    pub(crate) fn new() -> Self {
        Self::with(|_| {})
    }

    pub(crate) fn with(change: impl FnOnce(&mut Settings)) -> Self {
        let place = Place::new("stead-machines");
        let before = Canaries::look(&place, |_| false);
        let mut settings = settings();
        change(&mut settings);
        Self { machines: Machines::new(settings), place, before }
    }

    /// A command with nothing mounted.
    pub(crate) fn bare(words: &[&str]) -> Spec {
        let words = words.iter().map(|w| (*w).to_owned()).collect();
        let command = Command { words, dir: "/tmp".into(), ..Command::default() };
        let limits = Limits { memory: Some(64 << 20), wall: Duration::from_secs(60), ..Limits::default() };
        Spec { command, limits, ..Spec::default() }
    }

    /// The probe, its loader and its libraries, in one folder: `loader --library-path HERE HERE/probe`.
    fn tools(&self) -> PathBuf {
        let probe = env!("CARGO_BIN_EXE_stead-microvm-probe");
        let folder = self.place.tools(probe);
        let listed = std::process::Command::new("ldd").arg(probe).output().unwrap();
        let listed = text(&listed.stdout);
        for path in listed.split_whitespace().filter(|word| word.starts_with('/')) {
            let name = Path::new(path).file_name().unwrap();
            fs::copy(path, folder.join(if text(path.as_bytes()).contains("ld-") { "loader".as_ref() } else { name }))
                .unwrap();
        }
        folder
    }

    /// Ends all, and looks whether the host is as it was.
    pub(crate) async fn close(self) {
        drop(self.machines);
        // A machine has no control group on the host.
        self.before.return_to_this(|| Canaries::look(&self.place, |_| false)).await;
    }
}

impl Tried for Lab {
    fn boxes(&self) -> &dyn Boxes {
        &self.machines
    }

    fn place(&self) -> &Place {
        &self.place
    }

    fn answers(&self) -> &'static Answers {
        &ANSWERS
    }

    /// Nobody's: nothing of the host is within a machine's reach.
    fn user(&self) -> BoxFuture<'_, u32> {
        Box::pin(async { rustix::process::geteuid().as_raw() })
    }

    fn spec(&self, words: &[&str]) -> Spec {
        let tools = Mount { at: "/data".into(), content: Content::ReadOnly(self.tools()) };
        Spec { mounts: vec![tools], ..Self::bare(words) }
    }
}

/// Machines with or without KVM, whose image has the small program of this crate's roles.
pub(crate) fn settings() -> Settings {
    Settings {
        role: vec![env!("CARGO_BIN_EXE_stead-microvm-role").into(), WORD.into()],
        translate: true,
        ..Settings::default()
    }
}
