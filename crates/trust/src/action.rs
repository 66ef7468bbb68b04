//! What is to be done: everything that is known of an action before it begins, and its salted hash.
//!
//! The arguments are a text inside, byte for byte as they are sent: nothing is read into them or put in order. So the bytes
//! that are hashed are the bytes that are dispatched.

use sha2::{Digest as _, Sha256};

use crate::{
    fields::{BadForm, Fields},
    json::Value,
};

/// On whose behalf something is done.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Behalf {
    /// The person who began it all.
    pub user: Option<String>,
    /// The agents between them and this one, the first of the chain first.
    pub callers: Vec<String>,
}

/// An action.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Action {
    /// The tenant.
    pub tenant: String,
    /// The agent.
    pub agent: String,
    /// Its version: a digest of its manifest and files.
    pub version: String,
    /// The tool.
    pub tool: String,
    /// Digest of the tool's schema, as hexadecimal digits.
    pub schema: String,
    /// What it promises about repetition.
    pub class: String,
    /// The business key drawn from the arguments.
    pub key: Option<String>,
    /// The arguments: the exact JSON text that is sent.
    pub arguments: String,
    /// Where it goes: hosts with ports, agents.
    pub target: Vec<String>,
    /// On whose behalf.
    pub behalf: Behalf,
    /// What it costs, when that is known.
    pub cost: Option<String>,
    /// The tree of the workspace that it works in, as it was when the question was asked.
    pub workspace: Option<String>,
    /// The sandbox that it runs in.
    pub environment: Option<String>,
    /// The secrets that it uses, by name, and the hosts that are shown them.
    pub secrets: Vec<String>,
    /// What must hold when it is done, found by a preview; absent when nothing was.
    pub precondition: Option<String>,
}

/// A hash of 32 bytes.
pub type Hash = [u8; 32];

impl Action {
    /// The hash under a salt: who has it without the salt cannot guess arguments by it.
    pub fn hash(&self, salt: &[u8; 16]) -> Hash {
        let h = Sha256::new().chain_update(b"stead-action-v1\0").chain_update(salt);
        h.chain_update(self.to_value().to_string()).finalize().into()
    }

    /// The action as a document.
    pub fn to_value(&self) -> Value {
        let known = [
            ("tenant", Value::text(&self.tenant)),
            ("agent", Value::text(&self.agent)),
            ("version", Value::text(&self.version)),
            ("tool", Value::text(&self.tool)),
            ("schema", Value::text(&self.schema)),
            ("class", Value::text(&self.class)),
            ("key", Value::maybe(self.key.as_deref())),
            ("arguments", Value::text(&self.arguments)),
            ("target", Value::texts(&self.target)),
            ("user", Value::maybe(self.behalf.user.as_deref())),
            ("callers", Value::texts(&self.behalf.callers)),
            ("cost", Value::maybe(self.cost.as_deref())),
            ("workspace", Value::maybe(self.workspace.as_deref())),
            ("environment", Value::maybe(self.environment.as_deref())),
            ("secrets", Value::texts(&self.secrets)),
        ];
        // Without one the document is what it was before there were any.
        let holds = self.precondition.as_deref().map(|holds| ("precondition", Value::text(holds)));
        Value::object(known.into_iter().chain(holds))
    }

    /// The action of a document.
    ///
    /// # Errors
    /// Something is missing, of another kind, or unknown.
    pub fn from_value(value: Value) -> Result<Self, BadForm> {
        let mut f = Fields::of(value, "action")?;
        let action = Self {
            tenant: f.text("tenant")?,
            agent: f.text("agent")?,
            version: f.text("version")?,
            tool: f.text("tool")?,
            schema: f.text("schema")?,
            class: f.text("class")?,
            key: f.maybe_text("key")?,
            arguments: f.text("arguments")?,
            target: f.texts("target")?,
            behalf: Behalf { user: f.maybe_text("user")?, callers: f.texts("callers")? },
            cost: f.maybe_text("cost")?,
            workspace: f.maybe_text("workspace")?,
            environment: f.maybe_text("environment")?,
            secrets: f.texts("secrets")?,
            precondition: f.text_if_there("precondition")?,
        };
        f.done()?;
        Ok(action)
    }
}
