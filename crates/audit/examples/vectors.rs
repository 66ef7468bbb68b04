//! Writes the vectors of `docs/audit-log.md` that do not exist yet: `cargo run -p stead-audit --example vectors -- DIR`. They come
//! out of a seed, so they are the same on each machine; a file that exists is never touched.
#![expect(unreachable_pub, clippy::disallowed_methods, reason = "shared with tests; writes files")]

#[path = "../tests/shared/cases.rs"]
mod cases;
#[path = "../tests/shared/certificates.rs"]
mod certificates;
#[path = "../tests/shared/history.rs"]
mod history;

use std::{fs, path::PathBuf, process::ExitCode};

fn main() -> ExitCode {
    let Some(folder) = std::env::args_os().nth(1).map(PathBuf::from) else {
        return ExitCode::from(2);
    };
    for (name, value) in cases::all() {
        let path = folder.join(name);
        if path.exists() {
            continue;
        }
        let text = serde_json::to_string_pretty(&value).expect("JSON of texts and numbers") + "\n";
        if fs::write(path, text).is_err() {
            return ExitCode::FAILURE;
        }
    }
    ExitCode::SUCCESS
}
