//! The judge over a small workspace of its own, with cargo and nextest as they are.
#![expect(clippy::unwrap_used, reason = "tests")]

use std::{collections::BTreeMap, fs, process::Command};

use super::{Mutant, copy::Copy, judge, judge::Verdict, load};
use crate::repo::Repo;

const LIB: &str = "\
pub fn add(a: u8, b: u8) -> Option<u8> { a.checked_add(b) }
#[cfg(test)]
mod tests {
    #[test]
    fn sums_do_not_wrap() { assert_eq!(super::add(255, 1), None); }
    #[test]
    fn sums_exist() { super::add(1, 1); }
    #[test]
    fn never_passes() { panic!(); }
}
";

fn mutant(test: &str, find: &str, replace: &str) -> Mutant {
    Mutant {
        promise: 1,
        package: "demo".into(),
        test: test.into(),
        file: "src/lib.rs".into(),
        find: find.into(),
        replace: replace.into(),
    }
}

/// A repository with one crate without dependencies.
fn demo() -> tempfile::TempDir {
    let folder = tempfile::tempdir().unwrap();
    let write = |file: &str, text: &str| {
        let path = folder.path().join(file);
        fs::create_dir_all(path.parent().unwrap()).unwrap();
        fs::write(path, text).unwrap();
    };
    write("Cargo.toml", "[package]\nname = \"demo\"\nversion = \"0.1.0\"\nedition = \"2024\"\n[workspace]\n");
    write("src/lib.rs", LIB);
    let git = Command::new("git").args(["init", "--quiet"]).current_dir(folder.path()).status().unwrap();
    assert!(git.success());
    folder
}

#[test]
fn a_mutant_is_caught_survives_or_is_called_broken() {
    let folder = demo();
    let cache = tempfile::tempdir().unwrap();
    let copy = Copy::of(&Repo::at(folder.path()), cache.path()).unwrap();
    let target = cache.path().join("target");
    let judge = |m: &Mutant| judge::one(&copy, &target, m).unwrap();

    let wraps = ("a.checked_add(b)", "Some(a.wrapping_add(b))");
    assert_eq!(judge(&mutant("sums_do_not_wrap", wraps.0, wraps.1)), Verdict::Caught);
    assert_eq!(judge(&mutant("sums_exist", wraps.0, wraps.1)), Verdict::Survived);
    assert!(matches!(judge(&mutant("never_passes", wraps.0, wraps.1)), Verdict::TestBroken(_)));
    assert!(matches!(judge(&mutant("no_such_test", wraps.0, wraps.1)), Verdict::TestBroken(_)));
    assert!(matches!(judge(&mutant("sums_exist", wraps.0, "nonsense")), Verdict::NotBuilt(_)));
    // The copy is mended, and the tree was never touched.
    assert_eq!(fs::read_to_string(copy.root().join("src/lib.rs")).unwrap(), LIB);
    assert_eq!(fs::read_to_string(folder.path().join("src/lib.rs")).unwrap(), LIB);
}

#[test]
fn the_copy_follows_the_tree_and_is_held_by_one_run_alone() {
    let folder = demo();
    let repo = Repo::at(folder.path());
    let cache = tempfile::tempdir().unwrap();
    let copy = Copy::of(&repo, cache.path()).unwrap();
    assert!(Copy::of(&repo, cache.path()).is_err());
    let root = copy.root().to_owned();
    copy.write("src/lib.rs", b"left by an interrupted run").unwrap();
    copy.write("src/stray.rs", b"stray").unwrap();
    drop(copy);
    drop(Copy::of(&repo, cache.path()).unwrap());
    assert_eq!(fs::read_to_string(root.join("src/lib.rs")).unwrap(), LIB);
    assert!(!root.join("src/stray.rs").exists());
}

#[test]
fn a_mutant_must_fit_its_file_exactly_once() {
    assert!(mutant("t", "sums", "x").apply(LIB).unwrap_err().contains("2 times"));
    assert!(mutant("t", "absent", "x").apply(LIB).unwrap_err().contains("0 times"));
    assert!(mutant("t", "checked_add", "checked_add").apply(LIB).is_err());
    assert!(mutant("t", "checked_add", "checked_sub").apply(LIB).unwrap().contains("a.checked_sub(b)"));
}

#[test]
fn mutants_are_read_by_name_and_an_unknown_key_is_an_error() {
    let folder = demo();
    let good = "promise = 1\npackage = \"demo\"\ntest = \"t\"\nfile = \"src/lib.rs\"\nfind = \"a\"\nreplace = \"b\"\n";
    fs::create_dir(folder.path().join("mutants")).unwrap();
    fs::write(folder.path().join("mutants/one.toml"), good).unwrap();
    let loaded: BTreeMap<_, _> = load(&Repo::at(folder.path())).unwrap();
    assert_eq!(loaded.keys().collect::<Vec<_>>(), ["one"]);
    fs::write(folder.path().join("mutants/one.toml"), format!("{good}what = 1\n")).unwrap();
    assert!(load(&Repo::at(folder.path())).is_err());
}
