//! What a tier gives the suite: boxes, a place on the host, and what it answers in its own way.

use std::path::{Path, PathBuf};

use bytes::Bytes;
use stead_ports::{
    BoxFuture,
    sandbox::{BoxError, Boxes, Outcome, Property, Running, Spec, Stdio, WhenFull},
};

use super::Place;

/// A tier under test. When it closes, which is each tier's own, the host must be as it was ([`super::Canaries`]).
pub trait Lab: Sync {
    /// Makes the boxes.
    fn boxes(&self) -> &dyn Boxes;

    /// Where the lab's folders are.
    fn place(&self) -> &Place;

    /// What this tier answers in its own way.
    fn answers(&self) -> &'static Answers;

    /// The user of the host whose files a box may write.
    fn user(&self) -> BoxFuture<'_, u32>;

    /// The user who makes the boxes, if that is not who runs the tests.
    fn maker(&self) -> Option<u32> {
        None
    }

    /// A command in `/tmp` with the probe at hand.
    fn spec(&self, words: &[&str]) -> Spec;

    /// Waits until boxes start in the way that the lab stands for.
    fn ready<'a>(&'a self, spec: &'a Spec) -> BoxFuture<'a, ()> {
        let _ = spec;
        Box::pin(async {})
    }

    /// Panics if a box did not start in that way.
    fn judge(&self, asked: bool, outcome: &Outcome) {
        let _ = (asked, outcome);
    }

    /// A folder of the host that anyone can enter.
    fn folder(&self, name: &str) -> PathBuf {
        self.place().folder(name)
    }

    /// Gives a folder of the host, and all in it, to [`Lab::user`].
    fn give<'a>(&'a self, folder: &'a Path) -> BoxFuture<'a, ()> {
        Box::pin(async move {
            let user = self.user().await;
            // Who may not give files away has them already.
            if is_root() {
                super::give(folder, user);
            }
        })
    }

    /// Starts a box.
    fn start(&self, spec: Spec, stdio: Stdio) -> BoxFuture<'_, Running> {
        Box::pin(async move {
            self.ready(&spec).await;
            self.boxes().start(spec, stdio).await.unwrap()
        })
    }

    /// Runs a command to its end; output beyond what is kept is dropped.
    fn run_spec(&self, spec: Spec) -> BoxFuture<'_, Result<Outcome, BoxError>> {
        Box::pin(async move {
            self.ready(&spec).await;
            let asked = spec.zygote.is_some();
            let outcome = self.boxes().run(spec, capture(WhenFull::Drop)).await?;
            self.judge(asked, &outcome);
            Ok(outcome)
        })
    }

    /// Runs words.
    fn run(&self, words: &[&str]) -> BoxFuture<'_, Outcome> {
        let spec = self.spec(words);
        Box::pin(async move { self.run_spec(spec).await.unwrap() })
    }

    /// Runs a script of the shell.
    fn sh(&self, script: &str) -> BoxFuture<'_, Outcome> {
        self.run(&["sh", "-c", script])
    }

    /// Runs a text of Python.
    fn python(&self, script: &str) -> BoxFuture<'_, Outcome> {
        self.run(&["python3", "-c", script])
    }

    /// Runs the probe.
    fn probe(&self, words: &[&str]) -> BoxFuture<'_, Outcome> {
        self.run(&[self.answers().probe, words].concat())
    }

    /// Whether this tier promises something here.
    fn holds(&self, property: Property) -> BoxFuture<'_, bool> {
        Box::pin(async move { self.boxes().offer().await.unwrap().holds(property).is_ok() })
    }
}

/// What a tier answers in its own way. All are refusals, but for those that a field names as harmless there.
#[derive(Debug)]
pub struct Answers {
    /// The words that start the probe inside.
    pub probe: &'static [&'static str],
    /// System calls that get another answer than `EPERM`: the errors that are right; `0` means that it is allowed.
    pub calls: &'static [(&'static str, &'static [i32])],
    /// System calls whose answer does not matter in this tier.
    pub harmless: &'static [&'static str],
    /// Kinds of sockets whose answer does not matter in this tier.
    pub harmless_sockets: &'static [&'static str],
    /// What the shell says of a call of `getpid` through the gate of x32.
    pub x32: &'static [&'static str],
    /// Files below `/proc` that tell of a kernel of the box's own, and not of the host's.
    pub own_kernel: &'static [&'static str],
    /// Whether a box at its deadline is ended as a whole, with what its kernel had counted.
    pub ended_whole: bool,
    /// What the first process of a box is.
    pub first: First,
}

/// The first process of a box.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum First {
    /// The runtime's, closed to the command.
    Init,
    /// The command itself.
    Command,
}

/// Whether these tests are root's.
pub fn is_root() -> bool {
    rustix::process::geteuid().is_root()
}

/// No input; a MiB of each output is kept.
pub fn capture(full: WhenFull) -> Stdio {
    Stdio::Capture { input: Bytes::new(), keep: 1 << 20, full, follower: None }
}

/// Bytes as text, whatever they are.
pub fn text(bytes: &[u8]) -> String {
    String::from_utf8_lossy(bytes).into_owned()
}

/// All that an outcome tells, for a message.
pub fn told(outcome: &Outcome) -> String {
    format!("{:?}: {}{}", outcome.end, text(&outcome.stdout.bytes), text(&outcome.stderr.bytes))
}
