//! The evidence of an approval: the question, the signed answers and the directory, in one file. Whoever has it needs neither the
//! server nor its word.

use crate::{
    action::Hash,
    directory::Directory,
    fields::{BadForm, Fields},
    json::{Value, parse},
    question::Question,
    receipt::{Channel, Receipt},
    statement::{Mismatch, Statement},
    verify::{BadSignature, verify},
};

const KIND: &str = "approval-evidence/v1";

/// What is shown as evidence.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Evidence {
    /// The question.
    pub question: String,
    /// The receipts of its answers.
    pub receipts: Vec<String>,
    /// The entries of the directory, from the first on.
    pub entries: Vec<String>,
}

/// What evidence shows.
#[derive(Clone, Debug)]
pub struct Shown {
    /// What was asked.
    pub question: Question,
    /// The hash of the directory's first entry: what must be known from elsewhere.
    pub anchor: Hash,
    /// Each answer.
    pub answers: Vec<Answer>,
}

/// An answer that somebody signed.
#[derive(Clone, Debug)]
pub struct Answer {
    /// What they signed.
    pub statement: Statement,
    /// Whether their authenticator had verified them as a person.
    pub verified: bool,
    /// Over which way it came.
    pub channel: Channel,
    /// When the key was revoked, by the end of the directory.
    pub revoked: Option<u64>,
}

/// Why evidence shows nothing.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum BadEvidence {
    /// It cannot be read.
    #[error("it cannot be read: {0}")]
    Form(#[from] BadForm),
    /// The directory does not hold.
    #[error("entry {0} of the directory does not hold: {1}")]
    Directory(u64, String),
    /// It begins with another root.
    #[error("the directory begins with another root than the one that is known")]
    Root,
    /// An answer does not hold.
    #[error("answer {0}: {1}")]
    Answer(usize, String),
    /// There is no answer.
    #[error("there is no signed answer in it")]
    Empty,
}

impl Evidence {
    /// The evidence as canonical text.
    pub fn to_text(&self) -> String {
        Value::object([
            ("stead", Value::text(KIND)),
            ("question", Value::text(&self.question)),
            ("receipts", Value::texts(&self.receipts)),
            ("entries", Value::texts(&self.entries)),
        ])
        .to_string()
    }

    /// Reads evidence.
    ///
    /// # Errors
    /// It is no JSON, or something is missing, of another kind, or unknown.
    pub fn from_text(text: &str) -> Result<Self, BadForm> {
        let mut f = Fields::of(parse(text.trim_end().as_bytes())?, "evidence")?;
        if f.text("stead")? != KIND {
            return Err(BadForm::Member("stead"));
        }
        let evidence =
            Self { question: f.text("question")?, receipts: f.texts("receipts")?, entries: f.texts("entries")? };
        f.done()?;
        Ok(evidence)
    }

    /// Verifies all of it. Without `root` it says with which root the directory begins, and whoever reads that must know it.
    ///
    /// # Errors
    /// The first thing that does not hold.
    pub fn verify(&self, root: Option<Hash>) -> Result<Shown, BadEvidence> {
        let question = Question::from_text(&self.question)?;
        let directory = Directory::fold(self.entries.iter().map(String::as_str));
        let directory = directory.map_err(|(n, e)| BadEvidence::Directory(n, e.to_string()))?;
        if root.is_some_and(|root| root != directory.anchor()) {
            return Err(BadEvidence::Root);
        }
        if self.receipts.is_empty() {
            return Err(BadEvidence::Empty);
        }
        let answer = |(n, text): (usize, &String)| {
            answer(&directory, &question, text).map_err(|why| BadEvidence::Answer(n + 1, why))
        };
        let answers = self.receipts.iter().enumerate().map(answer).collect::<Result<_, _>>()?;
        Ok(Shown { question, anchor: directory.anchor(), answers })
    }
}

fn answer(directory: &Directory, question: &Question, text: &str) -> Result<Answer, String> {
    let receipt = Receipt::from_text(text).map_err(|e| e.to_string())?;
    let statement = Statement::from_text(&receipt.text).map_err(|e| e.to_string())?;
    let known = directory.key(&receipt.key.id()).ok_or("its key is nobody's in the directory")?;
    let named = statement.key == receipt.key.id() && statement.human == known.of.human;
    if !named || statement.tenant != directory.tenant() {
        return Err("it names another person, key or tenant than the one that signed".to_owned());
    }
    let signed = verify(&receipt.text, &known.of.key, known.of.passkey.as_ref(), &receipt.signature);
    let signed = signed.map_err(|e: BadSignature| e.to_string())?;
    statement.answers(question).map_err(|e: Mismatch| e.to_string())?;
    let (verified, channel) = (signed.person, receipt.signature.channel());
    Ok(Answer { statement, verified, channel, revoked: known.revoked })
}
