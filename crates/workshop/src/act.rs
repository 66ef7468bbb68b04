//! One action, from its place in the queue to what became of it. Dropping the future kills what it started; nothing is kept then.

use std::time::Instant;

use stead_core::{
    id::{Name, TreeId},
    sandbox::{self, Access, Action, Begun, BoxUse, Traffic},
    time::Span,
};
use stead_ports::{
    connect::Connects,
    sandbox::{Evidence, Outcome, Property, Root, Running, Runtime, Served, Stdio, Tier, Usage, WhenFull, Zygote},
    tool::Invocation,
};
use stead_tools::secret::Secret;
use stead_workspace::{Base, Writer};

use crate::{
    audit::{Whose, Work},
    fault::Fault,
    kept::{Kept, keep},
    limits::overridden,
    live::Seat,
    place::{Job, Place},
    watch::Stopped,
    way_out::WayOut,
    workshop::Inner,
};

/// Characters of each piece of evidence in a fact.
const WORDS: usize = 200;

/// An action that is over.
#[derive(Debug)]
pub(crate) struct Acted {
    pub(crate) outcome: Outcome,
    pub(crate) kept: Kept,
    pub(crate) traffic: Option<Traffic>,
    /// Why the watch stopped it.
    pub(crate) stopped: Option<Stopped>,
    /// Whether its run was over.
    pub(crate) released: bool,
}

/// Does it.
///
/// # Errors
/// See [`Fault`]: nothing was kept, and but for a box that was lost nothing has happened.
pub(crate) async fn act(shop: &Inner, place: &Place, mut job: Job, invocation: &Invocation) -> Result<Acted, Fault> {
    if let Some(trace) = &invocation.trace {
        let variable = |name: &str, value: String| (name.to_owned(), value);
        job.env.push(variable("TRACEPARENT", trace.parent()));
        job.env.extend(trace.state.as_deref().map(|state| variable("TRACESTATE", state.to_owned())));
    }
    let effect = invocation.effect;
    let work = Work::Action { effect, tool: invocation.tool.clone() };
    let whose = Whose { tenant: invocation.tenant.clone(), work };
    let seat = shop.live.enter(whose.clone(), place.settings.limits, invocation.limits.clone());
    let tier = place.settings.tier;
    let maker = shop.tier(tier)?;
    let writer = turn(shop, job.access, invocation).await;
    let _turn = maker.turn(tier, &shop.actions, &invocation.tenant).await?;
    let bench = bench(shop, job.access, invocation).await?;
    if !invocation.may_send.now() {
        return Err(Fault::NotOwned);
    }
    let room = invocation.limits.output.and_then(|n| usize::try_from(n).ok()).unwrap_or(place.settings.output);
    let stdio = Stdio::Capture { input: job.input.clone(), keep: room, full: WhenFull::Drop, follower: None };
    let folder = bench.as_ref().map(|(_, base)| base.path().to_owned());
    seat.may_use(invocation.left.cpu);
    let out = way_out(shop, place, (&whose, &invocation.connects), invocation.left.traffic)?;
    let (running, out) = start(shop, place, &job, &whose, (&seat, out), folder, stdio).await?;
    let ended = running.end.await;
    let traffic = match out {
        Some(out) => Some(out.close().await),
        None => None,
    };
    let mut outcome = ended?;
    let kept = match (&bench, writer) {
        (Some((tree, _)), Some(writer)) => keep(&writer, invocation.workspace, *tree, &mut outcome).await,
        _ => Kept::ReadOnly,
    };
    // Layers live in memory.
    outcome.layers.clear();
    Ok(Acted { outcome, kept, traffic, stopped: seat.why(), released: seat.released() })
}

/// Waits for the turn to write, before the queue for boxes: who waits for another of its session takes no place from others.
async fn turn(shop: &Inner, access: Access, invocation: &Invocation) -> Option<Writer> {
    let session = || Name::from(invocation.session.to_string());
    match access {
        Access::None | Access::Read => None,
        Access::Write => Some(shop.workspaces.writer(&invocation.tenant, &session()).await),
    }
}

/// Makes the workspace a folder.
async fn bench(shop: &Inner, access: Access, invocation: &Invocation) -> Result<Option<(TreeId, Base)>, Fault> {
    let (work, tenant) = (&shop.workspaces, &invocation.tenant);
    let tree = match (access, invocation.workspace) {
        (Access::None, _) => return Ok(None),
        (_, Some(tree)) => tree,
        (_, None) => work.empty(tenant).await?.tree,
    };
    Ok(Some((tree, work.materialise(tenant, tree).await?)))
}

/// The way out of a box at a place, which may move that many bytes; `None` for a place that reaches nobody.
pub(crate) fn way_out(
    shop: &Inner,
    place: &Place,
    (whose, connects): (&Whose, &Connects),
    most: Option<u64>,
) -> Result<Option<WayOut>, Fault> {
    if place.is_closed() {
        return Ok(None);
    }
    let of = (whose.clone(), connects.clone());
    WayOut::open(shop, &place.rules, &shop.outside.secrets, of, most).map(Some)
}

/// Starts a box at a place, with its way out, and seats it among those that live.
pub(crate) async fn start(
    shop: &Inner,
    place: &Place,
    job: &Job,
    whose: &Whose,
    (seat, mut out): (&Seat, Option<WayOut>),
    base: Option<std::path::PathBuf>,
    stdio: Stdio,
) -> Result<(Running, Option<WayOut>), Fault> {
    let tier = place.settings.tier;
    let boxes = &shop.tier(tier)?.boxes;
    let zygote = zygote(whose, job);
    if let Some(out) = &out {
        seat.reaches(out.session(), &place.settings.egress)?;
    }
    let by = seat.limits().ok_or(Fault::Released)?;
    let mut spec = place.spec(job, &by, base, shop.furniture.opt(), out.as_ref());
    if spec.root == Root::Host {
        shop.furniture.show(tier, &mut spec.mounts);
        spec.zygote = zygote.filter(|_| tier == Tier::Namespace);
    }
    let asked = Instant::now();
    let started = boxes.start(spec, stdio).await;
    shop.outside.audit.started(tier, asked.elapsed(), started.is_ok());
    let mut running = started?;
    if let Some(out) = &mut out {
        out.serve(running.egress.take())?;
    }
    seat.started(&overridden(place.settings.limits, &by), &running.control).await;
    Ok((running, out))
}

/// What starts an action of Python without its interpreter's start: a copy of one that its tenant has running. A server is started once, and
/// has no need of it.
fn zygote(whose: &Whose, job: &Job) -> Option<Zygote> {
    let python = matches!(whose.work, Work::Action { .. }) && job.words.first().is_some_and(|w| w == "python3");
    python.then(|| Zygote { tenant: whose.tenant.to_string(), runtime: Runtime::Python })
}

impl Acted {
    /// Blots secrets out of what was written.
    pub(crate) fn blot(&mut self, secrets: &[Secret]) {
        for output in [&mut self.outcome.stdout, &mut self.outcome.stderr] {
            for secret in secrets {
                output.bytes = secret.blot(std::mem::take(&mut output.bytes));
            }
        }
    }

    /// What becomes part of the fact.
    pub(crate) fn action(&self) -> Action {
        let workspace = match &self.kept {
            Kept::Changed { change, .. } => Some(*change),
            _ => None,
        };
        let Outcome { evidence, usage, .. } = &self.outcome;
        Action { workspace, sandbox: Some(box_use(evidence, usage, self.traffic)) }
    }
}

/// What a box was and used, as the core has it.
pub(crate) fn box_use(evidence: &Evidence, usage: &Usage, traffic: Option<Traffic>) -> BoxUse {
    let span = |d: std::time::Duration| Span(u64::try_from(d.as_micros()).unwrap_or(u64::MAX));
    BoxUse {
        tier: evidence.tier,
        held: evidence.held.keys().copied().collect(),
        not_held: evidence.not_held.keys().copied().collect(),
        cpu: usage.cpu.map(span),
        memory_peak: usage.memory_peak,
        wall: span(usage.wall),
        traffic,
        evidence: evidence.held.iter().chain(&evidence.not_held).map(said).collect(),
        begun: evidence.zygote.as_ref().map(|served| match served {
            Served::Forked { .. } => Begun::Forked,
            Served::Cold { why } => Begun::Cold(cut(why)),
        }),
    }
}

fn said((property, words): (&Property, &String)) -> sandbox::Evidence {
    sandbox::Evidence { property: *property, words: cut(words) }
}

/// Words of the host's for a fact, which is kept for good.
fn cut(words: &str) -> String {
    words.chars().take(WORDS).collect()
}
