//! A query's rows as the JSON that a model reads, under a cap. Rows keep the order of their columns.

use serde_json::Value;

use crate::text;

/// Most bytes of one value; a longer text is cut.
const MAX_CELL: usize = 16 * 1024;
/// Room for what stands around the rows.
const FRAME: usize = 64;

/// Rows being collected.
pub(super) struct Rows {
    columns: Vec<String>,
    body: String,
    count: usize,
    max_rows: usize,
    max_bytes: usize,
    truncated: bool,
}

impl Rows {
    /// No rows yet. Columns with equal names get a number, so that no value hides another.
    pub(super) fn new(names: impl IntoIterator<Item = String>, max_rows: u32, max_output: usize) -> Self {
        let mut columns: Vec<String> = Vec::new();
        for name in names {
            let mut unique = name.clone();
            let mut n = 2;
            while columns.contains(&unique) {
                unique = format!("{name}_{n}");
                n += 1;
            }
            columns.push(unique);
        }
        let head = text::json(&columns).len() + FRAME;
        let max_bytes = max_output.saturating_sub(head);
        Self { columns, body: String::new(), count: 0, max_rows: max_rows as usize, max_bytes, truncated: false }
    }

    /// Adds a row; false when no more are wanted.
    pub(super) fn push(&mut self, values: impl IntoIterator<Item = Value>) -> bool {
        if self.count >= self.max_rows {
            self.truncated = true;
            return false;
        }
        let mut row = String::from(if self.count == 0 { "{" } else { ",{" });
        for (i, (column, mut value)) in self.columns.iter().zip(values).enumerate() {
            if let Value::String(s) = &mut value
                && s.len() > MAX_CELL
            {
                *s = format!("{}… [cut: {} bytes in all]", text::clip(s, MAX_CELL), s.len());
                self.truncated = true;
            }
            if i > 0 {
                row.push(',');
            }
            row.push_str(&text::json(column));
            row.push(':');
            row.push_str(&text::json(&value));
        }
        row.push('}');
        if self.body.len() + row.len() > self.max_bytes {
            self.truncated = true;
            return false;
        }
        self.body.push_str(&row);
        self.count += 1;
        true
    }

    /// The whole answer; `changes` is the number of rows that a write touched.
    pub(super) fn finish(self, changes: Option<u64>) -> String {
        let changes = changes.map(|n| format!(r#","changes":{n}"#)).unwrap_or_default();
        let columns = text::json(&self.columns);
        format!(r#"{{"columns":{columns},"rows":[{}],"truncated":{}{changes}}}"#, self.body, self.truncated)
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn equal_column_names_do_not_hide_each_other() {
        let mut rows = Rows::new(["id", "id", "id_2"].map(str::to_owned), 10, 1000);
        assert!(rows.push([json!(1), json!(2), json!(3)]));
        let text = rows.finish(None);
        assert_eq!(
            text,
            r#"{"columns":["id","id_2","id_2_2"],"rows":[{"id":1,"id_2":2,"id_2_2":3}],"truncated":false}"#
        );
    }

    #[test]
    fn the_answer_never_exceeds_its_cap_and_stays_json() {
        let mut rows = Rows::new(["a".to_owned()], 1000, 500);
        while rows.push([json!("x".repeat(50))]) {}
        let text = rows.finish(Some(3));
        assert!(text.len() <= 500, "{}", text.len());
        let value: Value = serde_json::from_str(&text).unwrap_or_default();
        assert_eq!((&value["truncated"], &value["changes"]), (&json!(true), &json!(3)));
    }
}
