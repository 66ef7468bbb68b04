//! What is outside of the database and no cassette: the paths that boxes of a run asked hosts for, in `egress.jsonl`. They are written over
//! where they stand, byte for byte, so that whoever appends meanwhile is not disturbed.

use std::{
    collections::HashSet,
    fs::OpenOptions,
    io::{self, BufRead as _, BufReader},
    os::unix::fs::FileExt as _,
    path::Path,
};

/// The files.
const FILES: [&str; 2] = ["egress.jsonl", "egress.1.jsonl"];
/// What stands before a path.
const PATH: &[u8] = b"\"path\":\"";

/// Writes over the paths in the lines of these runs.
///
/// # Errors
/// When a file that is there cannot be read or written.
pub(super) fn redact(folder: &Path, runs: &HashSet<String>) -> io::Result<()> {
    for name in FILES {
        match OpenOptions::new().read(true).write(true).open(folder.join(name)) {
            Ok(file) => {
                let (mut reader, mut line, mut at) = (BufReader::new(&file), Vec::new(), 0);
                while reader.read_until(b'\n', &mut line)? > 0 {
                    if let Some((from, len)) = path_of(&line, runs) {
                        file.write_all_at(&vec![b'*'; len], at + from as u64)?;
                    }
                    at += line.len() as u64;
                    line.clear();
                }
                file.sync_all()?;
            }
            Err(e) if e.kind() == io::ErrorKind::NotFound => {}
            Err(e) => return Err(e),
        }
    }
    Ok(())
}

/// Where the path stands in a line of one of the runs, and how long it is.
fn path_of(line: &[u8], runs: &HashSet<String>) -> Option<(usize, usize)> {
    let entry: serde_json::Value = serde_json::from_slice(line).ok()?;
    let whose = entry.get("whose")?.as_str()?;
    // `run_…`, with what it was doing behind it.
    let run = whose.split(['.', ' ', '/']).next()?;
    if !runs.contains(run) {
        return None;
    }
    let from = line.windows(PATH.len()).position(|part| part == PATH)? + PATH.len();
    let mut len = 0;
    while *line.get(from + len)? != b'"' {
        len += if line[from + len] == b'\\' { 2 } else { 1 };
    }
    Some((from, len))
}

#[cfg(test)]
mod tests {
    #![expect(clippy::unwrap_used, reason = "tests")]
    use std::fs;

    use super::*;

    #[test]
    fn the_paths_of_a_run_go_and_those_of_others_stay() {
        let dir = tempfile::tempdir().unwrap();
        let line = |run: &str| format!("{{\"whose\":\"{run}\",\"host\":\"h\",\"path\":\"/a\\\"b?ada\"}}\n");
        let all = line("run_01") + &line("run_02") + &line("run_01.e3");
        fs::write(dir.path().join("egress.jsonl"), &all).unwrap();
        redact(dir.path(), &HashSet::from(["run_01".to_owned()])).unwrap();
        let after = fs::read_to_string(dir.path().join("egress.jsonl")).unwrap();
        assert_eq!((after.len(), after.matches("ada").count()), (all.len(), 1));
        assert!(after.lines().all(|line| serde_json::from_str::<serde_json::Value>(line).is_ok()), "{after}");
        assert!(after.lines().nth(1).unwrap().contains("ada"));
    }
}
