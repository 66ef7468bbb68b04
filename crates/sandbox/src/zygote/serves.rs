//! Which commands a zygote can start: those for which nothing that an interpreter reads at its start is other than it was for
//! the zygote. What is not certain starts cold.

use std::path::Path;

use stead_tier::program::{self, PATH, candidates};

use super::stamp::Identity;
use crate::wire::Plan;

/// The program that a zygote runs.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Interpreter {
    pub(super) path: String,
    pub(super) identity: Identity,
}

impl Interpreter {
    /// The one that `python3` means in a box. Needs the root of boxes.
    pub(super) fn find() -> Option<Self> {
        candidates("python3", PATH)
            .into_iter()
            .find_map(|path| Identity::of(&path).map(|identity| Self { path, identity }))
            .filter(|found| !in_an_environment(&found.path))
    }
}

/// Where folders may be mounted without a zygote's files being hidden.
const ELSEWHERE: &[&str] = &["/workspace", "/data", "/mnt", "/opt", "/srv", "/tmp", "/home/box"];
/// Variables that loader, C library or interpreter look at when they start, by how their names begin.
const AT_START: &[&str] = &["PYTHON", "LD_", "GLIBC_", "MALLOC_", "LC_", "LANG", "LOCPATH", "GCONV_PATH", "OPENSSL_"];

/// Whether it can, or why not.
pub(super) fn serves(interpreter: &Interpreter, plan: &Plan) -> Result<(), String> {
    if plan.root.is_some() {
        return Err("the box has a root of its own".to_owned());
    }
    if plan.terminal.is_some() {
        return Err("the command has a terminal".to_owned());
    }
    let below = |path: &str, folder: &str| Path::new(path).starts_with(folder);
    if let Some(mount) = plan.mounts.iter().find(|m| !ELSEWHERE.iter().any(|folder| below(&m.at, folder))) {
        return Err(format!("a folder is mounted on {}", mount.at));
    }
    let early = |(name, value): &&(String, String)| {
        AT_START.iter().any(|start| name.starts_with(start)) && !(name == "LANG" && value == "C.UTF-8")
    };
    if let Some((name, _)) = plan.env.iter().find(early) {
        return Err(format!("the variable {name} is looked at when an interpreter starts"));
    }
    words(&plan.words)?;
    let path = program::path(&plan.env);
    let own = |candidate: &str| {
        !candidate.starts_with('/')
            || candidate.contains("/../")
            || ELSEWHERE.iter().chain(&["/dev/shm", "/proc"]).any(|folder| below(candidate, folder))
    };
    for candidate in candidates(&plan.words[0], path) {
        if own(&candidate) {
            return Err("its program may lie in a folder of the box's own".to_owned());
        }
        match Identity::of(&candidate) {
            None => {}
            Some(found) if found == interpreter.identity && !in_an_environment(&candidate) => return Ok(()),
            Some(_) => return Err(format!("{candidate} is not the zygote's {}", interpreter.path)),
        }
    }
    Err(format!("{} is not there", plan.words[0]))
}

fn words(words: &[String]) -> Result<(), String> {
    match words.get(1).map(String::as_str) {
        None | Some("-") => Ok(()),
        Some("-c" | "-m") if words.len() > 2 => Ok(()),
        Some(file) if !file.starts_with('-') && !file.is_empty() => Ok(()),
        Some(option) => Err(format!("the interpreter is given {option:?}")),
    }
}

/// Whether an interpreter at this path belongs to a virtual environment (PEP 405).
fn in_an_environment(path: &str) -> bool {
    let folders = Path::new(path).ancestors().skip(1).take(2);
    folders.map(|folder| folder.join("pyvenv.cfg")).any(|file| file.exists())
}

#[cfg(test)]
mod tests {
    #![expect(clippy::unwrap_used, reason = "tests")]

    use super::*;
    use crate::wire::{Access, Folder, Place};

    fn python() -> Interpreter {
        Interpreter::find().expect("python3 is missing; install it: apt-get install python3")
    }

    fn plan(words: &[&str]) -> Plan {
        Plan { words: words.iter().map(|w| (*w).to_owned()).collect(), ..Plan::default() }
    }

    fn refused(plan: &Plan, why: &str) {
        let said = serves(&python(), plan).unwrap_err();
        assert!(said.contains(why), "{said}");
    }

    #[test]
    fn the_usual_ways_to_start_python_are_served() {
        let real = std::fs::canonicalize(python().path).unwrap();
        for words in [
            &["python3"][..],
            &["python3", "-"],
            &["python3", "-c", "print(1)", "-x"],
            &["python3", "-m", "json.tool"],
            &["python3", "/workspace/main.py", "--flag"],
            &[real.to_str().unwrap(), "main.py"],
        ] {
            assert_eq!(serves(&python(), &plan(words)), Ok(()), "{words:?}");
        }
    }

    #[test]
    fn what_an_interpreter_would_do_otherwise_is_not_served() {
        for words in [&["python3", "-I", "x.py"][..], &["python3", "-c"], &["python3", "-u", "x.py"], &["python3", ""]]
        {
            refused(&plan(words), "is given");
        }
        refused(&plan(&["sh", "-c", "python3"]), "is not the zygote's");
        refused(&plan(&["./python3", "x.py"]), "folder of the box's own");
        refused(&plan(&["/tmp/venv/bin/python3", "x.py"]), "folder of the box's own");
        refused(&plan(&["no-such-program"]), "is not there");
        for (name, value) in [("PYTHONPATH", "/data"), ("LD_PRELOAD", "x"), ("LC_ALL", "C"), ("LANG", "de_DE.UTF-8")] {
            let env = vec![(name.to_owned(), value.to_owned())];
            refused(&Plan { env, ..plan(&["python3"]) }, name);
        }
        let env = vec![("PATH".to_owned(), "/workspace/bin:/usr/bin".to_owned())];
        refused(&Plan { env, ..plan(&["python3"]) }, "folder of the box's own");
        refused(&Plan { root: Some(Folder::default()), ..plan(&["python3"]) }, "root of its own");
        refused(&Plan { terminal: Some((24, 80)), ..plan(&["python3"]) }, "terminal");
        let place = Place { at: "/usr/local/lib".into(), from: Folder::default(), access: Access::ReadOnly };
        refused(&Plan { mounts: vec![place], ..plan(&["python3"]) }, "/usr/local/lib");
    }

    #[test]
    fn what_only_the_program_reads_does_not_matter() {
        let env = [("HOME", "/workspace"), ("LANG", "C.UTF-8"), ("TZ", "Asia/Tokyo"), ("MINE", "1")];
        let env = env.map(|(name, value)| (name.to_owned(), value.to_owned())).to_vec();
        assert_eq!(serves(&python(), &Plan { env, ..plan(&["python3"]) }), Ok(()));
    }
}
