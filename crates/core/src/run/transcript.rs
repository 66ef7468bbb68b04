//! The conversation as the machine knows it: who said something, how long it is, where its text is. Cheap to clone,
//! because each decision works on a copy of the state.

use std::sync::Arc;

use minicbor::{Decode, Decoder, Encode, Encoder, decode, encode};

use crate::{
    artifact::{Artifact, Shown},
    label::SealedLabel,
    record::Payload,
};

/// Entries in a sealed, shared chunk.
const CHUNK: usize = 16;

/// What an entry is.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Encode, Decode)]
pub enum EntryKind {
    /// Someone said something to the agent.
    #[n(0)]
    User,
    /// The model replied; the payload is a [`crate::message::Reply`].
    #[n(1)]
    Reply,
    /// The answer to one call of the reply before.
    #[n(2)]
    Result {
        /// Ordinal of the effect.
        #[n(0)]
        effect: u32,
        /// Index of the call in the reply.
        #[n(1)]
        call: u16,
        /// Whether the text tells of an error.
        #[n(2)]
        error: bool,
    },
    /// The runtime tells the model something that no call asked for (a late answer).
    #[n(3)]
    Note,
    /// The runtime tells the model what is wrong with its answer.
    #[n(4)]
    Rejected,
}

/// One entry of the conversation.
#[derive(Clone, Debug, PartialEq, Eq, Encode, Decode)]
pub struct Entry {
    /// What it is.
    #[n(0)]
    pub kind: EntryKind,
    /// Its text.
    #[n(1)]
    pub payload: Payload,
    /// Its label, when it was said by another run.
    #[n(2)]
    pub label: Option<SealedLabel>,
}

impl Entry {
    /// Tokens it takes in the model's view, estimated at four bytes each.
    pub fn tokens(&self) -> u64 {
        let files = &self.payload.artifacts;
        let files = match self.kind {
            EntryKind::User => files.iter().map(Artifact::tokens).sum(),
            // Of a tool's files the model reads what the text says of them, and sees the pictures.
            EntryKind::Result { .. } => files.iter().filter(|a| a.shown() == Shown::Image).map(Artifact::tokens).sum(),
            EntryKind::Reply | EntryKind::Note | EntryKind::Rejected => 0,
        };
        self.payload.shown_len() / 4 + 4 + files
    }
}

/// The entries of a conversation, oldest first.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Transcript {
    sealed: Vec<Arc<[Entry]>>,
    open: Vec<Entry>,
}

impl Transcript {
    /// Adds an entry.
    pub fn push(&mut self, entry: Entry) {
        self.open.push(entry);
        if self.open.len() == CHUNK {
            self.sealed.push(std::mem::take(&mut self.open).into());
        }
    }

    /// How many entries there are.
    pub fn len(&self) -> usize {
        self.sealed.len() * CHUNK + self.open.len()
    }

    /// Whether there is none.
    pub fn is_empty(&self) -> bool {
        self.sealed.is_empty() && self.open.is_empty()
    }

    /// The entry at `index`.
    pub fn get(&self, index: usize) -> Option<&Entry> {
        match self.sealed.get(index / CHUNK) {
            Some(chunk) => chunk.get(index % CHUNK),
            None => self.open.get(index - self.sealed.len() * CHUNK),
        }
    }

    /// All entries, oldest first.
    pub fn iter(&self) -> impl DoubleEndedIterator<Item = &Entry> {
        self.sealed.iter().flat_map(|c| c.iter()).chain(self.open.iter())
    }
}

impl<C> Encode<C> for Transcript {
    fn encode<W: encode::Write>(&self, e: &mut Encoder<W>, ctx: &mut C) -> Result<(), encode::Error<W::Error>> {
        e.array(self.len() as u64)?;
        self.iter().try_for_each(|entry| entry.encode(e, ctx))
    }
}

impl<'b, C> Decode<'b, C> for Transcript {
    fn decode(d: &mut Decoder<'b>, ctx: &mut C) -> Result<Self, decode::Error> {
        let mut out = Self::default();
        for entry in d.array_iter_with(ctx)? {
            out.push(entry?);
        }
        Ok(out)
    }
}
