//! The SQL tool against real SQLite files.

#![expect(clippy::unwrap_used, reason = "tests")]

mod common;

use std::path::Path;

use common::{arguments, call, config, invocation};
use rusqlite::Connection;
use serde_json::{Value, json};
use stead_core::{
    effect::{EffectClass, Outcome},
    fact::Precondition,
};
use stead_ports::tool::Output;
use stead_tools::{config::SqlConfig, offer::Offered, reach::Reach, schema, sql};

fn shop() -> tempfile::TempDir {
    let dir = tempfile::tempdir().unwrap();
    let db = Connection::open(dir.path().join("shop.db")).unwrap();
    db.execute_batch(
        "CREATE TABLE orders (id INTEGER PRIMARY KEY, customer TEXT, total REAL, photo BLOB);
         INSERT INTO orders VALUES (1041, 'Ada', 12.5, NULL), (1042, 'Grace', 99.0, x'00ff');
         CREATE TABLE log (what TEXT);
         CREATE TRIGGER remember AFTER INSERT ON orders BEGIN INSERT INTO log VALUES ('new'); END;",
    )
    .unwrap();
    dir
}

fn tool(dir: &Path, more: Value) -> Vec<Offered> {
    let mut value = json!({"url": "sqlite:./shop.db"});
    value.as_object_mut().unwrap().extend(more.as_object().unwrap().clone());
    sql::offer("orders", &config::<SqlConfig>(value), None, dir, &Reach::default()).unwrap()
}

async fn query(offered: &[Offered], sql: &str) -> Outcome<Output> {
    call(&offered[0], json!({"sql": sql})).await
}

fn refused(outcome: &Outcome<Output>) -> &str {
    match outcome {
        Outcome::Refused(out) => {
            assert!(out.error);
            &out.content
        }
        other => panic!("not refused: {other:?}"),
    }
}

fn rows(outcome: Outcome<Output>) -> Value {
    match outcome {
        Outcome::Returned(out) => serde_json::from_str(&out.content).unwrap(),
        other => panic!("not returned: {other:?}"),
    }
}

fn count(dir: &Path, table: &str) -> i64 {
    let db = Connection::open(dir.join("shop.db")).unwrap();
    db.query_row(&format!("SELECT count(*) FROM {table}"), [], |r| r.get(0)).unwrap()
}

#[tokio::test]
async fn a_query_gives_columns_and_rows() {
    let dir = shop();
    let offered = tool(dir.path(), json!({}));
    assert_eq!((offered[0].def.name.as_str(), offered[0].default_class), ("orders_query", EffectClass::Pure));
    let sql = "SELECT id, customer, total, photo FROM orders WHERE id = ?1";
    let got = rows(call(&offered[0], json!({"sql": sql, "params": [1042]})).await);
    assert_eq!(
        got,
        json!({"columns": ["id", "customer", "total", "photo"], "truncated": false,
            "rows": [{"id": 1042, "customer": "Grace", "total": 99.0, "photo": "[2 bytes]"}]})
    );
}

#[tokio::test]
async fn a_named_query_binds_its_arguments_and_never_splices_them() {
    let dir = shop();
    let offered = tool(
        dir.path(),
        json!({"queries": {"lookup": {
            "sql": "SELECT id, customer FROM orders WHERE customer = :who AND id >= :least",
            "description": "Finds orders.",
            "params": {"who": {"type": "string"}, "least": {"type": "integer"}}, "optional": ["least"]}}}),
    );
    let lookup = &offered[0];
    assert_eq!((lookup.operation.as_str(), lookup.def.name.as_str()), ("lookup", "orders_lookup"));
    assert_eq!(lookup.def.description, "Finds orders.");
    let check = schema::compile(&lookup.def.schema).unwrap();
    assert!(check(r#"{"who": "Ada"}"#).is_ok());
    assert!(check(r#"{"who": 1}"#).unwrap_err().contains("$.who"));
    assert!(check(r#"{"who": "Ada", "sql": "DROP TABLE orders"}"#).is_err());
    let got = rows(call(lookup, json!({"who": "Ada", "least": 1})).await);
    assert_eq!(got["rows"], json!([{"id": 1041, "customer": "Ada"}]));
    let hostile = rows(call(lookup, json!({"who": "Ada' OR 1=1 --", "least": 1})).await);
    assert_eq!(hostile["rows"], json!([]));
    // Left out is NULL, and a comparison with NULL finds nothing.
    assert_eq!(rows(call(lookup, json!({"who": "Ada"})).await)["rows"], json!([]));
}

#[tokio::test]
async fn a_tool_that_may_select_cannot_change_anything() {
    let dir = shop();
    let offered = tool(dir.path(), json!({}));
    for sql in [
        "DELETE FROM orders",
        "SELECT 1; DELETE FROM orders",
        "WITH x AS (SELECT 1) DELETE FROM orders",
        "PRAGMA user_version = 7",
        "SELECT * FROM pragma_user_version",
        "SELECT * FROM pragma_table_info('orders')",
        "ATTACH 'other.db' AS other",
        "VACUUM INTO 'copy.db'",
        "SELECT load_extension('x')",
        "SELECT /* */ 1",
        "CREATE TABLE t (a)",
    ] {
        let outcome = query(&offered, sql).await;
        assert!(refused(&outcome).starts_with("ST0051"), "{sql}: {outcome:?}");
    }
    assert_eq!(count(dir.path(), "orders"), 2);
    assert!(!dir.path().join("copy.db").exists() && !dir.path().join("other.db").exists());
}

#[tokio::test]
async fn an_allowed_write_is_done_whole_and_says_how_much() {
    let dir = shop();
    let offered = tool(dir.path(), json!({"allow": ["SELECT", "INSERT"]}));
    assert_eq!(offered[0].default_class, EffectClass::Irreversible);
    let got =
        rows(query(&offered, "INSERT INTO orders (id, customer) VALUES (1, 'Bob'), (2, 'Eve') RETURNING id").await);
    assert_eq!(got["rows"], json!([{"id": 1}, {"id": 2}]));
    // The trigger of the database's owner ran too, twice.
    assert_eq!((count(dir.path(), "orders"), count(dir.path(), "log")), (4, 2));
    for sql in [
        "DELETE FROM orders",
        "UPDATE orders SET total = 0",
        "INSERT OR REPLACE INTO orders (id) VALUES (1042)",
        "INSERT INTO orders (id) VALUES (1042) ON CONFLICT (id) DO UPDATE SET total = 0",
        "INSERT INTO sqlite_schema VALUES ('table', 'x', 'x', 2, '')",
        "SELECT * FROM pragma_table_info('orders')",
    ] {
        let outcome = query(&offered, sql).await;
        assert!(refused(&outcome).starts_with("ST0051"), "{sql}: {outcome:?}");
    }
}

#[tokio::test]
async fn a_write_that_fails_leaves_nothing_behind() {
    let dir = shop();
    let offered = tool(dir.path(), json!({"allow": ["INSERT"]}));
    let outcome = query(&offered, "INSERT INTO orders (id, customer) VALUES (7, 'Bob'), (1042, 'Eve')").await;
    assert!(refused(&outcome).contains("UNIQUE constraint failed"), "{outcome:?}");
    assert_eq!((count(dir.path(), "orders"), count(dir.path(), "log")), (2, 0));
}

#[tokio::test]
async fn a_write_lock_held_by_another_means_not_sent() {
    let dir = shop();
    let other = Connection::open(dir.path().join("shop.db")).unwrap();
    other.execute_batch("BEGIN IMMEDIATE").unwrap();
    let offered = tool(dir.path(), json!({"allow": ["INSERT"], "timeout": "50ms"}));
    let outcome = query(&offered, "INSERT INTO log VALUES ('x')").await;
    assert!(matches!(&outcome, Outcome::NotSent(out) if out.content.contains("locked")), "{outcome:?}");
}

#[tokio::test]
async fn rows_values_and_answers_are_capped() {
    let dir = shop();
    let offered = tool(dir.path(), json!({"max_rows": 3}));
    let many = "WITH RECURSIVE n(i) AS (SELECT 1 UNION ALL SELECT i + 1 FROM n LIMIT 1000000) SELECT i FROM n";
    let got = rows(query(&offered, many).await);
    assert_eq!((got["rows"].as_array().unwrap().len(), &got["truncated"]), (3, &json!(true)));
    let got = rows(query(&offered, "SELECT hex(zeroblob(1000000)) AS big").await);
    assert_eq!(got["truncated"], json!(true));
    assert!(got["rows"][0]["big"].as_str().unwrap().ends_with("[cut: 2000000 bytes in all]"));
    let outcome = query(&offered, "SELECT zeroblob(1000000000)").await;
    assert!(refused(&outcome).contains("too big"), "{outcome:?}");
    let small = invocation(&offered[0], arguments(json!({"sql": "SELECT printf('%500d', 1) AS a"})), 200);
    let got = rows(offered[0].tool.call(small).await);
    assert_eq!((&got["rows"], &got["truncated"]), (&json!([]), &json!(true)));
}

#[tokio::test]
async fn an_endless_statement_is_stopped_and_undone() {
    let dir = shop();
    let offered = tool(dir.path(), json!({"allow": ["SELECT", "INSERT"], "timeout": "100ms"}));
    let endless = "WITH RECURSIVE n(i) AS (SELECT 1 UNION ALL SELECT i + 1 FROM n)";
    for sql in [format!("{endless} SELECT count(*) FROM n"), format!("{endless} INSERT INTO log SELECT i FROM n")] {
        let outcome = query(&offered, &sql).await;
        assert!(refused(&outcome).starts_with("ST0042"), "{sql}: {outcome:?}");
    }
    assert_eq!(count(dir.path(), "log"), 0);
}

#[tokio::test]
async fn a_missing_or_damaged_file_means_not_sent() {
    let dir = shop();
    std::fs::remove_file(dir.path().join("shop.db")).unwrap();
    let writes = json!({"allow": ["INSERT"]});
    for offered in [tool(dir.path(), json!({})), tool(dir.path(), writes)] {
        let outcome = query(
            &offered,
            if offered[0].default_class == EffectClass::Pure { "SELECT 1" } else { "INSERT INTO log VALUES (1)" },
        )
        .await;
        assert!(matches!(&outcome, Outcome::NotSent(out) if out.content.contains("shop.db")), "{outcome:?}");
    }
    assert!(!dir.path().join("shop.db").exists());
    std::fs::write(dir.path().join("shop.db"), "this is no database, only text that is long enough".repeat(50))
        .unwrap();
    let outcome = query(&tool(dir.path(), json!({})), "SELECT 1").await;
    assert!(matches!(&outcome, Outcome::NotSent(out) if out.content.contains("not a database")), "{outcome:?}");
}

#[tokio::test]
async fn wrong_parameters_are_told_to_the_model() {
    let dir = shop();
    let offered = tool(dir.path(), json!({}));
    let outcome = call(&offered[0], json!({"sql": "SELECT ?1, ?2", "params": [1]})).await;
    assert!(refused(&outcome).contains("parameters"), "{outcome:?}");
    let outcome = call(&offered[0], json!({"sql": "SELECT ?1", "params": [[1]]})).await;
    assert!(refused(&outcome).contains("parameter 1"), "{outcome:?}");
    let outcome = query(&offered, "SELECT colour FROM orders").await;
    assert!(refused(&outcome).contains("no such column: colour"), "{outcome:?}");
}

#[test]
fn a_wrong_configuration_is_refused_when_it_is_read() {
    let dir = shop();
    for (value, why) in [
        (json!({"url": "mysql://x"}), "must begin with"),
        (json!({"url": "sqlite:"}), "path"),
        (json!({"url": "sqlite::memory:"}), "path"),
        (json!({"url": "sqlite:x", "allow": []}), "allow"),
        (json!({"url": "sqlite:x", "max_rows": 0}), "max_rows"),
        (json!({"url": "sqlite:x", "queries": {"q": {"sql": "DELETE FROM t"}}}), "ST0051"),
        (json!({"url": "sqlite:x", "queries": {"q": {"sql": "SELECT :a"}}}), ":a"),
        (json!({"url": "postgres://"}), "host"),
    ] {
        let error = sql::offer("orders", &config(value.clone()), None, dir.path(), &Reach::default()).unwrap_err();
        assert!(error.detail.contains(why), "{value}: {error}");
    }
}

/// The same call, held to a number of rows.
async fn held(offered: &Offered, rows: u64, value: Value) -> Outcome<Output> {
    let held = stead_ports::tool::Invocation {
        precondition: Some(Precondition::Rows(rows)),
        ..invocation(offered, arguments(value), 1 << 20)
    };
    offered.tool.call(held).await
}

#[tokio::test]
async fn a_statement_that_would_change_another_number_of_rows_is_undone() {
    let dir = shop();
    let writes = tool(dir.path(), json!({"allow": ["SELECT", "INSERT", "UPDATE", "DELETE"]})).remove(0);
    assert!(writes.tool.holds(&Precondition::Rows(2)) && !writes.tool.holds(&Precondition::Etag("\"a\"".into())));
    let delete = json!({"sql": "DELETE FROM orders"});
    for wrong in [0, 1, 3] {
        let got = held(&writes, wrong, delete.clone()).await;
        assert!(refused(&got).starts_with("ST0386: ") && refused(&got).contains("would have changed 2"), "{got:?}");
        assert_eq!(count(dir.path(), "orders"), 2);
    }
    // What a trigger does beside is not what people were shown.
    let insert = json!({"sql": "INSERT INTO orders (id) VALUES (1), (2), (3) RETURNING id"});
    assert!(refused(&held(&writes, 6, insert.clone()).await).contains("would have changed 3"));
    assert_eq!((count(dir.path(), "orders"), count(dir.path(), "log")), (2, 0));
    rows(held(&writes, 3, insert).await);
    assert_eq!((count(dir.path(), "orders"), count(dir.path(), "log")), (5, 3));
    rows(held(&writes, 5, delete.clone()).await);
    assert_eq!(count(dir.path(), "orders"), 0);
    assert_eq!(rows(held(&writes, 0, delete).await)["changes"], 0);
    // Nobody is held to what cannot be held.
    assert!(refused(&held(&writes, 0, json!({"sql": "SELECT 1"})).await).contains("changes no rows"));
    let held = stead_ports::tool::Invocation {
        precondition: Some(Precondition::Etag("\"a\"".into())),
        ..invocation(&writes, arguments(json!({"sql": "DELETE FROM orders"})), 1 << 20)
    };
    assert!(refused(&writes.tool.call(held).await).contains("cannot be held"));
}
