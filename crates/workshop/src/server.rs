//! A box with pipes, for an MCP server of one run: it lives until its run ends, and no other run ever speaks to it.

use std::{sync::Arc, time::Duration};

use parking_lot::Mutex;
use stead_core::{
    id::{Name, RunId},
    sandbox::{Access, BoxLimits, BoxUse, Tier, Traffic},
};
use stead_egress::Session as Proxy;
use stead_ports::{
    connect::Connects,
    sandbox::{BoxError, Control, End, Evidence, Outcome, Pipes, Stdio, Usage},
};
use stead_tools::error::ToolSetupError;
use tokio::{sync::watch, time::timeout};

use crate::{
    act::{box_use, start, way_out},
    audit::{Whose, Work},
    fault::Fault,
    live::Seat,
    place::{Job, Place},
    settings::Settings,
    text::printable,
    turn::Turn,
    watch::Stopped,
    way_out::{WayOut, traffic},
    workshop::Workshop,
};

/// Bytes kept of what a server writes to its standard error: the first of them.
const STDERR: usize = 16 << 10;
/// How long figures are waited for, each time.
const FIGURES: Duration = Duration::from_secs(5);

/// A server that lives. Dropped, all of it is killed.
pub struct Server {
    control: Arc<dyn Control>,
    pipes: Option<Pipes>,
    ended: watch::Receiver<Option<Ended>>,
    evidence: Evidence,
    proxy: Option<Proxy>,
    told: Mutex<Told>,
}

/// What of a server's use was told.
#[derive(Default)]
struct Told {
    cpu: Duration,
    traffic: Traffic,
}

/// How a server ended.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Ended {
    /// Why, in words.
    pub why: String,
    /// What it wrote to its standard error, at most 16 KiB, escaped where it is no plain text.
    pub stderr: String,
    /// What went through its proxy, when it had one.
    pub traffic: Option<Traffic>,
    /// What it used in all, when that is known.
    pub usage: Option<Usage>,
}

/// What a server has for as long as it lives.
struct Held {
    seat: Seat,
    out: Option<WayOut>,
    _turn: Turn,
}

impl std::fmt::Debug for Server {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Server").field("ended", &*self.ended.borrow()).finish_non_exhaustive()
    }
}

impl Workshop {
    /// Checks the settings of a server before any run needs it.
    ///
    /// # Errors
    /// As [`Workshop::command`]; and for the tier `wasm`, whose components cannot be spoken with.
    pub fn check(&self, tool: &str, settings: &Settings) -> Result<(), ToolSetupError> {
        if settings.tier == Tier::Wasm {
            let why = "nobody speaks with a component while it runs: an MCP server needs another tier than `wasm`";
            return Err(ToolSetupError::value(format!("{tool}: {why}")));
        }
        Place::new(tool, settings).map(drop)
    }

    /// Starts a server for a run. It sees no workspace. `settings.limits.wall` is how long it may live.
    ///
    /// # Errors
    /// See [`Fault`]; nothing is left then.
    pub async fn serve(
        &self,
        run: RunId,
        tenant: Name,
        tool: Name,
        command: Vec<String>,
        settings: &Settings,
        (limits, connects): (BoxLimits, &Connects),
    ) -> Result<Server, Fault> {
        let place = Place::new(&tool, settings).map_err(|e| BoxError::Spec(e.detail))?;
        let whose = Whose { tenant: tenant.clone(), work: Work::Server { run, tool } };
        // How long an action may take says nothing of a server.
        let limits = BoxLimits { wall: None, ..limits };
        let seat = self.0.live.enter(whose.clone(), place.settings.limits, limits);
        let turn = self.0.tier(settings.tier)?.turn(settings.tier, &self.0.servers, &tenant).await?;
        let job = Job { words: command, access: Access::None, ..Job::default() };
        let stdio = Stdio::Pipes { keep: STDERR };
        let out = way_out(&self.0, &place, (&whose, connects), None)?;
        let (running, out) = start(&self.0, &place, &job, &whose, (&seat, out), None, stdio).await?;
        let (evidence, proxy) = (running.evidence, out.as_ref().map(|out| out.session().clone()));
        let (tell, ended) = watch::channel(None);
        let held = Held { seat, out, _turn: turn };
        let end = running.end;
        tokio::spawn(async move {
            let outcome = end.await;
            let ended = held.over(outcome).await;
            tell.send_replace(Some(ended));
        });
        let told = Mutex::default();
        Ok(Server { control: running.control, pipes: running.pipes, ended, evidence, proxy, told })
    }
}

impl Server {
    /// Its standard input and output; once.
    pub fn pipes(&mut self) -> Option<Pipes> {
        self.pipes.take()
    }

    /// Kills all of it.
    pub fn kill(&self) {
        self.control.kill();
    }

    /// Waits until all of it is dead.
    pub async fn ended(&self) -> Ended {
        let mut ended = self.ended.clone();
        let found = ended.wait_for(Option::is_some).await.ok().and_then(|ended| ended.clone());
        found.unwrap_or_else(|| Ended {
            why: "it was lost".to_owned(),
            stderr: String::new(),
            traffic: None,
            usage: None,
        })
    }

    /// What it has used since this was asked last, told once: whoever asks takes it on. `wall` is how long it worked for whoever asks.
    /// The peak of memory is that of its whole life.
    pub async fn used(&self, wall: Duration) -> BoxUse {
        let usage = match timeout(FIGURES, self.control.usage()).await {
            Ok(Ok(usage)) => Some(usage),
            // It has ended, and its end tells.
            Ok(Err(_)) => timeout(FIGURES, self.ended()).await.ok().and_then(|ended| ended.usage),
            Err(_) => None,
        };
        let now = self.proxy.as_ref().map(traffic);
        let mut told = self.told.lock();
        let cpu = usage.and_then(|usage| usage.cpu).map(|cpu| {
            let new = cpu.saturating_sub(told.cpu);
            told.cpu = told.cpu.max(cpu);
            new
        });
        let traffic = now.map(|now| {
            let new = since(now, told.traffic);
            told.traffic = most(now, told.traffic);
            new
        });
        let usage = Usage { cpu, wall, ..usage.unwrap_or_default() };
        box_use(&self.evidence, &usage, traffic)
    }
}

impl Drop for Server {
    fn drop(&mut self) {
        self.control.kill();
    }
}

impl Held {
    async fn over(self, outcome: Result<Outcome, BoxError>) -> Ended {
        let traffic = match self.out {
            Some(out) => Some(out.close().await),
            None => None,
        };
        match outcome {
            Ok(outcome) => {
                let stderr = printable(&outcome.stderr.bytes).trim().to_owned();
                Ended { why: why(outcome.end, self.seat.why()), stderr, traffic, usage: Some(outcome.usage) }
            }
            Err(error) => {
                let why = format!("{}: {error}", error.code());
                Ended { why, stderr: String::new(), traffic, usage: None }
            }
        }
    }
}

/// What went through between two looks; whoever looked later may come first.
fn since(now: Traffic, then: Traffic) -> Traffic {
    both(now, then, u64::saturating_sub)
}

fn most(a: Traffic, b: Traffic) -> Traffic {
    both(a, b, u64::max)
}

fn both(a: Traffic, b: Traffic, of: fn(u64, u64) -> u64) -> Traffic {
    Traffic {
        allowed: of(a.allowed, b.allowed),
        denied: of(a.denied, b.denied),
        sent: of(a.sent, b.sent),
        received: of(a.received, b.received),
    }
}

fn why(end: End, stopped: Option<Stopped>) -> String {
    let say = |what: String| end.code().map_or_else(|| what.clone(), |code| format!("{code}: {what}"));
    match (end, stopped) {
        (End::Exited(code), _) => format!("it ended by itself with exit code {code}"),
        (End::Signal(signal), _) => format!("it was ended by signal {signal}"),
        (End::Killed, Some(stopped)) => stopped.to_string(),
        (End::Killed, None) => "it was killed".to_owned(),
        (End::Memory, _) => say("it needed more memory than it may have".to_owned()),
        (End::Deadline, _) => say("it lived as long as it may".to_owned()),
        (End::Output, _) => say("it wrote more than is kept".to_owned()),
    }
}
