//! Reading and writing the small files of a control group.

use std::os::fd::BorrowedFd;

use rustix::{
    fs::{Mode, OFlags},
    io::Errno,
};

/// Writes a value.
pub(super) fn write(folder: BorrowedFd<'_>, file: &str, value: &str) -> Result<(), Errno> {
    let file = rustix::fs::openat(folder, file, OFlags::WRONLY | OFlags::CLOEXEC, Mode::empty())?;
    rustix::io::write(file, value.as_bytes())?;
    Ok(())
}

/// Reads a file, 4 KiB of it.
pub(super) fn read(folder: BorrowedFd<'_>, file: &str) -> Option<String> {
    let file = rustix::fs::openat(folder, file, OFlags::RDONLY | OFlags::CLOEXEC, Mode::empty()).ok()?;
    let mut room = [0; 4096];
    let n = rustix::io::read(file, &mut room).ok()?;
    String::from_utf8(room[..n].to_vec()).ok()
}

/// A file of one number.
pub(super) fn number(folder: BorrowedFd<'_>, file: &str) -> Option<u64> {
    read(folder, file)?.trim().parse().ok()
}

/// The number behind a word, in a file of lines `word number`.
pub(super) fn keyed(folder: BorrowedFd<'_>, file: &str, word: &str) -> Option<u64> {
    of(&read(folder, file)?, word)
}

fn of(text: &str, word: &str) -> Option<u64> {
    text.lines().find_map(|line| line.strip_prefix(word)?.strip_prefix(' ')?.trim().parse().ok())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_number_behind_a_whole_word_is_read() {
        let text = "oom_kill_disable 0\nunder_oom 0\noom_kill 3\n";
        assert_eq!(of(text, "oom_kill"), Some(3));
        assert_eq!((of(text, "oom"), of("max x", "max")), (None, None));
    }
}
