//! `stead policy`: policy sets, from their folder to what decides.

use std::path::{Path, PathBuf};

use clap::{Args, Subcommand};
use serde_json::json;
use stead_api::{
    page::{MAX_LIMIT, PageQuery},
    policy::{AppliedPolicies, PolicyFiles, ReplayPolicies},
};
use stead_client::Client;
use stead_core::code;
use stead_policy::Change;

use crate::{
    cli::Global,
    connect::{Connection, Need},
    error::{CliError, Outcome},
    exit::Exit,
    policy::{folder::Folder, local, told},
    ui::{self, term::clean},
};

/// Check, test, apply and compare policies: what agents may do, and when a human is asked
#[derive(Debug, Args)]
pub(crate) struct Policy {
    #[command(subcommand)]
    verb: Verb,
}

#[derive(Debug, Subcommand)]
enum Verb {
    /// Tell what is wrong with a policy set, and what deserves a second look
    ///
    /// By itself it looks at the tools of the folder's tools.yaml; with --server at those of the server's agents.
    Check {
        /// Folder of the set: *.cedar, gates/*.cedar, history.yaml, tools.yaml, tests.yaml
        dir: PathBuf,
        /// A further file of tools, in the form of tools.yaml
        #[arg(long, value_name = "FILE")]
        tools: Vec<PathBuf>,
    },
    /// Ask the cases of a policy set: DIR/tests.yaml
    Test {
        /// Folder of the set
        dir: PathBuf,
        /// A further file of tools, in the form of tools.yaml
        #[arg(long, value_name = "FILE")]
        tools: Vec<PathBuf>,
        /// Only cases whose name holds this
        #[arg(long, value_name = "TEXT")]
        filter: Option<String>,
        /// Write the results as JUnit XML to this file
        #[arg(long, value_name = "FILE")]
        junit: Option<PathBuf>,
    },
    /// Show what two policy sets differ in, policy by policy
    Diff {
        /// The first: a folder, an epoch, or `current`
        from: String,
        /// The second
        to: String,
        /// A further file of tools for folders, in the form of tools.yaml
        #[arg(long, value_name = "FILE")]
        tools: Vec<PathBuf>,
    },
    /// Apply a policy set: from then on it decides
    Apply {
        /// Folder of the set
        dir: PathBuf,
    },
    /// List the policy sets that were applied, the last one first
    Ls,
    /// Show a policy set and its files
    Show {
        /// Its epoch; the one in force when silent
        epoch: Option<u64>,
    },
    /// Apply the files of an earlier policy set again, as a new epoch
    Rollback {
        /// Its epoch
        epoch: u64,
    },
    /// Confirm a policy set that somebody else has proposed
    Confirm {
        /// Its epoch
        epoch: u64,
    },
    /// Decide recorded calls again under a policy set, and list every decision that would turn out otherwise
    Replay {
        /// Folder of the set
        dir: PathBuf,
        /// How far back: 7d, 12h; at most 90d
        #[arg(long, value_name = "TIME", default_value = "7d")]
        since: String,
        /// Only runs of this agent
        #[arg(long, value_name = "NAME")]
        agent: Option<String>,
    },
}

pub(crate) async fn run(global: &Global, args: Policy) -> Outcome {
    match args.verb {
        Verb::Check { dir, tools } => {
            let folder = Folder::read(&dir, &tools)?;
            match global.server {
                Some(_) => asked(global, async |client| check_there(global, client, &folder).await).await,
                None => check_here(global, &folder).map(|()| Exit::Ok),
            }
        }
        Verb::Test { dir, tools, filter, junit } => {
            test(global, &dir, &tools, filter.as_deref(), junit.as_deref()).await
        }
        Verb::Diff { from, to, tools } => diff(global, &from, &to, &tools).await,
        Verb::Apply { dir } => {
            let folder = Folder::read(&dir, &[])?;
            asked(global, async |client| {
                let applied = client.apply_policies(folder.files.clone()).await.map_err(|e| placed(e, &folder))?;
                made(global, &applied, Some(&folder))
            })
            .await
        }
        Verb::Ls => asked(global, async |client| list(global, client).await).await,
        Verb::Show { epoch } => {
            asked(global, async |client| {
                let found = client.policies(&epoch.map_or("current".to_owned(), |epoch| epoch.to_string())).await?;
                if global.json { ui::json(&found) } else { ui::text(&told::shown(&found)) }?;
                Ok(())
            })
            .await
        }
        Verb::Rollback { epoch } => {
            asked(global, async |client| made(global, &client.rollback_policies(epoch).await?, None)).await
        }
        Verb::Confirm { epoch } => {
            asked(global, async |client| made(global, &client.confirm_policies(epoch).await?, None)).await
        }
        Verb::Replay { dir, since, agent } => {
            let folder = Folder::read(&dir, &[])?;
            asked(global, async |client| {
                let agent = agent.as_deref().map(Into::into);
                let ask = ReplayPolicies { files: folder.files.clone(), since: since.clone(), agent };
                let found = client.replay_policies(&ask).await.map_err(|e| placed(e, &folder))?;
                if global.json { ui::json(&found) } else { ui::text(&told::replay(&found)) }?;
                Ok(())
            })
            .await
        }
    }
}

/// Asks whoever answers for the data directory, or the server that is named.
async fn asked(global: &Global, ask: impl AsyncFnOnce(&Client) -> Outcome<()>) -> Outcome {
    let connection = Connection::open(global, Need::Rest).await?;
    let outcome = ask(&connection.client).await;
    connection.close().await;
    outcome.map(|()| Exit::Ok)
}

/// What a server says of files, with their names on this machine.
fn placed(mut error: stead_client::ClientError, folder: &Folder) -> CliError {
    let named = |file: &str| folder.path.join(file).display().to_string();
    for place in error.errors.iter_mut().filter(|place| folder.files.contains_key(&place.file)) {
        let file = named(&place.file);
        if let Some(rest) = error.detail.strip_prefix(&*place.file) {
            error.detail = format!("{file}{rest}");
        }
        place.file = file;
    }
    error.into()
}

fn check_here(global: &Global, folder: &Folder) -> Outcome<()> {
    let policies = folder.compile()?;
    if let Some(text) = folder.files.get(stead_policy::CASES) {
        stead_policy::Case::read(stead_policy::CASES, text).map_err(|problems| folder.refused(problems))?;
    }
    let warnings: Vec<_> = folder.here(policies.lint()).iter().map(told::place).collect();
    checked(global, &stead_policy::SetDigest::of(&sources(folder)).to_string(), &warnings)
}

fn sources(folder: &Folder) -> Vec<stead_policy::Source> {
    let source = |(file, text): (&String, &String)| stead_policy::Source { file: file.clone(), text: text.clone() };
    folder.files.iter().map(source).collect()
}

async fn check_there(global: &Global, client: &Client, folder: &Folder) -> Outcome<()> {
    let found = client.check_policies(folder.files.clone()).await.map_err(|e| placed(e, folder))?;
    let mut warnings = found.warnings;
    for place in warnings.iter_mut().filter(|place| folder.files.contains_key(&place.file)) {
        place.file = folder.path.join(&place.file).display().to_string();
    }
    checked(global, &found.digest, &warnings)
}

fn checked(global: &Global, digest: &str, warnings: &[stead_api::problem::Place]) -> Outcome<()> {
    if global.json {
        ui::json(&json!({ "digest": digest, "warnings": warnings }))?;
        return Ok(());
    }
    let mut out: String = warnings.iter().map(|place| told::warning(place) + "\n").collect();
    out.push_str(&format!("{digest} could be applied\n"));
    ui::text(&out)?;
    Ok(())
}

fn made(global: &Global, applied: &AppliedPolicies, folder: Option<&Folder>) -> Outcome<()> {
    if global.json {
        ui::json(applied)?;
        return Ok(());
    }
    for warning in &applied.warnings {
        let mut warning = warning.clone();
        if let Some(folder) = folder.filter(|folder| folder.files.contains_key(&warning.file)) {
            warning.file = folder.path.join(&warning.file).display().to_string();
        }
        ui::say(&told::warning(&warning));
    }
    ui::text(&told::entry(&applied.set))?;
    if applied.set.status == stead_api::policy::PolicyStatus::Proposed {
        ui::say(&format!("hint: another person confirms it: stead policy confirm {}", applied.set.epoch));
    }
    Ok(())
}

async fn test(global: &Global, dir: &Path, tools: &[PathBuf], filter: Option<&str>, junit: Option<&Path>) -> Outcome {
    let mut folder = Folder::read(dir, tools)?;
    if global.server.is_some() {
        asked(global, async |client| {
            let found = client.check_policies(folder.files.clone()).await.map_err(|e| placed(e, &folder))?;
            folder.tools.extend(Folder::of_server("", PolicyFiles::new(), &found.tools).tools);
            Ok(())
        })
        .await?;
    }
    let results = local::ask(&folder, filter)?;
    if let Some(path) = junit {
        std::fs::write(path, local::junit(dir, &results)?)
            .map_err(|e| CliError::new(code::DATA_READONLY, format!("{}: {e}", path.display())))?;
    }
    if global.json { ui::json(&local::json(&results)) } else { ui::text(&local::text(&results)) }?;
    Ok(if results.iter().all(stead_policy::CaseResult::passed) { Exit::Ok } else { Exit::Failed })
}

async fn list(global: &Global, client: &Client) -> Outcome<()> {
    let mut page = client.policy_sets(&PageQuery { cursor: None, limit: Some(MAX_LIMIT) }).await?;
    while let Some(cursor) = page.next.take() {
        let more = client.policy_sets(&PageQuery { cursor: Some(cursor), limit: Some(MAX_LIMIT) }).await?;
        page.items.extend(more.items);
        page.next = more.next;
    }
    if global.json { ui::json(&page) } else { ui::text(&told::list(&page.items)) }?;
    Ok(())
}

/// One side of a comparison.
enum Side {
    Folder(Folder),
    Epoch(String),
}

impl Side {
    fn of(text: &str, tools: &[PathBuf]) -> Outcome<Self> {
        let epoch = text == "current" || text.bytes().all(|b| b.is_ascii_digit());
        match Path::new(text).is_dir() || !epoch {
            true => Folder::read(Path::new(text), tools).map(Self::Folder),
            false => Ok(Self::Epoch(text.to_owned())),
        }
    }
}

async fn diff(global: &Global, from: &str, to: &str, tools: &[PathBuf]) -> Outcome {
    let mut sides = [Side::of(from, tools)?, Side::of(to, tools)?];
    if sides.iter().any(|side| matches!(side, Side::Epoch(_))) {
        asked(global, async |client| {
            let mut entries = Vec::new();
            for side in &sides {
                entries.push(match side {
                    Side::Epoch(epoch) => Some((format!("epoch {epoch}"), client.policies(epoch).await?)),
                    Side::Folder(_) => None,
                });
            }
            // A folder is looked at beside the tools that the entry was applied to.
            let known: Vec<_> = entries.iter().flatten().flat_map(|(_, found)| found.tools.clone()).collect();
            for (side, entry) in sides.iter_mut().zip(entries) {
                match (side, entry) {
                    (Side::Folder(folder), _) => {
                        folder.tools.extend(Folder::of_server("", PolicyFiles::new(), &known).tools)
                    }
                    (side, Some((name, found))) => {
                        *side = Side::Folder(Folder::of_server(&name, found.files, &found.tools))
                    }
                    (Side::Epoch(_), None) => {}
                }
            }
            Ok(())
        })
        .await?;
    }
    let [Side::Folder(from), Side::Folder(to)] = &sides else {
        return Err(CliError::other("a side of the comparison is missing"));
    };
    let changes = stead_policy::diff(&from.compile()?, &to.compile()?);
    if global.json {
        ui::json(&changes.iter().map(change).collect::<Vec<_>>())?;
    } else if changes.is_empty() {
        ui::text("no difference\n")?;
    } else {
        ui::text(
            &changes
                .iter()
                .flat_map(|c| c.to_string().lines().map(|l| clean(l) + "\n").collect::<Vec<_>>())
                .collect::<String>(),
        )?;
    }
    Ok(Exit::Ok)
}

fn change(change: &Change) -> serde_json::Value {
    match change {
        Change::Added { policy, text } => json!({ "change": "added", "policy": &**policy, "after": text }),
        Change::Removed { policy, text } => json!({ "change": "removed", "policy": &**policy, "before": text }),
        Change::Changed { policy, before, after } => {
            json!({ "change": "changed", "policy": &**policy, "before": before, "after": after })
        }
        Change::Counter(name) => json!({ "change": "counter", "counter": name }),
    }
}
