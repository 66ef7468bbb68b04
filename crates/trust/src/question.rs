//! What a person is asked: the action with all that bears on a decision about it. It is what they are shown, too.

use sha2::{Digest as _, Sha256};

use crate::{
    action::{Action, Hash},
    fields::{BadForm, Fields},
    hex,
    json::{Value, parse},
    shown,
};

const KIND: &str = "question/v1";

/// What one gate asks for.
#[derive(Clone, Debug, Default, PartialEq, Eq, PartialOrd, Ord)]
pub struct Gate {
    /// Its policy.
    pub policy: String,
    /// Who may approve: roles, and people as `user:NAME`.
    pub approvers: Vec<String>,
    /// How many of them.
    pub quorum: u32,
    /// Whether each must have been verified as a person by their authenticator.
    pub verified: bool,
    /// Whether the answers must come over two channels.
    pub channels: bool,
    /// From when on others may approve too, in seconds since 1970, and who: roles, and people as `user:NAME`.
    pub escalate: Vec<(u64, String)>,
}

/// A question.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Question {
    /// The run.
    pub run: String,
    /// The step: ordinal of the effect in the run.
    pub step: u32,
    /// Hash of the fact with which it was asked.
    pub request: Hash,
    /// The salt of the action's hash.
    pub salt: [u8; 16],
    /// What is to be done.
    pub action: Action,
    /// Why people are asked, in a word.
    pub reason: String,
    /// The same in the words of policies.
    pub why: Vec<String>,
    /// Who said each argument, by its name; empty when nobody follows that.
    pub labels: Vec<(String, String)>,
    /// The epoch of the policies that asked; absent where none did.
    pub epoch: Option<u64>,
    /// What gates ask for.
    pub gates: Vec<Gate>,
    /// No fewer different people than this.
    pub quorum: u32,
    /// When it was asked, in seconds since 1970.
    pub asked: u64,
    /// Until when; then it counts as denied.
    pub expires: Option<u64>,
    /// What a denial does.
    pub denial: String,
    /// What the tool says that it would do, when it can.
    pub preview: Option<Preview>,
}

/// What a tool says of an action before it is done.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Preview {
    /// In words.
    pub text: String,
    /// What must still hold when it is done; absent when the preview binds nothing.
    pub precondition: Option<String>,
}

impl Question {
    /// The hash of the action.
    pub fn action_hash(&self) -> Hash {
        self.action.hash(&self.salt)
    }

    /// What a person is shown, line by line.
    pub fn shown(&self) -> String {
        shown::render(self)
    }

    /// The hash of what is shown.
    pub fn shown_hash(&self) -> Hash {
        Sha256::new().chain_update(b"stead-shown-v1\0").chain_update(self.shown()).finalize().into()
    }

    /// The question as canonical text.
    pub fn to_text(&self) -> String {
        self.to_value().to_string()
    }

    /// The question as a document.
    pub fn to_value(&self) -> Value {
        let preview = self.preview.as_ref().map_or(Value::Null, |p| {
            Value::object([("text", Value::text(&p.text)), ("precondition", Value::maybe(p.precondition.as_deref()))])
        });
        let label = |(name, said): &(String, String)| Value::texts([name, said]);
        Value::object([
            ("stead", Value::text(KIND)),
            ("run", Value::text(&self.run)),
            ("step", Value::int(self.step.into())),
            ("request", Value::text(hex::encode(&self.request))),
            ("salt", Value::text(hex::encode(&self.salt))),
            ("action", self.action.to_value()),
            ("reason", Value::text(&self.reason)),
            ("why", Value::texts(&self.why)),
            ("labels", Value::List(self.labels.iter().map(label).collect())),
            ("epoch", self.epoch.map_or(Value::Null, Value::int)),
            ("gates", gates_value(&self.gates)),
            ("quorum", Value::int(self.quorum.into())),
            ("asked", Value::int(self.asked)),
            ("expires", self.expires.map_or(Value::Null, Value::int)),
            ("denial", Value::text(&self.denial)),
            ("preview", preview),
        ])
    }

    /// The question of a text; it need not be canonical, since what is signed are hashes over what is read from it.
    ///
    /// # Errors
    /// It is no JSON, or something is missing, of another kind, or unknown.
    pub fn from_text(text: &str) -> Result<Self, BadForm> {
        let value = parse(text.as_bytes())?;
        let action = value.get("action").cloned().ok_or(BadForm::Member("action"))?;
        let mut f = Fields::of(value, "question")?;
        if f.text("stead")? != KIND {
            return Err(BadForm::Member("stead"));
        }
        f.object("action")?;
        let question = Self {
            run: f.text("run")?,
            step: f.small("step")?,
            request: f.bytes("request")?,
            salt: f.bytes("salt")?,
            action: Action::from_value(action)?,
            reason: f.text("reason")?,
            why: f.texts("why")?,
            labels: f.list("labels")?.into_iter().map(label).collect::<Result<_, _>>()?,
            epoch: f.maybe_int("epoch")?,
            gates: gates_of(f.list("gates")?)?,
            quorum: f.small("quorum")?,
            asked: f.int("asked")?,
            expires: f.maybe_int("expires")?,
            denial: f.text("denial")?,
            preview: preview(&mut f)?,
        };
        f.done()?;
        Ok(question)
    }
}

fn label(value: Value) -> Result<(String, String), BadForm> {
    let Value::List(pair) = value else { return Err(BadForm::Member("labels")) };
    match <[Value; 2]>::try_from(pair) {
        Ok([Value::Text(name), Value::Text(said)]) => Ok((name, said)),
        _ => Err(BadForm::Member("labels")),
    }
}

fn preview(f: &mut Fields) -> Result<Option<Preview>, BadForm> {
    let Some(value) = f.maybe("preview")? else { return Ok(None) };
    let mut p = Fields::of(value, "preview")?;
    let preview = Preview { text: p.text("text")?, precondition: p.maybe_text("precondition")? };
    p.done()?;
    Ok(Some(preview))
}

pub(crate) fn gates_value(gates: &[Gate]) -> Value {
    let step = |(from, to): &(u64, String)| Value::object([("from", Value::int(*from)), ("to", Value::text(to))]);
    let gate = |g: &Gate| {
        let mut members = vec![
            ("policy", Value::text(&g.policy)),
            ("approvers", Value::texts(&g.approvers)),
            ("quorum", Value::int(g.quorum.into())),
            ("verified", Value::Bool(g.verified)),
            ("channels", Value::Bool(g.channels)),
        ];
        if !g.escalate.is_empty() {
            members.push(("escalate", Value::List(g.escalate.iter().map(step).collect())));
        }
        Value::object(members)
    };
    Value::List(gates.iter().map(gate).collect())
}

pub(crate) fn gates_of(values: Vec<Value>) -> Result<Vec<Gate>, BadForm> {
    let step = |value| {
        let mut f = Fields::of(value, "escalate")?;
        let step = (f.int("from")?, f.text("to")?);
        f.done()?;
        Ok(step)
    };
    let gate = |value| {
        let mut f = Fields::of(value, "gates")?;
        // Absent where there is none: then the text is that of before there was any.
        let steps = f.list_if_any("escalate")?;
        if steps.as_ref().is_some_and(Vec::is_empty) {
            return Err(BadForm::Member("escalate"));
        }
        let gate = Gate {
            policy: f.text("policy")?,
            approvers: f.texts("approvers")?,
            quorum: f.small("quorum")?,
            verified: f.bool("verified")?,
            channels: f.bool("channels")?,
            escalate: steps.into_iter().flatten().map(step).collect::<Result<_, BadForm>>()?,
        };
        f.done()?;
        Ok(gate)
    };
    values.into_iter().map(gate).collect()
}

#[cfg(test)]
mod tests {
    #![expect(clippy::unwrap_used, reason = "tests")]
    use super::*;

    #[test]
    fn a_gate_without_escalation_is_written_as_before_there_was_any_and_one_way_only() {
        let gate = Gate { policy: "p".into(), quorum: 1, ..Gate::default() };
        let text = gates_value(std::slice::from_ref(&gate)).to_string();
        assert!(!text.contains("escalate"), "{text}");
        let with = Gate { escalate: vec![(7, "leads".into())], ..gate.clone() };
        let written = gates_value(std::slice::from_ref(&with)).to_string();
        let read = |text: &str| match parse(text.as_bytes()).unwrap() {
            Value::List(values) => gates_of(values),
            _ => panic!("a list"),
        };
        assert_eq!((read(&text), read(&written)), (Ok(vec![gate]), Ok(vec![with])));
        let empty = text.replace("\"channels\":false,", "\"channels\":false,\"escalate\":[],");
        assert_ne!(empty, text);
        assert!(read(&empty).is_err(), "two texts would say the same");
    }
}
