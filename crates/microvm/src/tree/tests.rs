//! Folders there and back, and what a hostile sender may try.

#![expect(clippy::unwrap_used, reason = "tests")]

use std::{
    fs::{self, File},
    os::{
        fd::AsFd as _,
        unix::fs::{PermissionsExt as _, symlink},
    },
    path::Path,
    sync::atomic::{AtomicBool, Ordering},
};

use rustix::fs::CWD;

use super::{
    Record,
    receive::{Bounds, receive},
    send::{Size, measure, send},
    write_record,
};

fn bounds() -> Bounds {
    Bounds { size: Size { entries: 20, bytes: 1 << 20 }, file: 4 << 20, upper: true, owner: None }
}

/// What becomes of these records, in a folder beside which something lies that they must not reach.
fn made(records: &[Record], data: &[u8]) -> (tempfile::TempDir, std::io::Result<()>) {
    let dir = tempfile::tempdir().unwrap();
    fs::write(dir.path().join("outside"), "untouched").unwrap();
    fs::create_dir(dir.path().join("into")).unwrap();
    let mut bytes = Vec::new();
    for record in records {
        write_record(&mut bytes, record).unwrap();
        if let Record::Piece { length, .. } = record {
            bytes.extend_from_slice(&data[..data.len().min(*length as usize)]);
        }
    }
    let into = File::open(dir.path().join("into")).unwrap();
    let result = receive(into.into(), &bounds(), &mut &bytes[..]);
    assert_eq!(fs::read_to_string(dir.path().join("outside")).unwrap(), "untouched");
    let beside: Vec<_> = fs::read_dir(dir.path()).unwrap().collect();
    assert_eq!(beside.len(), 2, "{beside:?}");
    (dir, result)
}

fn file(name: &[u8], size: u64) -> Record {
    Record::File { name: name.to_vec().into(), mode: 0o644, size }
}

fn enter(name: &[u8]) -> Record {
    Record::Enter { name: name.to_vec().into(), mode: 0o755 }
}

fn link(name: &[u8], target: &[u8]) -> Record {
    Record::Link { name: name.to_vec().into(), target: target.to_vec().into() }
}

#[test]
fn a_folder_arrives_as_it_was() {
    let from = tempfile::tempdir().unwrap();
    let large: Vec<u8> = (0..300_000_u32).map(|i| (i % 251) as u8).collect();
    fs::create_dir_all(from.path().join("a/b")).unwrap();
    fs::write(from.path().join("a/b/large"), &large).unwrap();
    fs::set_permissions(from.path().join("a/b/large"), fs::Permissions::from_mode(0o750)).unwrap();
    File::create(from.path().join("sparse")).unwrap().set_len(3 << 20).unwrap();
    symlink("../nowhere", from.path().join("a/link")).unwrap();
    let folder = File::open(from.path()).unwrap();
    let most = Size { entries: 10, bytes: 8 << 20 };
    let size = measure(folder.as_fd(), most).unwrap();
    assert_eq!(size.entries, 5);
    let mut bytes = Vec::new();
    send(folder.as_fd(), most, &mut bytes).unwrap();
    // Holes do not travel.
    assert!(bytes.len() < 400_000, "{}", bytes.len());
    let to = tempfile::tempdir().unwrap();
    receive(File::open(to.path()).unwrap().into(), &bounds(), &mut &bytes[..]).unwrap();
    assert_eq!(fs::read(to.path().join("a/b/large")).unwrap(), large);
    assert_eq!(fs::metadata(to.path().join("a/b/large")).unwrap().permissions().mode() & 0o777, 0o750);
    assert_eq!(fs::metadata(to.path().join("sparse")).unwrap().len(), 3 << 20);
    assert_eq!(fs::read_link(to.path().join("a/link")).unwrap(), Path::new("../nowhere"));
    // Beyond the bounds neither end goes on, and no end of the stream is none of the folder.
    assert!(measure(folder.as_fd(), Size { entries: 4, bytes: 8 << 20 }).is_err());
    assert!(send(folder.as_fd(), Size { entries: 10, bytes: 1000 }, &mut Vec::new()).is_err());
    let to = tempfile::tempdir().unwrap();
    assert!(receive(File::open(to.path()).unwrap().into(), &bounds(), &mut &bytes[..bytes.len() - 3]).is_err());
}

#[test]
fn no_name_leads_out_and_nothing_is_written_through_what_is_there() {
    for name in [&b""[..], b".", b"..", b"a/b", b"/etc/x", b"../outside", b"a\0b", &[b'x'; 256]] {
        for record in [file(name, 1), enter(name), link(name, b"x"), Record::Gone { name: name.to_vec().into() }] {
            assert!(made(&[record, Record::Done], b"").1.is_err(), "{name:?}");
        }
    }
    // A link, and then a file or a folder in its place.
    for second in [file(b"a", 1), enter(b"a"), link(b"a", b"y"), Record::Gone { name: b"a".to_vec().into() }] {
        assert!(made(&[link(b"a", b".."), second, Record::Done], b"").1.is_err());
    }
    let up = [enter(b"a"), Record::Leave, Record::Leave, file(b"x", 1), Record::Done];
    assert!(made(&up, b"").1.is_err(), "above the top");
}

#[test]
fn more_than_the_bounds_or_out_of_order_is_refused() {
    let many: Vec<_> = (0..21_u8).map(|n| file(&[b'a' + n], 0)).collect();
    assert!(made(&many, b"").1.is_err(), "entries");
    assert!(made(&[file(b"a", (4 << 20) + 1), Record::Done], b"").1.is_err(), "one file");
    let piece = |at, length| Record::Piece { at, length };
    assert!(made(&[piece(0, 1), Record::Done], b"x").1.is_err(), "bytes of no file");
    assert!(made(&[file(b"a", 4), piece(2, 3), Record::Done], b"xxx").1.is_err(), "beyond the end");
    assert!(made(&[file(b"a", 4), piece(u64::MAX, 3), Record::Done], b"xxx").1.is_err(), "beyond every end");
    assert!(made(&[file(b"a", 4 << 20), piece(0, (64 << 10) + 1)], b"x").1.is_err(), "a long piece");
    let data = vec![7; 64 << 10];
    let again = std::iter::repeat_n(piece(0, 64 << 10), 17);
    let all: Vec<_> = [file(b"a", 4 << 20)].into_iter().chain(again).chain([Record::Done]).collect();
    assert!(made(&all, &data).1.is_err(), "bytes of all pieces, the same ones again and again");
    let deep: Vec<_> = std::iter::repeat_n(enter(b"a"), 19).chain([Record::Done]).collect();
    assert!(made(&deep, b"").1.is_err(), "an end deep inside");
    let (dir, result) = made(&[enter(b"a"), file(b"f", 2), piece(0, 2), Record::Leave, Record::Done], b"ok");
    result.unwrap();
    assert_eq!(fs::read_to_string(dir.path().join("into/a/f")).unwrap(), "ok");
}

/// Abuse 28: while a folder is sent, somebody swaps a folder and a file in it for links to what lies beside it.
#[test]
fn a_swap_of_directories_and_links_is_never_followed() {
    let place = tempfile::tempdir().unwrap();
    let (base, outside) = (place.path().join("base"), place.path().join("outside"));
    for folder in [&outside, &base.join("sub")] {
        fs::create_dir_all(folder).unwrap();
        fs::write(folder.join("file"), if *folder == outside { "of the host" } else { "inner" }).unwrap();
    }
    fs::write(base.join("file"), "inner").unwrap();
    symlink(&outside, base.join("link")).unwrap();
    symlink(outside.join("file"), base.join("file-link")).unwrap();
    let swap = |a: &str, b: &str| {
        let (a, b) = (base.join(a), base.join(b));
        rustix::fs::renameat_with(CWD, a, CWD, b, rustix::fs::RenameFlags::EXCHANGE).unwrap();
    };
    let done = AtomicBool::new(false);
    std::thread::scope(|scope| {
        scope.spawn(|| {
            while !done.load(Ordering::Relaxed) {
                swap("sub", "link");
                swap("file", "file-link");
            }
        });
        let folder = File::open(&base).unwrap();
        // A walk in which something turned into something else may end with an error; one that ends well holds what is inside alone.
        let mut whole = 0;
        while whole < 200 {
            let mut bytes = Vec::new();
            whole += u32::from(send(folder.as_fd(), Size { entries: 10, bytes: 1 << 20 }, &mut bytes).is_ok());
            if bytes.windows(11).any(|piece| piece == b"of the host") {
                done.store(true, Ordering::Relaxed);
                panic!("what lies outside was sent");
            }
        }
        done.store(true, Ordering::Relaxed);
    });
}
