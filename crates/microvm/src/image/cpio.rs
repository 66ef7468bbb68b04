//! An archive as the kernel unpacks it into its first filesystem: `newc` of cpio (Linux,
//! `Documentation/driver-api/early-userspace/buffer-format.rst`). Written in memory; parents come before what is in them.

use std::collections::BTreeSet;

/// The archive in the making.
#[derive(Debug, Default)]
pub(crate) struct Cpio {
    bytes: Vec<u8>,
    number: u32,
    folders: BTreeSet<String>,
}

const FOLDER: u32 = 0o040_000;
const FILE: u32 = 0o100_000;
const LINK: u32 = 0o120_000;

impl Cpio {
    /// A directory, with those above it. Paths have no leading slash.
    pub(crate) fn folder(&mut self, path: &str, mode: u32) {
        if path.is_empty() || self.folders.contains(path) {
            return;
        }
        self.above(path);
        self.entry(path, FOLDER | mode, &[]);
        self.folders.insert(path.to_owned());
    }

    /// A file.
    pub(crate) fn file(&mut self, path: &str, mode: u32, content: &[u8]) {
        self.above(path);
        self.entry(path, FILE | mode, content);
    }

    /// A symbolic link.
    pub(crate) fn link(&mut self, path: &str, to: &str) {
        self.above(path);
        self.entry(path, LINK | 0o777, to.as_bytes());
    }

    fn above(&mut self, path: &str) {
        if let Some((parent, _)) = path.rsplit_once('/') {
            self.folder(parent, 0o755);
        }
    }

    fn entry(&mut self, path: &str, mode: u32, content: &[u8]) {
        self.number += 1;
        let size = content.len();
        let name = path.len() + 1;
        // Magic, inode, mode, owner, group, names, time, size, two devices twice, length of the name, no sum.
        let head = format!(
            "070701{:08x}{mode:08x}{:08x}{:08x}{:08x}{:08x}{size:08x}{:08x}{:08x}{:08x}{:08x}{name:08x}{:08x}",
            self.number, 0, 0, 1, 0, 0, 0, 0, 0, 0
        );
        self.bytes.extend_from_slice(head.as_bytes());
        self.bytes.extend_from_slice(path.as_bytes());
        self.bytes.push(0);
        self.pad();
        self.bytes.extend_from_slice(content);
        self.pad();
    }

    fn pad(&mut self) {
        self.bytes.resize(self.bytes.len().next_multiple_of(4), 0);
    }

    /// The whole archive.
    pub(crate) fn finish(mut self) -> Vec<u8> {
        self.entry("TRAILER!!!", 0, &[]);
        self.bytes
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_archive_has_its_folders_first_and_each_once() {
        let mut cpio = Cpio::default();
        cpio.file("a/b/c", 0o755, b"hello");
        cpio.link("a/d", "b/c");
        let bytes = cpio.finish();
        let text = String::from_utf8_lossy(&bytes);
        let at = |name: &str| text.find(name);
        assert!(at("a\0") < at("a/b\0") && at("a/b\0") < at("a/b/c\0") && at("a/b/c\0") < at("a/d\0"), "{text}");
        assert_eq!((text.matches("a/b\0").count(), bytes.len() % 4), (1, 0));
        assert_eq!(text.matches("070701").count(), 5);
    }
}
