//! Values from flat keywords: the type is decided, then objects, arrays and the rest are built.

use std::collections::BTreeSet;

use serde_json::{Map, Value};

use super::{Generator, number, text};

/// Longest array and largest object built.
const MAX_MEMBERS: usize = 100;

type Flat = Map<String, Value>;

impl Generator<'_> {
    pub(super) fn shape(&self, flat: &Flat, depth: u32, salt: usize) -> Option<Value> {
        if let Some(v) = flat.get("const") {
            return Some(v.clone());
        }
        if let Some(Value::Array(all)) = flat.get("enum") {
            return all.get((self.decide(all.len()) + salt) % all.len().max(1)).cloned();
        }
        if salt == 0 && self.decide(2) == 0 {
            // What the author of the schema shows is the most telling value; the validator judges it.
            if let Some(v) = flat.get("examples").and_then(|e| e.get(0)).or_else(|| flat.get("default")) {
                return Some(v.clone());
            }
        }
        match self.type_of(flat)? {
            "null" => Some(Value::Null),
            "boolean" => Some(Value::Bool(!(salt + self.decide(2)).is_multiple_of(2))),
            "integer" => number::integer(flat, salt),
            "number" => number::number(flat, salt, self.decide(2) == 1),
            "array" => self.array(flat, depth, salt),
            "object" => self.object(flat, depth, salt),
            _ => text::string(flat, salt + self.decide(4)).map(Value::String),
        }
    }

    fn type_of<'f>(&self, flat: &'f Flat) -> Option<&'f str> {
        match flat.get("type") {
            Some(Value::String(t)) => Some(t),
            Some(Value::Array(all)) => all.get(self.decide(all.len()))?.as_str(),
            _ => {
                let has = |keys: &[&str]| keys.iter().any(|k| flat.contains_key(*k));
                Some(
                    if has(&[
                        "properties",
                        "required",
                        "additionalProperties",
                        "minProperties",
                        "patternProperties",
                        "propertyNames",
                    ]) {
                        "object"
                    } else if has(&["items", "prefixItems", "minItems", "contains", "uniqueItems"]) {
                        "array"
                    } else if has(&["minimum", "maximum", "exclusiveMinimum", "exclusiveMaximum", "multipleOf"]) {
                        "number"
                    } else {
                        "string"
                    },
                )
            }
        }
    }

    fn array(&self, flat: &Flat, depth: u32, salt: usize) -> Option<Value> {
        let size = |key: &str| flat.get(key).and_then(Value::as_u64).and_then(|n| usize::try_from(n).ok());
        let most = size("maxItems").unwrap_or(MAX_MEMBERS);
        let contained = if flat.contains_key("contains") { size("minContains").unwrap_or(1) } else { 0 };
        let least = size("minItems").unwrap_or(0).max(contained);
        if least > most.min(MAX_MEMBERS) {
            return None;
        }
        let (prefix, rest) = match (flat.get("prefixItems"), flat.get("items")) {
            (Some(Value::Array(p)), rest) => (p.as_slice(), rest),
            (None, Some(Value::Array(p))) => (p.as_slice(), flat.get("additionalItems")),
            (_, rest) => (&[][..], rest),
        };
        // One member says more than none, where that is allowed and possible.
        let wanted = least.max(1.min(most)).max(prefix.len().min(most));
        let mut items = Vec::with_capacity(wanted);
        for i in 0..wanted {
            let mut keywords = Flat::new();
            if let Some(schema) = prefix.get(i).or(rest) {
                match self.flatten(schema, depth + 1) {
                    Some(k) => keywords = k,
                    None if i >= least => break,
                    None => return None,
                }
            }
            if i < contained {
                self.flatten_into(flat.get("contains")?, depth + 1, &mut keywords)?;
            }
            match self.visit(depth + 1).and_then(|()| self.shape(&keywords, depth + 1, salt + i)) {
                Some(item) => items.push(item),
                None if i >= least => break,
                None => return None,
            }
        }
        Some(Value::Array(items))
    }

    fn object(&self, flat: &Flat, depth: u32, salt: usize) -> Option<Value> {
        let mut flat = flat.clone();
        let mut names = names_of(flat.get("required"));
        if self.decide(2) == 1 {
            names.extend(flat.get("properties").and_then(Value::as_object).into_iter().flat_map(|p| p.keys().cloned()));
        }
        self.add_dependents(&mut flat, &mut names, depth)?;
        let least =
            flat.get("minProperties").and_then(Value::as_u64).and_then(|n| usize::try_from(n).ok()).unwrap_or(0);
        if least.max(names.len()) > MAX_MEMBERS {
            return None;
        }
        for name in flat.get("properties").and_then(Value::as_object).into_iter().flat_map(|p| p.keys()) {
            if names.len() < least {
                names.insert(name.clone());
            }
        }
        let mut extra = 0;
        while names.len() < least {
            names.insert(self.extra_name(&flat, depth, extra)?);
            extra += 1;
            if extra > 2 * MAX_MEMBERS {
                return None;
            }
        }
        let mut out = Map::new();
        for name in names {
            let value = match member(&flat, &name) {
                Some(schema) => self.value(schema, depth + 1, salt)?,
                None => Value::from("example"),
            };
            out.insert(name, value);
        }
        Some(Value::Object(out))
    }

    /// Names and keywords that the presence of other names brings along.
    fn add_dependents(&self, flat: &mut Flat, names: &mut BTreeSet<String>, depth: u32) -> Option<()> {
        let mut done = BTreeSet::new();
        while let Some(name) = names.iter().find(|n| !done.contains(*n)).cloned() {
            self.visit(depth)?;
            for keyword in ["dependentRequired", "dependentSchemas", "dependencies"] {
                match flat.get(keyword).and_then(|d| d.get(&name)).cloned() {
                    Some(list @ Value::Array(_)) => names.extend(names_of(Some(&list))),
                    Some(schema) => {
                        self.flatten_into(&schema, depth + 1, flat)?;
                        names.extend(names_of(flat.get("required")));
                    }
                    None => {}
                }
            }
            done.insert(name);
        }
        Some(())
    }

    /// A name that no property has, for `minProperties`.
    fn extra_name(&self, flat: &Flat, depth: u32, n: usize) -> Option<String> {
        if let Some(pattern) = flat.get("patternProperties").and_then(Value::as_object).and_then(|p| p.keys().next()) {
            return text::Pattern::new(pattern)?.example(n);
        }
        if flat.get("additionalProperties") == Some(&Value::Bool(false)) {
            return None;
        }
        match flat.get("propertyNames") {
            Some(names) => {
                let mut keywords = self.flatten(names, depth + 1)?;
                keywords.insert("type".into(), "string".into());
                self.shape(&keywords, depth + 1, n)?.as_str().map(ToOwned::to_owned)
            }
            None => Some(format!("extra{}", n + 1)),
        }
    }
}

fn names_of(list: Option<&Value>) -> BTreeSet<String> {
    list.and_then(Value::as_array).into_iter().flatten().filter_map(Value::as_str).map(ToOwned::to_owned).collect()
}

/// The schema of a member: by name, by pattern, or that of all others.
fn member<'f>(flat: &'f Flat, name: &str) -> Option<&'f Value> {
    let by_pattern = || {
        let all = flat.get("patternProperties")?.as_object()?;
        all.iter().find(|(p, _)| text::compile(p).is_some_and(|p| p.is_match(name))).map(|(_, s)| s)
    };
    flat.get("properties").and_then(|p| p.get(name)).or_else(by_pattern).or_else(|| flat.get("additionalProperties"))
}
