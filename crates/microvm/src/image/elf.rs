//! What of a program has to be in a machine for it to run there: the part of its file that is loaded, and its libraries.

use std::{
    path::{Path, PathBuf},
    process::Command,
};

use crate::fault::{At, Fault};

/// A program, ready to be copied.
#[derive(Debug)]
pub(crate) struct Program {
    /// Its file without what comes after the last part that is loaded: symbols and lines for debuggers.
    pub(crate) bytes: Vec<u8>,
    /// Files that it needs at these same paths: the loader and libraries. None for a static one.
    pub(crate) needs: Vec<PathBuf>,
}

/// A kind of program header (`elf(5)`).
const INTERPRETER: u32 = 3;

/// Reads a program of this machine's own kind.
pub(crate) fn program(path: &Path) -> Result<Program, Fault> {
    let step = format!("reading {}", path.display());
    let mut bytes = std::fs::read(path).at(&step)?;
    let parsed = parse(&bytes).ok_or_else(|| Fault(format!("{step}: it is no 64-bit ELF program")))?;
    let needs = match &parsed.interpreter {
        None => Vec::new(),
        Some(loader) => libraries(loader, path)?,
    };
    bytes.truncate(parsed.end);
    // There are no sections any more: where they are, how many, and which one names them.
    bytes[0x28..0x30].fill(0);
    bytes[0x3c..0x40].fill(0);
    Ok(Program { bytes, needs })
}

struct Parsed {
    end: usize,
    interpreter: Option<PathBuf>,
}

fn parse(bytes: &[u8]) -> Option<Parsed> {
    if bytes.get(..6)? != b"\x7fELF\x02\x01" {
        return None;
    }
    let short = |at: usize| Some(usize::from(u16::from_le_bytes(bytes.get(at..at + 2)?.try_into().ok()?)));
    let word = |at: usize| Some(u32::from_le_bytes(bytes.get(at..at + 4)?.try_into().ok()?));
    let long = |at: usize| usize::try_from(u64::from_le_bytes(bytes.get(at..at + 8)?.try_into().ok()?)).ok();
    let (table, size, count) = (long(0x20)?, short(0x36)?, short(0x38)?);
    let mut parsed = Parsed { end: table.checked_add(size.checked_mul(count)?)?, interpreter: None };
    for header in (0..count).map(|i| table + i * size) {
        let (at, length) = (long(header + 8)?, long(header + 0x20)?);
        let part = bytes.get(at..at.checked_add(length)?)?;
        parsed.end = parsed.end.max(at + length);
        if word(header)? == INTERPRETER {
            let name = std::str::from_utf8(part.strip_suffix(&[0]).unwrap_or(part)).ok()?;
            parsed.interpreter = Some(name.into());
        }
    }
    Some(parsed)
}

/// Asks the program's own loader what it would load, as `ldd(1)` does.
fn libraries(loader: &Path, program: &Path) -> Result<Vec<PathBuf>, Fault> {
    let step = format!("asking {} for the libraries of {}", loader.display(), program.display());
    let said = Command::new(loader).arg("--list").arg(program).env_clear().output().at(&step)?;
    if !said.status.success() {
        return Err(Fault(format!("{step}: {}", String::from_utf8_lossy(&said.stderr).trim())));
    }
    let mut needs = vec![loader.to_owned()];
    for line in String::from_utf8_lossy(&said.stdout).lines() {
        // `libc.so.6 => /lib/x86_64-linux-gnu/libc.so.6 (0x…)`; the kernel's own page has no path.
        if let Some(path) = line.split("=>").nth(1).and_then(|rest| rest.split(" (").next()).map(str::trim) {
            if !path.starts_with('/') {
                return Err(Fault(format!("{step}: {}", line.trim())));
            }
            needs.push(path.into());
        }
    }
    Ok(needs)
}

#[cfg(test)]
mod tests {
    #![expect(clippy::unwrap_used, reason = "tests")]
    use super::*;

    #[test]
    fn a_program_without_what_is_not_loaded_still_runs() {
        let dir = tempfile::tempdir().unwrap();
        let whole = std::fs::read("/bin/true").unwrap();
        let program = program(Path::new("/bin/true")).unwrap();
        assert!(program.bytes.len() <= whole.len());
        assert!(program.needs.iter().any(|p| p.to_string_lossy().contains("libc.so")), "{:?}", program.needs);
        let copy = dir.path().join("true");
        std::fs::write(&copy, &program.bytes).unwrap();
        std::fs::set_permissions(&copy, std::os::unix::fs::PermissionsExt::from_mode(0o755)).unwrap();
        assert!(Command::new(copy).status().unwrap().success());
        assert!(program_of(b"#!/bin/sh").is_none());
    }

    fn program_of(bytes: &[u8]) -> Option<usize> {
        parse(bytes).map(|p| p.end)
    }
}
