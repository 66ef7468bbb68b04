//! What a look at an action is made of, and what is taken from its answer. Pure: who looks is [`crate::pay`].

use serde_json::{Map, Value};
use stead_core::{code, effect::Outcome, fact::Precondition, run::Seen};
use stead_ports::{
    agent::{Binds, BoundTool, Preview},
    tool::Output,
};

use crate::prepare::cut;

/// Most bytes of what people are shown of an answer.
pub(crate) const MAX_SHOWN: usize = 4_000;

/// The arguments of a look, of those of the call.
///
/// # Errors
/// In words: they do not fit the tool that looks.
pub(crate) fn arguments(how: &Preview, tool: &BoundTool, of: &str) -> Result<String, String> {
    let of: Value = serde_json::from_str(of).map_err(|e| format!("the call's arguments are not JSON: {e}"))?;
    let made: Map<String, Value> = match &how.with {
        Some(with) => with
            .iter()
            .filter_map(|(name, value)| match path(value) {
                Some(pointer) => Some((name.clone(), of.pointer(&pointer)?.clone())),
                None => Some((name.clone(), value.clone())),
            })
            .collect(),
        None => {
            let known = tool.def.schema.get("properties").and_then(Value::as_object);
            let all = of.as_object().cloned().unwrap_or_default();
            all.into_iter().filter(|(name, _)| known.is_none_or(|known| known.contains_key(name))).collect()
        }
    };
    let made = Value::Object(made).to_string();
    (tool.check)(&made).map_err(|e| format!("its arguments do not fit `{}`: {e}", tool.def.name))?;
    Ok(made)
}

/// The JSON pointer of a text like `$.order.id`.
fn path(value: &Value) -> Option<String> {
    let path = value.as_str()?.strip_prefix("$.")?;
    Some(
        path.split('.')
            .fold(String::new(), |pointer, part| pointer + "/" + &part.replace('~', "~0").replace('/', "~1")),
    )
}

/// What people are shown of an answer, and what it binds; or why there is nothing.
pub(crate) fn found(how: &Preview, outcome: Outcome<Output>) -> Result<(String, Option<Precondition>), String> {
    let output = match outcome {
        Outcome::Returned(output) if !output.error => output,
        Outcome::Returned(output) | Outcome::Refused(output) | Outcome::NotSent(output) | Outcome::Unknown(output) => {
            return Err(output.content);
        }
    };
    let answer: Option<Value> = serde_json::from_str(&output.content).ok();
    if how.binds == Some(Binds::Rows) {
        let rows = answer.as_ref().and_then(|answer| number(answer, how.show.as_deref()));
        let rows = rows.ok_or("its answer is not one number of rows")?;
        let plural = if rows == 1 { "" } else { "s" };
        return Ok((format!("{} row{plural}", thousands(rows)), Some(Precondition::Rows(rows))));
    }
    let text = match &how.show {
        None => output.content,
        Some(pointer) => match answer.as_ref().and_then(|answer| answer.pointer(pointer)) {
            Some(Value::String(text)) => text.clone(),
            Some(other) => other.to_string(),
            None => return Err(format!("its answer has no `{pointer}`")),
        },
    };
    let etag = output.etag.filter(|_| how.binds == Some(Binds::Etag));
    Ok((cut(text, MAX_SHOWN), etag.map(|tag| Precondition::Etag(tag.into()))))
}

/// The number at a place of an answer; without one, that of the only column of the only row of a SQL answer, or the answer itself.
fn number(answer: &Value, show: Option<&str>) -> Option<u64> {
    if let Some(pointer) = show {
        return answer.pointer(pointer)?.as_u64();
    }
    let Some(rows) = answer.get("rows") else { return answer.as_u64() };
    let [row] = rows.as_array()?.as_slice() else { return None };
    let mut values = row.as_object()?.values();
    let only = values.next()?.as_u64();
    only.filter(|_| values.next().is_none())
}

/// A number with a comma after each three places, as people read it.
fn thousands(n: u64) -> String {
    let digits = n.to_string();
    let mut out = String::new();
    for (i, c) in digits.chars().enumerate() {
        if i > 0 && (digits.len() - i).is_multiple_of(3) {
            out.push(',');
        }
        out.push(c);
    }
    out
}

/// What people read of a look, when its text is this.
pub(crate) fn words(seen: &Seen, text: &str) -> String {
    if seen.failed { format!("{}: there is none: {text}", code::PREVIEW_NONE) } else { text.to_owned() }
}

#[cfg(test)]
mod tests {
    #![expect(clippy::unwrap_used, reason = "tests")]
    use serde_json::json;
    use stead_core::time::Span;

    use super::*;

    fn how(show: Option<&str>, binds: Option<Binds>) -> Preview {
        let show = show.map(str::to_owned);
        Preview { tool: "t".into(), with: None, show, binds, timeout: Span::from_secs(1) }
    }

    fn answer(value: &Value, etag: Option<&str>) -> Outcome<Output> {
        Outcome::Returned(Output { etag: etag.map(str::to_owned), ..Output::ok(value.to_string()) })
    }

    #[test]
    fn a_count_is_the_only_number_of_an_answer_and_nothing_else() {
        let rows = how(None, Some(Binds::Rows));
        let count = |value: Value| found(&rows, answer(&value, None));
        let sql = |rows: Value| json!({"columns": ["n"], "rows": rows, "truncated": false});
        let four = ("4,000 rows".to_owned(), Some(Precondition::Rows(4_000)));
        assert_eq!(count(sql(json!([{"n": 4_000}]))), Ok(four));
        assert_eq!(count(json!(1)), Ok(("1 row".to_owned(), Some(Precondition::Rows(1)))));
        for bad in
            [sql(json!([])), sql(json!([{"n": 1}, {"n": 2}])), sql(json!([{"n": 1, "m": 1}])), json!("4"), json!(-1)]
        {
            assert!(count(bad.clone()).is_err(), "{bad}");
        }
        assert_eq!(thousands(1_234_567), "1,234,567");
        assert_eq!(thousands(12), "12");
    }

    #[test]
    fn an_entity_tag_binds_only_where_the_manifest_says_so() {
        let order = json!({"status": "open", "total": 12});
        let seen = |how: Preview, etag| found(&how, answer(&order, etag)).unwrap();
        assert_eq!(seen(how(Some("/status"), None), Some("\"a\"")), ("open".to_owned(), None));
        let bound = seen(how(Some("/total"), Some(Binds::Etag)), Some("\"a\""));
        assert_eq!(bound, ("12".to_owned(), Some(Precondition::Etag("\"a\"".into()))));
        assert_eq!(seen(how(Some("/total"), Some(Binds::Etag)), None).1, None);
        assert!(found(&how(Some("/gone"), None), answer(&order, None)).is_err());
        assert_eq!(found(&how(None, None), Outcome::Unknown(Output::error("late"))), Err("late".to_owned()));
    }

    #[test]
    fn paths_lead_to_values_of_the_call() {
        assert_eq!(path(&json!("$.a.b")), Some("/a/b".to_owned()));
        assert_eq!(path(&json!("a.b")), None);
        assert_eq!(path(&json!("$.a/b")), Some("/a~1b".to_owned()));
    }
}
