//! Every way to change one member of a document: for tests and the benchmark.

use stead_trust::json::Value;

/// All documents that differ from this one in one place: a value is another one, of another kind, or missing; a list or an object
/// has one member more or less.
pub fn mutations(value: &Value) -> Vec<Value> {
    let mut all = Vec::new();
    at(value, &mut |changed| all.push(changed));
    all.retain(|changed| changed != value);
    all
}

fn at(value: &Value, out: &mut dyn FnMut(Value)) {
    match value {
        Value::Null => {
            out(Value::text("x"));
            out(Value::int(0));
        }
        Value::Bool(b) => {
            out(Value::Bool(!b));
            out(Value::Null);
        }
        Value::Number(n) => {
            let n = n.as_whole().unwrap_or_default();
            for other in [n + 1, n.saturating_sub(1), n ^ (1 << 20), 0] {
                out(Value::int(other));
            }
            out(Value::text(n.to_string()));
            out(Value::Null);
        }
        Value::Text(t) => texts(t, out),
        Value::List(items) => {
            let with = |items: Vec<Value>| Value::List(items);
            for (i, item) in items.iter().enumerate() {
                at(item, &mut |changed| {
                    let mut items = items.clone();
                    items[i] = changed;
                    out(with(items));
                });
                let mut fewer = items.clone();
                fewer.remove(i);
                out(with(fewer));
                let mut twice = items.clone();
                twice.insert(i, item.clone());
                out(with(twice));
            }
            if items.is_empty() {
                out(with(vec![Value::text("x")]));
            }
            out(Value::Null);
        }
        Value::Object(members) => {
            for (i, (name, member)) in members.iter().enumerate() {
                at(member, &mut |changed| {
                    let mut members = members.clone();
                    members[i].1 = changed;
                    out(Value::Object(members));
                });
                let mut fewer = members.clone();
                fewer.remove(i);
                out(Value::Object(fewer));
                let renamed = members.iter().cloned().map(|(n, v)| (if n == *name { n + "_" } else { n }, v));
                out(Value::object(renamed));
            }
            out(Value::object(members.iter().cloned().chain([("zz".to_owned(), Value::Null)])));
        }
    }
}

/// Each character is another one, missing or there twice.
fn texts(text: &str, out: &mut dyn FnMut(Value)) {
    let chars: Vec<char> = text.chars().collect();
    let mut tell = |chars: &[char]| out(Value::text(chars.iter().collect::<String>()));
    for (i, c) in chars.iter().enumerate() {
        let mut changed = chars.clone();
        changed[i] = match c {
            '0' => '1',
            'a'..='y' | 'A'..='Y' | '1'..='8' => char::from_u32(u32::from(*c) + 1).unwrap_or('?'),
            _ => '0',
        };
        tell(&changed);
        let mut fewer = chars.clone();
        fewer.remove(i);
        tell(&fewer);
    }
    let mut more = chars.clone();
    more.push('\u{200b}');
    tell(&more);
    tell(&[]);
    out(Value::Null);
    out(Value::int(1));
}
