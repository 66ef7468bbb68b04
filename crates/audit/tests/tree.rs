//! The tree against the definition of RFC 6962, and every proof of small trees with what is near it.

#![expect(clippy::unwrap_used, reason = "tests")]

use std::convert::Infallible;

use proptest::prelude::*;
use stead_audit::{
    edge::Edge,
    frontier::Frontier,
    hash::{self, TreeHash},
    proof::{self, BadProof},
    prove,
    read::{ReadError, Reader},
    tile::{Holds, Tile},
    tree::Tree,
};

fn leaves(n: u64) -> Vec<TreeHash> {
    (0..n).map(|n| hash::leaf(&n.to_be_bytes())).collect()
}

fn tree(n: u64) -> Tree {
    let mut tree = Tree::default();
    tree.extend(leaves(n));
    tree
}

/// MTH of RFC 6962, section 2.1, as it stands there.
fn defined(leaves: &[TreeHash]) -> TreeHash {
    match leaves.len() {
        0 => hash::empty(),
        1 => leaves[0],
        n => {
            let (left, right) = leaves.split_at(n.next_power_of_two() / 2);
            hash::node(defined(left), defined(right))
        }
    }
}

/// Tiles in memory, as a store would keep them.
#[derive(Default)]
struct Files(std::collections::BTreeMap<String, Vec<u8>>);

impl Files {
    fn get(&self, tile: Tile) -> Result<Vec<u8>, String> {
        self.0.get(&tile.to_string()).cloned().ok_or(format!("{tile} is not there"))
    }
}

#[test]
fn roots_are_those_of_the_rfc_at_every_size() {
    let all = leaves(600);
    let (mut frontier, mut edge) = (Frontier::default(), Edge::default());
    for n in 0..=600 {
        assert_eq!(frontier.root(), defined(&all[..n]), "{n}");
        assert_eq!(edge.root(), frontier.root(), "{n}");
        assert_eq!(Frontier::new(n as u64, frontier.peaks().to_vec()), Some(frontier.clone()));
        if n < 600 {
            frontier.append(all[n]).unwrap();
            edge.append(&all[n..=n]).unwrap();
        }
    }
    // The tree of no leaves, and of one, are the RFC's too.
    assert_eq!(hash::empty().to_string(), "47DEQpj8HBSa+/TImW+5JCeuQeRkm5NMpJWZG3hSuFU=");
}

#[test]
fn every_leaf_is_proven_at_its_place_and_at_no_other() {
    for size in 1..=70 {
        let (mut tree, all) = (tree(size), leaves(size));
        for index in 0..size {
            let Ok(path) = prove::inclusion(&mut tree, index, size);
            let leaf = all[index as usize];
            assert_eq!(proof::inclusion(leaf, index, size, &path, tree.root()), Ok(()), "{index} of {size}");
            for other in (0..size + 2).filter(|other| *other != index) {
                assert!(
                    proof::inclusion(leaf, other, size, &path, tree.root()).is_err(),
                    "{index} as {other} of {size}"
                );
            }
            let mut longer = path.clone();
            longer.push(leaf);
            assert_eq!(proof::inclusion(leaf, index, size, &longer, tree.root()), Err(BadProof::Length));
            if let Some((_, shorter)) = path.split_last() {
                assert_eq!(proof::inclusion(leaf, index, size, shorter, tree.root()), Err(BadProof::Length));
            }
        }
    }
}

#[test]
fn every_beginning_of_a_log_is_proven_and_nothing_else_is() {
    let roots: Vec<_> = (0..=70).map(|n| tree(n).root()).collect();
    let mut tree = tree(70);
    for new in 0..=70_u64 {
        for old in 0..=new {
            let Ok(path) = prove::consistency(&mut tree, old, new);
            let (from, to) = ((old, roots[old as usize]), (new, roots[new as usize]));
            assert_eq!(proof::consistency(from, to, &path), Ok(()), "{old} to {new}");
            let wrong = hash::leaf(b"another");
            assert!(proof::consistency((old, wrong), to, &path).is_err(), "{old} to {new}");
            assert!(old == 0 || proof::consistency(from, (new, wrong), &path).is_err(), "{old} to {new}");
            let longer = [&path[..], &[wrong]].concat();
            assert_eq!(proof::consistency(from, to, &longer), Err(BadProof::Length), "{old} to {new}");
            if let Some((_, shorter)) = path.split_last() {
                assert!(proof::consistency(from, to, shorter).is_err(), "{old} to {new}");
            }
        }
    }
    assert_eq!(proof::consistency((2, roots[2]), (1, roots[1]), &[]), Err(BadProof::Outside));
}

#[test]
fn an_inclusion_proof_of_a_million_leaves_has_at_most_640_bytes() {
    let mut tree = tree(1_000_000);
    for index in [0, 1, 262_143, 524_288, 999_998, 999_999] {
        let Ok(path) = prove::inclusion(&mut tree, index, 1_000_000);
        assert!(path.len() * hash::LEN <= 640, "{index}: {} hashes", path.len());
        let leaf = hash::leaf(&index.to_be_bytes());
        assert_eq!(proof::inclusion(leaf, index, 1_000_000, &path, tree.root()), Ok(()));
    }
}

#[test]
fn tiles_of_a_log_of_70000_are_those_of_the_specification() {
    let mut edge = Edge::default();
    let mut files = Files::default();
    for (tile, bytes) in edge.append(&leaves(70_000)).unwrap() {
        assert_eq!(bytes.len(), usize::from(tile.width()) * 32);
        files.0.insert(tile.to_string(), bytes);
    }
    let of = |level: &str| files.0.keys().filter(|path| path.starts_with(&format!("tile/{level}/"))).count();
    assert_eq!((of("0"), of("1"), of("2"), files.0.len()), (274, 2, 1, 277));
    for path in ["tile/0/000", "tile/0/272", "tile/0/273.p/112", "tile/1/000", "tile/1/001.p/17", "tile/2/000.p/1"] {
        assert!(files.0.contains_key(path), "{path}");
    }
    // 256 leaves are a full tile and one of width 1 above it.
    let mut edge = Edge::default();
    let paths: Vec<_> = edge.append(&leaves(256)).unwrap().iter().map(|(tile, _)| tile.to_string()).collect();
    assert_eq!(paths, ["tile/0/000", "tile/1/000.p/1"]);
}

#[test]
fn a_path_has_one_way_to_be_written() {
    for (path, index, width) in [
        ("tile/0/x001/x234/067", 1_234_067, 256),
        ("tile/7/000.p/1", 0, 1),
        ("tile/entries/999.p/255", 999, 255),
        ("tile/entries/x001/000", 1_000, 256),
    ] {
        let tile: Tile = path.parse().unwrap();
        assert_eq!((tile.index(), tile.width(), tile.to_string().as_str()), (index, width, path));
    }
    for path in [
        "",
        "tile/0",
        "tile/8/000",
        "tile/00/000",
        "tile/0/0",
        "tile/0/1000",
        "tile/0/x000/001",
        "tile/0/001/002",
        "tile/0/000.p/0",
        "tile/0/000.p/256",
        "tile/0/000.p/01",
        "tile/0/000/",
        "/tile/0/000",
        "tile/0/+00",
        "tile/entries/x/000",
        "tile/data/000",
        "tile/0/x999/x999/x999/x999/x999/x999/999",
        "tile/0/000.p/1.p/1",
    ] {
        assert!(path.parse::<Tile>().is_err(), "{path}");
    }
    assert_eq!(Tile::new(Holds::Hashes(7), 1 << 60, 1), None);
}

#[test]
fn proofs_out_of_tiles_are_those_out_of_memory() {
    let (mut files, mut edge, all) = (Files::default(), Edge::default(), leaves(70_000));
    // In appends of odd sizes, so that tiles fill at every place.
    for some in all.chunks(977) {
        files.0.extend(edge.append(some).unwrap().into_iter().map(|(tile, bytes)| (tile.to_string(), bytes)));
    }
    let mut tree = tree(70_000);
    assert_eq!(edge.root(), tree.root());
    let mut reader = Reader::open(70_000, tree.root(), |tile| files.get(tile)).unwrap();
    assert_eq!(reader.edge(), &edge);
    for index in [0, 255, 256, 65_535, 65_536, 69_887, 69_888, 69_999] {
        assert_eq!(
            prove::inclusion(&mut reader, index, 70_000).unwrap(),
            prove::inclusion(&mut tree, index, 70_000).unwrap()
        );
    }
    for old in [1, 255, 256, 257, 65_536, 69_999, 70_000] {
        let Ok(path) = prove::consistency(&mut tree, old, 70_000);
        assert_eq!(prove::consistency(&mut reader, old, 70_000).unwrap(), path, "{old}");
    }
    assert_eq!(prove::root(&mut reader, 65_600).unwrap(), defined(&all[..65_600]));
}

#[test]
fn no_tile_is_believed() {
    let (mut files, mut edge) = (Files::default(), Edge::default());
    let entries: Vec<_> = (0..70_000_u64).map(|n| n.to_be_bytes().to_vec()).collect();
    let all: Vec<_> = entries.iter().map(|entry| hash::leaf(entry)).collect();
    files.0.extend(edge.append(&all).unwrap().into_iter().map(|(tile, bytes)| (tile.to_string(), bytes)));
    let bundle = stead_audit::tile::bundle(entries[..256].iter().map(Vec::as_slice)).unwrap();
    files.0.insert("tile/entries/000".to_owned(), bundle);
    let read = |files: &Files| -> Result<(), ReadError<String>> {
        let mut reader = Reader::open(70_000, edge.root(), |tile| files.get(tile))?;
        prove::inclusion(&mut reader, 5, 70_000)?;
        assert_eq!(reader.entries(0)?[5], entries[5]);
        Ok(())
    };
    assert_eq!(read(&files), Ok(()));
    for path in
        ["tile/0/000", "tile/1/000", "tile/0/273.p/112", "tile/1/001.p/17", "tile/2/000.p/1", "tile/entries/000"]
    {
        let changes: [fn(&mut Vec<u8>); 3] = [|b| b[9] ^= 1, |b| b.truncate(b.len() - 1), |b| b.push(0)];
        for change in changes {
            let kept = files.0[path].clone();
            change(files.0.get_mut(path).unwrap());
            let found = read(&files);
            assert!(matches!(found, Err(ReadError::Forged { .. })), "{path}: {found:?}");
            files.0.insert(path.to_owned(), kept);
        }
        let kept = files.0.remove(path).unwrap();
        assert!(matches!(read(&files), Err(ReadError::Fetch { .. })), "{path}");
        files.0.insert(path.to_owned(), kept);
    }
    assert_eq!(read(&files), Ok(()));
}

proptest! {
    #[test]
    fn any_selection_is_proven_together(size in 1_u64..400, picks in prop::collection::btree_set(0_u64..400, 0..40)) {
        let mut tree = tree(size);
        let picks: Vec<u64> = picks.into_iter().filter(|pick| *pick < size).collect();
        let Ok(path) = prove::selection(&mut tree, &picks, size);
        let leaves: Vec<_> = picks.iter().map(|n| (*n, hash::leaf(&n.to_be_bytes()))).collect();
        prop_assert_eq!(proof::selection(&leaves, size, &path, tree.root()), Ok(()));
        if let [(index, leaf)] = leaves[..] {
            let Ok(mut single) = prove::inclusion(&mut tree, index, size);
            let mut same = path.clone();
            single.sort();
            same.sort();
            prop_assert_eq!(&single, &same, "one leaf has the hashes of its inclusion proof");
            prop_assert!(proof::selection(&[(index, hash::node(leaf, leaf))], size, &path, tree.root()).is_err());
        }
        for at in 0..path.len() {
            let mut other = path.clone();
            other[at].0[0] ^= 1;
            prop_assert_eq!(proof::selection(&leaves, size, &other, tree.root()), Err(BadProof::Root));
        }
        if leaves.len() > 1 {
            prop_assert!(proof::selection(&leaves[1..], size, &path, tree.root()).is_err());
        }
    }

    #[test]
    fn hostile_proofs_neither_panic_nor_hold(
        index: u64,
        size: u64,
        old: u64,
        path in prop::collection::vec(any::<[u8; 32]>(), 0..130),
        some in prop::collection::vec(any::<u64>(), 0..20),
    ) {
        let path: Vec<_> = path.into_iter().map(TreeHash).collect();
        let root = hash::leaf(b"root");
        prop_assert!(proof::inclusion(hash::leaf(b"x"), index, size, &path, root).is_err());
        prop_assert!(old == size || proof::consistency((old, root), (size, hash::leaf(b"y")), &path).is_err());
        let mut some: Vec<_> = some.into_iter().map(|n| (n, root)).collect();
        some.sort();
        prop_assert!(proof::selection(&some, size, &path, root).is_err() || path == [root]);
    }
}

#[test]
fn memory_never_fails() {
    let subtree: Result<TreeHash, Infallible> = prove::root(&mut tree(0), 0);
    assert_eq!(subtree, Ok(hash::empty()));
}
