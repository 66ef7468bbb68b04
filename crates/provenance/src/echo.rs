//! What the agent has sent out without authority, so that it does not come back with some: an argument that was not trusted
//! (`contacts_add`) and is read again from a tool that is (`contacts_list`) counts as little as it did.
//!
//! Echoes only lower. So here, and nowhere else, encodings are looked through: JSON in texts, percent and base64, on the way out and on
//! the way in. What a tool hides better than that (encryption, translation) must be declared untrusted.

use std::{
    collections::{BTreeMap, BTreeSet},
    sync::Arc,
};

use base64::{
    Engine as _, alphabet,
    engine::{DecodePaddingMode, GeneralPurpose, GeneralPurposeConfig},
};
use serde_json::Value;

use crate::{
    index::Index,
    json,
    normal::{self, Key},
    tokens,
    trust::Label,
};

/// Keys of echoes that are kept; beyond it everything that a tool returns counts as an echo.
pub(crate) const MAX_ECHOES: usize = 65_536;
/// Layers of encodings that are looked through.
const LAYERS: usize = 3;
/// Bytes of a text in which encodings are looked for.
const MAX_ENCODED: usize = 256 << 10;
/// Letters and digits from which an echo inside a longer value makes that an echo; a shorter one must be the whole value or a
/// whole word of it.
const TELLING: usize = 6;

const LENIENT: GeneralPurposeConfig = GeneralPurposeConfig::new()
    .with_decode_padding_mode(DecodePaddingMode::Indifferent)
    .with_decode_allow_trailing_bits(true);
const BASE64: [GeneralPurpose; 2] =
    [GeneralPurpose::new(&alphabet::STANDARD, LENIENT), GeneralPurpose::new(&alphabet::URL_SAFE, LENIENT)];

/// Runs of letters and digits, folded, as they follow each other.
type Runs = Arc<[Box<str>]>;

/// See the module.
#[derive(Clone, Debug, Default)]
pub(crate) struct Echoes {
    /// Whole arguments and their words, with what they counted.
    keys: BTreeMap<Key, Arc<Label>>,
    /// Whole arguments, and addresses in them, as runs of letters and digits, by the first.
    runs: BTreeMap<Box<str>, BTreeMap<Runs, Arc<Label>>>,
    /// What everything counts at most, once there were too many.
    flood: Option<Label>,
    len: usize,
}

impl Echoes {
    /// Whether nothing was ever sent.
    pub(crate) fn is_empty(&self) -> bool {
        self.keys.is_empty() && self.flood.is_none()
    }

    /// A value was sent that counts as `label`. What of its words is known in a better way stays as it is known.
    pub(crate) fn sent(&mut self, value: &str, label: &Label, index: &Index) {
        let label = Arc::new(label.clone());
        for form in forms(value) {
            self.run(&form, &label);
            tokens::every(&form, |token| {
                let keys = normal::of_text(token);
                let label = match index.get(&keys) {
                    Some(known) if known.label.is_trusted() => return,
                    Some(known) if known.label.trust > label.trust => Arc::new(known.label.clone()),
                    _ => label.clone(),
                };
                if keys.iter().any(Key::is_address) {
                    self.run(token, &label);
                }
                keys.into_iter().for_each(|key| self.enter(key, &label));
            });
        }
    }

    /// Adds what somebody else has sent, with what it counted there. What an operator or a user has said here stays as it is.
    pub(crate) fn join(&mut self, other: &Self, index: &Index) {
        for (key, label) in &other.keys {
            if !index.is_trusted(key) {
                self.enter(key.clone(), label);
            }
        }
        for (first, of) in &other.runs {
            for (runs, label) in of {
                self.enter_run(first, runs, label);
            }
        }
        if let Some(label) = &other.flood {
            self.flood(label);
        }
    }

    /// Everything that comes back counts as little as this.
    pub(crate) fn flood(&mut self, label: &Label) {
        self.flood = Some(self.flood.take().map_or_else(|| label.clone(), |f| f.join(label)));
    }

    fn enter(&mut self, key: Key, label: &Arc<Label>) {
        if let Some(old) = self.keys.get_mut(&key) {
            *old = Arc::new(old.join(label));
        } else if self.room(label) {
            self.keys.insert(key, label.clone());
        }
    }

    fn run(&mut self, form: &str, label: &Arc<Label>) {
        let runs = runs(form);
        let telling = runs.iter().map(|r| r.chars().count()).sum::<usize>() >= TELLING;
        if let Some(first) = runs.first().filter(|_| telling).cloned() {
            self.enter_run(&first, &runs.into(), label);
        }
    }

    fn enter_run(&mut self, first: &str, runs: &Runs, label: &Arc<Label>) {
        if let Some(old) = self.runs.get_mut(first).and_then(|of| of.get_mut(runs)) {
            *old = Arc::new(old.join(label));
        } else if self.room(label) {
            self.runs.entry(first.into()).or_default().insert(runs.clone(), label.clone());
        }
    }

    /// Whether there is room for one more; if not, everything that comes back counts as little as this.
    fn room(&mut self, label: &Label) -> bool {
        if self.len >= MAX_ECHOES {
            self.flood(label);
            return false;
        }
        self.len += 1;
        true
    }

    /// What a value counts at most because it, or an argument inside it, was sent before; `None` when it was not.
    pub(crate) fn of(&self, value: &str) -> Option<Label> {
        if self.is_empty() {
            return None;
        }
        let mut out = self.flood.clone();
        let mut lower = |label: &Label| out = Some(out.take().map_or_else(|| label.clone(), |o| o.join(label)));
        for form in forms(value) {
            normal::of_text(&form).iter().filter_map(|k| self.keys.get(k)).for_each(|l| lower(l));
            let runs = runs(&form);
            for (i, run) in runs.iter().enumerate() {
                let whole = self.runs.get(run).into_iter().flatten();
                whole.filter(|(echo, _)| runs[i..].starts_with(echo)).for_each(|(_, l)| lower(l));
            }
        }
        out
    }

    /// The same of one token.
    pub(crate) fn of_token(&self, keys: &[Key]) -> Option<Label> {
        let mut found = keys.iter().filter_map(|k| self.keys.get(k));
        let first = (**found.next()?).clone();
        Some(found.fold(first, |a, b| a.join(b)))
    }
}

/// Runs of letters and digits, folded.
fn runs(text: &str) -> Vec<Box<str>> {
    normal::fold(text).split(|c: char| !c.is_alphanumeric()).filter(|r| !r.is_empty()).map(Into::into).collect()
}

/// A text and everything that it is an encoding of.
fn forms(text: &str) -> BTreeSet<String> {
    let mut all = BTreeSet::from([text.to_owned()]);
    let mut layer: Vec<String> = vec![text.to_owned()];
    for _ in 0..LAYERS {
        let mut next = Vec::new();
        for text in layer.iter().filter(|t| t.len() <= MAX_ENCODED) {
            decoded(text, &mut next);
        }
        next.retain(|t| all.insert(t.clone()));
        layer = next;
    }
    all
}

fn decoded(text: &str, out: &mut Vec<String>) {
    if text.contains('%') {
        out.extend(percent_encoding::percent_decode_str(text).decode_utf8().ok().map(|t| t.into_owned()));
    }
    if text.trim_start().starts_with(['{', '[', '"'])
        && let Ok(value) = json::parse(text)
    {
        texts(&value, out);
    }
    for word in text.split_whitespace().filter(|w| w.len() >= 6) {
        for engine in &BASE64 {
            let bytes = engine.decode(word.trim_end_matches('=')).ok();
            out.extend(bytes.and_then(|b| String::from_utf8(b).ok()).filter(|t| !t.contains(char::is_control)));
        }
    }
}

/// Every text, number and key of a value.
fn texts(value: &Value, out: &mut Vec<String>) {
    match value {
        Value::String(s) => out.push(s.clone()),
        Value::Number(n) => out.push(n.to_string()),
        Value::Array(list) => list.iter().for_each(|v| texts(v, out)),
        Value::Object(map) => {
            out.extend(map.keys().cloned());
            map.values().for_each(|v| texts(v, out));
        }
        Value::Null | Value::Bool(_) => {}
    }
}
