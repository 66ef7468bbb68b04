//! What an exchange of a cassette may hold. It stands for what a provider answers, and is held to the bounds of that.

use stead_core::message::Reply;

use super::{Error, Exchange, Outcome};
use crate::wire::{Bounds, MAX_DETAIL, MAX_NAME, MAX_RETRY_AFTER};

/// Refuses a reply that no wire would have let through; cuts an error to what a wire would have kept of it.
pub(super) fn hold(exchange: &mut Exchange) -> Result<(), String> {
    match &mut exchange.outcome {
        Outcome::Reply(reply) => reply_within(reply, &Bounds::default()),
        Outcome::Error(error) => {
            cut(error);
            Ok(())
        }
    }
}

fn reply_within(reply: &Reply, bounds: &Bounds) -> Result<(), String> {
    let many = reply.calls.len().max(reply.reasoning.len());
    if many > bounds.max_calls {
        return Err(format!("its reply has over {} calls or reasoning items", bounds.max_calls));
    }
    let arguments = |max: usize| reply.calls.iter().map(|c| c.arguments.get().len()).filter(move |n| *n > max);
    if arguments(bounds.max_arguments).next().is_some() {
        return Err(format!("arguments of its reply have over {} bytes", bounds.max_arguments));
    }
    if reply.calls.iter().any(|c| c.name.len().max(c.id.len()) > MAX_NAME) {
        return Err(format!("a name of its reply has over {MAX_NAME} bytes"));
    }
    let opaque: usize = reply.reasoning.iter().map(String::len).sum();
    if reply.text.len() + opaque + arguments(0).sum::<usize>() + reply.layout.len() > bounds.max_reply {
        return Err(format!("its reply has over {} bytes", bounds.max_reply));
    }
    Ok(())
}

fn cut(error: &mut Error) {
    error.detail.truncate(error.detail.floor_char_boundary(MAX_DETAIL));
    error.after = error.after.map(|after| after.min(MAX_RETRY_AFTER.0));
}
