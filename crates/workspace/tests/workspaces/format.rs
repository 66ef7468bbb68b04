//! The bytes of trees: vectors that never change, and hostile bytes.

use std::{fs, path::PathBuf};

use proptest::{collection::vec, prelude::*};
use stead_core::id::{BlobId, TreeId};
use stead_workspace::{
    EntryName,
    tree::{DirEntry, Directory, Entry, FileEntry},
};

fn directory(entries: impl IntoIterator<Item = (&'static [u8], Entry)>) -> Directory {
    let mut out = Directory::default();
    for (name, entry) in entries {
        out.insert(EntryName::new(name).unwrap(), entry);
    }
    out
}

/// Each with its name; in the order in which they were added.
fn vectors() -> Vec<(&'static str, Directory)> {
    let file = |exec, size, id| Entry::File(FileEntry { exec, size, content: BlobId([id; 32]) });
    let long: &'static [u8] = Box::leak(vec![b'n'; 255].into());
    vec![
        ("01-empty", directory([])),
        (
            "02-kinds",
            directory([
                (&b"run"[..], file(true, 23, 1)),
                (b"notes.txt", file(false, 0, 2)),
                (b"link", Entry::Symlink(b"../elsewhere".as_slice().into())),
                (b"src", Entry::Directory(DirEntry { tree: TreeId([3; 32]), entries: 300, bytes: 70_000 })),
            ]),
        ),
        (
            "03-edges",
            directory([
                (long, file(false, u64::MAX, 0xff)),
                (b"\xff\xfe\n", file(false, 1 << 20, 4)),
                ("Gr\u{fc}\u{df}e".as_bytes(), file(false, (1 << 20) + 1, 5)),
                (b"...", Entry::Symlink(vec![b't'; 4095].into())),
                (b"-", Entry::Directory(DirEntry { tree: TreeId([0; 32]), entries: 0, bytes: 0 })),
            ]),
        ),
    ]
}

#[test]
fn directories_have_the_bytes_that_they_always_had() {
    let dir = PathBuf::from(env!("CARGO_MANIFEST_DIR")).join("tests/golden/v1");
    for (name, directory) in vectors() {
        let path = dir.join(format!("{name}.hex"));
        let hex: String = directory.encode().iter().map(|b| format!("{b:02x}")).collect();
        if !path.exists() && std::env::var_os("STEAD_BLESS").is_some() {
            fs::create_dir_all(&dir).unwrap();
            fs::write(&path, format!("{hex}\n")).unwrap();
        }
        let kept = fs::read_to_string(&path).unwrap_or_else(|e| panic!("{}: {e}", path.display()));
        assert_eq!(kept.trim(), hex, "{name}");
        let bytes: Vec<u8> =
            (0..kept.trim().len()).step_by(2).map(|i| u8::from_str_radix(&kept[i..i + 2], 16).unwrap()).collect();
        assert_eq!(Directory::decode(&bytes).unwrap(), directory, "{name}");
    }
}

/// By the manual alone, and not by our code.
#[test]
fn a_reader_that_knows_only_the_manual_reads_them() {
    let script = PathBuf::from(env!("CARGO_MANIFEST_DIR")).join("tests/golden/verify.py");
    let out = std::process::Command::new("python3").arg(script).output().expect("apt-get install python3");
    assert!(out.status.success(), "{}{}", String::from_utf8_lossy(&out.stdout), String::from_utf8_lossy(&out.stderr));
}

fn name() -> impl Strategy<Value = Vec<u8>> {
    vec(any::<u8>().prop_filter("no name has these", |b| !matches!(b, 0 | b'/')), 1..20)
        .prop_filter("these lead elsewhere", |n| n != b"." && n != b"..")
}

fn entry() -> impl Strategy<Value = Entry> {
    prop_oneof![
        (any::<bool>(), any::<u64>(), any::<[u8; 32]>()).prop_map(|(exec, size, id)| Entry::File(FileEntry {
            exec,
            size,
            content: BlobId(id)
        })),
        vec(1..=255u8, 1..60).prop_map(|t| Entry::Symlink(t.into())),
        (any::<[u8; 32]>(), any::<u64>(), any::<u64>()).prop_map(|(id, entries, bytes)| Entry::Directory(DirEntry {
            tree: TreeId(id),
            entries,
            bytes
        })),
    ]
}

fn any_directory() -> impl Strategy<Value = Directory> {
    prop::collection::btree_map(name(), entry(), 0..30).prop_map(|entries| {
        let mut out = Directory::default();
        for (name, entry) in entries {
            out.insert(EntryName::new(&name).unwrap(), entry);
        }
        out
    })
}

proptest! {
    #[test]
    fn every_directory_is_read_as_it_was_written(directory in any_directory()) {
        prop_assert_eq!(Directory::decode(&directory.encode()).unwrap(), directory);
    }

    #[test]
    fn whatever_is_read_is_written_the_same(bytes in vec(any::<u8>(), 0..400)) {
        if let Ok(directory) = Directory::decode(&bytes) {
            prop_assert_eq!(directory.encode(), bytes);
        }
    }

    #[test]
    fn a_changed_byte_is_refused_or_is_another_directory(
        directory in any_directory(), at in any::<prop::sample::Index>(), flip in 1..=255u8
    ) {
        let mut bytes = directory.encode();
        let at = at.index(bytes.len());
        bytes[at] ^= flip;
        if let Ok(other) = Directory::decode(&bytes) {
            prop_assert_ne!(&other, &directory);
            prop_assert_eq!(other.encode(), bytes);
        }
    }

    #[test]
    fn a_cut_or_longer_one_is_refused(directory in any_directory(), cut in any::<prop::sample::Index>()) {
        let bytes = directory.encode();
        prop_assert!(Directory::decode(&bytes[..cut.index(bytes.len())]).is_err());
        prop_assert!(Directory::decode(&[&bytes[..], &[0]].concat()).is_err());
    }
}

/// Lengths that claim more than there is take no memory; other ways to write the same are refused.
#[test]
fn claims_take_no_memory_and_there_is_one_way_to_write() {
    for bytes in [
        &b"\x82\x01\x9b\xff\xff\xff\xff\xff\xff\xff\xff"[..],
        b"\x82\x01\x9a\x00\x00\xc3\x50",
        b"\x82\x01\x81\x82\x5b\x7f\xff\xff\xff\xff\xff\xff\xff",
        b"\x82\x01\x9f\xff",
        b"\x9f\x01\x80\xff",
        b"\x82\x18\x01\x80",
        b"\x82\x01\x98\x00",
        b"\x82\x02\x80",
        b"\x83\x01\x80\xf6",
        b"\x82\x01\x81\x82\x41\x2e\x82\x01\x81\x41a",
        b"\x82\x01\x81\x82\x41a\x82\x01\x81\x40",
        b"\x82\x01\x81\x82\x41a\x82\x03\x80",
        b"\x82\x01\x82\x82\x41b\x82\x01\x81\x41x\x82\x41a\x82\x01\x81\x41x",
        b"\x82\x01\x82\x82\x41a\x82\x01\x81\x41x\x82\x41a\x82\x01\x81\x41x",
        b"",
    ] {
        assert!(Directory::decode(bytes).is_err(), "{bytes:x?}");
    }
    Directory::decode(b"\x82\x01\x80").unwrap();
    Directory::decode(b"\x82\x01\x81\x82\x41a\x82\x01\x81\x41x").unwrap();
}
