//! A box that stays, from the order on.

use std::{
    os::fd::{AsFd, BorrowedFd, OwnedFd},
    path::{Path, PathBuf},
    sync::Arc,
};

use stead_ports::{
    BoxFuture,
    sandbox::{BoxError, Change, Command, Control, Exec, Resident, Session, Spec, Stdio, Streams, Usage},
    workspace::Still,
};
use stead_tier::{
    end::Asked,
    ends::{Ends, Reading, way_out},
};

use super::{
    exec, freeze,
    hand::{Guard, Hand, lost},
    link::Link,
    running::{finish, refused},
};
use crate::{
    plan::{self, Checked},
    stay,
    wire::{Access, Order},
};

/// Starts one.
pub(super) async fn open(link: Arc<Link>, spec: &Spec) -> Result<Resident, BoxError> {
    let Checked { plan, held, evidence } = plan::check_resident(spec, &plan::offer(link.host()))?;
    let at = |text: &str| PathBuf::from(text);
    let layered: Vec<PathBuf> = plan.mounts.iter().filter(|m| m.access == Access::Layered).map(|m| at(&m.at)).collect();
    let places: Vec<PathBuf> = stay::places(&plan).map(at).collect();
    let (id, started, ended) = link.seat();
    let mut guard = Guard { link: Arc::clone(&link), id, over: false };
    link.order(&Order::Start { id, plan: Box::new(plan) }, &[])?;
    let (_, back) = match started.await {
        Ok(Ok(back)) => back,
        Ok(Err(failure)) => {
            guard.over = true;
            return Err(refused(failure, None));
        }
        Err(_) => return Err(lost()),
    };
    drop(held);
    let mut back = back.into_iter();
    let egress = spec.egress.and_then(|_| back.next()).map(way_out).transpose()?;
    let foreman = back.next().ok_or_else(lost)?;
    let mut named = |names: &[PathBuf]| -> Result<Vec<(PathBuf, OwnedFd)>, BoxError> {
        names.iter().map(|at| Ok((at.clone(), back.next().ok_or_else(lost)?))).collect()
    };
    let (folders, layers) = (named(&places)?, named(&layered)?);
    let freezer = back.next();
    let hand = Arc::new(Hand { link, id, terminal: None, asked: Asked::default() });
    let reading = Reading::new(Stdio::Quiet, Ends::default());
    let end = finish(Arc::clone(&hand), guard, ended, reading, evidence.clone(), layered);
    let session = Arc::new(Stays { hand, foreman, folders, layers, freezer });
    Ok(Resident { session, egress, evidence, end: Box::pin(end) })
}

/// A hand on it.
struct Stays {
    hand: Arc<Hand>,
    foreman: OwnedFd,
    folders: Vec<(PathBuf, OwnedFd)>,
    layers: Vec<(PathBuf, OwnedFd)>,
    freezer: Option<OwnedFd>,
}

impl Control for Stays {
    fn kill(&self) {
        self.hand.kill();
    }

    fn limit(&self, change: Change) -> BoxFuture<'_, Result<(), BoxError>> {
        self.hand.limit(change)
    }

    fn usage(&self) -> BoxFuture<'_, Result<Usage, BoxError>> {
        self.hand.usage()
    }

    fn resize(&self, _: (u16, u16)) {}
}

impl Session for Stays {
    fn exec(&self, command: Command, streams: Streams) -> BoxFuture<'_, Result<Exec, BoxError>> {
        let user = self.hand.link.host().user;
        Box::pin(exec::start(self.foreman.as_fd(), user, command, streams))
    }

    fn folders(&self) -> Vec<PathBuf> {
        self.folders.iter().map(|(at, _)| at.clone()).collect()
    }

    fn folder(&self, at: &Path) -> Option<BorrowedFd<'_>> {
        find(&self.folders, at)
    }

    fn owner(&self) -> (u32, u32) {
        let host = self.hand.link.host();
        (host.user, if host.root { host.user } else { rustix::process::getegid().as_raw() })
    }

    fn freeze(&self, at: &Path) -> BoxFuture<'_, Result<Box<dyn Still>, BoxError>> {
        let found = find(&self.layers, at).map(|layer| layer.try_clone_to_owned());
        let (freezer, root, at) = (&self.freezer, self.hand.link.host().root, at.to_owned());
        Box::pin(async move {
            let wrong = |why: String| BoxError::Spec(why);
            let layer = found.ok_or_else(|| wrong(format!("nothing layered is mounted at {}", at.display())))?;
            let layer = layer.map_err(|e| BoxError::Lost(format!("a layer of a sandbox: {e}")))?;
            let freezer = freezer.as_ref().map(OwnedFd::try_clone).transpose();
            let freezer = freezer.map_err(|e| BoxError::Lost(format!("the freezer of a sandbox: {e}")))?;
            let why = "nothing on this host can freeze a sandbox: neither control groups of version 2 nor a freezer of version 1";
            freeze::freeze(freezer.ok_or_else(|| wrong(why.to_owned()))?, layer, root).await
        })
    }
}

fn find<'f>(folders: &'f [(PathBuf, OwnedFd)], at: &Path) -> Option<BorrowedFd<'f>> {
    folders.iter().find(|(place, _)| place == at).map(|(_, folder)| folder.as_fd())
}
