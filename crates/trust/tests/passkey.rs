//! Passkeys that people ask to be enrolled.
#![expect(clippy::unwrap_used, unreachable_pub, dead_code, reason = "tests; modules are shared")]

#[path = "shared/kit.rs"]
mod kit;

use kit::{Authenticator, NOW, enrolled, human, root, signer};
use stead_trust::{
    directory::{Enrolment, Entry, What},
    passkey::{BadRequest, Request},
    receipt::Receipt,
    verify::{BadSignature, Passkey},
};

fn request(passkey: &Authenticator) -> Request {
    let place = Passkey { credential: Some("AQID".into()), ..passkey.place.clone() };
    Request { tenant: "default".into(), human: human("ann"), key: passkey.public(), passkey: place, at: NOW }
}

fn signed(text: &str, passkey: &Authenticator) -> Receipt {
    Receipt { text: text.to_owned(), key: passkey.public(), signature: passkey.assert(text) }
}

#[test]
fn a_passkey_asks_to_be_enrolled_with_its_own_signature_and_with_nothing_else() {
    let passkey = Authenticator::new();
    let right = request(&passkey);
    let text = right.to_text();
    assert_eq!(Request::of(&signed(&text, &passkey)), Ok(right.clone()));
    // Through the text of a receipt, as it travels.
    let travelled = Receipt::from_text(&signed(&text, &passkey).to_text()).unwrap();
    assert_eq!(Request::of(&travelled), Ok(right));
    let other = Authenticator::new();
    assert_eq!(Request::of(&signed(&text, &other)), Err(BadRequest::Key));
    let forged = Receipt { key: passkey.public(), ..signed(&text, &other) };
    assert_eq!(Request::of(&forged), Err(BadSignature::Wrong.into()));
    let by_file = Receipt { signature: signer(10).sign_text(&text), ..signed(&text, &passkey) };
    assert_eq!(Request::of(&by_file), Err(BadSignature::Kind.into()));
    // Somebody was there, and nobody knows who.
    let client = Authenticator::client(&text, "webauthn.get", &passkey.place.origin);
    let unverified = passkey.assert_with(client, &passkey.place.rp_id, 0x01);
    let unverified = Receipt { signature: unverified, ..signed(&text, &passkey) };
    assert_eq!(Request::of(&unverified), Err(BadRequest::Person));
}

#[test]
fn every_change_of_a_request_is_rejected() {
    let passkey = Authenticator::new();
    let text = request(&passkey).to_text();
    let signature = passkey.assert(&text);
    for (was, is) in [
        ("\"subject\":\"ann\"", "\"subject\":\"bob\""),
        ("\"tenant\":\"default\"", "\"tenant\":\"globex\""),
        ("https://stead.example", "https://stead.evil"),
        ("\"rp_id\":\"stead.example\"", "\"rp_id\":\"example\""),
        ("AQID", "AQIE"),
        ("AQID", "A"),
        ("AQID", ""),
        ("passkey/v1", "approval/v1"),
        ("\"subject\":\"ann\"", "\"subject\":\"ann\",\"subject\":\"bob\""),
        ("\"subject\":\"ann\"", "\"subject\":\"ann\",\"more\":1"),
        ("\"subject\":\"ann\"", "\"subject\":\"a\\u0007\""),
        ("{", " {"),
    ] {
        assert!(text.contains(was), "{was}");
        let changed = text.replacen(was, is, 1);
        let receipt = Receipt { text: changed.clone(), key: passkey.public(), signature: signature.clone() };
        assert!(Request::of(&receipt).is_err(), "{changed}");
        // What cannot be read is refused with a signature of its own, too.
        if Request::from_text(&changed).is_err() {
            assert!(Request::of(&signed(&changed, &passkey)).is_err(), "{changed}");
        }
    }
}

#[test]
fn an_entry_says_which_credential_it_is_and_one_of_before_need_not() {
    let passkey = Authenticator::new();
    let mut directory = root();
    for credential in [None, Some("AQID".to_owned())] {
        let passkey = Authenticator::new();
        let place = Passkey { credential, ..passkey.place.clone() };
        let what =
            What::Enrol(Enrolment { key: passkey.public(), human: human("ann"), roles: vec![], passkey: Some(place) });
        enrolled(&mut directory, what.clone());
        let entry = Entry { tenant: "default".into(), seq: 1, previous: None, at: NOW, what };
        let text = entry.to_text();
        assert_eq!(Entry::from_text(&text), Ok(entry));
    }
    let place = Passkey { credential: Some("not base64url!".into()), ..passkey.place.clone() };
    let what =
        What::Enrol(Enrolment { key: passkey.public(), human: human("ann"), roles: vec![], passkey: Some(place) });
    let entry = Entry { tenant: "default".into(), seq: 1, previous: None, at: NOW, what };
    assert!(Entry::from_text(&entry.to_text()).is_err());
}
