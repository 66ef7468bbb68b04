//! The folder of a session: the first of `DIR`, `DIR.2`, … that no living process owns, so that a second window of an
//! editor has one too. A folder that holds anything else is left alone.

use std::{
    fs, io,
    os::unix::fs::DirBuilderExt as _,
    path::{Path, PathBuf},
};

/// Most sessions of one name at once.
pub(super) const MAX_PLACES: u32 = 16;
/// Says that a folder is one of these.
const MARK: &str = "wrap.json";

/// The folders, in order.
pub(super) fn places(first: &Path) -> impl Iterator<Item = PathBuf> {
    let nth = |n: u32| match n {
        1 => first.to_owned(),
        n => {
            let mut name = first.as_os_str().to_owned();
            name.push(format!(".{n}"));
            PathBuf::from(name)
        }
    };
    (1..=MAX_PLACES).map(nth)
}

/// Makes the folder, or sees that it is one of these. False when it is somebody else's.
pub(super) fn take(dir: &Path) -> io::Result<bool> {
    fs::DirBuilder::new().recursive(true).mode(0o700).create(dir)?;
    let mark = dir.join(MARK);
    if mark.is_file() {
        return Ok(true);
    }
    if fs::read_dir(dir)?.next().is_some() {
        return Ok(false);
    }
    fs::write(mark, "{\"format\":1}\n")?;
    Ok(true)
}

#[cfg(test)]
mod tests {
    #![expect(clippy::unwrap_used, reason = "tests")]
    use super::*;

    #[test]
    fn a_folder_with_other_things_in_it_is_left_alone() {
        let dir = tempfile::tempdir().unwrap();
        let own = dir.path().join("a/b");
        assert!(take(&own).unwrap() && take(&own).unwrap());
        assert!(!take(dir.path()).unwrap());
        let names: Vec<_> = places(&own).take(2).collect();
        assert_eq!(names, [own.clone(), dir.path().join("a/b.2")]);
    }
}
