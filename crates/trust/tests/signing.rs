//! Who signed what: each way to sign, and that nothing but exactly what was signed counts.
#![expect(clippy::unwrap_used, unreachable_pub, reason = "tests; modules are shared")]

#[path = "shared/kit.rs"]
mod kit;
#[path = "shared/mutate.rs"]
mod mutate;

use kit::{Authenticator, NOW, enrolled, enrolment, human, question, root, signed, signer, statement};
use mutate::mutations;
use stead_trust::{
    directory::{At, Directory, Rejected},
    json::parse,
    question::Question,
    receipt::{Receipt, Signature},
    statement::{Mismatch, Statement},
    verify::{BadSignature, verify},
};

fn directory() -> Directory {
    let mut directory = root();
    enrolled(&mut directory, enrolment("ann", signer(10).public().clone(), None));
    directory
}

fn accepts(directory: &Directory, receipt: &Receipt, question: &Question) -> Result<(), Rejected> {
    directory.accept(receipt, question, &[], NOW, At::Giving).map(drop)
}

#[test]
fn what_was_signed_counts_for_exactly_what_was_asked() {
    let (directory, question) = (directory(), question());
    let receipt = signed(&statement(&question, "ann", signer(10).public()), &signer(10));
    assert_eq!(accepts(&directory, &receipt, &question), Ok(()));
    // It is the same after it was written and read.
    let again = Receipt::from_text(&receipt.to_text()).unwrap();
    assert_eq!(again, receipt);
    assert_eq!(Question::from_text(&question.to_text()).as_ref(), Ok(&question));
    assert_eq!(Statement::from_text(&receipt.text).unwrap().to_text(), receipt.text);
}

#[test]
fn every_change_of_one_member_of_a_signed_statement_is_rejected() {
    let (directory, question, ann) = (directory(), question(), signer(10));
    let receipt = signed(&statement(&question, "ann", ann.public()), &ann);
    let changed = mutations(&parse(receipt.text.as_bytes()).unwrap());
    assert!(changed.len() > 700, "{}", changed.len());
    for text in changed.iter().map(ToString::to_string) {
        let forged = Receipt { text, ..receipt.clone() };
        assert!(accepts(&directory, &forged, &question).is_err(), "{}", forged.text);
    }
}

#[test]
fn every_change_of_one_member_of_the_action_or_the_question_is_rejected() {
    let (directory, question, ann) = (directory(), question(), signer(10));
    let receipt = signed(&statement(&question, "ann", ann.public()), &ann);
    let (mut tried, mut read) = (0, 0);
    for changed in mutations(&question.to_value()) {
        tried += 1;
        // What cannot be read any more is nothing that could be done.
        let Ok(other) = Question::from_text(&changed.to_string()) else { continue };
        if other == question {
            continue;
        }
        read += 1;
        assert!(accepts(&directory, &receipt, &other).is_err(), "{changed}");
    }
    assert!(tried > 1_000 && read > 800, "{tried} {read}");
}

#[test]
fn a_statement_that_was_signed_about_something_else_answers_nothing() {
    let (directory, question, ann) = (directory(), question(), signer(10));
    let right = statement(&question, "ann", ann.public());
    for changed in mutations(&parse(right.to_text().as_bytes()).unwrap()) {
        let Ok(other) = Statement::from_text(&changed.to_string()) else { continue };
        let bound = Statement { approved: right.approved, nonce: right.nonce, expires: right.expires, ..other.clone() };
        let expected = bound == right && other.is_alive(NOW).is_ok();
        assert_eq!(accepts(&directory, &signed(&other, &ann), &question).is_ok(), expected, "{changed}");
    }
}

#[test]
fn a_statement_counts_until_it_expires_and_never_for_months() {
    let (directory, question, ann) = (directory(), question(), signer(10));
    let at = |expires| {
        let statement = Statement { expires, ..statement(&question, "ann", ann.public()) };
        accepts(&directory, &signed(&statement, &ann), &question)
    };
    assert_eq!(at(NOW), Err(Mismatch::Expired.into()));
    assert_eq!(at(NOW - 1), Err(Mismatch::Expired.into()));
    assert_eq!(at(NOW + 1), Ok(()));
    assert_eq!(at(NOW + 32 * 86_400), Err(Mismatch::TooLong.into()));
}

#[test]
fn who_began_something_does_not_approve_it_and_may_deny_it() {
    let (directory, question, ann) = (directory(), question(), signer(10));
    let yes = statement(&question, "ann", ann.public());
    let no = Statement { approved: false, ..yes.clone() };
    let began = [human("ann")];
    let said = |s: &Statement| directory.accept(&signed(s, &ann), &question, &began, NOW, At::Giving).map(drop);
    assert_eq!(said(&yes), Err(Rejected::Initiator));
    assert_eq!(said(&no), Ok(()));
}

#[test]
fn another_key_or_person_does_not_count() {
    let (mut directory, question) = (directory(), question());
    let by = |directory: &Directory, name: &str, key: u8, by: u8| {
        accepts(directory, &signed(&statement(&question, name, signer(key).public()), &signer(by)), &question)
    };
    assert_eq!(by(&directory, "ann", 11, 11), Err(Rejected::Unknown));
    assert_eq!(by(&directory, "bob", 10, 10), Err(Rejected::Person));
    assert_eq!(by(&directory, "ann", 11, 10), Err(Rejected::Person));
    // One key of the root, however much it may else, approves nothing.
    assert_eq!(by(&directory, "xenia", 1, 1), Err(Rejected::Unknown));
    let revoke = stead_trust::directory::What::Revoke { key: signer(10).public().id(), reason: "lost".into() };
    enrolled(&mut directory, revoke);
    assert_eq!(by(&directory, "ann", 10, 10), Err(Rejected::Revoked));
}

#[test]
fn a_passkey_signs_on_its_page_for_its_domain_with_somebody_there() {
    let passkey = Authenticator::new();
    let key = passkey.public();
    let text = statement(&question(), "ann", &key).to_text();
    let place = Some(&passkey.place);
    assert!(verify(&text, &key, place, &passkey.assert(&text)).unwrap().person);
    let client = |kind: &str, origin: &str| Authenticator::client(&text, kind, origin);
    let right = client("webauthn.get", "https://stead.example");
    let with =
        |client: &str, rp: &str, flags| verify(&text, &key, place, &passkey.assert_with(client.into(), rp, flags));
    assert!(!with(&right, "stead.example", 0x01).unwrap().person);
    assert_eq!(with(&right, "stead.example", 0x04), Err(BadSignature::Absent));
    assert!(matches!(with(&right, "evil.example", 0x05), Err(BadSignature::Purpose(_))));
    let other = client("webauthn.create", "https://stead.example");
    assert!(matches!(with(&other, "stead.example", 0x05), Err(BadSignature::Purpose(_))));
    let other = client("webauthn.get", "https://stead.example.evil");
    assert!(matches!(with(&other, "stead.example", 0x05), Err(BadSignature::Purpose(_))));
    let framed = right.replace("\"crossOrigin\":false", "\"crossOrigin\":true");
    assert!(matches!(with(&framed, "stead.example", 0x05), Err(BadSignature::Purpose(_))));
    let twice = right.replace("\"type\"", "\"type\":\"webauthn.get\",\"type\"");
    assert!(matches!(with(&twice, "stead.example", 0x05), Err(BadSignature::Form(_))));
    // Over another text, by another key, or by a key that is no passkey.
    assert_eq!(verify("x", &key, place, &passkey.assert(&text)), Err(BadSignature::Wrong));
    let other = Authenticator::new();
    assert_eq!(verify(&text, &key, place, &other.assert(&text)), Err(BadSignature::Wrong));
    assert_eq!(verify(&text, &key, None, &passkey.assert(&text)), Err(BadSignature::Kind));
}

#[test]
fn every_flipped_bit_of_an_assertion_is_rejected() {
    let passkey = Authenticator::new();
    let key = passkey.public();
    let text = statement(&question(), "ann", &key).to_text();
    let Signature::Webauthn { authenticator, client, signature } = passkey.assert(&text) else { panic!() };
    let try_it = |authenticator: &[u8], client: &[u8], signature: &[u8]| {
        let (authenticator, client, signature) = (authenticator.into(), client.into(), signature.into());
        let changed = Signature::Webauthn { authenticator, client, signature };
        verify(&text, &key, Some(&passkey.place), &changed).is_err()
    };
    for bit in 0..8 {
        let flipped = |bytes: &[u8], i: usize| {
            let mut bytes = bytes.to_vec();
            bytes[i] ^= 1 << bit;
            bytes
        };
        assert!((0..authenticator.len()).all(|i| try_it(&flipped(&authenticator, i), &client, &signature)));
        assert!((0..client.len()).all(|i| try_it(&authenticator, &flipped(&client, i), &signature)));
        assert!((0..signature.len()).all(|i| try_it(&authenticator, &client, &flipped(&signature, i))));
    }
}

#[test]
fn a_jws_of_another_purpose_or_kind_is_rejected() {
    use base64::{Engine as _, prelude::BASE64_URL_SAFE_NO_PAD};
    let ann = signer(10);
    let text = statement(&question(), "ann", ann.public()).to_text();
    let kid = ann.public().id();
    for header in [
        r#"{"alg":"none"}"#.to_owned(),
        format!(r#"{{"alg":"EdDSA","kid":"{kid}"}}"#),
        format!(r#"{{"alg":"EdDSA","kid":"{kid}","typ":"JWT"}}"#),
        format!(r#"{{"alg":"HS256","kid":"{kid}","typ":"stead-approval-v1"}}"#),
        format!(r#"{{"alg":"EdDSA","b64":false,"crit":["b64"],"kid":"{kid}","typ":"stead-approval-v1"}}"#),
    ] {
        let protected = BASE64_URL_SAFE_NO_PAD.encode(header);
        let input = format!("{protected}.{}", BASE64_URL_SAFE_NO_PAD.encode(&text));
        let signature = ann.sign(input.as_bytes());
        let said = verify(&text, ann.public(), None, &Signature::Jws { protected, signature });
        assert!(matches!(said, Err(BadSignature::Purpose(_))), "{said:?}");
    }
    // The bare text signed is no JWS.
    let Signature::Jws { protected, .. } = ann.sign_text(&text) else { panic!() };
    let bare = Signature::Jws { protected, signature: ann.sign(text.as_bytes()) };
    assert_eq!(verify(&text, ann.public(), None, &bare), Err(BadSignature::Wrong));
}
