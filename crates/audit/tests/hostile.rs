//! Whatever comes in as a bundle, a note, a key or a leaf: nothing panics, and nothing that is read means what another text means.

#![expect(clippy::unwrap_used, reason = "tests")]

use proptest::prelude::*;
use stead_audit::{
    bundle::Bundle,
    checkpoint::Checkpoint,
    key::{BadKey, Role, SignerKey, VerifierKey},
    leaf::Leaf,
    note::Note,
};

fn signer() -> SignerKey {
    SignerKey::from_seed("stead.example/audit/acme", Role::Log, [7; 32].into()).unwrap()
}

#[test]
fn keys_are_read_as_they_are_written_and_a_changed_one_is_refused() {
    let key = signer();
    let text = key.verifier().to_string();
    assert_eq!(text.parse::<VerifierKey>().as_ref(), Ok(key.verifier()));
    let secret: SignerKey = key.secret_text().parse().unwrap();
    assert_eq!(secret.verifier(), key.verifier());
    assert_eq!(key.secret_text().parse::<VerifierKey>(), Err(BadKey::Private));
    assert!(!format!("{key:?}").contains("PRIVATE"));
    for (at, _) in text.char_indices() {
        let mut other = text.clone().into_bytes();
        other[at] = if other[at] == b'x' { b'y' } else { b'x' };
        let other = String::from_utf8(other).unwrap();
        assert!(other.parse::<VerifierKey>().is_err(), "{other}");
    }
    for name in ["", "two words", "a+b", "a\u{a0}b", "tab\t", "\u{85}", &"n".repeat(256)] {
        assert_eq!(VerifierKey::new(name, Role::Log, [1; 32]), Err(BadKey::Name), "{name:?}");
    }
}

/// The worked example of C2SP's signed-note, and of the Go implementation that it comes from: text, key, signature.
#[test]
fn the_well_known_example_of_signed_notes_verifies() {
    let key: VerifierKey = "PeterNeumann+c74f20a3+ARpc2QcUPDhMQegwxbzhKqiBfsVkmqq/LDE4izWy10TW".parse().unwrap();
    let note = "If you think cryptography is the answer to your problem,\nthen you don't know what your problem is.\n\n\u{2014} \
                PeterNeumann x08go/ZJkuBS9UG/SffcvIAQxVBtiFupLLr8pAcElZInNIuGUgYN1FFYC2pZSNXgKvqfqdngotpRZb6KE6RyyBwJnAM=\n";
    let trust = stead_audit::note::Trust::in_log(key);
    assert_eq!(Note::parse(note).unwrap().verify(&trust), Ok(vec![]));
    assert!(Note::parse(&note.replace("know", "knew")).unwrap().verify(&trust).is_err());
}

#[test]
fn a_checkpoint_is_signed_by_the_key_of_its_log_alone() {
    let root = stead_audit::hash::empty();
    let checkpoint = Checkpoint { origin: "another.example".to_owned(), size: 0, root, extensions: vec![] };
    assert!(checkpoint.sign(&signer()).is_err());
    let injected = vec!["an extension\n\n\u{2014} x AAAA".to_owned()];
    let origin = "stead.example/audit/acme".to_owned();
    assert!(Checkpoint { origin, size: 0, root, extensions: injected }.sign(&signer()).is_err());
}

/// A byte string that says that it is long makes nothing long.
#[test]
fn lengths_that_are_promised_allocate_nothing() {
    let start = b"\x84\x75stead-audit-bundle/v1\x60";
    for promise in
        [&b"\x9b\xff\xff\xff\xff\xff\xff\xff\xff"[..], b"\x9b\x00\x00\x00\x01\x00\x00\x00\x00", b"\x9a\xff\xff\xff\xff"]
    {
        assert!(Bundle::decode(&[start, promise].concat()).is_err());
    }
    let line = "\u{2014} x AAAAAAA=\n";
    assert!(Note::parse(&format!("{}\n\n{line}", "x".repeat(131_000))).is_ok());
    assert!(Note::parse(&format!("{}\n\n{line}", "x".repeat(131_072))).is_err());
    assert!(Note::parse(&format!("x\n\n{}", line.repeat(65))).is_err());
    let deep = [0x81; 100_000];
    assert!(Bundle::decode(&deep).is_err() && Leaf::decode(&deep[..60_000]).is_err());
    let hash = stead_core::id::LeafHash([0; 32]);
    let record = [&b"\x83\x85\x01\x50"[..], &[0; 16], b"\x00\x00", &deep].concat();
    assert!(Leaf::of("log", &record, hash, hash).is_err());
}

proptest! {
    #[test]
    fn what_is_read_is_written_to_the_same_bytes(bytes in prop::collection::vec(any::<u8>(), 0..400)) {
        if let Ok(leaf) = Leaf::decode(&bytes) {
            prop_assert_eq!(leaf.encode(), bytes.clone());
        }
        if let Ok(bundle) = Bundle::decode(&bytes) {
            prop_assert_eq!(bundle.encode(), bytes);
        }
    }

    #[test]
    fn a_bundle_with_anything_in_it_is_refused_or_written_to_the_same_bytes(
        head in prop::collection::vec(any::<u8>(), 0..12),
        tail in prop::collection::vec(any::<u8>(), 0..200),
    ) {
        let bytes = [&b"\x84\x75stead-audit-bundle/v1\x60"[..], &head, &tail].concat();
        if let Ok(bundle) = Bundle::decode(&bytes) {
            prop_assert_eq!(bundle.encode(), bytes);
        }
    }

    #[test]
    fn notes_are_read_to_what_they_were(text in "[ -~\u{2014}\n]{0,80}", name in "[a-z./]{1,9}", blob in "[A-Za-z0-9+/]{8,16}") {
        let note = format!("{text}\n\n\u{2014} {name} {blob}\n");
        if let Ok(read) = Note::parse(&note) {
            prop_assert_eq!(read.to_string(), note);
        }
        if let Ok(read) = text.parse::<Checkpoint>() {
            prop_assert_eq!(read.to_string(), text);
        }
    }
}
