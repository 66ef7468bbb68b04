//! The arguments of a call, traced to who said them.
//!
//! A value is trusted only when all of it is a complete token or JSON leaf of a trusted source. Everything else is the model's, and
//! counts as little as the least that the model had in view. Nothing is decoded and no part of a value raises it.

use serde_json::{Map, Value};
use stead_core::id::Name;

use crate::{
    declare::Tool,
    index::{Index, Place},
    json::Path,
    normal,
    trust::{Label, Origin, Trust},
};

/// Values of one call that are traced one by one; beyond it the rest is untrusted.
pub const MAX_LEAVES: usize = 4_096;

/// One value of an argument.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Leaf {
    /// Where it stands: `$.to[0]`.
    pub path: String,
    /// What it counts.
    pub label: Label,
    /// Where a source says the same; `None` when the model wrote it.
    pub from: Option<Place>,
    /// The trusted value that it looks like and is not.
    pub look_alike: Option<String>,
}

/// One argument.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Argument {
    /// Its name.
    pub name: Name,
    /// What it counts: as little as the least of its values.
    pub label: Label,
    /// Its values, and keys that the tool's schema does not write.
    pub leaves: Vec<Leaf>,
    /// Whether it steers the call, or is content.
    pub steers: bool,
}

/// A call whose arguments are traced.
#[derive(Clone, Debug, PartialEq)]
pub struct Traced {
    /// The tool's full name.
    pub tool: Name,
    /// What the model had in view.
    pub window: Label,
    /// The arguments by name, in order.
    pub arguments: Vec<Argument>,
    /// Their values.
    pub values: Map<String, Value>,
}

impl Traced {
    /// One argument.
    pub fn argument(&self, name: &str) -> Option<&Argument> {
        self.arguments.iter().find(|a| &*a.name == name)
    }

    /// The lowest trust of all arguments.
    pub fn trust(&self) -> Trust {
        self.arguments.iter().map(|a| a.label.trust).min().unwrap_or(Trust::Trusted)
    }

    /// The label of all arguments together.
    pub fn label(&self) -> Label {
        self.arguments.iter().map(|a| a.label.clone()).collect()
    }
}

pub(crate) fn trace(index: &Index, tool: &Tool, values: Map<String, Value>, window: &Label) -> Traced {
    let mut tracer =
        Tracer { index, tool, model: window.join(&Label::new(Trust::Trusted, Origin::Model)), left: MAX_LEAVES };
    let mut path = Path::default();
    let arguments = values.iter().map(|(name, value)| {
        let mut leaves = Vec::new();
        path.member(name, |path| tracer.value(value, path, &mut leaves));
        let mut label: Label = leaves.iter().map(|l| l.label.clone()).collect();
        if leaves.is_empty() {
            label = tracer.model.clone();
        }
        Argument { name: name.as_str().into(), label, leaves, steers: tool.steers(name) }
    });
    let arguments = arguments.collect();
    Traced { tool: tool.name.clone(), window: window.clone(), arguments, values }
}

struct Tracer<'a> {
    index: &'a Index,
    tool: &'a Tool,
    /// What a value counts that nobody said.
    model: Label,
    left: usize,
}

impl Tracer<'_> {
    fn value(&mut self, value: &Value, path: &mut Path, out: &mut Vec<Leaf>) {
        match value {
            Value::Array(list) if !list.is_empty() => {
                for (i, value) in list.iter().enumerate() {
                    path.element(i, |path| self.value(value, path, out));
                }
            }
            Value::Object(map) if !map.is_empty() => {
                for (key, value) in map {
                    path.member(key, |path| {
                        if !self.tool.knows(key) {
                            self.leaf(&Value::from(key.as_str()), path, out);
                        }
                        self.value(value, path, out);
                    });
                }
            }
            leaf => self.leaf(leaf, path, out),
        }
    }

    fn leaf(&mut self, value: &Value, path: &Path, out: &mut Vec<Leaf>) {
        let path = path.as_str().to_owned();
        if self.left == 0 {
            // One leaf for all the rest, so that a huge argument is bounded here too.
            if out.last().is_none_or(|l| l.label != Label::default()) {
                out.push(Leaf { path, label: Label::default(), from: None, look_alike: None });
            }
            return;
        }
        self.left -= 1;
        out.push(match self.index.get(&normal::of_value(value)) {
            Some(known) => Leaf { path, label: known.label.clone(), from: Some(known.place.clone()), look_alike: None },
            None => {
                let look_alike = value.as_str().and_then(|s| self.index.look_alike(s)).map(|k| k.text().to_owned());
                // Whoever imitates a trusted value means harm, whatever is in view.
                let most = if look_alike.is_some() { Trust::Untrusted } else { Trust::Trusted };
                Leaf { path, label: self.model.clone().at_most(most), from: None, look_alike }
            }
        });
    }
}
