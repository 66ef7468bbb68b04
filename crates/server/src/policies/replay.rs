//! Recorded calls, decided again under another set. What is known of them is what the journals say: tool, arguments, time, whether
//! a human approved, how it ended, and, by hearing the conversation again, what had been read, where arguments came from, what the plan had,
//! and what the model said of its confidence. Roles of people are in no journal, so policies that ask for those are not tried by a replay.

mod collect;

use std::{
    collections::{BTreeMap, BTreeSet},
    sync::Arc,
};

use stead_api::policy::{PolicyFiles, PolicyFlip, PolicyReplay};
use stead_core::{
    id::{Name, VersionId},
    time::Timestamp,
};
use stead_engine::{Engine, Known};
use stead_policy::{
    Asker, Counter, Deed, Facts, History, Outcome, Policies, Principal, Recorded, Request, ToolSpec, Verdict,
};

use self::collect::{Entry, Of, Past, Told};
use super::{
    Described, PolicyError, PolicySets,
    fits::{apart, compiled},
    set::{Set, spec},
};

/// Flips that are told.
const MAX_FLIPS: usize = 1_000;
/// Characters of arguments that are told.
const SHOWN: usize = 1_000;
/// Agent versions with policies of their own whose decisions are made again.
const MAX_OWN: usize = 64;

/// A run's version as it decides.
struct Version {
    described: Described,
    specs: Vec<ToolSpec>,
}

impl PolicySets {
    /// Decides what was decided since `since` again.
    ///
    /// # Errors
    /// [`PolicyError::Refused`] when the files are no set that could be applied here.
    pub(crate) async fn replay(
        &self,
        engine: &Engine,
        tenant: &Name,
        files: PolicyFiles,
        since: Timestamp,
        agent: Option<&Name>,
    ) -> Result<PolicyReplay, PolicyError> {
        let checked = self.check(tenant, files).await?;
        let mut counters: Vec<Counter> = checked.policies.world().counters().values().cloned().collect();
        let mut past = collect::collect(engine, tenant, &Of { since, agent, reach: reach(&counters, since) }).await?;
        let mut versions = BTreeMap::new();
        let named: BTreeSet<VersionId> = past.runs.iter().map(|run| run.version).collect();
        for version in named {
            // What cannot be loaded is skipped, and counted.
            if let Ok(described) = self.agents.described(tenant, version).await {
                let specs = described.tools.iter().map(spec).collect();
                versions.insert(version, Version { described, specs });
            }
        }
        let set = checked.set;
        // What the agents' own counters ask for may lie further back.
        for version in versions.values().filter(|version| !version.described.own.is_empty()).take(MAX_OWN) {
            let own = compiled(Arc::new(set.clone()), Some(version.described.clone()), 0).await?;
            counters.extend(own.world().counters().values().cloned());
        }
        let further = reach(&counters, since);
        if further < reach(&checked.policies.world().counters().values().cloned().collect::<Vec<_>>(), since) {
            past = collect::collect(engine, tenant, &Of { since, agent, reach: further }).await?;
        }
        apart(move || decide(set, &past, &versions)).await?
    }
}

/// Since when what happened counts for decisions from `since` on.
fn reach(counters: &[Counter], since: Timestamp) -> Timestamp {
    let back = |counter: &Counter| match counter.within {
        Some(span) => Timestamp(since.0.saturating_sub_unsigned(span.0)),
        None => Timestamp(i64::MIN),
    };
    counters.iter().map(back).min().unwrap_or(since)
}

/// Each set of policies decides the calls of its versions, over the history of all.
fn decide(mut set: Set, past: &Past, versions: &BTreeMap<VersionId, Version>) -> Result<PolicyReplay, PolicyError> {
    for tool in versions.values().flat_map(|version| &version.described.tools) {
        if !set.tools.contains(tool) {
            set.tools.push(tool.clone());
        }
    }
    let common = set.compile(None, 0).map_err(PolicyError::Refused)?;
    let own: Vec<VersionId> =
        versions.iter().filter(|(_, v)| !v.described.own.is_empty()).map(|(id, _)| *id).take(MAX_OWN + 1).collect();
    if own.len() > MAX_OWN {
        let detail = format!("more than {MAX_OWN} versions with policies of their own; name one agent");
        return Err(PolicyError::TooMuch(detail));
    }
    let principals: Vec<Option<Principal>> = past
        .runs
        .iter()
        .map(|run| {
            let version = versions.get(&run.version)?;
            let asker = Asker {
                tenant: past.tenant.to_string(),
                agent: run.agent.to_string(),
                version: run.version.to_string(),
                session: run.session.to_string(),
                run: run.id.to_string(),
                user: None,
                callers: run.callers.clone(),
                grant: run.grant.clone(),
            };
            Some(Principal::run(asker, &version.specs).working_for(run.works_for.to_string()))
        })
        .collect();
    let mut replay = PolicyReplay { runs: past.recent, truncated: past.truncated, ..PolicyReplay::default() };
    let mut flips = Vec::new();
    let mut go = |policies: &Policies, mine: &dyn Fn(VersionId) -> bool| {
        let found = again(policies, past, &principals, mine);
        replay.decided += found.decided;
        flips.extend(found.flips);
    };
    go(&common, &|version| versions.contains_key(&version) && !own.contains(&version));
    for version in &own {
        let policies = set.compile(versions.get(version).map(|v| &v.described), 0).map_err(PolicyError::Refused)?;
        go(&policies, &|of| of == *version);
    }
    let calls: BTreeMap<String, usize> = past
        .entries
        .iter()
        .enumerate()
        .filter(|(_, e)| matches!(e.told, Told::Decided(_)))
        .map(|(n, e)| (past.id(e), n))
        .collect();
    replay.skipped = past.skipped + (calls.len() as u64).saturating_sub(replay.decided);
    let mut flips: Vec<(usize, stead_policy::Flip)> =
        flips.into_iter().filter_map(|flip| Some((*calls.get(&flip.id)?, flip))).collect();
    // A manifest that asks goes on asking, whatever policies allow.
    flips
        .retain(|(n, flip)| !(past.entries[*n].asks && flip.was == Outcome::Ask && flip.now.verdict == Verdict::Allow));
    flips.sort_by_key(|(n, _)| *n);
    replay.flipped = flips.len() as u64;
    replay.flips = flips.into_iter().take(MAX_FLIPS).map(|(n, flip)| told(past, &past.entries[n], flip)).collect();
    Ok(replay)
}

/// Decides the calls of the versions that are `mine`; those of others are history.
fn again(
    policies: &Policies,
    past: &Past,
    principals: &[Option<Principal>],
    mine: &dyn Fn(VersionId) -> bool,
) -> stead_policy::Replay {
    let nothing = History::default();
    let ids: Vec<String> = past.entries.iter().map(|entry| past.id(entry)).collect();
    let names: Vec<[String; 2]> = past.runs.iter().map(|run| [run.works_for.to_string(), run.id.to_string()]).collect();
    let recorded = past.entries.iter().zip(&ids).filter_map(|(entry, id)| {
        let run = &past.runs[entry.run];
        match &entry.told {
            Told::Happened(happened) => Some(Recorded::Happened(stead_policy::Event {
                at: entry.at,
                scope: stead_policy::Scope {
                    tenant: &past.tenant,
                    agent: &run.agent,
                    session: &names[entry.run][0],
                    run: &names[entry.run][1],
                },
                tool: &entry.tool,
                arguments: Some(&entry.arguments),
                happened: *happened,
            })),
            Told::Decided(was) if mine(run.version) => {
                let principal = principals[entry.run].as_ref()?;
                let known = entry.known.as_deref();
                let provenance = known.map_or(&[][..], |known| &known.provenance);
                let deed = Deed::CallTool { tool: &entry.tool, arguments: &entry.arguments, provenance };
                let empty = Facts::empty(entry.at, &nothing);
                let facts = known.map_or_else(|| empty.clone(), |known| by(known, empty.clone()));
                Some(Recorded::Decided { id, request: Request { principal, deed, facts }, was: *was })
            }
            Told::Decided(_) => None,
        }
    });
    stead_policy::replay(policies, recorded)
}

/// What was known of a call.
fn by<'a>(known: &Known, empty: Facts<'a>) -> Facts<'a> {
    Facts {
        risk: known.risk,
        confidence: known.confidence,
        ask_below: known.ask_below,
        traced: known.traced,
        taint: known.taint,
        plan: known.plan,
        ..empty
    }
}

fn told(past: &Past, entry: &Entry, flip: stead_policy::Flip) -> PolicyFlip {
    let run = &past.runs[entry.run];
    let now = Outcome::from(&flip.now.verdict);
    let why = &flip.now.why;
    let by = match now {
        Outcome::Allow => vec![&why.permitted],
        Outcome::Ask => vec![&why.gated],
        Outcome::Deny => vec![&why.forbade, &why.erred],
    };
    let by: Vec<String> = by.into_iter().flatten().map(|reason| reason.policy.to_string()).collect();
    let told = match &flip.now.verdict {
        Verdict::Allow => None,
        Verdict::Deny(why) => Some(why.clone()),
        Verdict::Ask(_) => why.gated.iter().find_map(|reason| reason.said.clone()),
    };
    PolicyFlip {
        effect: entry.effect(run.id),
        agent: run.agent.clone(),
        version: run.version,
        tool: entry.tool.to_string(),
        arguments: entry.arguments.chars().take(SHOWN).collect(),
        at: entry.at,
        was: flip.was.name().to_owned(),
        now: now.name().to_owned(),
        by,
        told,
    }
}

/// Shared by an effect's entries.
type Text = Arc<str>;
