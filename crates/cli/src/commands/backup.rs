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
    backup::{self, KeySet, Pieces, Verified, key_path, verify},
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
/// restored into SQLite and PostgreSQL alike. What is a person's is sealed in it under a key of the person. The keys go to
/// a file of their own, FILE.keys unless you name another: keep it apart from the backup, nothing of theirs is restored without it.
#[derive(Debug, Args)]
#[command(args_conflicts_with_subcommands = true, subcommand_negates_reqs = true)]
pub(crate) struct Backup {
    /// The file to write, which must not exist; `-` is stdout
    #[arg(required = true)]
    file: Option<PathBuf>,
    /// Keep the key of the long texts' addresses out of the backup, and write it to this file
    #[arg(long, value_name = "FILE")]
    key_file: Option<PathBuf>,
    /// The file for the keys of persons; one of the same store makes room. FILE.keys when silent; needed when the backup goes to stdout
    #[arg(long, value_name = "FILE")]
    subject_keys: Option<PathBuf>,
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
        /// The file with the keys of persons; FILE.keys when silent, if it is there. Without it only the chain is proven of what is theirs
        #[arg(long, value_name = "FILE")]
        subject_keys: Option<PathBuf>,
    },
    /// Write the keys of persons to a file, apart from all backups
    ///
    /// With it backups that were taken until now are restored. After an erasure put it in the place of each file of keys that you have
    /// kept: the key of the person is not in it any more, and sealed backups of before show no text of theirs.
    Keys {
        /// The file; one of the same store makes room
        #[arg(long, short, value_name = "FILE")]
        output: PathBuf,
        /// Read this PostgreSQL database itself, whether a server works on it or not
        #[arg(long, value_name = "URL", value_parser = database)]
        store: Option<DatabaseUrl>,
    },
}

/// Where the keys of a backup's persons are when nobody names another file.
pub(crate) fn beside(file: &Path) -> Option<PathBuf> {
    (file != Path::new("-")).then(|| PathBuf::from(format!("{}.keys", file.display())))
}

/// The file of keys with which a backup is to be read, if there is one.
pub(crate) fn keys_for(named: Option<PathBuf>, file: &Path) -> Option<PathBuf> {
    named.or_else(|| beside(file).filter(|path| path.exists()))
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
    /// Records that are encrypted, and were not opened: STEAD_ENCRYPT names no key.
    sealed: u64,
    /// Whether what is a person's is sealed under keys of persons; it is not in data of before format 10.
    persons_sealed: bool,
    /// Records with texts of persons, long texts and others that were not opened: their keys are not there.
    shut: Shut,
    digest: String,
}

/// What had no key.
#[derive(Serialize)]
struct Shut {
    runs: u64,
    records: u64,
    blobs: u64,
    objects: u64,
}

impl Told {
    fn new(Verified { head, summary, shut, digest }: Verified) -> Self {
        Self {
            taken: Timestamp(head.taken),
            persons_sealed: head.is_sealed(),
            store: head.store,
            generation: head.generation,
            release: head.release,
            runs: summary.runs,
            unfinished: summary.unfinished,
            records: summary.records,
            blobs: summary.blobs,
            cassettes: summary.cassettes,
            addresses: summary.addresses,
            sealed: summary.sealed,
            shut: Shut {
                runs: shut.runs().count() as u64,
                records: shut.records,
                blobs: shut.blobs,
                objects: shut.objects,
            },
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
        let proven = match self.sealed {
            0 => proven,
            _ => " (encrypted: only the file's checksums are proven without STEAD_ENCRYPT)",
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
        let Shut { runs, records, blobs, objects } = self.shut;
        if records + blobs + objects > 0 {
            ui::text(&format!(
                "not looked into without keys of persons (--subject-keys): {} of {}, {}, {} of workspaces\n",
                text::counted(records, "record"),
                text::counted(runs, "run"),
                text::counted(blobs, "long text"),
                text::counted(objects, "object"),
            ))?;
        }
        Ok(())
    }
}

pub(crate) async fn run(global: &Global, args: Backup) -> Outcome {
    match (args.verb, args.file) {
        (Some(Verb::Verify { file, key_file, subject_keys }), _) => {
            let subject_keys = keys_for(subject_keys, &file);
            proven(file, key_file, subject_keys).await?.show(global)?;
        }
        (Some(Verb::Keys { output, store }), _) => {
            let keys = write_keys(global, &output, store.as_ref()).await?;
            let counted = text::counted(keys.len() as u64, "key");
            match global.json {
                true => ui::json(&serde_json::json!({ "keys": keys.len(), "file": output }))?,
                false => ui::line(&format!("{counted} in {}: keep it apart from the backups", output.display()))?,
            }
        }
        (None, Some(file)) => {
            let Some(keys) = args.subject_keys.or_else(|| beside(&file)) else {
                let error = CliError::usage("the backup goes to stdout: name a file for the keys of persons");
                return Err(error.hint("stead backup - --subject-keys FILE"));
            };
            take(global, &file, args.key_file.as_deref(), &keys, args.store.as_ref()).await?;
        }
        (None, None) => return Err(CliError::usage("name the file to write")),
    }
    Ok(Exit::Ok)
}

/// Writes the keys of persons as they are now.
async fn write_keys(global: &Global, path: &Path, store: Option<&DatabaseUrl>) -> Outcome<KeySet> {
    let failed = |e: stead_server::StoreError| CliError::new(e.code, e.detail);
    KeySet::replaceable(path).map_err(failed)?;
    let bytes = match store {
        Some(database) => backup::subject_keys_of(database, &global.data).await.map_err(failed)?,
        None => {
            let connection = Connection::open(global, Need::Rest).await?;
            let bytes = connection.client.subject_keys().await;
            connection.close().await;
            bytes?
        }
    };
    let keys = KeySet::from_bytes(path, &bytes).map_err(failed)?;
    keys.write(path).map_err(failed)?;
    Ok(keys)
}

async fn proven(file: PathBuf, key_file: Option<PathBuf>, subject_keys: Option<PathBuf>) -> Outcome<Told> {
    let work = move || -> Outcome<Verified> {
        verify(open(&file)?, key_file.as_deref(), subject_keys.as_deref()).map_err(|e| CliError::new(e.code, e.detail))
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

async fn take(
    global: &Global,
    file: &Path,
    key_file: Option<&Path>,
    keys: &Path,
    store: Option<&DatabaseUrl>,
) -> Outcome<()> {
    vacant(file)?;
    let others = [("the backup", Some(file)), ("--key-file", key_file)];
    if let Some((what, _)) = others.into_iter().find(|(_, other)| other.is_some_and(|other| is_same(other, keys))) {
        let error = CliError::usage(format!("the keys of persons and {what} are to be one file"));
        return Err(error.hint("name another file with --subject-keys"));
    }
    // Before anything else: that they can be had, and kept there, is not found out when the backup is done.
    write_keys(global, keys, store).await?;
    if let Some(path) = key_file {
        keep_key(global, path)?;
    }
    if let Err(error) = streamed(global, file, key_file.is_none(), store).await {
        // A key without its backup is of no use, and would be in the way of the next try; what failed is told.
        if let Some(path) = key_file.filter(|_| !file.exists()) {
            let _ = fs::remove_file(path);
        }
        return Err(error);
    }
    // And again: those that the backup has made are among them.
    let cure =
        format!("the backup is there, and is not restored without its keys: stead backup keys -o {}", keys.display());
    write_keys(global, keys, store).await.map_err(|e| e.hint(cure))?;
    // What was sent is one thing; what can be read back another.
    if file != Path::new("-") {
        let told = proven(file.to_owned(), key_file.map(Path::to_owned), Some(keys.to_owned())).await?;
        told.show(global)?;
        if !told.persons_sealed {
            ui::say(
                "warning: it has every text in the clear: its data is of before format 10, and has no keys of persons",
            );
            return Ok(());
        }
    }
    if !global.quiet {
        ui::say(&format!("hint: keep {} apart from the backup: it opens what is persons' in it", keys.display()));
    }
    Ok(())
}

/// Whether two names are of one place, which need not be there yet.
fn is_same(one: &Path, other: &Path) -> bool {
    let place = |path: &Path| {
        let folder = path.parent().filter(|p| !p.as_os_str().is_empty()).unwrap_or(Path::new("."));
        (fs::canonicalize(folder).unwrap_or_else(|_| folder.to_owned()), path.file_name().map(ToOwned::to_owned))
    };
    place(one) == place(other)
}

/// The backup itself, without the keys of its persons.
async fn streamed(global: &Global, file: &Path, with_key: bool, store: Option<&DatabaseUrl>) -> Outcome<()> {
    if let Some(database) = store {
        let pieces = backup::of_database(database, &global.data, with_key);
        return keep(pieces.map_err(|e| CliError::new(e.code, e.detail))?, file).await;
    }
    let connection = Connection::open(global, Need::Rest).await?;
    let taken = async {
        let pieces = connection.client.backup(with_key).await?;
        write(pieces.map(|p| p.map_err(CliError::from)), file).await
    };
    let taken = taken.await;
    connection.close().await;
    taken
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
