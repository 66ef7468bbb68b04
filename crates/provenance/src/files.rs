//! Labels of a workspace's files: what was written under taint stays untrusted, for the runs that come after as well.

use std::collections::BTreeMap;

use minicbor::{Decode, Encode};
use stead_core::id::Name;

use crate::trust::Label;

/// Files with a label of their own; beyond it all files have the lowest.
pub const MAX_FILES: usize = 16_384;

/// Labels by path. Serialised, it goes with the session's tree.
#[derive(Clone, Debug, PartialEq, Eq, Encode, Decode)]
pub struct Files {
    /// What every file counts that has no label of its own.
    #[n(0)]
    rest: Label,
    #[n(1)]
    by_path: BTreeMap<Name, Label>,
}

impl Files {
    /// A workspace whose files all count as `rest`.
    pub const fn new(rest: Label) -> Self {
        Self { rest, by_path: BTreeMap::new() }
    }

    /// A file was written whole, by a call of these arguments. A path that cannot be told apart from others counts for all files.
    pub fn wrote(&mut self, path: &str, label: &Label) {
        match plain(path) {
            Some(path) if self.by_path.len() < MAX_FILES || self.by_path.contains_key(&path) => {
                self.by_path.insert(path, label.clone());
            }
            _ => self.wrote_any(label),
        }
    }

    /// A file was added to: its label joins.
    pub fn added(&mut self, path: &str, label: &Label) {
        let both = self.of(path).join(label);
        self.wrote(path, &both);
    }

    /// A command may have written any file: all labels join with this one.
    pub fn wrote_any(&mut self, label: &Label) {
        self.rest = self.rest.join(label);
        self.by_path.values_mut().for_each(|l| *l = l.join(label));
    }

    /// What a file counts. A path that names none plainly counts as little as the least.
    pub fn of(&self, path: &str) -> Label {
        match plain(path) {
            Some(path) => self.by_path.get(&path).unwrap_or(&self.rest).clone(),
            None => self.by_path.values().fold(self.rest.clone(), |a, b| a.join(b)),
        }
    }
}

/// A path without `.` and empty parts; `None` when it has `..`, or says nothing.
fn plain(path: &str) -> Option<Name> {
    let parts: Vec<&str> = path.split('/').filter(|p| !p.is_empty() && *p != ".").collect();
    (!parts.is_empty() && !parts.contains(&"..")).then(|| parts.join("/").into())
}

#[cfg(test)]
mod tests {
    #![expect(clippy::unwrap_used, reason = "tests")]
    use super::*;
    use crate::trust::{Origin, Trust};

    #[test]
    fn a_file_written_under_taint_stays_untrusted_however_its_path_is_written() {
        let trusted = Label::new(Trust::Trusted, Origin::Operator);
        let tainted = Label::new(Trust::Untrusted, Origin::Tool("mail_read".into()));
        let mut files = Files::new(trusted.clone());
        files.wrote("notes/a.txt", &tainted);
        assert_eq!(files.of("./notes//a.txt"), tainted);
        assert_eq!(files.of("b.txt"), trusted);
        assert_eq!(files.of("x/../b.txt").trust, Trust::Untrusted);
        files.added("notes/a.txt", &trusted);
        assert_eq!(files.of("notes/a.txt").trust, Trust::Untrusted);
        let bytes = minicbor::to_vec(&files).unwrap();
        assert_eq!(minicbor::decode::<Files>(&bytes).unwrap(), files);
        files.wrote("../x", &tainted);
        assert_eq!(files.of("b.txt").trust, Trust::Untrusted);
    }
}
