//! From a manifest's words to those of one call.

use std::collections::BTreeSet;

use bytes::Bytes;
use serde_json::{Map, Value, json};
use stead_core::sandbox::Access;
use stead_tools::{
    config::CommandConfig,
    template::{Template, Values},
};

use crate::place::Job;

/// Bytes of one word, and of all (`MAX_ARG_STRLEN`, and what a box takes with its environment).
const WORD: usize = 100 << 10;
/// Words of a command.
const WORDS: usize = 256;
/// Bytes of standard input.
const STDIN: usize = 1 << 20;
/// The one argument of a command without `params`.
const COMMAND: &str = "command";

/// A compiled command.
#[derive(Debug)]
pub(crate) struct Plan {
    words: Vec<Template>,
    stdin: Option<Template>,
    access: Access,
    /// Whether the model's text is the last word.
    adds: bool,
    pub(crate) schema: Value,
}

impl Plan {
    /// Compiles it; the error says what is wrong with it.
    pub(crate) fn compile(config: &CommandConfig) -> Result<Self, String> {
        if config.command.first().is_none_or(String::is_empty) {
            return Err("`command` names no program".into());
        }
        if config.command.len() > WORDS {
            return Err(format!("`command` has {} words, and may have {WORDS}", config.command.len()));
        }
        let words: Vec<_> = config.command.iter().map(|w| Template::compile(w)).collect::<Result<_, _>>()?;
        let stdin = config.stdin.as_deref().map(Template::compile).transpose()?;
        let all = || words.iter().chain(&stdin);
        if all().any(Template::takes_all) {
            return Err("`{{args}}` has no form as text: name its parts, as `{{args.NAME}}`".into());
        }
        if words.first().is_some_and(Template::is_open) {
            return Err("the program itself cannot be chosen by the model: name it, and let it choose arguments".into());
        }
        let mut used = BTreeSet::new();
        all().for_each(|t| t.uses(&mut used));
        // Nothing is asked of the model unless it is said, but for the text that a shell takes.
        let adds = config.params.is_empty() && used.is_empty() && stdin.is_none();
        if !adds {
            check(config, &used)?;
        }
        let schema = if adds { text_schema() } else { schema(config) };
        Ok(Self { words, stdin, access: config.workspace, adds, schema })
    }

    /// What runs with these arguments. The error is for the model.
    pub(crate) fn job(&self, arguments: &Value, key: &str) -> Result<Job, String> {
        let values = Values { arguments, key };
        let plain = |value: &str| {
            if value.contains('\0') { Err("an argument holds a NUL byte".to_owned()) } else { Ok(value.to_owned()) }
        };
        let mut words = Vec::with_capacity(self.words.len() + 1);
        for word in &self.words {
            words.extend(word.render(&values, WORD, plain)?);
        }
        if self.adds {
            let text = arguments.get(COMMAND).and_then(Value::as_str).ok_or("`command` must be a text")?;
            words.push(plain(text)?);
        }
        let input = match &self.stdin {
            Some(template) => template.render(&values, STDIN, |v| Ok(v.to_owned()))?.unwrap_or_default(),
            None => String::new(),
        };
        Ok(Job { words, input: Bytes::from(input), access: self.access, env: Vec::new() })
    }

    /// What it may do with the workspace.
    pub(crate) fn access(&self) -> Access {
        self.access
    }
}

fn check(config: &CommandConfig, used: &BTreeSet<String>) -> Result<(), String> {
    if let Some(name) = used.iter().find(|n| !config.params.contains_key(*n)) {
        return Err(format!("`args.{name}` is used and not in `params`"));
    }
    if let Some(name) = config.params.keys().find(|n| !used.contains(*n)) {
        return Err(format!("`{name}` is in `params`, and neither `command` nor `stdin` uses it"));
    }
    if let Some(name) = config.optional.iter().find(|n| !config.params.contains_key(*n)) {
        return Err(format!("`{name}` is in `optional` and not in `params`"));
    }
    Ok(())
}

fn schema(config: &CommandConfig) -> Value {
    let required: Vec<_> = config.params.keys().filter(|n| !config.optional.contains(n)).collect();
    let properties: Map<_, _> = config.params.clone().into_iter().collect();
    json!({"type": "object", "properties": properties, "required": required, "additionalProperties": false})
}

fn text_schema() -> Value {
    json!({
        "type": "object",
        "properties": {COMMAND: {"type": "string", "minLength": 1, "maxLength": WORD, "description": "The text to run."}},
        "required": [COMMAND],
        "additionalProperties": false
    })
}

#[cfg(test)]
mod tests {
    #![expect(clippy::unwrap_used, reason = "tests")]
    use super::*;

    fn config(command: &[&str], stdin: Option<&str>, params: Value) -> CommandConfig {
        let command = command.iter().map(|w| (*w).to_owned()).collect();
        let params = serde_json::from_value(params).unwrap();
        CommandConfig { command, stdin: stdin.map(str::to_owned), params, ..CommandConfig::default() }
    }

    #[test]
    fn a_shell_takes_the_models_text_as_its_last_word() {
        let plan = Plan::compile(&config(&["bash", "-lc"], None, json!({}))).unwrap();
        let job = plan.job(&json!({"command": "echo 'a b' | wc"}), "k").unwrap();
        assert_eq!(job.words, ["bash", "-lc", "echo 'a b' | wc"]);
        assert_eq!(plan.schema["required"], json!(["command"]));
    }

    #[test]
    fn an_argument_is_a_part_of_one_word_whatever_it_holds() {
        let params = json!({"pattern": {"type": "string"}, "count": {"type": "integer"}});
        let mut config = config(&["grep", "-m{{args.count}}", "--", "{{args.pattern}}", "log"], None, params);
        config.optional = vec!["count".into()];
        let plan = Plan::compile(&config).unwrap();
        let words = |arguments| plan.job(&arguments, "k").unwrap().words;
        assert_eq!(
            words(json!({"pattern": "a b; rm -rf /", "count": 3})),
            ["grep", "-m3", "--", "a b; rm -rf /", "log"]
        );
        assert_eq!(words(json!({"pattern": "{{key}}"})), ["grep", "--", "{{key}}", "log"]);
        assert!(plan.job(&json!({"pattern": "a\0b"}), "k").is_err());
        assert!(plan.job(&json!({"pattern": "x".repeat(WORD + 1)}), "k").is_err());
    }

    #[test]
    fn input_is_text_of_the_models_and_a_fixed_command_asks_nothing() {
        let plan =
            Plan::compile(&config(&["python3", "-"], Some("{{args.code}}"), json!({"code": {"type": "string"}})))
                .unwrap();
        assert_eq!(plan.job(&json!({"code": "print(1)\n"}), "k").unwrap().input, "print(1)\n");
        let fixed = Plan::compile(&config(&["make"], Some("all"), json!({}))).unwrap();
        assert_eq!(fixed.schema["properties"], json!({}));
    }

    #[test]
    fn what_cannot_be_meant_is_refused() {
        let text = || json!({"a": {"type": "string"}});
        for (bad, why) in [
            (config(&[], None, json!({})), "no program"),
            (config(&["{{args.a}}"], None, text()), "cannot be chosen"),
            (config(&["sh", "{{args}}"], None, text()), "no form as text"),
            (config(&["sh", "{{args.b}}"], None, text()), "`args.b`"),
            (config(&["sh"], None, text()), "`a`"),
        ] {
            let error = Plan::compile(&bad).unwrap_err();
            assert!(error.contains(why), "{error}");
        }
    }
}
