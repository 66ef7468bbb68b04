//! SSH signatures: stock OpenSSH signs and we verify, and the other way round.
#![expect(
    clippy::disallowed_methods,
    clippy::disallowed_types,
    clippy::unwrap_used,
    unreachable_pub,
    dead_code,
    reason = "the test writes files and runs a program; modules are shared"
)]

#[path = "shared/kit.rs"]
mod kit;

use std::{fs, path::Path, process::Command};

use aws_lc_rs::{
    rand::SystemRandom,
    signature::{ECDSA_P256_SHA256_FIXED_SIGNING, EcdsaKeyPair, KeyPair as _},
};
use base64::{Engine as _, prelude::BASE64_STANDARD};
use kit::{question, signer, statement};
use sha2::{Digest as _, Sha256};
use stead_trust::{
    key::{BadKey, PublicKey},
    receipt::Signature,
    verify::{BadSignature, sshsig, verify},
};

fn keygen(arguments: &[&str], folder: &Path, input: Option<&Path>) -> bool {
    let mut command = Command::new("ssh-keygen");
    command.args(arguments).current_dir(folder);
    if let Some(input) = input {
        command.stdin(fs::File::open(input).unwrap());
    }
    let said = command.output().expect("ssh-keygen is missing: install openssh-client");
    said.status.success()
}

/// A key made by OpenSSH, and a text that it signed under a namespace with a hash.
fn signed(kind: &str, text: &str, namespace: &str, hash: &str) -> (PublicKey, String) {
    let folder = tempfile::tempdir().unwrap();
    assert!(keygen(&["-q", "-t", kind, "-N", "", "-f", "key"], folder.path(), None));
    fs::write(folder.path().join("text"), text).unwrap();
    let hash = format!("hashalg={hash}");
    assert!(keygen(&["-q", "-Y", "sign", "-n", namespace, "-O", &hash, "-f", "key", "text"], folder.path(), None));
    let read = |name: &str| fs::read_to_string(folder.path().join(name)).unwrap();
    (read("key.pub").parse().unwrap(), read("text.sig"))
}

/// Whether stock OpenSSH takes that signature.
fn openssh_verifies(text: &str, key: &PublicKey, armored: &str, namespace: &str) -> bool {
    let folder = tempfile::tempdir().unwrap();
    let write = |name: &str, text: &str| fs::write(folder.path().join(name), text).unwrap();
    write("signers", &format!("ann {key}\n"));
    write("text", text);
    write("text.sig", armored);
    let arguments = ["-Y", "verify", "-f", "signers", "-I", "ann", "-n", namespace, "-s", "text.sig"];
    keygen(&arguments, folder.path(), Some(&folder.path().join("text")))
}

fn ours(text: &str, key: &PublicKey, armored: &str) -> Result<(), BadSignature> {
    verify(text, key, None, &Signature::Ssh { armored: armored.into() }).map(drop)
}

#[test]
fn what_openssh_signs_counts_and_only_for_its_text_purpose_and_hash() {
    let text = statement(&question(), "ann", signer(10).public()).to_text();
    for kind in ["ed25519", "ecdsa"] {
        let (key, armored) = signed(kind, &text, "stead-approval-v1", "sha512");
        assert_eq!(ours(&text, &key, &armored), Ok(()), "{kind}");
        assert!(openssh_verifies(&text, &key, &armored, "stead-approval-v1"), "{kind}");
        assert_eq!(ours(&(text.clone() + " "), &key, &armored), Err(BadSignature::Wrong));
        assert_eq!(ours(&text, signer(10).public(), &armored), Err(BadSignature::Wrong));
        let (key, armored) = signed(kind, &text, "file", "sha512");
        assert!(matches!(ours(&text, &key, &armored), Err(BadSignature::Purpose(_))));
        let (key, armored) = signed(kind, &text, "stead-approval-v1", "sha256");
        assert!(matches!(ours(&text, &key, &armored), Err(BadSignature::Form(_))));
    }
}

#[test]
fn every_flipped_bit_of_an_ssh_signature_is_rejected() {
    let text = statement(&question(), "ann", signer(10).public()).to_text();
    let (key, armored) = signed("ed25519", &text, "stead-approval-v1", "sha512");
    let body: String = armored.lines().filter(|l| !l.starts_with('-')).collect();
    let blob = BASE64_STANDARD.decode(body).unwrap();
    assert_eq!(ours(&text, &key, &sshsig::armor(&blob)), Ok(()));
    for i in 0..blob.len() {
        for bit in 0..8 {
            let mut changed = blob.clone();
            changed[i] ^= 1 << bit;
            assert!(ours(&text, &key, &sshsig::armor(&changed)).is_err(), "bit {bit} of byte {i}");
        }
    }
}

fn string(out: &mut Vec<u8>, bytes: &[u8]) {
    out.extend((bytes.len() as u32).to_be_bytes());
    out.extend(bytes);
}

/// A number of SSH's wire.
fn number(out: &mut Vec<u8>, bytes: &[u8]) {
    let bytes: Vec<u8> = bytes.iter().copied().skip_while(|b| *b == 0).collect();
    let zero = bytes.first().is_some_and(|b| b & 0x80 != 0);
    string(out, &[&[0; 1][usize::from(!zero)..], &bytes].concat());
}

/// How a key signs.
type Sign = Box<dyn Fn(&[u8]) -> Vec<u8>>;

/// A security key in software: the public key, and what it signs with these flags.
struct SecurityKey {
    public: PublicKey,
    sign: Sign,
}

fn security_key(p256: bool) -> SecurityKey {
    let mut blob = Vec::new();
    if p256 {
        let pair = EcdsaKeyPair::generate(&ECDSA_P256_SHA256_FIXED_SIGNING).unwrap();
        string(&mut blob, b"sk-ecdsa-sha2-nistp256@openssh.com");
        string(&mut blob, b"nistp256");
        string(&mut blob, pair.public_key().as_ref());
        string(&mut blob, b"ssh:");
        let sign = move |message: &[u8]| {
            let raw = pair.sign(&SystemRandom::new(), message).unwrap();
            let (r, s) = raw.as_ref().split_at(32);
            let mut out = Vec::new();
            number(&mut out, r);
            number(&mut out, s);
            out
        };
        return SecurityKey { public: PublicKey::from_blob(&blob).unwrap(), sign: Box::new(sign) };
    }
    let pair = signer(77);
    let plain = pair.public().blob();
    string(&mut blob, b"sk-ssh-ed25519@openssh.com");
    string(&mut blob, &plain[plain.len() - 32..]);
    string(&mut blob, b"ssh:");
    SecurityKey { public: PublicKey::from_blob(&blob).unwrap(), sign: Box::new(move |m| pair.sign(m)) }
}

impl SecurityKey {
    fn armored(&self, text: &str, flags: u8) -> String {
        let data = sshsig::signed_data(text.as_bytes());
        let mut message = Sha256::digest("ssh:").to_vec();
        message.push(flags);
        message.extend([0, 0, 0, 9]);
        message.extend(Sha256::digest(&data));
        let mut signature = Vec::new();
        string(&mut signature, self.public.kind().as_bytes());
        string(&mut signature, &(self.sign)(&message));
        signature.push(flags);
        signature.extend([0, 0, 0, 9]);
        let mut blob = b"SSHSIG\0\0\0\x01".to_vec();
        for part in [&self.public.blob()[..], b"stead-approval-v1", b"", b"sha512", &signature] {
            string(&mut blob, part);
        }
        sshsig::armor(&blob)
    }
}

#[test]
fn a_security_key_tells_whether_a_person_was_there_and_was_verified() {
    let text = statement(&question(), "ann", signer(10).public()).to_text();
    for p256 in [false, true] {
        let key = security_key(p256);
        // Numbers of SSH have as many bytes as they need: several signatures, so that both forms come up.
        for _ in 0..20 {
            let armored = key.armored(&text, 0x05);
            let said = verify(&text, &key.public, None, &Signature::Ssh { armored: armored.clone() });
            assert!(said.unwrap().person);
            assert!(openssh_verifies(&text, &key.public, &armored, "stead-approval-v1"));
        }
        let touched = Signature::Ssh { armored: key.armored(&text, 0x01) };
        assert!(!verify(&text, &key.public, None, &touched).unwrap().person);
        let alone = Signature::Ssh { armored: key.armored(&text, 0x04) };
        assert_eq!(verify(&text, &key.public, None, &alone), Err(BadSignature::Absent));
        // A security key signs nothing that a file could have signed.
        assert_eq!(verify(&text, &key.public, None, &signer(77).sign_text(&text)), Err(BadSignature::Kind));
    }
}

#[test]
fn keys_are_read_as_openssh_writes_them_and_have_its_fingerprints() {
    let folder = tempfile::tempdir().unwrap();
    for kind in ["ed25519", "ecdsa"] {
        assert!(keygen(&["-q", "-t", kind, "-N", "", "-C", "ann@host", "-f", kind], folder.path(), None));
        let text = fs::read_to_string(folder.path().join(format!("{kind}.pub"))).unwrap();
        let key: PublicKey = text.parse().unwrap();
        assert!(text.starts_with(&key.to_string()));
        let said = Command::new("ssh-keygen").args(["-l", "-f"]).arg(folder.path().join(kind)).output().unwrap();
        assert!(String::from_utf8(said.stdout).unwrap().contains(&key.id().to_string()));
    }
    assert!(keygen(&["-q", "-t", "rsa", "-b", "2048", "-N", "", "-f", "rsa"], folder.path(), None));
    let rsa = fs::read_to_string(folder.path().join("rsa.pub")).unwrap();
    assert_eq!(rsa.parse::<PublicKey>(), Err(BadKey::Kind));
    let key = signer(1).public().to_string();
    assert_eq!(key.replace("ssh-ed25519 ", "ecdsa-sha2-nistp256 ").parse::<PublicKey>(), Err(BadKey::Form));
    assert_eq!("".parse::<PublicKey>(), Err(BadKey::Form));
}
