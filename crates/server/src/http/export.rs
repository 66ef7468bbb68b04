//! A file of a run leaves the runtime: policies are asked first, on behalf of the run that it belongs to. Who takes it must have the
//! right to read besides, and be let through for that.

use stead_core::{code, id::RunId};
use stead_policy::{Deed, Facts, History, Principal as Asking, Request, Verdict};
use stead_ports::clock::Clock as _;

use super::{
    app::App,
    failure::{Answer, Failure},
};
use crate::{auth::Principal, clock::SystemClock, policies::PolicyError};

/// A file on its way out.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Leaves<'a> {
    /// Its name, or its path in the workspace.
    pub(crate) name: &'a str,
    /// Its media type.
    pub(crate) media: &'a str,
    /// Its length.
    pub(crate) bytes: u64,
}

/// Asks whether it may.
///
/// # Errors
/// `ST0057` with the policy's reason; nothing has left then.
pub(crate) async fn ask(app: &App, who: &Principal, run: RunId, leaves: Leaves<'_>) -> Answer<()> {
    let asker = app.runtime.engine().asker(run).await?;
    let version = asker.version.parse().map_err(|_| Failure::not_found(run))?;
    let policies = match app.runtime.policies().load(&who.tenant, version).await {
        Ok(policies) => policies,
        Err(PolicyError::Store(e)) => return Err(e.into()),
        // Without policies nothing is allowed.
        Err(e) => return Err(denied(format!("Not done: there are no policies for {version}: {e}"))),
    };
    let traced = app.runtime.load(&who.tenant, version).await.map_or(true, |agent| agent.provenance.is_some());
    let (principal, history) = (Asking::run(asker, &[]), History::default());
    // What its runs had read when a file was made is not known here.
    let facts = Facts { traced, taint: true, ..Facts::empty(SystemClock.now(), &history) };
    let Leaves { name, media, bytes } = leaves;
    let deed = Deed::ExportArtifact { name, media_type: media, bytes };
    let decision = policies.decide(&Request { principal: &principal, deed, facts });
    let why = match decision.verdict {
        Verdict::Allow => return Ok(()),
        Verdict::Deny(why) => why,
        // Who takes a file waits for nobody: what would need an approval does not leave.
        Verdict::Ask(_) => {
            "Not done: policies let this file leave only with an approval, which a request cannot get.".to_owned()
        }
    };
    tracing::warn!(tenant = %who.tenant, who = %who.subject, %run, name, epoch = decision.epoch, why, "policies keep a file");
    Err(denied(why))
}

fn denied(why: String) -> Failure {
    Failure::new(code::POLICY, why).hint("`stead policy show` has the policies; whoever applies them can let it leave")
}
