//! Tokens where nobody counted them: a scripted model, or a provider that reports no usage. Four bytes a token, from
//! lengths alone, so that the same call always gives the same number. Never 0 for a call that carried text: a budget
//! must not run dry unnoticed.

use stead_core::{
    artifact::IMAGE_TOKENS,
    budget::Usage,
    message::{Image, Message, Reply},
};
use stead_ports::model::ModelCall;

/// Bytes that count as one token.
const BYTES: u64 = 4;

/// Instructions and conversation in, text and calls out. Tool definitions are not counted.
pub(crate) fn usage(call: &ModelCall, reply: &Reply) -> Usage {
    let input = call.messages.iter().map(|m| message(m)).fold(call.instructions.len(), usize::saturating_add);
    Usage { input: tokens(input), output: tokens(said(reply)), ..Usage::default() }
}

fn tokens(bytes: usize) -> u64 {
    (bytes as u64).div_ceil(BYTES)
}

fn message(message: &Message) -> usize {
    match message {
        Message::User { text, images } => text.len().saturating_add(pictures(images)),
        Message::Tool(r) => r.content.len().saturating_add(pictures(&r.images)),
        Message::Assistant(r) => said(r),
    }
}

fn pictures(images: &[Image]) -> usize {
    (IMAGE_TOKENS * BYTES) as usize * images.len()
}

fn said(reply: &Reply) -> usize {
    reply.calls.iter().map(|c| c.name.len() + c.arguments.get().len()).fold(reply.text.len(), usize::saturating_add)
}
