//! A value that satisfies a JSON Schema (2020-12 and what is common of older drafts), made without randomness.
//!
//! The generator is constructive and takes a few decisions (which branch, which member of an `enum`); a validator then
//! judges the candidate. Attempt 0 decides for the first of everything, later ones vary, so that `oneOf`, `not` and
//! `if` are found by a short search. Depth, nodes and attempts are bounded; what is not found in time is `None`.

mod flatten;
mod number;
mod shape;
mod text;

use std::cell::Cell;

use serde_json::Value;

/// Deepest nesting of a value, and of references while flattening.
const MAX_DEPTH: u32 = 24;
/// Most subschemas visited in one attempt; once so many are visited in all, no further attempt begins.
const MAX_NODES: u32 = 5_000;
/// Most candidates tried.
const MAX_ATTEMPTS: u64 = 64;

/// A value that satisfies `schema`; the best candidate when the validator cannot be built; `None` when nothing fits.
pub(super) fn sample(schema: &Value) -> Option<Value> {
    let validator = jsonschema::validator_for(schema);
    let mut nodes = 0;
    for attempt in 0..MAX_ATTEMPTS {
        let generator = Generator { root: schema, attempt, decisions: Cell::new(0), nodes: Cell::new(0) };
        let candidate = generator.value(schema, 0, 0);
        if let Some(candidate) = candidate.filter(|c| validator.as_ref().map_or(true, |v| v.is_valid(c))) {
            return Some(candidate);
        }
        nodes += generator.nodes.get();
        // Without a decision the next attempt would be the same.
        if generator.decisions.get() == 0 || nodes > MAX_NODES {
            break;
        }
    }
    None
}

/// One attempt.
struct Generator<'a> {
    root: &'a Value,
    attempt: u64,
    decisions: Cell<u64>,
    nodes: Cell<u32>,
}

impl Generator<'_> {
    /// A value for a subschema. `salt` asks for different values of the same schema, for `uniqueItems`.
    fn value(&self, schema: &Value, depth: u32, salt: usize) -> Option<Value> {
        self.visit(depth)?;
        let flat = self.flatten(schema, depth)?;
        self.shape(&flat, depth, salt)
    }

    /// Counts a step; `None` when the attempt has gone on for too long.
    fn visit(&self, depth: u32) -> Option<()> {
        self.nodes.set(self.nodes.get() + 1);
        (depth < MAX_DEPTH && self.nodes.get() < MAX_NODES).then_some(())
    }

    /// Decides among `n` options: always the first in attempt 0, spread evenly by a mixing function in later ones.
    fn decide(&self, n: usize) -> usize {
        let k = self.decisions.get();
        self.decisions.set(k + 1);
        if self.attempt == 0 || n < 2 {
            return 0;
        }
        // SplitMix64's finaliser: every bit of attempt and place matters, and it is the same everywhere.
        let mut x = self.attempt.wrapping_mul(0x9E37_79B9_7F4A_7C15).wrapping_add(k);
        x = (x ^ (x >> 30)).wrapping_mul(0xBF58_476D_1CE4_E5B9);
        x = (x ^ (x >> 27)).wrapping_mul(0x94D0_49BB_1331_11EB);
        ((x ^ (x >> 31)) % n as u64) as usize
    }
}

#[cfg(test)]
mod tests;
