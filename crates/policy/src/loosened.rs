//! The file `default.yaml` of a policy set: gates of the default policy that an operator does without, for some tools or for all.

use std::{borrow::Cow, collections::BTreeMap};

use serde::Deserialize;

use crate::{
    default::DEFAULT_TEXT,
    policies::Source,
    problem::{Problem, nearest},
    tool::World,
};

/// The file of a policy set that loosens the default policy.
pub const LOOSENED_FILE: &str = "default.yaml";
/// What can be done without. What is not granted is never done.
const GATES: [&str; 3] = ["critical", "unsure", "unplanned"];

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Written {
    without: BTreeMap<String, Which>,
}

#[derive(Deserialize)]
#[serde(untagged, expecting = "write a list of tools, or `all`")]
enum Which {
    Tools(Vec<String>),
    All(All),
}

#[derive(Deserialize)]
#[serde(rename_all = "lowercase")]
enum All {
    All,
}

/// The gates that do not hold, and for which tools.
#[derive(Default)]
pub(crate) struct Loosened(BTreeMap<String, Which>);

impl Loosened {
    /// Of the files of a set; nothing is loosened where there is no such file.
    pub(crate) fn of(files: &[Source], world: &World) -> Result<Self, Vec<Problem>> {
        let Some(source) = files.iter().find(|source| source.file == LOOSENED_FILE) else {
            return Ok(Self::default());
        };
        let written: Written = crate::yaml::read(&source.file, &source.text)?;
        let mut problems = Vec::new();
        let tools: Vec<&str> = world.tools().map(|tool| tool.name.as_str()).collect();
        for (gate, which) in &written.without {
            let wrong = |message: String, near: Option<&str>| {
                let problem = Problem::whole(LOOSENED_FILE, message);
                match near {
                    Some(near) => problem.hint(format!("did you mean `{near}`?")),
                    None => problem,
                }
            };
            if !GATES.contains(&gate.as_str()) {
                let message = format!("`{gate}` is no gate of the default policy that can be done without");
                let near = nearest(gate, GATES);
                let problem = wrong(message, near);
                problems.push(if near.is_some() {
                    problem
                } else {
                    problem.hint(format!("they are {}", GATES.join(", ")))
                });
            }
            if let Which::Tools(named) = which {
                let unknown = named.iter().filter(|name| !tools.contains(&name.as_str()));
                problems.extend(unknown.map(|name| {
                    wrong(format!("no agent has the tool `{name}`"), nearest(name, tools.iter().copied()))
                }));
                if named.is_empty() {
                    problems.push(wrong(format!("`{gate}` names no tool"), None).hint("leave it out, or write `all`"));
                }
            }
        }
        if problems.is_empty() { Ok(Self(written.without)) } else { Err(problems) }
    }

    /// The text of a file of policies as it decides: the default policy's without what does not hold, every line where it was.
    pub(crate) fn text<'a>(&self, source: &'a Source) -> Cow<'a, str> {
        if self.0.is_empty() || source.text != DEFAULT_TEXT {
            return Cow::Borrowed(&source.text);
        }
        let mut text = source.text.clone();
        for (gate, which) in &self.0 {
            let Some(from) = text.find(&format!("@id(\"{gate}\")")) else { continue };
            let Some(end) = text[from..].find("};").map(|at| from + at + 1) else { continue };
            match which {
                Which::All(All::All) => {
                    let lines = "\n".repeat(text[from..end].matches('\n').count());
                    text.replace_range(from..=end, &lines);
                }
                Which::Tools(tools) => {
                    // A name that is known has no quotes.
                    let named: Vec<_> = tools.iter().map(|tool| format!("Action::\"{tool}\"")).collect();
                    text.replace_range(end..=end, &format!(" unless {{ action in [{}] }};", named.join(", ")));
                }
            }
        }
        Cow::Owned(text)
    }

    /// What a reader of the set should know.
    pub(crate) fn told(&self) -> impl Iterator<Item = Problem> {
        self.0.iter().map(|(gate, which)| {
            let tools = match which {
                Which::All(All::All) => "any tool".to_owned(),
                Which::Tools(tools) => tools.iter().map(|tool| format!("`{tool}`")).collect::<Vec<_>>().join(", "),
            };
            Problem::whole(LOOSENED_FILE, format!("the gate `{gate}` of the default policy does not hold for {tools}"))
                .hint("write a gate of your own for what should still be asked")
        })
    }
}
