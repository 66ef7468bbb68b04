//! `stead backup`: everything that a store keeps, in one file, and the proof that it is whole.

use std::{
    fs::{self, File, OpenOptions},
    io::{self, BufReader, BufWriter, Write as _},
    os::unix::fs::OpenOptionsExt as _,
    path::{Path, PathBuf},
};

use clap::{Args, Subcommand};
use futures_util::{Stream, StreamExt as _, stream};
use serde::Serialize;
use stead_core::{code, id::VersionId, time::Timestamp};
use stead_server::{
    backup::{self, Pieces, Verified, key_path, verify},
    config::DatabaseUrl,
};

use crate::{
    cli::Global,
    connect::{Connection, Need},
    error::{CliError, Outcome},
    exit::Exit,
    ui::{self, text},
};

/// Bytes read or written at once.
const BUFFER: usize = 1 << 20;

/// Back everything up: the journal, long texts, agent versions, sessions, messages, cassettes
///
/// Online: a server that owns the data folder goes on working, and the backup is its state at one moment. The file can be
/// restored into SQLite and PostgreSQL alike. It holds every text in the clear; keep it like the data folder.
#[derive(Debug, Args)]
#[command(args_conflicts_with_subcommands = true, subcommand_negates_reqs = true)]
pub(crate) struct Backup {
    /// The file to write, which must not exist; `-` is stdout
    #[arg(required = true)]
    file: Option<PathBuf>,
    /// Keep the key of the long texts' addresses out of the backup, and write it to this file
    #[arg(long, value_name = "FILE")]
    key_file: Option<PathBuf>,
    /// Read this PostgreSQL database itself, whether a server works on it or not
    #[arg(long, value_name = "URL", value_parser = database)]
    store: Option<DatabaseUrl>,
    #[command(subcommand)]
    verb: Option<Verb>,
}

#[derive(Debug, Subcommand)]
enum Verb {
    /// Prove that a backup is whole: its checksums, and the chain of hashes of each run
    Verify {
        /// The backup; `-` is stdin
        file: PathBuf,
        /// Its key, when that is kept apart: then the addresses of the long texts are proven, too
        #[arg(long, value_name = "FILE")]
        key_file: Option<PathBuf>,
    },
}

/// Reads the URL of a database. It is not repeated in the error: it may hold a password.
pub(crate) fn database(url: &str) -> Result<DatabaseUrl, String> {
    DatabaseUrl::new(url).ok_or_else(|| "write postgres://user@host/database; the password may be in PGPASSWORD".into())
}

/// What is told of a backup.
#[derive(Serialize)]
struct Told {
    taken: Timestamp,
    store: String,
    generation: u32,
    release: String,
    runs: u64,
    unfinished: u64,
    records: u64,
    blobs: u64,
    cassettes: u64,
    /// Whether the addresses of the blobs were proven, for which the key is needed.
    addresses: bool,
    digest: String,
}

impl Told {
    fn new(Verified { head, summary, digest }: Verified) -> Self {
        Self {
            taken: Timestamp(head.taken),
            store: head.store,
            generation: head.generation,
            release: head.release,
            runs: summary.runs,
            unfinished: summary.unfinished,
            records: summary.records,
            blobs: summary.blobs,
            cassettes: summary.cassettes,
            addresses: summary.addresses,
            digest: VersionId(digest).to_string(),
        }
    }

    fn show(&self, global: &Global) -> Outcome<()> {
        if global.json {
            return Ok(ui::json(self)?);
        }
        let Self { taken, runs, unfinished, records, blobs, digest, .. } = self;
        let proven = if self.addresses { "" } else { " (their addresses are not proven without the key)" };
        let cassettes = match self.cassettes {
            0 => String::new(),
            n => format!("; {}", text::counted(n, "cassette")),
        };
        ui::text(&format!(
            "taken {} from {}, generation {}, by release {}\n{}, {unfinished} unfinished; {}; {}{proven}{cassettes}\n{digest}\n",
            text::instant(*taken),
            self.store,
            self.generation,
            self.release,
            text::counted(*runs, "run"),
            text::counted(*records, "record"),
            text::counted(*blobs, "long text"),
        ))?;
        Ok(())
    }
}

pub(crate) async fn run(global: &Global, args: Backup) -> Outcome {
    match (args.verb, args.file) {
        (Some(Verb::Verify { file, key_file }), _) => {
            proven(file, key_file).await?.show(global)?;
        }
        (None, Some(file)) => take(global, &file, args.key_file.as_deref(), args.store.as_ref()).await?,
        (None, None) => return Err(CliError::usage("name the file to write")),
    }
    Ok(Exit::Ok)
}

async fn proven(file: PathBuf, key_file: Option<PathBuf>) -> Outcome<Told> {
    let work = move || -> Outcome<Verified> {
        verify(open(&file)?, key_file.as_deref()).map_err(|e| CliError::new(e.code, e.detail))
    };
    let done = tokio::task::spawn_blocking(work).await;
    done.map_err(|e| CliError::other(e.to_string()))?.map(Told::new)
}

/// A backup, or stdin.
pub(crate) fn open(file: &Path) -> Outcome<Box<dyn io::Read + Send>> {
    if file == Path::new("-") {
        return Ok(Box::new(io::stdin()));
    }
    let opened = File::open(file).map_err(|e| CliError::other(format!("{}: {e}", file.display())))?;
    Ok(Box::new(BufReader::with_capacity(BUFFER, opened)))
}

async fn take(global: &Global, file: &Path, key_file: Option<&Path>, store: Option<&DatabaseUrl>) -> Outcome<()> {
    vacant(file)?;
    if let Some(path) = key_file {
        keep_key(global, path)?;
    }
    let taken = taken(global, file, key_file, store).await;
    if let (Err(_), Some(path)) = (&taken, key_file)
        && !file.exists()
    {
        // A key without its backup is of no use, and would be in the way of the next try; what failed is told.
        let _ = fs::remove_file(path);
    }
    taken
}

async fn taken(global: &Global, file: &Path, key_file: Option<&Path>, store: Option<&DatabaseUrl>) -> Outcome<()> {
    let with_key = key_file.is_none();
    match store {
        Some(database) => {
            let pieces = backup::of_database(database, &global.data, with_key);
            keep(pieces.map_err(|e| CliError::new(e.code, e.detail))?, file).await?;
        }
        None => {
            let connection = Connection::open(global, Need::Rest).await?;
            let taken = async {
                let pieces = connection.client.backup(with_key).await?;
                write(pieces.map(|p| p.map_err(CliError::from)), file).await
            };
            let taken = taken.await;
            connection.close().await;
            taken?;
        }
    }
    // What was sent is one thing; what can be read back another.
    if file != Path::new("-") {
        proven(file.to_owned(), key_file.map(Path::to_owned)).await?.show(global)?;
    }
    Ok(())
}

/// Writes a backup on its way to a file.
pub(crate) async fn keep(pieces: Pieces, file: &Path) -> Outcome<()> {
    let pieces = stream::unfold(pieces, |mut pieces| async move { Some((pieces.recv().await?, pieces)) });
    write(pieces.map(|p| p.map_err(|e| CliError::new(e.code, e.detail))), file).await
}

/// Copies the key of the data folder. A server elsewhere does not give it away by itself.
fn keep_key(global: &Global, path: &Path) -> Outcome<()> {
    let from = key_path(&global.data);
    let failed = |e: io::Error| CliError::new(code::BACKUP_KEY, format!("{}: {e}", from.display()));
    let key = fs::read(&from).map_err(failed)?;
    let mut file = fresh(path)?;
    let written = file.write_all(&key).and_then(|()| file.sync_all());
    if written.is_err() {
        let _ = fs::remove_file(path);
    }
    Ok(written?)
}

/// A file that only its owner can read, and that did not exist.
fn fresh(path: &Path) -> Outcome<File> {
    let opened = OpenOptions::new().write(true).create_new(true).mode(0o600).open(path);
    opened.map_err(|e| {
        let error = CliError::other(format!("{}: {e}", path.display()));
        if e.kind() == io::ErrorKind::AlreadyExists { error.hint("choose another name") } else { error }
    })
}

/// Refuses a name that something has already; stdout is always free.
fn vacant(file: &Path) -> Outcome<()> {
    if file == Path::new("-") || fs::symlink_metadata(file).is_err() {
        return Ok(());
    }
    Err(CliError::other(format!("{} exists already", file.display())).hint("choose another name"))
}

/// Writes the pieces to a file, which is there only when it is whole, or to stdout.
async fn write<B: AsRef<[u8]>>(pieces: impl Stream<Item = Outcome<B>>, file: &Path) -> Outcome<()> {
    let mut pieces = std::pin::pin!(pieces);
    if file == Path::new("-") {
        let mut out = io::stdout().lock();
        while let Some(piece) = pieces.next().await {
            out.write_all(piece?.as_ref())?;
        }
        return Ok(out.flush()?);
    }
    vacant(file)?;
    let part = PathBuf::from(format!("{}.part", file.display()));
    let written = async {
        let mut out = BufWriter::with_capacity(BUFFER, fresh(&part)?);
        while let Some(piece) = pieces.next().await {
            out.write_all(piece?.as_ref())?;
        }
        out.into_inner().map_err(io::IntoInnerError::into_error)?.sync_all()?;
        fs::rename(&part, file)?;
        let folder = file.parent().filter(|p| !p.as_os_str().is_empty()).unwrap_or(Path::new("."));
        File::open(folder)?.sync_all()?;
        Ok(())
    };
    let written = written.await;
    if written.is_err() {
        // Half a backup is none; that it cannot be removed is not what matters now.
        let _ = fs::remove_file(&part);
    }
    written
}
