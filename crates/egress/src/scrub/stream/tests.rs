//! What goes out of the scrubber, for secrets and cuts of every kind.

use base64::{
    Engine,
    engine::general_purpose::{STANDARD, URL_SAFE_NO_PAD},
};
use proptest::prelude::*;

use super::*;

fn patterns(secret: &str) -> Patterns {
    Patterns::new([&Secret::new(secret)]).expect("one value")
}

/// The stream, pushed in pieces of these lengths over and over.
fn through(patterns: &Patterns, stream: &[u8], cuts: &[usize]) -> Vec<u8> {
    let mut scrubber = Scrubber::new(patterns.clone());
    let (mut out, mut rest, mut cuts) = (Vec::new(), stream, cuts.iter().cycle());
    while !rest.is_empty() {
        let (piece, after) = rest.split_at((*cuts.next().expect("a cut")).clamp(1, rest.len()));
        out.extend(scrubber.push(piece));
        rest = after;
    }
    out.extend(scrubber.end());
    out
}

fn percent_all(text: &str) -> String {
    text.bytes().map(|b| format!("%{b:02x}")).collect()
}

fn percent_some(text: &str) -> String {
    let plain = |b: &u8| b.is_ascii_alphanumeric();
    text.bytes().map(|b| if plain(&b) { char::from(b).to_string() } else { format!("%{b:02X}") }).collect()
}

fn json_all(text: &str) -> String {
    text.bytes().map(|b| format!("\\u{b:04x}")).collect()
}

fn html(text: &str) -> String {
    text.bytes().map(|b| if b % 2 == 0 { format!("&#{b};") } else { format!("&#x{b:X};") }).collect()
}

/// Every form in which an echo is found, with text around it that its encoder would also have encoded.
fn echoes(secret: &str, before: &str, after: &str) -> Vec<(&'static str, String)> {
    let whole = format!("{before}{secret}{after}");
    let base64 = STANDARD.encode(&whole);
    let wrapped: Vec<_> = base64.as_bytes().chunks(19).map(|l| String::from_utf8_lossy(l).into_owned()).collect();
    let hex: String = whole.bytes().map(|b| format!("{b:02x}")).collect();
    vec![
        ("plain", whole.clone()),
        ("upper case", whole.to_ascii_uppercase()),
        ("wrapped base64", wrapped.join("\r\n")),
        ("base64 in JSON", base64.replace('/', "\\/")),
        ("base64 in a URL", base64.replace('+', "%2B").replace('/', "%2f").replace('=', "%3D")),
        ("base64", base64),
        ("base64 for URLs", URL_SAFE_NO_PAD.encode(&whole)),
        ("upper hex", hex.to_ascii_uppercase()),
        ("hex", hex),
        ("percent, all", percent_all(&whole)),
        ("percent, what must", percent_some(&whole)),
        ("form", percent_some(&whole).replace("%20", "+")),
        ("JSON", serde_json::to_string(&whole).expect("a text")),
        ("JSON, all", json_all(&whole)),
        ("HTML", html(&whole)),
    ]
}

/// Whether a run of the secret can be read out of what went out, under any reading.
fn leaks(secret: &str, out: &[u8]) -> bool {
    let run = super::super::forms::run_length(secret.len());
    let want = |form: &str| (form.len() * run).div_ceil(secret.len());
    let low = String::from_utf8_lossy(out).to_ascii_lowercase();
    let mut readings = vec![low.clone(), low.replace("\r\n", "")];
    readings.push(json_undone(&low));
    readings.push(percent_undone(&low));
    let parts = |text: &str, len: usize| -> Vec<String> {
        text.as_bytes().windows(len).map(|w| String::from_utf8_lossy(w).to_ascii_lowercase()).collect()
    };
    let mut forms = vec![secret.to_owned(), secret.bytes().map(|b| format!("{b:02x}")).collect()];
    for before in 0..3 {
        let text = format!("{}{secret}", "x".repeat(before));
        let (from, to) = ((before * 8).div_ceil(6), text.len() * 8 / 6);
        forms.push(STANDARD.encode(&text)[from..to].to_owned());
        forms.push(URL_SAFE_NO_PAD.encode(&text)[from..to].to_owned());
    }
    forms
        .iter()
        .any(|form| parts(form, want(form)).iter().any(|part| readings.iter().any(|r| r.contains(part.as_str()))))
}

fn percent_undone(text: &str) -> String {
    let mut parts = text.split('%');
    let mut out = parts.next().unwrap_or_default().to_owned();
    for part in parts {
        match part.get(..2).and_then(|d| u8::from_str_radix(d, 16).ok()) {
            Some(b) => {
                out.push(char::from(b).to_ascii_lowercase());
                out.push_str(&part[2..]);
            }
            None => out.push_str(part),
        }
    }
    out
}

fn json_undone(text: &str) -> String {
    serde_json::from_str::<String>(text)
        .or_else(|_| serde_json::from_str(&format!("\"{text}\"")))
        .unwrap_or_default()
        .to_ascii_lowercase()
}

#[test]
fn each_echo_is_masked_at_its_own_length() {
    let secret = "sk-live_4eC39HqLyjWDarjtT1zdp7dc/Q+==";
    let patterns = patterns(secret);
    for (name, echo) in echoes(secret, "<", ">") {
        let stream = format!("before {echo} after");
        let out = through(&patterns, stream.as_bytes(), &[7]);
        let shown = String::from_utf8_lossy(&out).into_owned();
        assert_eq!(out.len(), stream.len(), "{name}: {shown}");
        assert!(!leaks(secret, &out), "{name}: {shown}");
        assert!(shown.starts_with("before ") && shown.ends_with(" after"), "{name}: {shown}");
    }
}

#[test]
fn ordinary_text_goes_through_at_once_and_unchanged() {
    let patterns = patterns("correct-horse-battery-staple-99");
    let text = "data: {\"text\": \"The horse ate. 100% & more \\u00e9\"}\n\n";
    let mut scrubber = Scrubber::new(patterns.clone());
    let out = scrubber.push(text.as_bytes());
    assert_eq!(String::from_utf8_lossy(&out), text, "an event is not held back");
    assert_eq!(scrubber.masked(), 0);
    let all: Vec<u8> = (0..=255u8).cycle().take(10_000).collect();
    assert!(through(&patterns, &all, &[1, 100]) == all);
}

#[test]
fn a_part_of_a_secret_is_masked_as_well_and_counted() {
    let secret = "0123456789abcdefghijklmnopqrstuvwxyz";
    let patterns = patterns(secret);
    let (out, masked) = patterns.mask(b"key 56789abcdefghijklmnopqrstuv!");
    assert_eq!((String::from_utf8_lossy(&out).as_ref(), masked), ("key ***************************!", 27));
    for short in ["key 0123456789 and yz", "key 456789abcdefghijklmnopqrst!"] {
        let (out, masked) = patterns.mask(short.as_bytes());
        assert_eq!((String::from_utf8_lossy(&out).as_ref(), masked), (short, 0));
    }
}

/// Masking tells whoever sends guesses and reads them back which are right. It must not tell it of a part.
#[test]
fn whoever_knows_a_part_of_a_secret_cannot_feel_his_way_to_the_rest() {
    for secret in ["hunter2-x", "sk-live_4eC39HqLyjWDarjtT1zdp7dc", "ghp_16C7e42F292c6912E7710c838347Ae178B4a"] {
        let patterns = patterns(secret);
        for known in 1..=secret.len() * 2 / 3 {
            for (name, guess) in echoes(&secret[..known], "", "\n") {
                let (_, masked) = patterns.mask(guess.as_bytes());
                assert_eq!(masked, 0, "{name}: {guess}");
            }
        }
    }
    // One of two secrets is short: the other one is as safe as before.
    let two =
        Patterns::new([&Secret::new("hunter2-x"), &Secret::new("sk-live_4eC39HqLyjWDarjtT1zdp7dc")]).expect("two");
    assert_eq!(two.mask(b"sk-live_4eC39H").1 + two.mask(b"hunter2").1, 0);
    assert_eq!((two.mask(b"hunter2-x").1, two.mask(b"<sk-live_4eC39HqLyjWDarjtT1zdp7dc>").1), (9, 32));
}

#[test]
fn a_key_of_many_lines_is_found_in_json_and_in_base64() {
    let secret =
        "-----BEGIN KEY-----\nMIIEvQIBADANBgkqhkiG9w0BAQEFAASC\nBKcwggSjAgEAAoIBAQC7VJTUt9Us8cKj\n-----END KEY-----\n";
    let patterns = patterns(secret);
    for text in [
        secret.to_owned(),
        serde_json::to_string(secret).expect("a text"),
        secret.replace('\n', "\r\n"),
        STANDARD.encode(secret),
    ] {
        let (out, masked) = patterns.mask(text.as_bytes());
        let shown = String::from_utf8_lossy(&out);
        assert!(masked > 90 && !shown.contains("MIIEvQIB") && !shown.contains("BKcwggSj"), "{shown}");
    }
}

#[test]
fn a_secret_of_the_longest_length_is_ready_soon() {
    let secret: String =
        (0..16_384u32).map(|n| char::from(33 + (n.wrapping_mul(2_654_435_761) >> 25) as u8 % 94)).collect();
    let patterns = patterns(&secret);
    let (out, masked) = patterns.mask(STANDARD.encode(format!("x{secret}")).as_bytes());
    assert!(masked as usize > out.len() - 8);
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(64))]

    /// Random secrets, random text around them, every form, random pieces: no run of the secret ever goes out.
    #[test]
    fn no_run_of_a_secret_goes_out(
        secret in "[ -~]{8,60}",
        before in "[ -~]{0,7}",
        after in "[ -~]{0,7}",
        cuts in proptest::collection::vec(1usize..24, 1..6),
    ) {
        let patterns = patterns(&secret);
        for (name, echo) in echoes(&secret, &before, &after) {
            let out = through(&patterns, echo.as_bytes(), &cuts);
            prop_assert_eq!(out.len(), echo.len());
            prop_assert!(!leaks(&secret, &out), "{}: {} -> {}", name, echo, String::from_utf8_lossy(&out));
        }
    }

    /// How a stream is cut changes only whether the first three bytes of an echo were let through.
    #[test]
    fn pieces_do_not_matter(
        stream in "([ab%\\\\&;#u0-9\\n]|secretsecret|%73ecret|\\\\u0073ecret){0,30}",
        cuts in proptest::collection::vec(1usize..9, 1..6),
    ) {
        let patterns = patterns("secretsecretab01");
        let whole = through(&patterns, stream.as_bytes(), &[usize::MAX]);
        let cut = through(&patterns, stream.as_bytes(), &cuts);
        prop_assert_eq!(whole.len(), cut.len());
        let differ = whole.iter().zip(&cut).filter(|(a, b)| a != b);
        for (a, _) in differ {
            prop_assert_eq!(*a, b'*');
        }
    }
}
