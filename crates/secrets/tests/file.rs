//! What the file of secrets promises, on a real disk.
#![expect(clippy::unwrap_used, reason = "tests")]

use std::{
    fs,
    os::unix::fs::PermissionsExt as _,
    path::{Path, PathBuf},
};

use stead_core::{code, time::Timestamp};
use stead_ports::secret::{Secret, Secrets as _};
use stead_secrets::{KeySource, Place, SecretsFile, rules};

const NOW: Timestamp = Timestamp(1_700_000_000_000_000);

fn opened(dir: &Path) -> SecretsFile {
    SecretsFile::at(Place::in_data(dir))
}

fn set(file: &SecretsFile, name: &str, value: &str) -> bool {
    file.set(name, &Secret::new(value), NOW).unwrap()
}

fn value(file: &SecretsFile, name: &str) -> Option<String> {
    file.value(name).unwrap().map(|s| s.expose().to_owned())
}

fn path(dir: &Path) -> PathBuf {
    dir.join("secrets.sealed")
}

fn mode(path: &Path) -> u32 {
    fs::metadata(path).unwrap().permissions().mode() & 0o777
}

#[test]
fn a_secret_is_set_changed_listed_and_removed() {
    let dir = tempfile::tempdir().unwrap();
    let file = opened(dir.path());
    assert_eq!((value(&file, "a"), file.list().unwrap().len()), (None, 0));
    assert!(!set(&file, "b", "second"));
    assert!(!set(&file, "a", "first"));
    assert!(set(&file, "a", "changed"));
    assert_eq!(value(&file, "a").as_deref(), Some("changed"));
    let names: Vec<_> = file.list().unwrap().into_iter().map(|l| (l.name, l.set_at)).collect();
    assert_eq!(names, [("a".to_owned(), NOW), ("b".to_owned(), NOW)]);
    assert!(file.remove("a").unwrap() && !file.remove("a").unwrap());
    assert_eq!((value(&file, "a"), value(&file, "b").as_deref()), (None, Some("second")));
}

#[test]
fn file_and_key_are_their_owners_and_hold_no_value_in_the_clear() {
    let dir = tempfile::tempdir().unwrap();
    set(&opened(dir.path()), "payments", "sk-live-0123456789");
    let key = dir.path().join("keys/secrets.key");
    assert_eq!((mode(&path(dir.path())), mode(&key), mode(&dir.path().join("keys"))), (0o600, 0o600, 0o700));
    let bytes = fs::read(path(dir.path())).unwrap();
    assert!(!bytes.windows(18).any(|w| w == b"sk-live-0123456789"));
    assert_eq!(
        fs::read_dir(dir.path())
            .unwrap()
            .filter(|e| e.as_ref().unwrap().path().extension().is_some_and(|x| x == "new"))
            .count(),
        0
    );
}

#[tokio::test]
async fn who_has_it_open_sees_what_another_process_sets_and_removes() {
    let dir = tempfile::tempdir().unwrap();
    let (server, operator) = (opened(dir.path()), opened(dir.path()));
    assert_eq!(server.get("k").await.unwrap(), None);
    for text in ["one", "two"] {
        set(&operator, "k", text);
        assert_eq!(server.get("k").await.unwrap(), Some(Secret::new(text)));
    }
    operator.remove("k").unwrap();
    assert_eq!(server.get("k").await.unwrap(), None);
}

#[test]
fn every_changed_or_missing_byte_is_found() {
    let dir = tempfile::tempdir().unwrap();
    let file = opened(dir.path());
    set(&file, "a", "first");
    set(&file, "b", "second");
    let whole = fs::read(path(dir.path())).unwrap();
    let wrong = |bytes: &[u8]| {
        fs::write(path(dir.path()), bytes).unwrap();
        // A stamp that happens to be the same must not hide the change from the test.
        opened(dir.path()).value("a").unwrap_err()
    };
    for at in 0..whole.len() {
        let mut changed = whole.clone();
        changed[at] ^= 1;
        let error = wrong(&changed);
        // The version is byte 8; the key's mark follows it.
        let codes = [code::SECRETS_DAMAGED, code::SECRETS_KEY, code::SECRETS_NEWER];
        let expected = match at {
            9..17 => code::SECRETS_KEY,
            _ => code::SECRETS_DAMAGED,
        };
        assert!(codes.contains(&error.code) && error.code == expected, "byte {at}: {error}");
        assert!(wrong(&whole[..at]).code == code::SECRETS_DAMAGED, "cut at {at}");
    }
    fs::write(path(dir.path()), &whole).unwrap();
    assert_eq!(value(&opened(dir.path()), "a").as_deref(), Some("first"));
}

#[test]
fn a_newer_file_is_told_apart_and_never_written_over() {
    let dir = tempfile::tempdir().unwrap();
    let file = opened(dir.path());
    set(&file, "a", "first");
    let mut bytes = fs::read(path(dir.path())).unwrap();
    bytes[8] = 2;
    fs::write(path(dir.path()), &bytes).unwrap();
    assert_eq!(file.value("a").unwrap_err().code, code::SECRETS_NEWER);
    assert_eq!(file.set("b", &Secret::new("x"), NOW).unwrap_err().code, code::SECRETS_NEWER);
    assert_eq!(fs::read(path(dir.path())).unwrap(), bytes);
}

#[test]
fn a_wrong_a_missing_and_an_open_key_are_told_and_nothing_is_written() {
    let dir = tempfile::tempdir().unwrap();
    let key = dir.path().join("keys/secrets.key");
    let file = opened(dir.path());
    set(&file, "a", "first");
    let (good, sealed) = (fs::read(&key).unwrap(), fs::read(path(dir.path())).unwrap());
    let refused = |words: &str| {
        for error in [opened(dir.path()).value("a").unwrap_err(), file.set("b", &Secret::new("x"), NOW).unwrap_err()] {
            assert_eq!(error.code, code::SECRETS_KEY, "{error}");
            assert!(error.detail.contains(words), "{error}");
        }
        assert_eq!(fs::read(path(dir.path())).unwrap(), sealed);
    };
    fs::set_permissions(&key, fs::Permissions::from_mode(0o644)).unwrap();
    refused("chmod 600");
    fs::set_permissions(&key, fs::Permissions::from_mode(0o600)).unwrap();
    fs::write(&key, "AAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAA=\n").unwrap();
    refused("another key");
    fs::write(&key, "not base64").unwrap();
    refused("no key");
    fs::remove_file(&key).unwrap();
    refused("put the key back");
    fs::write(&key, good).unwrap();
    fs::set_permissions(&key, fs::Permissions::from_mode(0o440)).unwrap();
    assert_eq!(value(&opened(dir.path()), "a").as_deref(), Some("first"));
}

#[test]
fn a_key_of_the_environment_leaves_none_on_the_disk() {
    let dir = tempfile::tempdir().unwrap();
    let told = Secret::new("AQEBAQEBAQEBAQEBAQEBAQEBAQEBAQEBAQEBAQEBAQE=");
    let place = Place::in_data(dir.path()).with(None, None, Some(told));
    assert!(matches!(place.key, KeySource::Variable(_)));
    set(&SecretsFile::at(place.clone()), "a", "first");
    assert!(!dir.path().join("keys").exists());
    assert_eq!(value(&SecretsFile::at(place), "a").as_deref(), Some("first"));
    assert_eq!(opened(dir.path()).value("a").unwrap_err().code, code::SECRETS_KEY);
}

#[test]
fn an_entry_opens_under_its_own_name_only() {
    let (one, two) = (tempfile::tempdir().unwrap(), tempfile::tempdir().unwrap());
    let key = Secret::new("AQEBAQEBAQEBAQEBAQEBAQEBAQEBAQEBAQEBAQEBAQE=");
    let file = |dir: &Path| SecretsFile::at(Place::in_data(dir).with(None, None, Some(key.clone())));
    set(&file(one.path()), "aa", "first");
    set(&file(two.path()), "bb", "other");
    // The whole of one file is good under the same key, a piece of it in the other is not.
    let (from, mut to) = (fs::read(path(one.path())).unwrap(), fs::read(path(two.path())).unwrap());
    let entry = 21 + 1 + 2..from.len() - 28;
    to[entry.clone()].copy_from_slice(&from[entry]);
    fs::write(path(two.path()), &to).unwrap();
    assert_eq!(file(two.path()).value("bb").unwrap_err().code, code::SECRETS_DAMAGED);
    fs::write(path(two.path()), &from).unwrap();
    assert_eq!(value(&file(two.path()), "aa").as_deref(), Some("first"));
}

#[test]
fn names_values_and_their_number_are_bounded() {
    let dir = tempfile::tempdir().unwrap();
    let file = opened(dir.path());
    let refused = |name: &str, text: &str| file.set(name, &Secret::new(text), NOW).unwrap_err().code;
    assert_eq!(refused("a/b", "x"), code::SECRET_VALUE);
    assert_eq!(refused("a", ""), code::SECRET_VALUE);
    assert_eq!(refused("a", &"x".repeat(rules::MAX_VALUE + 1)), code::SECRET_VALUE);
    assert!(!path(dir.path()).exists() && !dir.path().join("keys").exists());
    let longest = "x".repeat(rules::MAX_VALUE);
    set(&file, &"n".repeat(rules::MAX_NAME), &longest);
    let mut kept = 1;
    let full = loop {
        match file.set(&format!("n{kept}"), &Secret::new(&*longest), NOW) {
            Ok(_) => kept += 1,
            Err(e) => break e,
        }
    };
    assert_eq!((full.code, file.list().unwrap().len()), (code::SECRET_VALUE, kept));
    assert!(fs::metadata(path(dir.path())).unwrap().len() <= rules::MAX_FILE);
}

#[test]
fn writers_wait_for_each_other_and_none_is_lost() {
    let dir = tempfile::tempdir().unwrap();
    std::thread::scope(|scope| {
        for writer in 0..4 {
            let dir = dir.path();
            scope.spawn(move || (0..5).for_each(|n| assert!(!set(&opened(dir), &format!("w{writer}-{n}"), "value"))));
        }
    });
    assert_eq!(opened(dir.path()).list().unwrap().len(), 20);
}

/// What a file of each version was written with; the key is the same for all.
const GOLDEN_KEY: &str = "BwcHBwcHBwcHBwcHBwcHBwcHBwcHBwcHBwcHBwcHBwc=\n";
const GOLDEN: [(&str, &str); 2] =
    [("OPENAI_API_KEY", "sk-golden-0123456789"), ("mail.password", "Zwölf Boxkämpfer\njagen")];
/// The version that this release writes.
const VERSION: u32 = 1;

/// A folder with that key and this file.
fn golden_folder(sealed: Option<&[u8]>) -> tempfile::TempDir {
    let dir = tempfile::tempdir().unwrap();
    let key = dir.path().join("keys/secrets.key");
    fs::create_dir(dir.path().join("keys")).unwrap();
    fs::write(&key, GOLDEN_KEY).unwrap();
    fs::set_permissions(&key, fs::Permissions::from_mode(0o600)).unwrap();
    if let Some(sealed) = sealed {
        fs::write(path(dir.path()), sealed).unwrap();
        fs::set_permissions(path(dir.path()), fs::Permissions::from_mode(0o600)).unwrap();
    }
    dir
}

/// `STEAD_BLESS=1` writes the file of a new version; what is there is never written again.
#[test]
fn files_of_every_version_are_opened_and_written_on() {
    let golden = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/golden");
    let newest = golden.join(format!("version-{VERSION}.sealed"));
    if std::env::var_os("STEAD_BLESS").is_some() && !newest.exists() {
        let dir = golden_folder(None);
        GOLDEN.iter().for_each(|(name, value)| assert!(!set(&opened(dir.path()), name, value)));
        fs::copy(path(dir.path()), &newest).unwrap();
    }
    for version in 1..=VERSION {
        let sealed = fs::read(golden.join(format!("version-{version}.sealed"))).unwrap();
        assert_eq!(u32::from(sealed[8]), version);
        let dir = golden_folder(Some(&sealed));
        let listed: Vec<_> = opened(dir.path()).list().unwrap().into_iter().map(|l| (l.name, l.set_at)).collect();
        assert_eq!(listed, GOLDEN.map(|(name, _)| (name.to_owned(), NOW)), "version {version}");
        assert!(!set(&opened(dir.path()), "later", "of this release"));
        for (name, text) in GOLDEN.into_iter().chain([("later", "of this release")]) {
            assert_eq!(value(&opened(dir.path()), name).as_deref(), Some(text), "{name} of version {version}");
        }
    }
}
