//! The conversation of a run, folded: texts and results in, labels out. The same entries in the same order give the same labels, so a
//! run that is loaded again hears its entries again; nothing of the ledger itself need be kept.

use std::sync::Arc;

use serde_json::Value;

use crate::{
    declare::{Marks, Tool},
    echo::Echoes,
    index::{Index, Known, Place},
    json::{self, BadJson, Path},
    normal,
    plan::datum::{Datum, Kind},
    tokens,
    trace::{self, Traced},
    trust::{Label, Origin, Origins, Trust},
};

/// Longest text that can be attested, in characters: longer ones, and those of several lines, are untrusted.
pub const MAX_ATTESTED: usize = 128;

/// One entry of the conversation.
#[derive(Clone, Copy, Debug)]
pub enum Said<'a> {
    /// The person or program that gave the task speaks.
    User(&'a str),
    /// The runtime speaks, in its own words only. A late answer is a result.
    Runtime(&'a str),
    /// The model replied; the label is that of its window. Its words are a source of nothing.
    Reply(&'a Label),
    /// A tool answered.
    Result {
        /// The tool.
        tool: &'a Tool,
        /// Its answer as the model reads it: JSON or prose.
        content: &'a str,
        /// Whether it tells of an error; its fields are not trusted one by one then.
        error: bool,
    },
    /// Something with a label of its own: what a memory kept, a page, a file, a child's answer, another agent's message.
    Carried {
        /// Who carries it.
        origin: &'a Origin,
        /// The label it was kept or sent with.
        label: &'a Label,
        /// The text.
        text: &'a str,
    },
}

/// What is known of an entry.
#[derive(Clone, Debug)]
pub struct Heard {
    /// What it counts, all of it.
    pub label: Label,
    /// The values of a result, each with its label.
    pub value: Option<Datum>,
}

/// See the module.
#[derive(Clone, Debug)]
pub struct Ledger {
    base: Label,
    entries: Vec<Label>,
    index: Index,
    echoes: Echoes,
}

impl Default for Ledger {
    fn default() -> Self {
        let base = Label::new(Trust::Trusted, Origin::Operator);
        Self { base, entries: Vec::new(), index: Index::default(), echoes: Echoes::default() }
    }
}

impl Ledger {
    /// The operator's words, which are always in view: instructions.
    pub fn instruct(&mut self, text: &str) {
        let known = Known { label: self.base.clone(), place: Place { entry: None, path: None } };
        tokens::each(text, |token| self.index.say(token, &normal::of_text(token), &known));
    }

    /// Hears the next entry of the conversation. Effort is that of its text.
    pub fn hear(&mut self, said: Said<'_>) -> Heard {
        let heard = match said {
            Said::User(text) => self.spoken(text, Origin::User),
            Said::Runtime(text) => self.spoken(text, Origin::Runtime),
            Said::Reply(window) => {
                Heard { label: window.join(&Label::new(Trust::Trusted, Origin::Model)), value: None }
            }
            Said::Result { tool, content, error } => self.result(tool, content, error),
            Said::Carried { origin, label, text } => self.carried(origin, label, text),
        };
        self.entries.push(heard.label.clone());
        heard
    }

    /// How many entries were heard.
    pub fn len(&self) -> usize {
        self.entries.len()
    }

    /// Whether none was.
    pub fn is_empty(&self) -> bool {
        self.entries.is_empty()
    }

    /// The label of one entry; a missing one is untrusted.
    pub fn entry(&self, index: usize) -> Label {
        self.entries.get(index).cloned().unwrap_or_default()
    }

    /// What a model call counts that sees these entries with their text, beside the instructions. What it has seen before lives on in
    /// its replies, which never leave its view.
    pub fn window(&self, seen: impl IntoIterator<Item = usize>) -> Label {
        seen.into_iter().fold(self.base.clone(), |label, i| label.join(&self.entry(i)))
    }

    /// Traces the arguments of a call that a model wrote with that window in view.
    ///
    /// # Errors
    /// [`BadJson`]: such a call cannot be judged, so it must not be made.
    pub fn trace(&self, tool: &Tool, arguments: &str, window: &Label) -> Result<Traced, BadJson> {
        Ok(trace::trace(&self.index, tool, json::arguments(arguments)?, window))
    }

    /// A call was sent: what of it was not trusted counts no more when it comes back.
    pub fn sent(&mut self, call: &Traced) {
        for argument in call.arguments.iter().filter(|a| !a.label.is_trusted()) {
            if let Some(value) = call.values.get(&*argument.name) {
                self.send(value, &argument.label);
            }
        }
    }

    fn send(&mut self, value: &Value, label: &Label) {
        match value {
            Value::String(s) => self.send_text(s, label),
            Value::Number(n) => self.send_text(&n.to_string(), label),
            Value::Array(list) => list.iter().for_each(|v| self.send(v, label)),
            Value::Object(map) => map.iter().for_each(|(key, value)| {
                self.send_text(key, label);
                self.send(value, label);
            }),
            Value::Null | Value::Bool(_) => {}
        }
    }

    fn send_text(&mut self, text: &str, label: &Label) {
        let known = self.index.get(&normal::of_text(text)).map(|known| known.label.clone());
        match known {
            Some(known) if known.is_trusted() => {}
            known => self.echoes.sent(text, known.as_ref().unwrap_or(label), &self.index),
        }
    }

    /// Takes over what another run has sent: it counts no more when it comes back to this one.
    pub fn echo(&mut self, other: &Self) {
        self.echoes.join(&other.echoes, &self.index);
    }

    /// Nobody can tell what others have sent: from now on everything that a tool returns may be such a thing.
    pub fn distrust(&mut self) {
        self.echoes.flood(&Label::default());
    }

    /// Whether trusted values found no place any more: they count as if nobody had said them.
    pub const fn is_full(&self) -> bool {
        self.index.is_full()
    }

    /// Keys of trusted and attested values that are held.
    pub fn held(&self) -> usize {
        self.index.len()
    }

    fn place(&self, path: Option<&Path>) -> Place {
        let entry = u32::try_from(self.entries.len()).ok();
        Place { entry, path: path.map(|p| Arc::from(p.as_str())) }
    }

    fn spoken(&mut self, text: &str, origin: Origin) -> Heard {
        let label = Label::new(Trust::Trusted, origin);
        match json::parse(text) {
            Ok(value @ (Value::Object(_) | Value::Array(_))) => self.say(&value, &label, &mut Path::default()),
            _ => self.say_text(text, &label, None),
        }
        Heard { label, value: None }
    }

    /// A task given as JSON: each of its values is said.
    fn say(&mut self, value: &Value, label: &Label, path: &mut Path) {
        match value {
            Value::String(s) => self.say_text(s, label, Some(&*path)),
            Value::Number(n) => {
                let known = Known { label: label.clone(), place: self.place(Some(&*path)) };
                self.index.say(&n.to_string(), &normal::of_value(value), &known);
            }
            Value::Array(list) => {
                for (i, v) in list.iter().enumerate() {
                    path.element(i, |path| self.say(v, label, path));
                }
            }
            Value::Object(map) => {
                for (key, v) in map {
                    path.member(key, |path| self.say(v, label, path));
                }
            }
            Value::Null | Value::Bool(_) => {}
        }
    }

    fn say_text(&mut self, text: &str, label: &Label, path: Option<&Path>) {
        let known = Known { label: label.clone(), place: self.place(path) };
        tokens::each(text, |token| self.index.say(token, &normal::of_text(token), &known));
    }

    fn carried(&mut self, origin: &Origin, label: &Label, text: &str) -> Heard {
        let with = label.join(&Label::new(Trust::Trusted, origin.clone()));
        let label = self.text(text, with, None);
        Heard { label, value: None }
    }

    fn result(&mut self, tool: &Tool, content: &str, error: bool) -> Heard {
        let origin = Origin::Tool(tool.name.clone());
        match json::parse(content) {
            Ok(value) if !error => {
                let walk = Walk { marks: tool.trust.marks(&value), origin };
                let datum = self.value(&walk, &value, Trust::Untrusted, &mut Path::default());
                Heard { label: datum.label(), value: Some(datum) }
            }
            // What is cut, has a key twice or is prose has no fields.
            _ => {
                let label = self.text(content, Label::new(tool.trust.lowest(), origin), None);
                let value = (!error).then(|| Datum::new(Kind::Text(content.into()), label.clone()));
                Heard { label, value }
            }
        }
    }

    /// Values of a result, each with its label; what may count is remembered.
    fn value(&mut self, walk: &Walk, value: &Value, parent: Trust, path: &mut Path) -> Datum {
        let trust = walk.marks.trust(value, parent);
        let mut label = Label::new(trust, walk.origin.clone());
        let kind = match value {
            Value::Null => Kind::Null,
            Value::Bool(b) => Kind::Bool(*b),
            Value::Number(n) => {
                label = self.number(n, label, path);
                Kind::number(n)
            }
            Value::String(s) => {
                label = self.text(s, label, Some(&*path));
                Kind::Text(s.as_str().into())
            }
            Value::Array(list) => Kind::List(
                list.iter().enumerate().map(|(i, v)| path.element(i, |p| self.value(walk, v, trust, p))).collect(),
            ),
            Value::Object(map) => {
                let mut members = std::collections::BTreeMap::new();
                for (key, v) in map {
                    // A name counts as its object does: whoever fills it may choose its names.
                    label = label.join(&self.text(key, label.clone(), Some(&*path)));
                    members.insert(Arc::from(key.as_str()), path.member(key, |p| self.value(walk, v, trust, p)));
                }
                Kind::Record(Arc::new(members))
            }
        };
        Datum::new(kind, label)
    }

    fn number(&mut self, n: &serde_json::Number, mut label: Label, path: &Path) -> Label {
        if label.trust == Trust::Untrusted {
            return label;
        }
        let text = n.to_string();
        if let Some(echo) = self.echoes.of(&text) {
            label = label.join(&echo);
        }
        if label.trust > Trust::Untrusted && is_source(&label) {
            let known = Known { label: label.clone(), place: self.place(Some(path)) };
            self.index.find(&text, &normal::of_value(&Value::Number(n.clone())), &known);
        }
        label
    }

    /// What a text counts that would count as `label`; what it says is remembered as far as it may be.
    fn text(&mut self, text: &str, mut label: Label, path: Option<&Path>) -> Label {
        if label.trust == Trust::Attested && is_prose(text) {
            label = label.at_most(Trust::Untrusted);
        }
        if label.trust == Trust::Untrusted {
            return label;
        }
        if let Some(echo) = self.echoes.of(text) {
            label = label.join(&echo);
        }
        if label.trust == Trust::Untrusted || !is_source(&label) {
            return label;
        }
        let known = Known { label: label.clone(), place: self.place(path) };
        let whole = label.trust == Trust::Attested;
        let (index, echoes) = (&mut self.index, &self.echoes);
        let mut enter = |token: &str| {
            let keys = normal::of_text(token);
            if echoes.of_token(&keys).is_none() {
                index.find(token, &keys, &known);
            }
        };
        if whole {
            // A system attests a value, not the words in it.
            enter(text);
        } else {
            tokens::each(text, enter);
        }
        label
    }
}

/// Whether a text is more than a value: a system attests ids, names and addresses, and whoever can write more than that into such a place
/// speaks through it.
fn is_prose(text: &str) -> bool {
    text.chars().nth(MAX_ATTESTED).is_some() || text.chars().any(|c| matches!(c, '\n' | '\r' | '\u{2028}' | '\u{2029}'))
}

/// A model's words are a source of nothing, whoever carries them.
fn is_source(label: &Label) -> bool {
    let Origins::Of(origins) = &label.origins else { return false };
    !origins.iter().any(|o| matches!(o, Origin::Model | Origin::Child(_) | Origin::Agent(_)))
}

struct Walk {
    marks: Marks,
    origin: Origin,
}
