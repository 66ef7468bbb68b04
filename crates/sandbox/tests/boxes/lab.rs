//! A place to try boxes in: a launcher of root's or of a user's, and the host's canaries, looked at when it closes.

use std::{
    collections::BTreeSet,
    path::Path,
    time::{Duration, Instant},
};

use libc::{EACCES, EINVAL, ENOSYS, ESRCH};
use stead_ports::{
    BoxFuture,
    sandbox::{Boxes, Command, Content, Limits, Mount, Outcome, Runtime, Served, Spec, Stdio, Zygote},
};
use stead_sandbox::{Namespaces, Settings};
use stead_testkit::boxes::{Answers, Canaries, First, Place};
pub(crate) use stead_testkit::boxes::{Lab as Tried, capture, is_root, text, told};

/// Whose launcher it is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Who {
    Root,
    /// One without any right, as whom the launcher is started if the tests are root's.
    User,
}

/// Everyone that a box must hold for, in this run of the tests.
pub(crate) fn everyone() -> Vec<Who> {
    if is_root() { vec![Who::Root, Who::User] } else { vec![Who::User] }
}

/// How a command is started.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Way {
    pub(crate) who: Who,
    /// By a zygote: what is no Python is started by a line of Python.
    pub(crate) zygote: bool,
}

impl From<Who> for Way {
    fn from(who: Who) -> Self {
        Self { who, zygote: false }
    }
}

/// Everyone, by each way there is.
pub(crate) fn every_way() -> Vec<Way> {
    [false, true].into_iter().flat_map(|zygote| everyone().into_iter().map(move |who| Way { who, zygote })).collect()
}

/// A number that belongs to nobody.
const USER: u32 = 54_321;

/// What boxes of namespaces answer in their own way.
const ANSWERS: Answers = Answers {
    probe: &["/data/probe"],
    calls: &[
        // Not a matter of the filter: there is nobody to send it to, and no right.
        ("kill_all", &[ESRCH]),
        ("kill_host", &[ESRCH]),
        ("nice", &[EACCES]),
        ("setuid_root", &[EINVAL]),
        // As if the kernel did not know them.
        ("clone3_user", &[ENOSYS]),
        ("io_setup", &[ENOSYS]),
        ("statmount", &[ENOSYS]),
        ("listmount", &[ENOSYS]),
        ("open_tree_attr", &[ENOSYS]),
        ("cachestat", &[ENOSYS]),
        ("memfd_secret", &[ENOSYS]),
        // What a later kernel brings is not there.
        ("later", &[ENOSYS]),
        ("sched_core", &[EINVAL]),
        ("memory_map", &[EINVAL]),
    ],
    harmless: &[],
    harmless_sockets: &[],
    x32: &["code 159"],
    own_kernel: &[],
    ended_whole: false,
    first: First::Init,
};

pub(crate) struct Lab {
    pub(crate) boxes: Namespaces,
    place: Place,
    before: Canaries,
    way: Way,
    /// Every launcher that there was.
    launchers: std::sync::Mutex<BTreeSet<u32>>,
}

impl Lab {
    pub(crate) fn new(way: impl Into<Way>) -> Self {
        Self::with(way, |_| {})
    }

    pub(crate) fn with(way: impl Into<Way>, change: impl FnOnce(&mut Settings)) -> Self {
        let way = way.into();
        let place = Place::new("stead-boxes");
        place.tools(env!("CARGO_BIN_EXE_stead-box-probe"));
        let before = Canaries::look(&place, |_| false);
        let mut settings = Settings { launcher: launcher(way.who), ahead: 1, ..Settings::default() };
        change(&mut settings);
        Self { boxes: Namespaces::new(settings), place, before, way, launchers: std::sync::Mutex::default() }
    }

    /// The launcher that runs.
    pub(crate) async fn launcher(&self) -> u32 {
        let pid = self.boxes.launcher().await.unwrap();
        self.note(pid);
        pid
    }

    /// Remembers a launcher, to look for what it leaves.
    pub(crate) fn note(&self, pid: u32) {
        self.launchers.lock().unwrap().insert(pid);
    }

    /// Waits until a tenant's zygote serves.
    pub(crate) async fn warm(&self, tenant: &str) {
        let until = Instant::now() + Duration::from_secs(20);
        loop {
            let command = Command { words: ["python3", "-c", ""].map(Into::into).to_vec(), ..Command::default() };
            let spec = Spec { command, zygote: Some(zygote_of(tenant)), ..Spec::default() };
            let outcome = self.boxes.run(spec, Stdio::Quiet).await.unwrap();
            match outcome.evidence.zygote {
                Some(Served::Forked { .. }) => break,
                cold => assert!(Instant::now() < until, "{cold:?}"),
            }
        }
    }

    /// Ends all, and looks whether the host is as it was.
    pub(crate) async fn close(self) {
        self.close_with(|| ()).await;
    }

    /// The same, with something that is done before each look at what is left.
    pub(crate) async fn close_with(self, before: impl Fn()) {
        if let Some(pid) = self.boxes.launcher().await {
            self.note(pid);
        }
        self.boxes.close().await;
        let launchers = self.launchers.lock().unwrap().clone();
        // Groups of the launchers of this lab alone: other tests run meanwhile.
        let ours = |name: &str| {
            let pid = name.strip_prefix("stead-boxes-").and_then(|rest| rest.split('-').next()?.parse().ok());
            pid.is_some_and(|pid| launchers.contains(&pid))
        };
        let look = || {
            before();
            Canaries::look(&self.place, ours)
        };
        self.before.return_to_this(look).await;
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
        Box::pin(async { self.boxes.user().await.unwrap() })
    }

    fn maker(&self) -> Option<u32> {
        (self.way.who == Who::User && is_root()).then_some(USER)
    }

    /// A command with the probe at hand as `/data/probe`.
    fn spec(&self, words: &[&str]) -> Spec {
        let words = match words {
            [program, ..] if self.way.zygote && *program != "python3" => {
                [&["python3", "-c", "import os, sys; os.execvp(sys.argv[1], sys.argv[1:])"], words].concat()
            }
            _ => words.to_vec(),
        };
        let command = Command {
            words: words.iter().map(|w| (*w).to_owned()).collect(),
            dir: "/tmp".into(),
            ..Command::default()
        };
        let tools = Mount { at: "/data".into(), content: Content::ReadOnly(self.place.path().join("tools")) };
        let limits = Limits { wall: Duration::from_secs(20), ..Limits::default() };
        let zygote = self.way.zygote.then(|| zygote_of("lab"));
        Spec { command, mounts: vec![tools], limits, zygote, ..Spec::default() }
    }

    fn ready<'a>(&'a self, spec: &'a Spec) -> BoxFuture<'a, ()> {
        Box::pin(async {
            if let Some(zygote) = &spec.zygote {
                self.warm(&zygote.tenant).await;
            }
        })
    }

    fn judge(&self, asked: bool, outcome: &Outcome) {
        let by = &outcome.evidence.zygote;
        assert_eq!(asked, matches!(by, Some(Served::Forked { .. })), "{by:?}");
    }
}

pub(crate) fn zygote_of(tenant: &str) -> Zygote {
    Zygote { tenant: tenant.to_owned(), runtime: Runtime::Python }
}

/// How a launcher is started. Another user reaches the program by a descriptor, for it may lie in root's own folders.
pub(crate) fn launcher(who: Who) -> Vec<std::ffi::OsString> {
    let program = env!("CARGO_BIN_EXE_stead-box-launcher");
    if who == Who::User && is_root() {
        assert!(Path::new("/usr/bin/setpriv").exists(), "setpriv is missing; install it: apt-get install util-linux");
        let script = format!(
            "exec 9<'{program}'; exec setpriv --reuid={USER} --regid={USER} --clear-groups --inh-caps=-all \
             /proc/self/fd/9 \"$@\""
        );
        return ["/bin/sh", "-c", &script, "launcher"].map(Into::into).to_vec();
    }
    vec![program.into()]
}

/// How a launcher is started from a program that belongs to whoever starts it.
pub(crate) fn own_program(who: Who, program: &Path) -> Vec<std::ffi::OsString> {
    if who == Who::User && is_root() {
        std::os::unix::fs::chown(program, Some(USER), Some(USER)).unwrap();
        let words = [format!("--reuid={USER}"), format!("--regid={USER}")];
        let mut all: Vec<std::ffi::OsString> = vec!["setpriv".into()];
        all.extend(words.map(Into::into));
        all.extend(["--clear-groups", "--inh-caps=-all"].map(Into::into));
        all.push(program.into());
        return all;
    }
    vec![program.into()]
}
