//! How much work a schema can make of its input. A few hundred bytes of schema can ask for exponential work (`allOf` with
//! the same `$ref` twice, level upon level) or for endless work (a `$ref` to itself); this finds out before the first
//! check.
//!
//! The measure is `work[d]`: how often one value at nesting depth `d` may be looked at, as an upper bound. Keywords that
//! look at the same value again add up; keywords that look at different members of one value count by their maximum.

use std::collections::HashMap;

use serde_json::{Map, Value};

use super::MAX_DEPTH;

/// Most looks that one check may cost.
const AFFORDABLE: u64 = 50_000_000;
/// Most places of a schema (after references are followed, each place counts once).
const MAX_PLACES: usize = 20_000;

/// The bound for each depth of input, ascending.
#[derive(Debug)]
pub(super) struct Work(Vec<u64>);

impl Work {
    /// Measures a schema.
    pub(super) fn of(schema: &Value) -> Result<Self, String> {
        let mut places = Places { root: schema, index: HashMap::new(), all: Vec::new() };
        let root = places.place(schema, 0)?;
        let order = places.order()?;
        let n = places.all.len();
        let mut below = vec![0_u64; n];
        let mut work = Vec::with_capacity(MAX_DEPTH + 1);
        for _ in 0..=MAX_DEPTH {
            let mut now = vec![0_u64; n];
            // In an order in which what a place refers to comes first.
            for &i in &order {
                let place = &places.all[i];
                let same = place.same.iter().fold(1_u64, |sum, &j| sum.saturating_add(now[j]));
                let any = place.any.iter().fold(0_u64, |sum, &j| sum.saturating_add(below[j]));
                let one = place.one.iter().map(|&j| below[j]).max().unwrap_or(0);
                now[i] = same.saturating_add(any).saturating_add(one);
            }
            work.push(now[root]);
            below = now;
        }
        Ok(Self(work))
    }

    /// Whether input of that depth and size can be checked within bounds.
    pub(super) fn affordable(&self, depth: usize, nodes: usize) -> bool {
        let looks = self.0.get(depth).copied().unwrap_or(u64::MAX);
        looks.saturating_mul(nodes as u64) <= AFFORDABLE
    }
}

/// A subschema, and the subschemas it applies.
#[derive(Default)]
struct Place {
    /// To the same value.
    same: Vec<usize>,
    /// To any member of the value.
    any: Vec<usize>,
    /// Each to a different member.
    one: Vec<usize>,
}

struct Places<'s> {
    root: &'s Value,
    /// By address: a subschema that is referred to from two places is one place.
    index: HashMap<*const Value, usize>,
    all: Vec<Place>,
}

impl<'s> Places<'s> {
    fn place(&mut self, schema: &'s Value, hops: usize) -> Result<usize, String> {
        if let Some(&i) = self.index.get(&std::ptr::from_ref(schema)) {
            return Ok(i);
        }
        // Nesting is bounded by the schema's depth, chains of references by this.
        if self.all.len() >= MAX_PLACES || hops > 512 {
            return Err("it is too large".into());
        }
        let i = self.all.len();
        self.index.insert(std::ptr::from_ref(schema), i);
        self.all.push(Place::default());
        let Value::Object(map) = schema else { return Ok(i) };
        let hops = hops + 1;
        let mut place = Place::default();
        if hops > 1 && map.contains_key("$id") {
            return Err("`$id` inside a schema is not supported".into());
        }
        for keyword in ["$dynamicRef", "$recursiveRef"] {
            if map.contains_key(keyword) {
                return Err(format!("`{keyword}` is not supported"));
            }
        }
        if let Some(target) = map.get("$ref") {
            let target = self.target(target)?;
            place.same.push(self.place(target, hops)?);
        }
        for (keyword, value) in map {
            match keyword.as_str() {
                "not" | "if" | "then" | "else" => place.same.push(self.place(value, hops)?),
                "allOf" | "anyOf" | "oneOf" => self.list(value, hops, &mut place.same)?,
                "dependentSchemas" | "dependencies" => self.map(value, hops, &mut place.same)?,
                "properties" => self.map(value, hops, &mut place.one)?,
                "prefixItems" => self.list(value, hops, &mut place.one)?,
                "patternProperties" => self.map(value, hops, &mut place.any)?,
                "items" if value.is_array() => self.list(value, hops, &mut place.one)?,
                "items"
                | "additionalItems"
                | "additionalProperties"
                | "contains"
                | "propertyNames"
                | "unevaluatedItems"
                | "unevaluatedProperties" => place.any.push(self.place(value, hops)?),
                _ => {}
            }
        }
        // Unevaluated keywords look again at whatever the neighbours looked at.
        if map.contains_key("unevaluatedItems") || map.contains_key("unevaluatedProperties") {
            place.same.extend_from_within(..);
            place.any.extend_from_within(..);
        }
        self.all[i] = place;
        Ok(i)
    }

    fn list(&mut self, value: &'s Value, hops: usize, out: &mut Vec<usize>) -> Result<(), String> {
        for item in value.as_array().into_iter().flatten() {
            out.push(self.place(item, hops)?);
        }
        Ok(())
    }

    fn map(&mut self, value: &'s Value, hops: usize, out: &mut Vec<usize>) -> Result<(), String> {
        for item in value.as_object().into_iter().flat_map(Map::values) {
            out.push(self.place(item, hops)?);
        }
        Ok(())
    }

    /// What a `$ref` points to; only pointers within the schema are followed.
    fn target(&self, reference: &Value) -> Result<&'s Value, String> {
        let text = reference.as_str().unwrap_or_default();
        let outside = || {
            format!("`$ref` must point into the schema (`#/$defs/...`), not to `{}`", crate::text::ellipsis(text, 80))
        };
        let pointer = text.strip_prefix('#').ok_or_else(outside)?;
        if !pointer.is_empty() && !pointer.starts_with('/') {
            return Err(outside());
        }
        let pointer = percent_decoded(pointer).ok_or_else(outside)?;
        self.root
            .pointer(&pointer)
            .ok_or_else(|| format!("`$ref` points to `{}`, which is not there", crate::text::ellipsis(text, 80)))
    }

    /// The places in an order in which each comes after those it applies to the same value. A cycle among those would
    /// never end.
    fn order(&self) -> Result<Vec<usize>, String> {
        let n = self.all.len();
        let mut waits = vec![0_usize; n];
        let mut needed_by = vec![Vec::new(); n];
        for (i, place) in self.all.iter().enumerate() {
            waits[i] = place.same.len();
            for &j in &place.same {
                needed_by[j].push(i);
            }
        }
        let mut order: Vec<usize> = (0..n).filter(|&i| waits[i] == 0).collect();
        let mut next = 0;
        while let Some(&done) = order.get(next) {
            next += 1;
            for &i in &needed_by[done] {
                waits[i] -= 1;
                if waits[i] == 0 {
                    order.push(i);
                }
            }
        }
        if order.len() == n { Ok(order) } else { Err("a `$ref` leads back to itself".into()) }
    }
}

/// Undoes percent-encoding in a URI fragment (RFC 6901 section 6).
fn percent_decoded(text: &str) -> Option<String> {
    let mut bytes = text.bytes();
    let mut out = Vec::with_capacity(text.len());
    while let Some(byte) = bytes.next() {
        if byte == b'%' {
            let hex = [bytes.next()?, bytes.next()?];
            out.push(u8::from_str_radix(std::str::from_utf8(&hex).ok()?, 16).ok()?);
        } else {
            out.push(byte);
        }
    }
    String::from_utf8(out).ok()
}
