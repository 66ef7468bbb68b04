//! One suite of promises that every wire keeps, against a loopback server that speaks each wire as its provider's public
//! reference describes it, well and badly; and what is peculiar to each.
#![expect(clippy::unwrap_used, reason = "tests")]

mod anthropic;
mod cassette;
mod chat;
mod chunking;
mod common;
mod face;
mod gemini;
mod hostile;
mod openai;
mod request;
mod responses;
mod suite;
