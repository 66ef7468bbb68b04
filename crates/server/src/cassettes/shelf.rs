//! Where the cassettes of recorded runs stand: `cassettes/RUN.jsonl` in the data directory. That the file exists is what
//! makes a run a recorded one, so that it stays one after a restart.

use std::{
    collections::HashMap,
    fs,
    io::{self, Write as _},
    os::unix::fs::{DirBuilderExt as _, FileExt as _, OpenOptionsExt as _},
    path::{Path, PathBuf},
    sync::atomic::{AtomicBool, Ordering},
};

use parking_lot::Mutex;
use stead_core::id::RunId;
use stead_models::cassette::{Exchange, Header, MAX_CASSETTE, Request, Tape};
use stead_ports::BoxFuture;
use stead_store::LineKey;

/// Runs whose last request is remembered, so that the next does not repeat its messages.
const REMEMBERED: usize = 256;

/// See the module.
#[derive(Debug)]
pub(crate) struct Shelf {
    dir: PathBuf,
    /// Most bytes of a cassette.
    most: usize,
    /// Whether any run was ever recorded here: without one, no call looks for a file.
    any: AtomicBool,
    last: Mutex<HashMap<RunId, Request>>,
    /// Seals lines, when the store is encrypted.
    lines: Option<LineKey>,
}

impl Shelf {
    /// The shelf of a data directory.
    pub(crate) fn new(data_dir: &Path) -> Self {
        let dir = Self::folder(data_dir);
        Self { any: AtomicBool::new(dir.is_dir()), dir, most: MAX_CASSETTE, last: Mutex::default(), lines: None }
    }

    /// The same, whose lines are sealed from now on.
    pub(crate) fn sealed(self, lines: Option<LineKey>) -> Self {
        Self { lines, ..self }
    }

    /// The folder of a data directory's cassettes.
    pub(crate) fn folder(data_dir: &Path) -> PathBuf {
        data_dir.join("cassettes")
    }

    fn path(&self, run: RunId) -> PathBuf {
        self.dir.join(format!("{run}.jsonl"))
    }

    /// Makes a run a recorded one, before its first call.
    pub(crate) fn begin(&self, run: RunId, header: &Header) -> io::Result<()> {
        fs::DirBuilder::new().recursive(true).mode(0o700).create(&self.dir)?;
        let mut file = fs::OpenOptions::new().create_new(true).write(true).mode(0o600).open(self.path(run))?;
        file.write_all(sealed(self.lines.as_ref(), run, 0, header.line())?.as_bytes())?;
        self.any.store(true, Ordering::Release);
        Ok(())
    }

    /// The run was never started.
    pub(crate) fn forget(&self, run: RunId) {
        // What stays behind belongs to no run.
        let _ = fs::remove_file(self.path(run));
    }

    /// Removes the cassette of a run that has ended.
    ///
    /// # Errors
    /// When it is there and cannot be removed.
    pub(crate) fn erase(&self, run: RunId) -> io::Result<()> {
        self.last.lock().remove(&run);
        match fs::remove_file(self.path(run)) {
            Err(e) if e.kind() != io::ErrorKind::NotFound => Err(e),
            _ => Ok(()),
        }
    }

    /// The cassette of a recorded run.
    pub(crate) async fn read(&self, run: RunId) -> io::Result<Option<String>> {
        match tokio::fs::read_to_string(self.path(run)).await {
            Ok(text) => opened(self.lines.as_ref(), run, text).map(Some),
            Err(e) if e.kind() == io::ErrorKind::NotFound => Ok(None),
            Err(e) => Err(e),
        }
    }

    fn line(&self, run: RunId, exchange: Exchange) -> String {
        let mut last = self.last.lock();
        let line = exchange.line(last.get(&run));
        if last.len() >= REMEMBERED && !last.contains_key(&run) {
            last.clear();
        }
        match exchange.request {
            Some(request) => last.insert(run, request),
            None => last.remove(&run),
        };
        line
    }
}

/// A line as it is kept at byte `at`.
fn sealed(lines: Option<&LineKey>, run: RunId, at: u64, line: String) -> io::Result<String> {
    let Some(lines) = lines else { return Ok(line) };
    let sealed = lines.seal(&run.to_string(), at, line.strip_suffix('\n').unwrap_or(&line));
    sealed.map(|sealed| sealed + "\n").map_err(io::Error::other)
}

/// A cassette as it was before it was sealed.
fn opened(lines: Option<&LineKey>, run: RunId, text: String) -> io::Result<String> {
    let Some(lines) = lines else { return Ok(text) };
    let (file, mut at, mut out) = (run.to_string(), 0, String::with_capacity(text.len()));
    for line in text.split_inclusive('\n') {
        // One without an end was cut off by a crash, and is no part of it.
        if let Some(whole) = line.strip_suffix('\n') {
            let opened = lines.open(&file, at, whole);
            let shut = || io::Error::new(io::ErrorKind::InvalidData, "a line cannot be decrypted");
            out.push_str(&opened.ok_or_else(shut)?);
            out.push('\n');
        }
        at += line.len() as u64;
    }
    Ok(out)
}

/// Adds a line, after whole lines only: one that a crash cut off is taken away first.
fn add(path: &Path, line: String, most: usize, run: RunId, lines: Option<&LineKey>) -> io::Result<()> {
    let mut file = fs::OpenOptions::new().read(true).append(true).open(path)?;
    let length = file.metadata()?.len();
    mend(&file, length)?;
    let at = file.metadata()?.len();
    let line = sealed(lines, run, at, line)?;
    if at + line.len() as u64 > most as u64 {
        return Err(io::Error::other(format!("a cassette holds at most {} MiB", most >> 20)));
    }
    file.write_all(line.as_bytes())
}

/// Cuts off a line without an end.
fn mend(file: &fs::File, length: u64) -> io::Result<()> {
    let mut block = [0; 8 << 10];
    let mut end = length;
    while end > 0 {
        let start = end.saturating_sub(block.len() as u64);
        let piece = &mut block[..usize::try_from(end - start).unwrap_or_default()];
        file.read_exact_at(piece, start)?;
        if let Some(last) = piece.iter().rposition(|b| *b == b'\n') {
            end = start + last as u64 + 1;
            break;
        }
        end = start;
    }
    if end < length { file.set_len(end) } else { Ok(()) }
}

impl Tape for Shelf {
    fn records(&self, run: RunId) -> bool {
        self.any.load(Ordering::Acquire) && self.path(run).exists()
    }

    fn keep(&self, run: RunId, exchange: Exchange) -> BoxFuture<'_, ()> {
        Box::pin(async move {
            let (path, line, most) = (self.path(run), self.line(run, exchange), self.most);
            let lines = self.lines.clone();
            let kept = tokio::task::spawn_blocking(move || add(&path, line, most, run, lines.as_ref())).await;
            let kept = kept.unwrap_or_else(|e| Err(io::Error::other(e)));
            if let Err(e) = kept {
                // What follows must not refer to it.
                self.last.lock().remove(&run);
                tracing::warn!(%run, error = %e, "an exchange was not recorded");
            }
        })
    }
}

#[cfg(test)]
mod tests {
    #![expect(clippy::unwrap_used, reason = "tests")]
    use std::sync::Arc;

    use stead_core::message::{Message, Reply};
    use stead_models::cassette::{Cassette, Outcome, Source};
    use stead_ports::model::ModelCall;

    use super::*;

    const RUN: RunId = RunId(7);

    /// The exchange of a turn: the conversation grows by a message each time.
    fn exchange(turn: u32, says: &str) -> Exchange {
        let call = ModelCall {
            run: RUN,
            turn,
            attempt: 1,
            instructions: "x".into(),
            messages: (0..turn).map(|n| Arc::new(Message::user(n.to_string()))).collect(),
            tools: Arc::new([]),
            output: None,
            max_output_tokens: 1,
            raw: None,
            begun: None,
        };
        Exchange {
            turn,
            attempt: 1,
            replies: 0,
            model: "m".into(),
            request: Some(Request::of(&call)),
            wire: None,
            outcome: Outcome::Reply(Box::new(Reply { text: says.to_owned(), ..Reply::default() })),
        }
    }

    fn begun(dir: &Path) -> Shelf {
        let shelf = Shelf::new(dir);
        assert!(!shelf.records(RUN));
        let header = Header::new(Source::Recorded, "a".into(), "v".into(), RUN.to_string());
        shelf.begin(RUN, &header).unwrap();
        assert!(shelf.records(RUN) && !shelf.records(RunId(8)));
        shelf
    }

    async fn turns(shelf: &Shelf) -> Vec<u32> {
        let text = shelf.read(RUN).await.unwrap().unwrap();
        Cassette::parse(&text).unwrap().exchanges.iter().map(|e| e.turn).collect()
    }

    #[tokio::test]
    async fn a_line_that_a_crash_cut_off_is_no_part_of_what_follows() {
        let dir = tempfile::tempdir().unwrap();
        let shelf = begun(dir.path());
        shelf.keep(RUN, exchange(1, "one")).await;
        shelf.keep(RUN, exchange(2, "two")).await;
        let file = fs::OpenOptions::new().write(true).open(shelf.path(RUN)).unwrap();
        file.set_len(file.metadata().unwrap().len() - 9).unwrap();
        assert_eq!(turns(&shelf).await, [1]);
        // Another process goes on.
        let shelf = Shelf::new(dir.path());
        assert!(shelf.records(RUN));
        shelf.keep(RUN, exchange(2, "two")).await;
        shelf.keep(RUN, exchange(3, "three")).await;
        assert_eq!(turns(&shelf).await, [1, 2, 3]);
    }

    #[tokio::test]
    async fn what_finds_no_room_is_missing_and_the_rest_can_be_read() {
        let dir = tempfile::tempdir().unwrap();
        let shelf = Shelf { most: 4_000, ..begun(dir.path()) };
        shelf.keep(RUN, exchange(1, "one")).await;
        shelf.keep(RUN, exchange(2, &"x".repeat(4_000))).await;
        shelf.keep(RUN, exchange(3, "three")).await;
        assert_eq!(turns(&shelf).await, [1, 3]);
    }
}
