//! Expressions between `{{` and `}}`: a path into what was said, an optional conversion, an optional default.
//!
//! ```text
//! expression = path [ "|" filter ] [ "??" json ]
//! path       = name ( "." name | "[" number "]" | "[" json-string "]" )*
//! filter     = "int" | "number" | "text" | "json"
//! ```

use std::collections::BTreeMap;

use serde_json::Value;

use super::conversation::{Conversation, content_value};

/// Names that mean something of their own, so that no regex group may have them.
pub(super) const RESERVED: [&str; 4] = ["user", "turn", "result", "tools"];

/// Most steps of a path.
const MAX_STEPS: usize = 32;

#[derive(Debug, PartialEq)]
enum Root {
    /// The latest text of the user.
    User,
    /// The number of the turn.
    Turn,
    /// The content of the tool result that the rule matched.
    Result,
    /// The content of the latest result of a tool.
    Tool(String),
    /// A named group of a pattern.
    Group(String),
}

#[derive(Debug, PartialEq)]
enum Step {
    Key(String),
    Index(usize),
}

#[derive(Clone, Copy, Debug, PartialEq)]
enum Filter {
    Int,
    Number,
    Text,
    Json,
}

/// A parsed expression.
#[derive(Debug, PartialEq)]
pub(super) struct Expr {
    source: String,
    root: Root,
    steps: Vec<Step>,
    filter: Option<Filter>,
    default: Option<Value>,
}

/// What an expression can see.
pub(super) struct Scope<'a> {
    pub(super) conversation: &'a Conversation<'a>,
    pub(super) turn: u32,
    /// Content of the tool result that the rule matched.
    pub(super) result: Option<&'a str>,
    pub(super) groups: BTreeMap<&'a str, &'a str>,
}

impl Expr {
    /// Parses the text between the braces. The error is for the author of the script.
    pub(super) fn parse(source: &str) -> Result<Self, String> {
        let bad = |why: &str| format!("`{{{{{source}}}}}`: {why}");
        let (body, default) = match source.split_once("??") {
            Some((body, json)) => {
                let value = serde_json::from_str(json.trim())
                    .map_err(|_| bad("what follows `??` must be JSON, such as `\"none\"` or `0`"))?;
                (body, Some(value))
            }
            None => (source, None),
        };
        let (path, filter) = match body.rsplit_once('|') {
            Some((path, word)) => {
                let filter = match word.trim() {
                    "int" => Filter::Int,
                    "number" => Filter::Number,
                    "text" => Filter::Text,
                    "json" => Filter::Json,
                    _ => return Err(bad("filters are `int`, `number`, `text` and `json`")),
                };
                (path, Some(filter))
            }
            None => (body, None),
        };
        let (head, mut steps) = parse_path(path.trim()).map_err(|why| bad(&why))?;
        let root = match head.as_str() {
            "user" => Root::User,
            "turn" => Root::Turn,
            "result" => Root::Result,
            "tools" if steps.is_empty() => return Err(bad("`tools` is followed by the name of a tool")),
            "tools" => match steps.remove(0) {
                Step::Key(tool) => Root::Tool(tool),
                Step::Index(_) => return Err(bad("`tools` is followed by the name of a tool")),
            },
            _ => Root::Group(head),
        };
        Ok(Self { source: source.trim().to_owned(), root, steps, filter, default })
    }

    /// The regex group that this needs, when it needs one.
    pub(super) fn group(&self) -> Option<&str> {
        match &self.root {
            Root::Group(name) => Some(name),
            _ => None,
        }
    }

    /// Whether this needs the tool result that the rule matched.
    pub(super) fn needs_result(&self) -> bool {
        self.root == Root::Result
    }

    /// Looks the value up.
    ///
    /// # Errors
    /// A sentence, when the path leads nowhere and there is no default, or a conversion is not possible.
    pub(super) fn value(&self, scope: &Scope<'_>) -> Result<Value, String> {
        match self.look_up(scope) {
            Some(_) if self.filter == Some(Filter::Text) => self.text(scope).map(Value::String),
            Some(v) => self.convert(v),
            None => self
                .default
                .clone()
                .ok_or_else(|| format!("`{{{{{}}}}}` leads nowhere; give a default with `??`", self.source)),
        }
    }

    /// The value inside running text: strings bare, everything else as compact JSON. A whole result that is an object
    /// or a list keeps its exact bytes, so that its keys stay in the tool's order.
    pub(super) fn text(&self, scope: &Scope<'_>) -> Result<String, String> {
        let whole = match &self.root {
            Root::Result => scope.result,
            Root::Tool(tool) => scope.conversation.latest(tool).map(|r| r.content.as_str()),
            _ => None,
        };
        match (whole, self.look_up(scope)) {
            (Some(content), Some(Value::Object(_) | Value::Array(_))) if self.steps.is_empty() && self.plain() => {
                Ok(content.to_owned())
            }
            (_, Some(v)) => self.convert(v).map(|v| as_text(&v)),
            (_, None) => self.value(scope).map(|v| as_text(&v)),
        }
    }

    /// Whether nothing is converted but into text.
    fn plain(&self) -> bool {
        matches!(self.filter, None | Some(Filter::Text))
    }

    fn look_up(&self, scope: &Scope<'_>) -> Option<Value> {
        let root = match &self.root {
            Root::User => Value::String(scope.conversation.user().to_owned()),
            Root::Turn => Value::from(scope.turn),
            Root::Result => content_value(scope.result?),
            Root::Tool(tool) => content_value(&scope.conversation.latest(tool)?.content),
            Root::Group(name) => Value::String((*scope.groups.get(name.as_str())?).to_owned()),
        };
        self.steps.iter().try_fold(root, |mut value, step| match step {
            Step::Key(k) => value.get_mut(k).map(Value::take),
            Step::Index(i) => value.get_mut(i).map(Value::take),
        })
    }

    fn convert(&self, value: Value) -> Result<Value, String> {
        let fail = |what: &str| Err(format!("`{{{{{}}}}}` is not {what}", self.source));
        match (self.filter, value) {
            (None, v) => Ok(v),
            (Some(Filter::Text), v) => Ok(Value::String(as_text(&v))),
            (Some(Filter::Int), v) => match as_text(&v).trim().parse::<i64>() {
                Ok(n) => Ok(n.into()),
                Err(_) => fail("a whole number"),
            },
            (Some(Filter::Number), v @ Value::Number(_)) => Ok(v),
            (Some(Filter::Number), v) => match serde_json::from_str::<Value>(as_text(&v).trim()) {
                Ok(n @ Value::Number(_)) => Ok(n),
                _ => fail("a number"),
            },
            (Some(Filter::Json), Value::String(s)) => serde_json::from_str(&s).or_else(|_| fail("JSON")),
            (Some(Filter::Json), v) => Ok(v),
        }
    }
}

/// Strings bare, everything else as compact JSON.
fn as_text(value: &Value) -> String {
    match value {
        Value::String(s) => s.clone(),
        v => v.to_string(),
    }
}

fn parse_path(path: &str) -> Result<(String, Vec<Step>), String> {
    let (head, mut rest) = take_name(path).ok_or("a path begins with a name")?;
    let mut steps = Vec::new();
    while !rest.is_empty() {
        if steps.len() == MAX_STEPS {
            return Err(format!("a path has at most {MAX_STEPS} steps"));
        }
        if let Some(after) = rest.strip_prefix('.') {
            let (name, more) = take_name(after).ok_or("a name follows the dot")?;
            steps.push(Step::Key(name.to_owned()));
            rest = more;
        } else if let Some(after) = rest.strip_prefix("[\"") {
            let (key, more) = after.split_once("\"]").ok_or("`[\"` is never closed")?;
            steps.push(Step::Key(key.to_owned()));
            rest = more;
        } else if let Some(after) = rest.strip_prefix('[') {
            let (number, more) = after.split_once(']').ok_or("`[` is never closed")?;
            steps.push(Step::Index(number.trim().parse().map_err(|_| "an index is a number from 0")?));
            rest = more;
        } else {
            return Err(format!("`{rest}` was not expected"));
        }
    }
    Ok((head.to_owned(), steps))
}

/// A leading name of letters, digits, `_` and `-`.
fn take_name(text: &str) -> Option<(&str, &str)> {
    let end = text.find(|c: char| !(c.is_alphanumeric() || c == '_' || c == '-')).unwrap_or(text.len());
    (end > 0).then(|| text.split_at(end))
}

#[cfg(test)]
mod tests {
    #![expect(clippy::unwrap_used, reason = "tests")]
    use std::sync::Arc;

    use stead_core::message::{Message, ToolResult};

    use super::*;

    fn value(source: &str, content: &str) -> Result<Value, String> {
        let messages = [Arc::new(Message::Tool(ToolResult {
            call_id: "c".into(),
            name: "shop".into(),
            content: content.into(),
            error: false,
            images: Vec::new(),
        }))];
        let conversation = Conversation::new(&messages);
        let scope = Scope {
            conversation: &conversation,
            turn: 7,
            result: Some(content),
            groups: BTreeMap::from([("id", "1042"), ("word", "x")]),
        };
        Expr::parse(source).unwrap().value(&scope)
    }

    #[test]
    fn a_path_keeps_the_json_type_of_what_it_finds() {
        let json = r#"{"rows":[{"total":129.5,"a b":true}]}"#;
        assert_eq!(value("result.rows[0].total", json), Ok(129.5.into()));
        assert_eq!(value(r#"tools.shop.rows[0]["a b"]"#, json), Ok(true.into()));
        assert_eq!(value("turn", json), Ok(7.into()));
        assert_eq!(value("result", "just prose"), Ok("just prose".into()));
        assert_eq!(value("result | text", r#"{"b": 1.50, "a": 2}"#), Ok(r#"{"b": 1.50, "a": 2}"#.into()));
        assert_eq!(value("result | text", r#""quoted""#), Ok("quoted".into()));
    }

    #[test]
    fn filters_convert_or_say_why_they_cannot() {
        assert_eq!(value("id | int", "{}"), Ok(1042.into()));
        assert_eq!(value("id | number", "{}"), Ok(1042.into()));
        assert!(value("word | int", "{}").unwrap_err().contains("not a whole number"));
        assert_eq!(value("result.n | text", r#"{"n":1}"#), Ok("1".into()));
    }

    #[test]
    fn a_path_that_leads_nowhere_takes_its_default_or_is_an_error() {
        assert_eq!(value(r#"result.gone ?? "none""#, "{}"), Ok("none".into()));
        assert!(value("result.gone", "{}").unwrap_err().contains("leads nowhere"));
        assert!(value("tools.other.x", "{}").is_err());
    }

    #[test]
    fn nonsense_is_refused_when_the_script_is_read() {
        for bad in ["", "a.", "a[", "a[x]", "a[\"x", "a b", "tools", "tools[0]", "a | upper", "a ?? nope"] {
            assert!(Expr::parse(bad).is_err(), "{bad}");
        }
    }
}
