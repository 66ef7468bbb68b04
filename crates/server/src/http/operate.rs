//! What a person does over the API is put to the policies of their tenant: one place for all routes. A route's rights say what its
//! requests do; the token must grant them first ([`super::guard::allowed`]), and policies can only forbid what it grants.
//!
//! **The way back.** A set that forbids too much, or cannot be made any more, must not lock people out for ever: the data
//! directory's own token, and one whose entry says so, may always look at policy sets, apply them and go back. Who can read the one
//! or write the other has the server in their hands anyway. That it went against policies is on record.

use std::{collections::BTreeSet, path::Path};

use axum::{
    extract::{FromRequestParts as _, RawPathParams, Request},
    http::request::Parts,
};
use serde_json::json;
use stead_api::right::Right;
use stead_core::{
    code,
    id::{EffectId, Name, RunId},
};
use stead_engine::{EngineError, Log};
use stead_policy::{Asker, Edge};
use stead_ports::clock::Clock as _;

use super::{
    app::App,
    failure::{Answer, Failure},
};
use crate::{
    audit::Acts,
    auth::Principal,
    clock::SystemClock,
    lines::Lines,
    policies::{
        PolicyError,
        people::{self, Said, Wants},
    },
};

/// The file of the data folder in which decisions are; the one before it has [`BEFORE`].
const FILE: &str = "operators.jsonl";
const BEFORE: &str = "operators.1.jsonl";

/// What a right over a path is to policies.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Over {
    /// Something with the whole tenant.
    Tenant(Edge),
    /// Something with the agent of the path.
    Agent(Edge),
    /// Something with the run of the path.
    Run(Edge),
    /// Something with an agent that stands in the body, or that the path only leads to: the handler names it to [`agent`].
    Named,
}

fn over(right: Right, path: &str) -> Over {
    match right {
        Right::Read => Over::Tenant(Edge::Read),
        Right::Sandbox => Over::Tenant(Edge::UseSandbox),
        Right::Metrics => Over::Tenant(Edge::ReadMetrics),
        Right::Admin => Over::Tenant(Edge::Administer),
        // What a tenant or an agent may use, not what it is.
        Right::Apply if path.starts_with("/v1/budgets") || path == "/v1/switches" => Over::Tenant(Edge::Administer),
        Right::Run if path == "/v1/runs/cancel" => Over::Tenant(Edge::Administer),
        Right::Approve => Over::Run(Edge::AnswerApproval),
        Right::Run if path.contains("{run}") => Over::Run(Edge::ControlRun),
        Right::Run => Over::Named,
        Right::Apply if is_mending(path) => Over::Tenant(Edge::ApplyPolicy),
        Right::Apply if path.contains("{agent}") => Over::Agent(Edge::ApplyAgent),
        Right::Apply => Over::Named,
    }
}

/// Whether a path is about policy sets.
fn is_mending(path: &str) -> bool {
    path == "/v1/policies" || path.starts_with("/v1/policies/")
}

/// Where decisions about people go: into a file for the tools of the system, and into the log of operators.
pub(crate) struct Record {
    lines: Option<Lines>,
    acts: Acts,
}

impl Record {
    /// Goes on where an earlier process ended. Where there can be no such file, decisions are in the log alone.
    pub(crate) fn open(folder: &Path, log: Log) -> Self {
        let lines = Lines::open(folder, FILE, BEFORE);
        let lines =
            lines.inspect_err(|error| tracing::error!(%error, "what people do is not on record in {FILE}")).ok();
        Self { lines, acts: Acts::new(log) }
    }

    /// The log of operators.
    pub(crate) fn acts(&self) -> &Acts {
        &self.acts
    }

    /// Tells what was decided. What is allowed is durable in the log of operators when this returns.
    async fn tell(&self, who: &Principal, wants: &Wants, said: &Said, mends: bool) -> Answer<()> {
        let (action, to) = (wants.edge().name(), wants.to(&who.tenant));
        let Said { denied, epoch, by } = said;
        match denied {
            Some(why) => {
                tracing::warn!(tenant = %who.tenant, who = %who.subject, action, to, epoch, ?by, why, mends, "policies deny this");
            }
            None => {
                tracing::debug!(tenant = %who.tenant, who = %who.subject, action, to, epoch, ?by, "policies allow this")
            }
        }
        // What only looks, or is in a journal with its actor, would bury the rest.
        let kept = denied.is_some() || matches!(wants.edge(), Edge::ApplyAgent | Edge::ApplyPolicy | Edge::Administer);
        if !kept {
            return Ok(());
        }
        let verdict = match (denied, mends) {
            (None, _) => "allow",
            (Some(_), false) => "deny",
            (Some(_), true) => "mended",
        };
        let line = json!({
            "at": SystemClock.now(), "tenant": who.tenant.as_str(), "who": who.subject.as_str(), "action": action, "to": to,
            "verdict": verdict, "epoch": epoch, "by": by, "why": denied,
        });
        if let Some(Err(error)) = self.lines.as_ref().map(|lines| lines.write(format!("{line}\n").as_bytes())) {
            tracing::error!(%error, "what people do is not on record in {FILE}");
        }
        if verdict == "deny" {
            self.acts.denied(&line).await;
            return Ok(());
        }
        Ok(self.acts.keep(action, &line).await?)
    }
}

/// Asks policies about a request of a route. The request is given back to go on.
///
/// # Errors
/// `ST0057` with the policy's reason; nothing was done then.
pub(crate) async fn request(
    app: &App,
    (rights, path): (&'static [Right], &'static str),
    who: &Principal,
    request: Request,
) -> (Request, Answer<()>) {
    let (mut parts, body) = request.into_parts();
    let answer = each(app, rights, path, who, &mut parts).await;
    let stops = path.ends_with("/cancel") || path.ends_with("/kill");
    let answer = answer.map_err(|failure| if stops { failure.unacknowledged() } else { failure });
    (Request::from_parts(parts, body), answer)
}

async fn each(app: &App, rights: &[Right], path: &str, who: &Principal, parts: &mut Parts) -> Answer<()> {
    for right in rights {
        let wants = match over(*right, path) {
            Over::Named => continue,
            Over::Tenant(edge) => Wants::Tenant(edge),
            Over::Agent(edge) => Wants::Agent(edge, named(parts, "agent").await.into()),
            Over::Run(edge) => {
                let run = match named(parts, "run").await.parse::<RunId>() {
                    Ok(run) => Some(run),
                    Err(_) => named(parts, "approval").await.parse::<EffectId>().ok().map(|effect| effect.run),
                };
                // What does not exist, or is another tenant's, is nothing that could be done: the handler says so.
                match run {
                    Some(run) => match of_tenant(app, who, run).await? {
                        Some(asker) => Wants::Run(edge, asker),
                        None => continue,
                    },
                    None => continue,
                }
            }
        };
        decide(app, who, &wants, is_mending(path)).await?;
    }
    Ok(())
}

/// Asks policies whether somebody may start a run of an agent, or apply it: for the handlers whose path does not name the agent.
///
/// # Errors
/// As [`request`].
pub(crate) async fn agent(app: &App, who: &Principal, edge: Edge, agent: &Name) -> Answer<()> {
    decide(app, who, &Wants::Agent(edge, agent.clone()), false).await
}

/// Whether policies would let somebody do that with an agent; nothing is done, and nothing is on record of it.
///
/// # Errors
/// When the policies in force are not known.
pub(crate) async fn would(app: &App, who: &Principal, edge: Edge, agent: &Name) -> Answer<bool> {
    match app.runtime.policies().of_people(&who.tenant).await {
        Ok(policies) => {
            let principal = people::principal(&who.tenant, &who.person());
            Ok(people::ask(&policies, &principal, &Wants::Agent(edge, agent.clone())).denied.is_none())
        }
        Err(PolicyError::Refused(_)) => Ok(false),
        Err(e) => Err(e.into()),
    }
}

/// Asks policies whether somebody may do something with a run: for the handlers whose path names it in other words.
///
/// # Errors
/// As [`request`].
pub(crate) async fn run(app: &App, who: &Principal, edge: Edge, run: RunId) -> Answer<()> {
    match of_tenant(app, who, run).await? {
        Some(asker) => decide(app, who, &Wants::Run(edge, asker), false).await,
        None => Ok(()),
    }
}

async fn decide(app: &App, who: &Principal, wants: &Wants, mending: bool) -> Answer<()> {
    let said = match app.runtime.policies().of_people(&who.tenant).await {
        Ok(policies) => people::ask(&policies, &people::principal(&who.tenant, &who.person()), wants),
        Err(PolicyError::Refused(problems)) => {
            let first = problems.first().map(ToString::to_string).unwrap_or_default();
            let first = first.lines().next().unwrap_or_default();
            let denied = format!("Not done: the policy set in force cannot be used, so nothing is allowed: {first}");
            Said { denied: Some(denied), epoch: 0, by: Vec::new() }
        }
        Err(e) if who.mends && mending => {
            tracing::warn!(error = %e, "the policies in force are not known; a token that mends them goes on");
            return Ok(());
        }
        Err(e) => return Err(e.into()),
    };
    let mends = who.mends && mending;
    app.operators.tell(who, wants, &said, mends).await?;
    match said.denied {
        Some(why) if !mends => Err(denied(why)),
        _ => Ok(()),
    }
}

fn denied(why: String) -> Failure {
    Failure::new(code::POLICY, why).hint(
        "whoever applies policies can change that; with the data folder's own token `stead policy rollback EPOCH` goes back in any case",
    )
}

/// A part of the path; empty when it has none of that name.
async fn named(parts: &mut Parts, name: &str) -> String {
    let Ok(params) = RawPathParams::from_request_parts(parts, &()).await else { return String::new() };
    params.iter().find(|(key, _)| *key == name).map(|(_, value)| value.to_owned()).unwrap_or_default()
}

/// A run of the caller's tenant, as policies know it.
async fn of_tenant(app: &App, who: &Principal, run: RunId) -> Answer<Option<Box<Asker>>> {
    let Some(row) = app.runtime.journal().run(run).await?.filter(|row| row.tenant == who.tenant) else {
        return Ok(None);
    };
    match app.runtime.engine().asker(run).await {
        Ok(asker) => Ok(Some(Box::new(asker))),
        // One whose journal is damaged must be stopped all the same. Nobody knows for whom it works then.
        Err(EngineError::Quarantined { .. }) => Ok(Some(Box::new(Asker {
            tenant: row.tenant.to_string(),
            agent: row.agent.to_string(),
            version: row.version.to_string(),
            session: row.session.to_string(),
            run: run.to_string(),
            user: None,
            callers: BTreeSet::new(),
            grant: None,
        }))),
        Err(e) => Err(e.into()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_right_of_every_route_is_an_action_and_only_four_doors_name_their_agent_themselves() {
        let mut named = Vec::new();
        for operation in stead_api::openapi::operations() {
            for right in operation.rights {
                match over(*right, operation.path) {
                    Over::Named => named.push((operation.method, operation.path)),
                    Over::Agent(_) => assert!(operation.path.contains("{agent}"), "{}", operation.path),
                    Over::Run(_) => {
                        assert!(
                            operation.path.contains("{run}") || operation.path.contains("{approval}"),
                            "{}",
                            operation.path
                        );
                    }
                    Over::Tenant(_) => {}
                }
            }
        }
        // A door that is added here must ask by itself: `tests/http/operate.rs` tries them all.
        named.sort_unstable();
        assert_eq!(
            named,
            [
                ("POST", "/v1/agents"),
                ("POST", "/v1/runs"),
                ("POST", "/v1/sessions"),
                ("POST", "/v1/sessions/{session}/runs"),
            ]
        );
    }
}
