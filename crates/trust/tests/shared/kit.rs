//! People with keys, a directory of them, and a question that they answer: for tests and the benchmark.

use aws_lc_rs::{
    rand::SystemRandom,
    signature::{ECDSA_P256_SHA256_ASN1_SIGNING, EcdsaKeyPair, KeyPair as _},
};
use sha2::{Digest as _, Sha256};
use stead_trust::{
    action::{Action, Behalf},
    directory::{Directory, Enrolment, Entry, Envelope, Root, RootKey, Signed, What},
    key::PublicKey,
    question::{Gate, Preview, Question},
    receipt::{Receipt, Signature},
    signer::Signer,
    statement::{Human, Statement},
    verify::Passkey,
};
use zeroize::Zeroizing;

pub const NOW: u64 = 1_790_000_000;

pub fn signer(n: u8) -> Signer {
    Signer::from_seed(Zeroizing::new([n; 32])).expect("32 bytes are a seed")
}

pub fn human(name: &str) -> Human {
    Human { issuer: "stead".into(), subject: name.into() }
}

pub fn enrolment(name: &str, key: PublicKey, passkey: Option<Passkey>) -> What {
    What::Enrol(Enrolment { key, human: human(name), roles: vec!["finance".into()], passkey })
}

pub fn envelope(entry: &Entry, signers: &[&Signer]) -> Envelope {
    let text = entry.to_text();
    let signed = |s: &&Signer| Signed { key: s.public().clone(), signature: s.sign_text(&text) };
    Envelope { signatures: signers.iter().map(signed).collect(), entry: text }
}

/// A root of three keys, two of which sign: those of the numbers 1, 2 and 3.
pub fn root() -> Directory {
    let key = |(n, holder): (u8, &str)| RootKey { holder: holder.into(), key: signer(n).public().clone() };
    let keys = [(1, "xenia"), (2, "yves"), (3, "zoe")].map(key).into();
    let what = What::Root(Root { threshold: 2, keys, personal: false });
    let entry = Entry { tenant: "acme".into(), seq: 0, previous: None, at: NOW, what };
    Directory::begin(&envelope(&entry, &[&signer(1), &signer(2)])).expect("is a root")
}

pub fn next(directory: &Directory, what: What) -> Entry {
    let (seq, previous) = (directory.next(), Some(directory.head()));
    Entry { tenant: "acme".into(), seq, previous, at: NOW, what }
}

pub fn enrolled(directory: &mut Directory, what: What) {
    let entry = next(directory, what);
    directory.add(&envelope(&entry, &[&signer(1), &signer(2)])).expect("the root may");
}

pub fn question() -> Question {
    Question {
        run: "run_01M8KPS0ARG03QDRMC8BN0XR25".into(),
        step: 2,
        request: [7; 32],
        salt: [9; 16],
        action: Action {
            tenant: "acme".into(),
            agent: "refund-desk".into(),
            version: "v_12".into(),
            tool: "payments_refund".into(),
            schema: "00ff".into(),
            class: "irreversible".into(),
            key: Some("1042".into()),
            arguments: "{\"order_id\": \"1042\",\"amount_cents\":4990}".into(),
            target: vec!["pay.example:443".into()],
            behalf: Behalf { user: Some("carl".into()), callers: vec!["desk".into()] },
            cost: Some("0.02 USD".into()),
            workspace: Some("tree_1".into()),
            environment: Some("namespace".into()),
            secrets: vec!["payments#token to pay.example".into()],
            precondition: Some("the entity tag is still \"v7\"".into()),
        },
        reason: "policies ask for it".into(),
        why: vec!["large refunds: amount_cents is 4990".into()],
        labels: vec![("order_id".into(), "user".into())],
        epoch: Some(4),
        gates: vec![Gate {
            policy: "large-refunds".into(),
            approvers: vec!["finance".into()],
            quorum: 1,
            verified: false,
            channels: false,
            escalate: vec![(NOW + 1_800, "finance-leads".into()), (NOW + 7_200, "user:carol".into())],
        }],
        quorum: 1,
        asked: NOW - 60,
        expires: Some(NOW + 900),
        denial: "the model is told, and nothing is done".into(),
        preview: Some(Preview {
            text: "an open order of 49.90".into(),
            precondition: Some("the entity tag is still \"v7\"".into()),
        }),
    }
}

pub fn statement(question: &Question, name: &str, key: &PublicKey) -> Statement {
    Statement::about(question, true, human(name), key.id(), [3; 16], NOW + 600)
}

pub fn signed(statement: &Statement, signer: &Signer) -> Receipt {
    let text = statement.to_text();
    Receipt { key: signer.public().clone(), signature: signer.sign_text(&text), text }
}

/// A passkey in software.
pub struct Authenticator {
    pair: EcdsaKeyPair,
    pub place: Passkey,
}

impl Authenticator {
    pub fn new() -> Self {
        let pair = EcdsaKeyPair::generate(&ECDSA_P256_SHA256_ASN1_SIGNING).expect("makes a key");
        let place = Passkey { rp_id: "stead.example".into(), origin: "https://stead.example".into(), credential: None };
        Self { pair, place }
    }

    pub fn public(&self) -> PublicKey {
        PublicKey::p256(self.pair.public_key().as_ref()).expect("is a point")
    }

    /// Signs a message as ECDSA, in DER.
    pub fn raw(&self, message: &[u8]) -> Vec<u8> {
        self.pair.sign(&SystemRandom::new(), message).expect("signs").as_ref().to_vec()
    }

    /// An assertion over a text, with these flags and client data as a browser would have written them.
    pub fn assert_with(&self, client: String, rp_id: &str, flags: u8) -> Signature {
        let mut authenticator = Sha256::digest(rp_id).to_vec();
        authenticator.push(flags);
        authenticator.extend([0, 0, 0, 1]);
        let mut message = authenticator.clone();
        message.extend(Sha256::digest(&client));
        Signature::Webauthn { signature: self.raw(&message), client: client.into_bytes(), authenticator }
    }

    pub fn client(text: &str, kind: &str, origin: &str) -> String {
        use base64::{Engine as _, prelude::BASE64_URL_SAFE_NO_PAD};
        let challenge = BASE64_URL_SAFE_NO_PAD.encode(Statement::challenge(text));
        format!(r#"{{"type":"{kind}","challenge":"{challenge}","origin":"{origin}","crossOrigin":false}}"#)
    }

    pub fn assert(&self, text: &str) -> Signature {
        let client = Self::client(text, "webauthn.get", &self.place.origin);
        self.assert_with(client, &self.place.rp_id, 0x05)
    }
}
