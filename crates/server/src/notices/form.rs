//! How a notice is written for a webhook. What others wrote stands in texts that the reader's program does not interpret: plain text
//! of Slack's, text runs of Teams', strings of JSON.

use serde_json::{Value, json};

use super::build::Message;
use crate::config::Format;

/// The link's words.
pub(super) const LOOK: &str = "Look at it and answer";
/// Characters of a text that Slack takes.
const SLACK_TEXT: usize = 2_900;
/// Texts of a section that Slack takes.
const SLACK_FIELDS: usize = 10;

/// The body of a request.
pub(super) fn body(format: Format, message: &Message, now: &str) -> Value {
    match format {
        Format::Json => ours(message, now),
        Format::Slack => slack(message),
        Format::Teams => teams(message),
    }
}

fn ours(m: &Message, now: &str) -> Value {
    let rows: Vec<Value> = m.rows.iter().map(|(name, value)| json!({ "name": name, "value": value })).collect();
    json!({
        "type": m.kind.event(), "timestamp": now,
        "data": { "approval": m.approval, "title": m.title, "rows": rows, "details": m.details, "link": m.link },
    })
}

/// `&`, `<` and `>` are all that is special in a text of Slack's (api.slack.com, "Formatting text for app surfaces").
fn slack_escaped(text: &str) -> String {
    text.replace('&', "&amp;").replace('<', "&lt;").replace('>', "&gt;")
}

fn slack(m: &Message) -> Value {
    let plain = |text: &str| {
        let cut: String = text.chars().take(SLACK_TEXT).collect();
        json!({ "type": "plain_text", "text": cut, "emoji": false })
    };
    let mut blocks = vec![json!({ "type": "header", "text": plain(m.title) })];
    let fields: Vec<Value> = m.rows.iter().map(|(name, value)| plain(&format!("{name}: {value}"))).collect();
    blocks.extend(fields.chunks(SLACK_FIELDS).map(|fields| json!({ "type": "section", "fields": fields })));
    if let Some(details) = &m.details {
        blocks.push(json!({ "type": "section", "text": plain(details) }));
    }
    let link = format!("<{}|{LOOK}>", slack_escaped(&m.link).replace('|', "%7C"));
    blocks.push(json!({ "type": "section", "text": { "type": "mrkdwn", "text": link, "verbatim": true } }));
    let text = slack_escaped(&format!("{}: {}", m.title, m.approval));
    json!({ "text": text, "mrkdwn": false, "blocks": blocks, "unfurl_links": false, "unfurl_media": false })
}

/// An Adaptive Card in the envelope that webhooks of Workflows take. A `TextRun` knows no Markdown.
fn teams(m: &Message) -> Value {
    let run = |text: &str, weight: &str| json!({ "type": "TextRun", "text": text, "weight": weight });
    let row = |(name, value): &(&str, String)| {
        let inlines = [run(&format!("{name}: "), "Bolder"), run(value, "Default")];
        json!({ "type": "RichTextBlock", "inlines": inlines, "spacing": "Small" })
    };
    let mut body =
        vec![json!({ "type": "TextBlock", "text": m.title, "size": "Medium", "weight": "Bolder", "wrap": true })];
    body.extend(m.rows.iter().map(row));
    if let Some(details) = &m.details {
        let line = |line: &str| {
            json!({ "type": "RichTextBlock", "spacing": "None",
                    "inlines": [{ "type": "TextRun", "text": line, "fontType": "Monospace", "size": "Small" }] })
        };
        body.extend(details.lines().filter(|text| !text.is_empty()).map(line));
    }
    let card = json!({
        "$schema": "http://adaptivecards.io/schemas/adaptive-card.json", "type": "AdaptiveCard", "version": "1.4", "body": body,
        "actions": [{ "type": "Action.OpenUrl", "title": LOOK, "url": m.link }],
    });
    let content = "application/vnd.microsoft.card.adaptive";
    json!({ "type": "message", "attachments": [{ "contentType": content, "contentUrl": null, "content": card }] })
}

/// A text in HTML.
fn html_escaped(text: &str) -> String {
    text.replace('&', "&amp;").replace('<', "&lt;").replace('>', "&gt;").replace('"', "&quot;").replace('\'', "&#39;")
}

/// The text of a mail.
pub(super) fn text(m: &Message) -> String {
    let rows: String = m.rows.iter().map(|(name, value)| format!("{:<14}{value}\n", format!("{name}:"))).collect();
    let details = m.details.as_ref().map(|details| format!("\n{details}\n")).unwrap_or_default();
    format!("{}.\n\n{rows}{details}\n{LOOK}: {}\n\nThis mail cannot be answered.\n", m.title, m.link)
}

/// The same as HTML: a table, a text as it is, a link; nothing that is loaded from anywhere.
pub(super) fn html(m: &Message) -> String {
    let row = |(name, value): &(&str, String)| {
        format!("<tr><th align=\"left\" valign=\"top\">{name}</th><td>{}</td></tr>\n", html_escaped(value))
    };
    let rows: String = m.rows.iter().map(row).collect();
    let details =
        m.details.as_ref().map(|details| format!("<pre>{}</pre>\n", html_escaped(details))).unwrap_or_default();
    let (title, link) = (html_escaped(m.title), html_escaped(&m.link));
    format!(
        "<!doctype html>\n<html><body>\n<p><b>{title}.</b></p>\n<table>\n{rows}</table>\n{details}<p><a href=\"{link}\">{LOOK}</a></p>\n</body></html>\n"
    )
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::notices::build::Kind;

    /// What a model could have written, if nothing were done about it.
    const HOSTILE: &str =
        "<!channel> *b* [a](http://evil) <https://evil|click> </td><script>x</script> {{DATE(2026,SHORT)}} & \"q\"";

    fn message() -> Message {
        Message {
            id: "msg_1".into(),
            kind: Kind::Asked,
            title: "An approval is asked for",
            approval: "run_1.e1".into(),
            rows: vec![("Tool", HOSTILE.into())],
            details: Some(HOSTILE.into()),
            link: "https://s.example/approvals/run_1.e1".into(),
        }
    }

    /// All objects in a document.
    fn objects(value: &Value) -> Vec<&serde_json::Map<String, Value>> {
        match value {
            Value::Object(map) => [map].into_iter().chain(map.values().flat_map(objects)).collect(),
            Value::Array(items) => items.iter().flat_map(objects).collect(),
            _ => Vec::new(),
        }
    }

    #[test]
    fn no_form_has_a_button_that_answers() {
        let m = message();
        for format in [Format::Json, Format::Slack, Format::Teams] {
            let body = body(format, &m, "2026-01-01T00:00:00Z");
            for object in objects(&body) {
                let kind = object.get("type").and_then(Value::as_str).unwrap_or_default();
                assert!(
                    !matches!(
                        kind,
                        "actions"
                            | "button"
                            | "input"
                            | "Action.Submit"
                            | "Action.Http"
                            | "Action.Execute"
                            | "ActionSet"
                    ),
                    "{object:?}"
                );
                for name in ["action_id", "callback_id", "potentialAction", "accessory", "selectAction"] {
                    assert!(!object.contains_key(name), "{object:?}");
                }
            }
            let text = body.to_string();
            assert!(text.contains("https://s.example/approvals/run_1.e1"), "{text}");
            assert!(!text.contains("/approve") || !text.replace("/approvals/", "").contains("/approve"), "{text}");
        }
        for text in [text(&m), html(&m)] {
            assert!(
                !text.replace("/approvals/", "").contains("/approve")
                    && !text.contains("<form")
                    && !text.contains("<img"),
                "{text}"
            );
        }
    }

    #[test]
    fn what_others_wrote_is_nothing_but_text_in_each_form() {
        let m = message();
        let slack = body(Format::Slack, &m, "");
        for object in objects(&slack) {
            if object.get("text").and_then(Value::as_str).is_some_and(|text| text.contains("<!channel>")) {
                assert_eq!(object.get("type"), Some(&json!("plain_text")), "{object:?}");
            }
        }
        let teams = body(Format::Teams, &m, "");
        for object in objects(&teams) {
            if object.get("text").and_then(Value::as_str).is_some_and(|text| text.contains("[a](")) {
                assert_eq!(object.get("type"), Some(&json!("TextRun")), "{object:?}");
            }
        }
        let html = html(&m);
        assert!(
            !html.contains("<script>") && html.contains("&lt;script&gt;") && html.matches("<a ").count() == 1,
            "{html}"
        );
        assert_eq!(slack_escaped("<!channel> & x"), "&lt;!channel&gt; &amp; x");
    }
}
