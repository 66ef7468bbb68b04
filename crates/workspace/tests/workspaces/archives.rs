//! Archives: what goes out comes back, and abuse case 30.

use std::{
    collections::BTreeMap,
    io::{Cursor, Write as _},
};

use flate2::{Compression, write::GzEncoder};
use stead_core::code::{self, Code};
use tar::{Builder, EntryType, Header};
use zip::{CompressionMethod, ZipWriter, write::SimpleFileOptions};

use crate::kit::{Is, Kit};

fn header(kind: EntryType, size: u64) -> Header {
    let mut header = Header::new_gnu();
    header.set_entry_type(kind);
    header.set_mode(0o644);
    header.set_size(size);
    header
}

/// An entry with a name that the builder would refuse to write.
fn raw(tar: &mut Builder<Vec<u8>>, kind: EntryType, name: &[u8], target: &[u8], content: &[u8]) {
    let mut header = header(kind, content.len() as u64);
    let old = header.as_old_mut();
    old.name[..name.len()].copy_from_slice(name);
    old.linkname[..target.len()].copy_from_slice(target);
    header.set_cksum();
    tar.append(&header, content).unwrap();
}

fn tar_of(entries: &[(EntryType, &str, &str, &[u8])]) -> Vec<u8> {
    let mut tar = Builder::new(Vec::new());
    for (kind, name, target, content) in entries {
        raw(&mut tar, *kind, name.as_bytes(), target.as_bytes(), content);
    }
    tar.into_inner().unwrap()
}

fn gzip(bytes: &[u8]) -> Vec<u8> {
    let mut gz = GzEncoder::new(Vec::new(), Compression::best());
    gz.write_all(bytes).unwrap();
    gz.finish().unwrap()
}

fn zip_of(entries: &[(&str, u32, &[u8])]) -> Vec<u8> {
    let mut zip = ZipWriter::new(Cursor::new(Vec::new()));
    for (name, mode, content) in entries {
        let options = SimpleFileOptions::default().unix_permissions(*mode);
        match mode & 0o170_000 {
            0o120_000 => zip.add_symlink(*name, String::from_utf8_lossy(content), options).unwrap(),
            0o040_000 => zip.add_directory(*name, options).unwrap(),
            _ => {
                zip.start_file(*name, options.compression_method(CompressionMethod::Deflated)).unwrap();
                zip.write_all(content).unwrap();
            }
        }
    }
    zip.finish().unwrap().into_inner()
}

async fn tar_in(kit: &Kit, bytes: Vec<u8>) -> Result<BTreeMap<String, Is>, Code> {
    let made = kit.work.import_tar(&kit.tenant, None, Cursor::new(bytes)).await.map_err(|e| e.code())?;
    Ok(kit.all(made.tree).await)
}

async fn zip_in(kit: &Kit, bytes: Vec<u8>) -> Result<BTreeMap<String, Is>, Code> {
    let made = kit.work.import_zip(&kit.tenant, None, Cursor::new(bytes)).await.map_err(|e| e.code())?;
    Ok(kit.all(made.tree).await)
}

const REFUSED: Result<BTreeMap<String, Is>, Code> = Err(code::ARCHIVE_REFUSED);
const TOO_MUCH: Result<BTreeMap<String, Is>, Code> = Err(code::WORKSPACE_LIMIT);

#[tokio::test]
async fn what_goes_out_as_tar_comes_back_the_same_and_gnu_tar_reads_it() {
    use EntryType::{Directory, Link, Regular, Symlink};
    let kit = Kit::new();
    let long = "long/".repeat(30) + "name";
    let mut files: Vec<(EntryType, &str, &str, &[u8])> = vec![
        (Directory, "empty/", "", b""),
        (Regular, "a/file", "", b"content"),
        (Regular, "./a/Gr\u{fc}\u{df}e", "", b""),
        (Symlink, "a/out", "/etc/passwd", b""),
        (Link, "a/same", "a/file", b""),
    ];
    let big = vec![b'x'; 3 << 20];
    files.push((Regular, "big", "", &big));
    let tree = kit.work.import_tar(&kit.tenant, None, Cursor::new(tar_of(&files))).await.unwrap().tree;
    let name = crate::kit::path_of(&long);
    let tree = kit.work.write(&kit.tenant, tree, &name, "deep".into(), Some(true)).await.unwrap().tree;
    let all = kit.all(tree).await;
    assert_eq!(all["a/same"], Is::File(b"content".to_vec(), false));
    assert_eq!(all["a/out"], Is::Link(b"/etc/passwd".to_vec()));
    let mut out = Vec::new();
    kit.work.export_tar(&kit.tenant, tree, &mut out).await.unwrap();
    for packed in [out.clone(), gzip(&out)] {
        let back = kit.work.import_tar(&kit.tenant, None, Cursor::new(packed)).await.unwrap();
        assert_eq!(back.tree, tree);
    }
    let mut again = Vec::new();
    kit.work.export_tar(&kit.tenant, tree, &mut again).await.unwrap();
    assert!(out == again, "the same tree has the same bytes");
    let dir = tempfile::tempdir().unwrap();
    std::fs::write(dir.path().join("a.tar"), &out).unwrap();
    std::fs::create_dir(dir.path().join("to")).unwrap();
    let mut untar = std::process::Command::new("tar");
    untar.arg("-xf").arg(dir.path().join("a.tar")).arg("-C").arg(dir.path().join("to"));
    assert!(untar.status().expect("tar is there: apt-get install tar").success());
    assert_eq!(crate::kit::on_disk(&dir.path().join("to")), all);
    // And what GNU tar writes is read.
    let gnu =
        std::process::Command::new("tar").arg("-C").arg(dir.path().join("to")).args(["-c", "."]).output().unwrap();
    let back = kit.work.import_tar(&kit.tenant, None, Cursor::new(gnu.stdout)).await.unwrap();
    assert_eq!(kit.all(back.tree).await, all);
}

#[tokio::test]
async fn a_zip_gives_files_links_and_directories() {
    let kit = Kit::new();
    let zip = zip_of(&[
        ("d/", 0o040_755, b""),
        ("d/run", 0o100_755, &[b'r'; 10_000]),
        ("d/plain", 0o100_644, b"p"),
        ("d/link", 0o120_777, b"plain"),
    ]);
    let all = zip_in(&kit, zip).await.unwrap();
    assert_eq!(all["d/run"], Is::File(vec![b'r'; 10_000], true));
    assert_eq!(all["d/plain"], Is::File(b"p".to_vec(), false));
    assert_eq!(all["d/link"], Is::Link(b"plain".to_vec()));
    assert_eq!(all.len(), 4);
}

#[tokio::test]
async fn an_archive_is_laid_over_a_tree() {
    let kit = Kit::new();
    let base = kit.tree(&[("d/keep", b"k"), ("d/change", b"1"), ("was-file", b"f")]).await;
    let tar = tar_of(&[(EntryType::Regular, "d/change", "", b"2"), (EntryType::Regular, "was-file/now-dir", "", b"n")]);
    let made = kit.work.import_tar(&kit.tenant, Some(base), Cursor::new(tar)).await.unwrap();
    let all = kit.all(made.tree).await;
    assert_eq!(
        all.keys().map(String::as_str).collect::<Vec<_>>(),
        ["d", "d/change", "d/keep", "was-file", "was-file/now-dir"]
    );
    assert_eq!(all["d/change"], Is::File(b"2".to_vec(), false));
}

/// Case 30: names that lead out, links in the way, and kinds of entries that no workspace has.
#[tokio::test]
async fn names_that_lead_out_are_refused() {
    use EntryType::{Block, Char, Fifo, GNUSparse, Link, Regular, Symlink};
    let kit = Kit::new();
    for name in ["/etc/passwd", "../x", "a/../../x", "a/..", "//x"] {
        assert_eq!(tar_in(&kit, tar_of(&[(Regular, name, "", b"x")])).await, REFUSED, "{name}");
        assert_eq!(zip_in(&kit, zip_of(&[(name, 0o100_644, b"x")])).await, REFUSED, "{name}");
    }
    assert_eq!(zip_in(&kit, zip_of(&[("..\\x", 0o100_644, b"x")])).await, REFUSED);
    // Through a link that came before, or over one.
    let through = tar_of(&[(Symlink, "way", "/etc", b""), (Regular, "way/passwd", "", b"x")]);
    assert_eq!(tar_in(&kit, through).await, REFUSED);
    let through = zip_of(&[("way", 0o120_777, b"/etc"), ("way/passwd", 0o100_644, b"x")]);
    assert_eq!(zip_in(&kit, through).await, REFUSED);
    let hard = |target: &'static str| tar_of(&[(Symlink, "l", "/etc/shadow", b""), (Link, "x", target, b"")]);
    for target in ["/etc/shadow", "../x", "l", "none", ""] {
        assert_eq!(tar_in(&kit, hard(target)).await, REFUSED, "{target}");
    }
    for kind in [Char, Block, Fifo, GNUSparse, EntryType::new(b'?')] {
        assert_eq!(tar_in(&kit, tar_of(&[(kind, "x", "", b"")])).await, REFUSED, "{kind:?}");
    }
    assert_eq!(tar_in(&kit, tar_of(&[(Regular, "x", "", b""), (Regular, "x/y", "", b"")])).await, REFUSED);
    assert_eq!(tar_in(&kit, tar_of(&[(Regular, "x/y", "", b""), (Regular, "x", "", b"")])).await, REFUSED);
    assert_eq!(tar_in(&kit, tar_of(&[(Symlink, "x", "", b"")])).await, REFUSED);
    assert!(kit.objects.kept.lock().unwrap().len() < 10, "of what was refused, hardly anything was kept");
}

/// Case 30: what expands to too much, by its bytes, its files, its depth, its names.
#[tokio::test]
async fn bombs_are_refused_within_the_limits() {
    use EntryType::{Directory, Regular};
    let kit = Kit::limited(|l| {
        (l.bytes, l.file, l.entries, l.depth, l.archive) = (1 << 20, 1 << 19, 100, 10, 2 << 20);
    });
    // A thousand to one.
    let zeros = vec![0; 4 << 20];
    assert_eq!(tar_in(&kit, gzip(&tar_of(&[(Regular, "x", "", &zeros)]))).await, TOO_MUCH);
    assert_eq!(zip_in(&kit, zip_of(&[("x", 0o100_644, &zeros)])).await, TOO_MUCH);
    // Many that are small enough by themselves.
    let some: Vec<String> = (0..20).map(|n| format!("{n}")).collect();
    let files: Vec<_> = some.iter().map(|n| (&**n, 0o100_644, &zeros[..1 << 18])).collect();
    assert_eq!(zip_in(&kit, zip_of(&files)).await, TOO_MUCH);
    let files: Vec<_> = some.iter().map(|n| (Regular, &**n, "", &zeros[..1 << 18])).collect();
    assert_eq!(tar_in(&kit, gzip(&tar_of(&files))).await, TOO_MUCH);
    // Nothing but names, and directories that are only named on the way.
    let many: Vec<String> = (0..101).map(|n| format!("{n}")).collect();
    let files: Vec<_> = many.iter().map(|n| (Regular, &**n, "", &b""[..])).collect();
    assert_eq!(tar_in(&kit, tar_of(&files)).await, TOO_MUCH);
    let files: Vec<_> = many.iter().map(|n| (&**n, 0o100_644, &b""[..])).collect();
    assert_eq!(zip_in(&kit, zip_of(&files)).await, TOO_MUCH);
    let ways: Vec<String> = (0..30).map(|n| format!("{n}/a/b/c")).collect();
    let files: Vec<_> = ways.iter().map(|n| (Regular, &**n, "", &b""[..])).collect();
    assert_eq!(tar_in(&kit, tar_of(&files)).await, TOO_MUCH);
    assert_eq!(tar_in(&kit, tar_of(&[(Directory, &"d/".repeat(12), "", b"")])).await, TOO_MUCH);
    // An archive that is nothing but padding, packed.
    let mut padding = tar_of(&[(Regular, "x", "", b"x")]);
    let end = padding.len() - 1024;
    padding.truncate(end);
    for _ in 0..200 {
        padding.extend(tar_of(&[(EntryType::XGlobalHeader, "g", "", &zeros[..1 << 15])]).drain(..512 + (1 << 15)));
    }
    assert_eq!(tar_in(&kit, gzip(&padding)).await, TOO_MUCH);
    assert_eq!(tar_in(&kit, padding).await, TOO_MUCH);
}

/// Case 30: a long name may be as long as a path, and no longer, and is not read before that is known.
#[tokio::test]
async fn long_names_are_bounded() {
    use EntryType::{GNULongLink, GNULongName, Regular, Symlink, XHeader};
    let kit = Kit::new();
    let name = "n/".repeat(40) + "x\0";
    let files = [(GNULongName, "l", "", name.as_bytes()), (Regular, "short", "", b"1")];
    assert!(tar_in(&kit, tar_of(&files)).await.unwrap().contains_key(&("n/".repeat(40) + "x")));
    let long = vec![b'a'; 5_000];
    for kind in [GNULongName, GNULongLink] {
        assert_eq!(tar_in(&kit, tar_of(&[(kind, "l", "", &long), (Symlink, "x", "y", b"")])).await, REFUSED);
    }
    let pax = |records: &str| tar_of(&[(XHeader, "p", "", records.as_bytes()), (Regular, "x", "", b"1")]);
    assert!(tar_in(&kit, pax("14 path=a/b/c\n")).await.unwrap().contains_key("a/b/c"));
    for bad in ["17 path=/etc/abc\n", "15 path=../a/b\n", "10 size=9\n", "21 GNU.sparse.map=0,1\n", "nonsense\n"] {
        assert_eq!(tar_in(&kit, pax(bad)).await, REFUSED, "{bad}");
    }
    let twice = tar_of(&[(GNULongName, "l", "", b"a"), (GNULongName, "l", "", b"b"), (Regular, "x", "", b"")]);
    assert_eq!(tar_in(&kit, twice).await, REFUSED);
}

#[tokio::test]
async fn a_broken_archive_is_refused_wherever_it_breaks() {
    let kit = Kit::new();
    let tar = tar_of(&[(EntryType::Regular, "a", "", &[7; 3000]), (EntryType::Regular, "b", "", b"2")]);
    let zip = zip_of(&[("a", 0o100_644, &[7; 3000]), ("b", 0o100_644, b"2")]);
    assert_eq!(tar_in(&kit, Vec::new()).await, REFUSED);
    assert_eq!(zip_in(&kit, Vec::new()).await, REFUSED);
    for cut in [1, 100, 511, 513, 1000, 3000] {
        assert_eq!(tar_in(&kit, tar[..cut].to_vec()).await, REFUSED, "{cut}");
    }
    for cut in (0..zip.len()).step_by(7) {
        assert_eq!(zip_in(&kit, zip[..cut].to_vec()).await, REFUSED, "{cut}");
    }
    let gz = gzip(&tar);
    assert_eq!(tar_in(&kit, gz[..gz.len() / 2].to_vec()).await, REFUSED);
    // Whatever single byte is wrong: refused or read, and never more than that.
    for at in (0..zip.len()).step_by(3) {
        let mut bad = zip.clone();
        bad[at] ^= 0x41;
        let _ = zip_in(&kit, bad).await;
    }
    for at in (0..1024).step_by(5) {
        let mut bad = tar.clone();
        bad[at] ^= 0x41;
        let _ = tar_in(&kit, bad).await;
    }
}

/// Case 30: an index that claims any number of entries takes no memory for them.
#[tokio::test]
async fn a_long_index_is_refused_wherever_it_stands() {
    let kit = Kit::new();
    let zip = zip_of(&[("a", 0o100_644, b"1")]);
    let end = zip.len() - 22;
    // Where its long end is, and before that the long end itself, which says that there are 2^40 entries.
    let mut long = zip[..end].to_vec();
    let at = long.len() as u64;
    long.extend(b"PK\x06\x06");
    long.extend(44u64.to_le_bytes());
    long.extend([45, 0, 45, 0, 0, 0, 0, 0, 0, 0, 0, 0]);
    long.extend((1u64 << 40).to_le_bytes().repeat(2));
    long.extend([at - 1, 1].map(u64::to_le_bytes).concat());
    long.extend(b"PK\x06\x07\0\0\0\0");
    long.extend(at.to_le_bytes());
    long.extend(1u32.to_le_bytes());
    let mut short = zip[end..].to_vec();
    short[8..16].fill(0xff);
    long.extend(&short);
    for behind in [0, 100, 70_000] {
        let archive = [&long[..], &vec![0; behind]].concat();
        let e = kit.work.import_zip(&kit.tenant, None, Cursor::new(archive)).await.unwrap_err();
        assert!(e.code() == code::ARCHIVE_REFUSED && e.to_string().contains("long index"), "{behind}: {e}");
    }
}

/// Names and targets of links are in memory all at once, and count; so a few bytes of an archive do not become many here.
#[tokio::test]
async fn links_with_long_targets_are_bounded_together() {
    use EntryType::{GNULongLink, Symlink};
    let kit = Kit::new();
    let target = vec![b't'; 4_000];
    let names: Vec<String> = (0..17_000).map(|n| format!("{}/{n}", n % 100)).collect();
    let files: Vec<_> =
        names.iter().flat_map(|n| [(GNULongLink, "l", "", &target[..]), (Symlink, &**n, "x", &b""[..])]).collect();
    let e = kit.work.import_tar(&kit.tenant, None, Cursor::new(tar_of(&files))).await.unwrap_err();
    assert!(e.code() == code::WORKSPACE_LIMIT && e.to_string().contains("names and links"), "{e}");
}

/// A tree that says of itself that it is small, and is not, ends an export at the limits.
#[tokio::test]
async fn a_tree_that_lies_about_its_size_is_not_written_for_ever() {
    use stead_core::{id::TreeId, time::Timestamp};
    use stead_ports::objects::Objects as _;
    use stead_workspace::{
        EntryName,
        tree::{DirEntry, Directory, Entry},
    };
    let kit = Kit::limited(|l| l.entries = 1_000);
    let mut tree = kit.tree(&[("f", b"1")]).await;
    for _ in 0..20 {
        let mut above = Directory::default();
        for name in [b"a", b"b", b"c"] {
            above.insert(EntryName::new(name).unwrap(), Entry::Directory(DirEntry { tree, entries: 1, bytes: 1 }));
        }
        let bytes = bytes::Bytes::from(above.encode());
        tree = TreeId(kit.objects.address(&kit.tenant, &bytes).0);
        kit.objects.put(&kit.tenant, &[bytes], Timestamp(0)).await.unwrap();
    }
    let e = kit.work.export_tar(&kit.tenant, tree, std::io::sink()).await.unwrap_err();
    assert_eq!(e.code(), code::WORKSPACE_LIMIT, "{e}");
}

/// What Stead keeps for itself is brought in by nobody.
#[tokio::test]
async fn no_archive_and_no_write_brings_steads_own_directory() {
    let kit = Kit::new();
    for name in [".stead", ".stead/stead.db", "./.Stead/x"] {
        assert_eq!(tar_in(&kit, tar_of(&[(EntryType::Regular, name, "", b"x")])).await, REFUSED, "{name}");
        assert_eq!(zip_in(&kit, zip_of(&[(name, 0o100_644, b"x")])).await, REFUSED, "{name}");
        let path = crate::kit::path_of(name);
        let e = kit.work.write(&kit.tenant, kit.empty().await, &path, "x".into(), None).await.unwrap_err();
        assert_eq!(e.code(), code::WORKSPACE_PATH, "{name}");
    }
    assert!(tar_in(&kit, tar_of(&[(EntryType::Regular, "d/.stead/x", "", b"x")])).await.is_ok(), "only at the top");
}
