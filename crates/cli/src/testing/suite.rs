//! The cases of an agent, and running them beside each other.

use std::{
    fs,
    path::{Component, Path, PathBuf},
    time::{Duration, Instant},
};

use futures_util::future::join_all;
use stead_api::agent::ApplyAgent;
use stead_core::{code, id::Name};
use stead_manifest::{
    ManifestError,
    cases::{Case, Crash, parse_case},
};
use stead_server::{
    cassettes::MAX_CASSETTE,
    testing::{CrashAt, Moment, StandIn},
};
use tokio::sync::Semaphore;

use super::{
    judge::{Finding, judge},
    play::{Broken, Played, application, play},
};
use crate::{
    error::{CliError, Outcome},
    ui::term::short,
};

/// Most cases of an agent.
const MAX_CASES: usize = 10_000;
/// Most bytes of a file that a case names: a cassette is the largest.
const MAX_FILE: u64 = MAX_CASSETTE as u64;

/// The agent under test.
pub(crate) struct Subject {
    pub(crate) name: Name,
    pub(crate) apply: ApplyAgent,
    /// Its folder.
    pub(crate) dir: PathBuf,
}

/// A case with what its files say.
pub(crate) struct TestCase {
    /// Its file's name without the ending.
    pub(crate) name: String,
    /// Its file, as errors call it.
    pub(crate) file: PathBuf,
    pub(crate) case: Case,
    pub(crate) model: Option<StandIn>,
}

/// See the module.
pub(crate) struct Suite {
    pub(crate) subject: Subject,
    pub(crate) cases: Vec<TestCase>,
}

/// What came of one way to play a case.
#[derive(Clone, Debug)]
pub(crate) struct Repetition {
    /// Where the runtime was killed.
    pub(crate) crash: Option<CrashAt>,
    pub(crate) findings: Vec<Finding>,
}

/// What came of a case.
pub(crate) struct Verdict<'s> {
    pub(crate) test: &'s TestCase,
    /// The ways in which it was played; the first without a crash.
    pub(crate) repetitions: Vec<Repetition>,
    /// What the first came to, if it came to an end.
    pub(crate) first: Option<Played>,
    pub(crate) took: Duration,
}

impl Verdict<'_> {
    pub(crate) fn passed(&self) -> bool {
        self.repetitions.iter().all(|r| r.findings.is_empty())
    }
}

impl Suite {
    /// Reads the agent and its cases.
    pub(crate) fn load(agent: &Path, filter: Option<&str>) -> Outcome<Self> {
        let bundle = stead_manifest::load(agent)?;
        let dir = if agent.is_dir() { agent } else { agent.parent().unwrap_or(Path::new(".")) };
        let folder = dir.join("tests");
        let none = || {
            CliError::new(code::NOT_FOUND, format!("there are no tests in {}", folder.display()))
                .hint("a case is a file such as tests/refund.yaml; docs/testing-agents.md describes it")
        };
        let mut files: Vec<PathBuf> = fs::read_dir(&folder)
            .map_err(|_| none())?
            .filter_map(|entry| Some(entry.ok()?.path()))
            .filter(|path| path.extension().is_some_and(|e| e == "yaml" || e == "yml"))
            .take(MAX_CASES)
            .collect();
        if files.is_empty() {
            return Err(none());
        }
        files.sort();
        let (mut cases, mut errors) = (Vec::new(), Vec::new());
        for file in files {
            let name = file.file_stem().unwrap_or_default().to_string_lossy().into_owned();
            if filter.is_some_and(|f| !name.contains(f)) {
                continue;
            }
            match read_case(dir, name, file) {
                Ok(case) => cases.push(case),
                Err(wrong) => errors.extend(wrong),
            }
        }
        if !errors.is_empty() {
            return Err(errors.into());
        }
        if let (true, Some(text)) = (cases.is_empty(), filter) {
            let text = short(text, 60);
            let what = format!("no case in {} has a name that holds `{text}`", folder.display());
            return Err(
                CliError::new(code::NOT_FOUND, what).hint("--filter takes a part of a file's name, without `.yaml`")
            );
        }
        let subject = Subject { name: bundle.manifest.name.clone(), apply: application(&bundle)?, dir: dir.to_owned() };
        Ok(Self { subject, cases })
    }

    /// Plays every case, with at most so many runtimes at once.
    pub(crate) async fn run(&self, jobs: usize) -> Outcome<Vec<Verdict<'_>>> {
        let slots = Semaphore::new(jobs);
        Ok(join_all(self.cases.iter().map(|test| self.case(test, &slots))).await)
    }

    async fn case<'s>(&'s self, test: &'s TestCase, slots: &Semaphore) -> Verdict<'s> {
        let mut took = Duration::ZERO;
        let (first, spent) = self.once(test, None, slots).await;
        took += spent;
        let mut repetitions = vec![self.judged(test, None, &first)];
        let first = first.ok();
        // A case that fails by itself is not told again for each crash.
        if let (Some(played), true) = (&first, repetitions[0].findings.is_empty()) {
            let crashes = crashes(test.case.crash, played.records);
            let again = join_all(crashes.into_iter().map(|crash| async move {
                let (played, spent) = self.once(test, Some(crash), slots).await;
                (self.judged(test, Some(crash), &played), spent)
            }));
            for (repetition, spent) in again.await {
                repetitions.push(repetition);
                took += spent;
            }
        }
        Verdict { test, repetitions, first, took }
    }

    async fn once(
        &self,
        test: &TestCase,
        crash: Option<CrashAt>,
        slots: &Semaphore,
    ) -> (Result<Played, Broken>, Duration) {
        let _slot = slots.acquire().await;
        let began = Instant::now();
        let played = play(&self.subject, test, crash).await;
        (played, began.elapsed())
    }

    fn judged(&self, test: &TestCase, crash: Option<CrashAt>, played: &Result<Played, Broken>) -> Repetition {
        let findings = match played {
            Ok(played) => judge(&self.subject.dir, &test.case, crash, played),
            Err(broken) => vec![Finding { path: broken.path.clone(), what: broken.what.clone() }],
        };
        Repetition { crash, findings }
    }
}

/// Where to kill the runtime, when the case takes so many records.
fn crashes(wish: Option<Crash>, records: u64) -> Vec<CrashAt> {
    let at = match wish {
        None | Some(Crash::Every(false)) => return Vec::new(),
        Some(Crash::At(record)) => record..=record,
        Some(Crash::Every(true)) => 1..=records,
    };
    at.flat_map(|record| [Moment::Before, Moment::After].map(|moment| CrashAt { record, moment })).collect()
}

fn read_case(dir: &Path, name: String, file: PathBuf) -> Result<TestCase, Vec<ManifestError>> {
    let shown = file.display().to_string();
    let text = read_text(&file).map_err(|e| vec![ManifestError::whole(code::MANIFEST_READ, &shown, e)])?;
    let case = parse_case(&text, &shown)?;
    let missing = |path: &str, e: String| vec![case.error(&shown, &text, code::MANIFEST_FILE, path, e)];
    let mut model = None;
    if let Some(stand_in) = &case.model {
        let (path, named) = match (&stand_in.rehearsal, &stand_in.cassette) {
            (Some(named), _) => ("model.rehearsal", named),
            (None, Some(named)) => ("model.cassette", named),
            (None, None) => return Err(missing("model", "it names no file".into())),
        };
        let told = inside(dir, named).and_then(|p| read_text(&p)).map_err(|e| missing(path, e))?;
        model = Some(match stand_in.rehearsal {
            Some(_) => StandIn::Rehearsal { file: named.clone(), text: told },
            None => StandIn::Cassette { file: named.clone(), text: told, loose: stand_in.loose },
        });
    }
    Ok(TestCase { name, file, case, model })
}

/// The path of a file that a case names, which must lie in the agent's folder, links followed.
pub(crate) fn inside(dir: &Path, named: &str) -> Result<PathBuf, String> {
    let relative = Path::new(named);
    let plain = relative.components().all(|c| matches!(c, Component::Normal(_) | Component::CurDir));
    let outside = || format!("`{named}` leads out of the agent's folder");
    if !plain {
        return Err(outside());
    }
    let root = dir.canonicalize().map_err(|e| format!("{}: {e}", dir.display()))?;
    let path = root.join(relative).canonicalize().map_err(|e| format!("`{named}` cannot be read: {e}"))?;
    if path.starts_with(&root) { Ok(path) } else { Err(outside()) }
}

/// The text of a regular file.
pub(crate) fn read_text(path: &Path) -> Result<String, String> {
    let told = |e: &dyn std::fmt::Display| format!("{} cannot be read: {e}", path.display());
    let metadata = fs::metadata(path).map_err(|e| told(&e))?;
    if !metadata.is_file() || metadata.len() > MAX_FILE {
        return Err(told(&"not a regular file of at most 64 MiB"));
    }
    fs::read_to_string(path).map_err(|e| told(&e))
}
