//! `stead audit`: looking at the audit log, taking proofs out of it, and verifying them without it.

mod all;
mod duties;
mod erase;
mod evidence;
mod export;
mod offline;
mod show;

use std::path::{Path, PathBuf};

use clap::{Args, Subcommand, ValueEnum};
use stead_api::audit::{AuditEntries, MAX_BUNDLE, OPERATORS, TENANT};
use stead_client::{BundleQuery, Client, EntryQuery};
use stead_core::{code, id::RunId};

use crate::{
    cli::Global,
    connect::{Connection, Need},
    error::{CliError, Outcome},
    exit::Exit,
    ui,
};

/// How often a log that is followed is looked at.
const AGAIN: std::time::Duration = std::time::Duration::from_millis(500);

/// Look at the audit log, take proofs out of it, and verify them without a server
#[derive(Debug, Args)]
pub(crate) struct Audit {
    #[command(subcommand)]
    verb: Verb,
}

/// Which log.
#[derive(Clone, Copy, Debug, Default, ValueEnum)]
enum Which {
    /// That of the tenant: what its runs did
    #[default]
    Tenant,
    /// That of the operators: what they did; it takes the right `admin`
    Operators,
}

impl Which {
    const fn name(self) -> &'static str {
        match self {
            Self::Tenant => TENANT,
            Self::Operators => OPERATORS,
        }
    }
}

#[derive(Debug, Subcommand)]
enum Verb {
    /// List the logs, with the keys that verify them
    Logs,
    /// List the leaves of a log, or those of a run
    Ls {
        /// Only the leaves of this run
        #[arg(long)]
        run: Option<RunId>,
        /// From this index on
        #[arg(long, value_name = "INDEX", default_value_t = 0)]
        from: u64,
        /// Leaves at most
        #[arg(long, value_name = "N", default_value_t = 50, value_parser = clap::value_parser!(u32).range(1..=500))]
        limit: u32,
        #[command(flatten)]
        of: Of,
    },
    /// Show a leaf
    Show {
        /// Its index
        index: u64,
        #[command(flatten)]
        of: Of,
    },
    /// List the last leaves of a log
    Tail {
        /// Leaves
        #[arg(short, value_name = "N", default_value_t = 20, value_parser = clap::value_parser!(u32).range(1..=500))]
        n: u32,
        /// Go on with those that come
        #[arg(long, short)]
        follow: bool,
        #[command(flatten)]
        of: Of,
    },
    /// Write the newest checkpoint: keep it where nobody who has the server can change it
    Checkpoint {
        /// A file instead of stdout
        #[arg(long, short, value_name = "FILE")]
        output: Option<PathBuf>,
        /// The newest one that witnesses have signed
        #[arg(long)]
        cosigned: bool,
        #[command(flatten)]
        of: Of,
    },
    /// Take the proof that a leaf is in the log, and check it
    Prove {
        /// Its index
        index: u64,
        #[command(flatten)]
        of: Of,
    },
    /// Write a bundle: a file that proves leaves to whoever has the log's key, without a connection to anything
    Bundle {
        /// The leaves of this run, with its records
        #[arg(long, conflicts_with_all = ["from", "to"])]
        run: Option<RunId>,
        /// The first index; 0 without it
        #[arg(long, value_name = "INDEX")]
        from: Option<u64>,
        /// The index after the last; the end of the log without it
        #[arg(long, value_name = "INDEX")]
        to: Option<u64>,
        /// A checkpoint that was kept: the bundle proves that the log contains it; may be repeated
        #[arg(long, value_name = "FILE")]
        held: Vec<PathBuf>,
        /// Leaves alone, without the records and acts that they are about
        #[arg(long)]
        no_records: bool,
        /// Records without their texts
        #[arg(long)]
        no_texts: bool,
        /// Under the newest checkpoint that witnesses have signed
        #[arg(long)]
        cosigned: bool,
        /// The file
        #[arg(long, short, value_name = "FILE")]
        output: PathBuf,
        #[command(flatten)]
        of: Of,
    },
    /// Write a log for other tools, each leaf with its index
    Export {
        /// How
        #[arg(long, value_enum, default_value_t = export::Format::Jsonl)]
        format: export::Format,
        /// From this index on
        #[arg(long, value_name = "INDEX", default_value_t = 0)]
        from: u64,
        /// A file instead of stdout
        #[arg(long, short, value_name = "FILE")]
        output: Option<PathBuf>,
        #[command(flatten)]
        of: Of,
    },
    /// Write what the logs have to say of each duty of a law, with the bundles that prove it: evidence, not a verdict
    Evidence {
        /// Which law
        #[arg(long = "for", value_enum, value_name = "LAW")]
        whose: evidence::For,
        /// The folder, which is made
        #[arg(long, short, value_name = "DIR")]
        output: PathBuf,
    },
    /// Erase the texts of a person: facts, hashes and proofs stay
    ///
    /// All runs that work on behalf of the person lose their texts, files, workspaces and cassettes, and a signed certificate says so.
    Erase(erase::EraseArgs),
    /// List erasures, or write their certificates
    Erasures(erase::ErasuresArgs),
    /// Legal holds: what must not be erased or removed
    Hold {
        #[command(subcommand)]
        verb: erase::HoldVerb,
    },
    /// Verify a bundle or a certificate of an erasure, without a server; or a server's log against a checkpoint that was kept
    Verify {
        /// The bundle or certificate; without it the log of the server is held against --held
        #[arg(required_unless_present = "held")]
        bundle: Option<PathBuf>,
        /// The log's key, as `stead audit logs` told it: NAME+ID+KEY
        #[arg(long, value_name = "KEY")]
        key: String,
        /// A checkpoint that was kept: nothing before it may be changed
        #[arg(long, value_name = "FILE")]
        held: Option<PathBuf>,
        /// The key of a witness; may be repeated
        #[arg(long, value_name = "KEY")]
        witness: Vec<String>,
        /// How many of the witnesses must have signed
        #[arg(long, value_name = "N", default_value_t = 0)]
        quorum: usize,
        #[command(flatten)]
        of: Of,
    },
}

#[derive(Debug, Args)]
struct Of {
    /// Which log
    #[arg(long, value_enum, default_value_t = Which::Tenant)]
    log: Which,
}

pub(crate) async fn run(global: &Global, args: Audit) -> Outcome {
    // It needs no server.
    if let Verb::Verify { bundle: Some(bundle), key, held, witness, quorum, .. } = &args.verb {
        let trust = offline::trust(key, witness, *quorum)?;
        return offline::verify(global, bundle, &trust, held.as_deref());
    }
    // What is to be stopped must be able to end.
    let need = if matches!(&args.verb, Verb::Erase(erase) if erase.stop) { Need::Work } else { Need::Rest };
    let connection = Connection::open(global, need).await?;
    let outcome = verb(global, &connection.client, args.verb).await;
    connection.close().await;
    outcome
}

async fn verb(global: &Global, client: &Client, verb: Verb) -> Outcome {
    match verb {
        Verb::Logs => {
            let logs = client.audit_logs().await?;
            if let Some(why) = &logs.failing {
                ui::say(&format!("warning: nothing is integrated now: {why}"));
            }
            told(global, &logs, show::logs)?;
        }
        Verb::Ls { run, from, limit, of } => {
            let query = EntryQuery { from: i64::try_from(from).ok(), limit: Some(limit), run };
            let found = client.audit_entries(of.log.name(), &query).await?;
            told(global, &found, |found| show::list(&found.items))?;
            if let Some(next) = found.next {
                ui::say(&format!("hint: there is more: --from {next}"));
            }
        }
        Verb::Show { index, of } => {
            let query = EntryQuery { from: i64::try_from(index).ok(), limit: Some(1), run: None };
            let mut found = client.audit_entries(of.log.name(), &query).await?.items;
            let missing = || CliError::new(code::NOT_FOUND, format!("the log has no leaf {index}"));
            let entry = found.pop().filter(|entry| entry.index == index).ok_or_else(missing)?;
            told(global, &entry, show::one)?;
        }
        Verb::Tail { n, follow, of } => tail(global, client, of.log, n, follow).await?,
        Verb::Checkpoint { output, cosigned, of } => {
            let note = client.checkpoint(of.log.name(), cosigned).await?;
            match output {
                Some(path) => write(&path, note.as_bytes())?,
                None => ui::text(&note)?,
            }
        }
        Verb::Prove { index, of } => {
            let (log, proof) = (of.log.name(), client.inclusion(of.log.name(), index, None).await?);
            let logs = client.audit_logs().await?;
            let key = logs.items.into_iter().find(|found| found.log == log).map(|found| found.key);
            offline::check(&proof, &key.unwrap_or_default())?;
            told(global, &proof, show::proof)?;
        }
        Verb::Bundle { run, from, to, held, no_records, no_texts, cosigned, output, of } => {
            let links = held.iter().map(|path| offline::size(path)).collect::<Outcome<Vec<_>>>()?;
            let links: Vec<String> = links.iter().map(u64::to_string).collect();
            let links = (!links.is_empty()).then(|| links.join(","));
            let (records, texts) = (Some(!no_records), Some(!no_texts));
            let query = BundleQuery { run, from, to, links, records, texts, cosigned };
            let file = client.audit_bundle(of.log.name(), &query).await.map_err(|e| parted(e, run))?;
            write(&output, &file)?;
        }
        Verb::Export { format, from, output, of } => {
            export::write(client, of.log.name(), from, format, output.as_deref()).await?;
        }
        Verb::Evidence { whose, output } => evidence::write(global, client, whose, &output).await?,
        Verb::Erase(args) => erase::erase(global, client, args).await?,
        Verb::Erasures(args) => erase::list(global, client, args).await?,
        Verb::Hold { verb } => erase::hold(global, client, verb).await?,
        Verb::Verify { bundle: _, key, held, witness, quorum, of } => {
            let trust = offline::trust(&key, &witness, quorum)?;
            let Some(held) = held else { return Err(CliError::usage("name a bundle, or a checkpoint with --held")) };
            return offline::consistent(global, client, of.log.name(), &trust, &held).await;
        }
    }
    Ok(Exit::Ok)
}

/// What a server says of too many leaves, in words of this command.
fn parted(error: stead_client::ClientError, run: Option<RunId>) -> CliError {
    let large = error.code == code::TOO_LARGE && run.is_none();
    let error = CliError::from(error);
    if large { error.hint(format!("take {MAX_BUNDLE} at a time: --from and --to")) } else { error }
}

fn told<T: serde::Serialize>(global: &Global, value: &T, text: impl FnOnce(&T) -> String) -> Outcome<()> {
    if global.json { ui::json(value) } else { ui::text(&text(value)) }?;
    Ok(())
}

async fn tail(global: &Global, client: &Client, log: Which, n: u32, follow: bool) -> Outcome<()> {
    let mut query = EntryQuery { from: Some(-i64::from(n)), limit: Some(n), run: None };
    loop {
        let AuditEntries { items, size, .. } = client.audit_entries(log.name(), &query).await?;
        let next = items.last().map(|entry| entry.index + 1);
        if global.json {
            items.iter().try_for_each(ui::json_line)?;
        } else {
            ui::text(&show::lines(&items))?;
        }
        if !follow {
            return Ok(());
        }
        query = EntryQuery { from: i64::try_from(next.unwrap_or(size)).ok(), limit: Some(500), run: None };
        tokio::select! {
            () = tokio::time::sleep(AGAIN) => {}
            _ = tokio::signal::ctrl_c() => return Ok(()),
        }
    }
}

fn write(path: &Path, bytes: &[u8]) -> Outcome<()> {
    std::fs::write(path, bytes).map_err(|e| CliError::new(code::DATA_READONLY, format!("{}: {e}", path.display())))
}
