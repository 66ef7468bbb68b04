//! What one long run takes on disk, beside the bytes of its messages.

use std::sync::{
    Arc,
    atomic::{AtomicU64, Ordering::Relaxed},
};

use serde_json::{Value, json, value::RawValue};
use stead_core::{
    budget::Usage,
    effect::{EffectClass, Outcome},
    id::Name,
    message::{Reply, StopReason, ToolCall},
};
use stead_ports::{
    BoxFuture,
    model::{DeltaSink, Model, ModelCall, ModelError},
    tool::{Invocation, Output, Tool},
};

use super::agent::{a_run, agent, engine};

const TURNS: u32 = 1_000;

/// Words with the statistics of prose: a vocabulary of 4,000, used by Zipf's law, so that a text of a kilobyte compresses
/// about as English does (to a half by zstd).
fn prose(seed: u64, bytes: usize) -> String {
    let mut state = seed.wrapping_mul(0x9E37_79B9_7F4A_7C15) | 1;
    let mut next = || {
        state ^= state << 13;
        state ^= state >> 7;
        state ^= state << 17;
        state
    };
    let mut out = String::with_capacity(bytes + 12);
    while out.len() < bytes {
        // Rank by inverse of a uniform number: the harmonic law, cut at the size of the vocabulary.
        let uniform = (next() >> 11) as f64 / (1_u64 << 53) as f64;
        let rank = 4_000_f64.powf(uniform) as u64;
        word(rank, &mut out);
        out.push(if next() % 12 == 0 { '.' } else { ' ' });
    }
    out.truncate(bytes);
    out
}

/// The word of that rank: syllables, the frequent words shorter.
fn word(rank: u64, out: &mut String) {
    const SYLLABLES: [&str; 32] = [
        "the", "an", "re", "er", "in", "on", "at", "en", "nd", "ti", "es", "or", "te", "of", "ed", "is", "it", "al",
        "ar", "st", "to", "nt", "ng", "se", "ha", "as", "ou", "io", "le", "ve", "co", "me",
    ];
    let mut n = rank;
    loop {
        out.push_str(SYLLABLES[(n % 32) as usize]);
        n /= 32;
        if n == 0 {
            return;
        }
    }
}

struct Talker(Arc<AtomicU64>, Name);

impl Model for Talker {
    fn name(&self) -> &Name {
        &self.1
    }

    fn call(&self, call: ModelCall, _: DeltaSink) -> BoxFuture<'_, Result<Reply, ModelError>> {
        let mut reply = Reply {
            text: prose(u64::from(call.turn), 300),
            usage: Usage { input: 1_000, output: 120, ..Usage::default() },
            ..Reply::default()
        };
        if call.turn < TURNS {
            let arguments = json!({ "query": prose(u64::from(call.turn) << 20, 80) }).to_string();
            let arguments = RawValue::from_string(arguments).expect("valid JSON");
            reply.calls.push(ToolCall { id: format!("call_{}", call.turn), name: "noop".into(), arguments });
            reply.stop = StopReason::ToolCalls;
        }
        // The raw bytes of a message are its text and its calls, not the names of our fields.
        let calls: usize = reply.calls.iter().map(|c| c.id.len() + c.name.len() + c.arguments.get().len()).sum();
        self.0.fetch_add((reply.text.len() + calls) as u64, Relaxed);
        Box::pin(std::future::ready(Ok(reply)))
    }
}

struct Reader(Arc<AtomicU64>);

impl Tool for Reader {
    fn call(&self, invocation: Invocation) -> BoxFuture<'_, Outcome<Output>> {
        let content = prose(u64::from(invocation.effect.n) << 40, 1_200);
        self.0.fetch_add(content.len() as u64, Relaxed);
        Box::pin(std::future::ready(Outcome::Returned(Output::ok(content))))
    }
}

/// A run of 1,000 turns: 300 bytes of reply, a call of 80, a result of 1,200 bytes each.
pub(crate) fn case() -> Value {
    let dir = super::scratch();
    let raw = Arc::new(AtomicU64::new(0));
    super::runtime().block_on(async {
        let (model, tool) = (Arc::new(Talker(raw.clone(), "talker".into())), Arc::new(Reader(raw.clone())));
        let agent = agent(EffectClass::Pure, false, model, tool, TURNS + 1);
        let engine = engine(dir.path(), agent).await;
        engine.start_and_wait(a_run()).await.expect("the run ends");
        engine.drain(std::time::Duration::from_secs(5)).await;
    });
    // The store is closed: its log has been copied into the database, and what is there is all there is.
    json!({ "raw_bytes": raw.load(Relaxed), "disk_bytes": super::suspended::du(dir.path()) })
}
