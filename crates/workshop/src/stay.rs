//! A box that stays, for whoever asked for it: what a session sandbox is made of. It has a seat among the boxes that live, so that the
//! watch sees it, a place in a queue that is fair to tenants, a workspace of the same cache, and the same way out as an action.

use std::{
    collections::{BTreeMap, BTreeSet},
    fmt,
    sync::{Arc, Weak},
    time::Duration,
};

use stead_core::{
    id::{Name, SandboxId, TreeId},
    sandbox::{BoxLimits, Property, Tier, Traffic},
};
use stead_egress::{Rules, Session as Proxy};
use stead_ports::{
    BoxFuture,
    connect::Connects,
    sandbox::{BoxError, Change, Command, Content, Control, Evidence, Limits, Mount, Outcome, Root, Session, Spec},
    secret::Secrets,
};
use stead_workspace::Base;
use tokio::time::timeout;

use crate::{
    audit::{Whose, Work},
    fault::Fault,
    live::Seat,
    place::{WORKSPACE, usual_variables},
    turn::Turn,
    watch::Stopped,
    way_out::{self, WayOut},
    workshop::Workshop,
};

/// How long a place is waited for. Less than a caller has for its request.
const WAIT: Duration = Duration::from_secs(10);

/// What is asked of a box that stays.
pub struct Stay {
    /// Its id.
    pub id: SandboxId,
    /// Whose it is.
    pub tenant: Name,
    /// The tier: one whose boxes can stay ([`stead_ports::sandbox::STAYING`]).
    pub tier: Tier,
    /// What the tier must be able to promise. [`Property::EgressControl`] is required always.
    pub requires: BTreeSet<Property>,
    /// The read-only root.
    pub root: Root,
    /// What it may use.
    pub limits: Limits,
    /// What it may reach at first.
    pub rules: Rules,
    /// Where values of secrets come from.
    pub secrets: Arc<dyn Secrets>,
    /// The tree that its workspace begins with.
    pub tree: TreeId,
}

/// A box that stays. Dropping `end` kills it.
pub struct Staying {
    /// Commands, files, freezing, usage.
    pub session: Arc<dyn Session>,
    /// What holds.
    pub evidence: Evidence,
    /// Its way out: rules that can be changed, placeholders of secrets, what went through.
    pub proxy: Proxy,
    /// Its end.
    pub end: BoxFuture<'static, Left>,
    seat: Weak<Seat>,
}

/// What is left of a box that stayed.
#[derive(Debug)]
pub struct Left {
    /// How it ended, and what it used.
    pub outcome: Result<Outcome, BoxError>,
    /// What went through its way out.
    pub traffic: Traffic,
    /// Why the watch stopped it.
    pub stopped: Option<Stopped>,
}

/// What a box has for as long as it lives.
struct Held {
    seat: Arc<Seat>,
    out: WayOut,
    /// The lower folder of its workspace.
    _base: Base,
    _turn: Turn,
}

impl fmt::Debug for Staying {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Staying").field("evidence", &self.evidence).finish_non_exhaustive()
    }
}

impl Workshop {
    /// Starts a box that stays, with a workspace that can be written at `/workspace`.
    ///
    /// # Errors
    /// See [`Fault`]; [`Fault::Queue`] also when no place was free for 10 s. Nothing is left then.
    pub async fn stay(&self, asked: Stay) -> Result<Staying, Fault> {
        let shop = &*self.0;
        let Stay { id, tenant, tier, mut requires, root, limits, rules, secrets, tree } = asked;
        let maker = shop.tier(tier)?;
        // First of all: without boxes nothing else is of use.
        maker.boxes.offer().await?;
        let whose = Whose { tenant: tenant.clone(), work: Work::Session(id) };
        let turn = timeout(WAIT, maker.turn(tier, &shop.sandboxes, &tenant)).await;
        let turn = turn.map_err(|_| Fault::Queue(shop.sandboxes.waiting()))??;
        let base = shop.workspaces.materialise(&tenant, tree).await?;
        let seat = Arc::new(shop.live.enter(whose.clone(), limits, BoxLimits::default()));
        // No run is behind it: what its rules allow, somebody asked for who may use sandboxes.
        let mut out = WayOut::open(shop, &rules, &secrets, (whose, Connects::default()), None)?;
        requires.insert(Property::EgressControl);
        let mount = |at: &str, content| Mount { at: at.into(), content };
        let mut mounts = vec![
            mount(WORKSPACE, Content::Layered(base.path().to_owned())),
            mount("/opt", Content::ReadOnly(shop.furniture.opt())),
            mount(way_out::CERTIFICATES, Content::ReadOnly(out.folder().to_owned())),
        ];
        shop.furniture.show(tier, &mut mounts);
        let egress = Some(way_out::PORT);
        let spec = Spec { command: Command::default(), root, mounts, limits, requires, egress, ..Spec::default() };
        let mut kept = maker.boxes.open(spec).await?;
        out.serve(kept.egress.take())?;
        let control = Arc::clone(&kept.session) as Arc<dyn Control>;
        seat.started(&limits, &control).await;
        let (proxy, watched) = (out.session().clone(), Arc::downgrade(&seat));
        let held = Held { seat, out, _base: base, _turn: turn };
        let end = Box::pin(held.until(kept.end));
        Ok(Staying { session: kept.session, evidence: kept.evidence, proxy, end, seat: watched })
    }
}

impl Held {
    async fn until(self, end: BoxFuture<'static, Result<Outcome, BoxError>>) -> Left {
        let outcome = end.await;
        let traffic = self.out.close().await;
        Left { outcome, traffic, stopped: self.seat.why() }
    }
}

/// A hand on the limits of a box that stays.
#[derive(Clone)]
pub struct Given {
    session: Arc<dyn Session>,
    seat: Weak<Seat>,
}

impl Staying {
    /// Variables that each of its commands has, unless told otherwise: its home, and the way out with its certificates.
    pub fn variables() -> BTreeMap<String, String> {
        let mut variables = usual_variables();
        variables.extend(way_out::variables());
        variables
    }

    /// A hand on its limits.
    pub fn given(&self) -> Given {
        Given { session: Arc::clone(&self.session), seat: Weak::clone(&self.seat) }
    }
}

impl Given {
    /// Changes limits while it runs; the watch judges by them from then on.
    ///
    /// # Errors
    /// [`BoxError::Lacks`] when nothing holds such a limit here, [`BoxError::Lost`] when it has ended.
    pub async fn limit(&self, change: Change) -> Result<(), BoxError> {
        self.session.limit(change).await?;
        if let Some(seat) = self.seat.upgrade() {
            seat.given(change);
        }
        Ok(())
    }
}
