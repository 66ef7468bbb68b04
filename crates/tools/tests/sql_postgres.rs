//! The SQL tool against a real PostgreSQL.

#![expect(clippy::unwrap_used, reason = "tests")]

mod common;
#[path = "common/postgres.rs"]
mod postgres;

use std::path::Path;

use common::{call, config};
use postgres::Server;
use serde_json::{Value, json};
use stead_core::{
    effect::{EffectClass, Outcome},
    fact::Precondition,
};
use stead_ports::tool::Output;
use stead_tools::{config::SqlConfig, offer::Offered, reach::Reach, secret::Secret, sql};
use tokio::{
    io::{AsyncReadExt as _, AsyncWriteExt as _},
    net::{TcpListener, UnixStream},
};
use tokio_postgres::NoTls;

async fn admin(server: &Server) -> tokio_postgres::Client {
    let (client, connection) = tokio_postgres::connect(&server.url("postgres"), NoTls).await.unwrap();
    tokio::spawn(connection);
    client
}

async fn shop() -> Server {
    let server = Server::start();
    let tables = "CREATE TABLE orders (id int PRIMARY KEY, customer text, total numeric(30,10), at timestamptz, tags text[], body jsonb);
         INSERT INTO orders VALUES (1041, 'Ada', 12.5, '2026-01-02T03:04:05Z', '{a,b}', '{\"k\": [1]}'), (1042, 'Grace', NULL, NULL, NULL, NULL);
         CREATE TABLE child (id int REFERENCES orders DEFERRABLE INITIALLY DEFERRED);
         CREATE FUNCTION sneaky() RETURNS int LANGUAGE sql AS 'DELETE FROM orders RETURNING 1'";
    admin(&server).await.batch_execute(tables).await.unwrap();
    server
}

fn tool(url: &str, more: Value) -> Offered {
    let mut value = json!({"url": url});
    value.as_object_mut().unwrap().extend(more.as_object().unwrap().clone());
    sql::offer("orders", &config::<SqlConfig>(value), None, Path::new("/"), &Reach::default()).unwrap().remove(0)
}

fn refused(outcome: &Outcome<Output>) -> &str {
    match outcome {
        Outcome::Refused(out) => &out.content,
        other => panic!("not refused: {other:?}"),
    }
}

fn rows(outcome: Outcome<Output>) -> Value {
    match outcome {
        Outcome::Returned(out) => serde_json::from_str(&out.content).unwrap(),
        other => panic!("not returned: {other:?}"),
    }
}

async fn count(server: &Server) -> i64 {
    admin(server).await.query_one("SELECT count(*) FROM orders", &[]).await.unwrap().get(0)
}

#[tokio::test]
async fn rows_of_any_type_come_back_as_json() {
    let server = shop().await;
    let read = tool(&server.url("postgres"), json!({}));
    assert_eq!(read.default_class, EffectClass::Pure);
    let sql = "SELECT *, id AS \"Id\", customer AS id, 1.50::numeric, '12345678901234567890.5'::numeric AS big FROM orders WHERE id = $1 AND at < $2 -- all";
    let got = rows(call(&read, json!({"sql": sql, "params": [1041, "2027-01-01"]})).await);
    assert_eq!(
        got["rows"][0],
        json!({"id": 1041, "customer": "Ada", "total": "12.5000000000", "at": "2026-01-02T03:04:05+00:00", "tags": ["a", "b"],
            "body": {"k": [1]}, "Id": 1041, "id_2": "Ada", "numeric": "1.50", "big": "12345678901234567890.5"})
    );
    let many = rows(call(&read, json!({"sql": "SELECT i FROM generate_series(1, 100000) i;"})).await);
    assert_eq!((many["rows"].as_array().unwrap().len(), &many["truncated"]), (200, &json!(true)));
}

#[tokio::test]
async fn a_password_is_in_no_row_and_in_no_error() {
    let server = shop().await;
    let secret = Secret::new("pw-51e8b2d604");
    let config = config::<SqlConfig>(json!({"url": server.url("postgres")}));
    let read = sql::offer("orders", &config, Some(&secret), Path::new("/"), &Reach::default()).unwrap().remove(0);
    let got =
        call(&read, json!({"sql": "SELECT 'is pw-51e8b2d604' AS a, jsonb_build_array('pw-51e8b2d604') AS b"})).await;
    assert_eq!(rows(got)["rows"][0], json!({"a": "is [secret]", "b": ["[secret]"]}));
    let got = call(&read, json!({"sql": "SELECT 'pw-51e8b2d604'::int"})).await;
    assert!(refused(&got).contains("[secret]") && !refused(&got).contains("51e8"), "{got:?}");
}

#[tokio::test]
async fn named_queries_bind_and_never_splice() {
    let server = shop().await;
    let queries = json!({"queries": {"find": {"sql": "SELECT id FROM orders WHERE customer = :who AND id > :least::int",
        "params": {"who": {"type": "string"}, "least": {"type": "integer"}}}}});
    let find = tool(&server.url("postgres"), queries);
    assert_eq!(rows(call(&find, json!({"who": "Ada", "least": 1})).await)["rows"], json!([{"id": 1041}]));
    assert_eq!(rows(call(&find, json!({"who": "x' OR true --", "least": 1})).await)["rows"], json!([]));
}

#[tokio::test]
async fn a_select_cannot_write_even_through_a_function() {
    let server = shop().await;
    for allow in [json!(["SELECT"]), json!(["SELECT", "DELETE"])] {
        let read = tool(&server.url("postgres"), json!({"allow": allow}));
        for sql in [
            "SELECT sneaky()",
            "SELECT nextval('pg_catalog.nothing')",
            "WITH x AS (DELETE FROM orders RETURNING *) SELECT * FROM x",
            "SELECT 1; DELETE FROM orders",
            "SELECT pg_read_file('/etc/passwd')",
            "SELECT set_config('transaction_read_only', 'off', true)",
            "COPY orders TO '/tmp/x'",
        ] {
            let outcome = call(&read, json!({"sql": sql})).await;
            let text = refused(&outcome);
            assert!(text.starts_with("ST0051") || sql.contains("nextval"), "{sql}: {text}");
        }
    }
    assert_eq!(count(&server).await, 2);
}

#[tokio::test]
async fn writes_commit_whole_or_not_at_all() {
    let server = shop().await;
    let write = tool(&server.url("postgres"), json!({"allow": ["INSERT", "UPDATE"]}));
    assert_eq!(write.default_class, EffectClass::Irreversible);
    let sql = "WITH n AS (SELECT 7 AS id) INSERT INTO orders (id) SELECT id FROM n RETURNING id";
    assert_eq!(
        rows(call(&write, json!({"sql": sql})).await),
        json!({"columns": ["id"], "rows": [{"id": 7}], "truncated": false, "changes": 1})
    );
    let got =
        rows(call(&write, json!({"sql": "UPDATE orders SET total = $1 WHERE id < $2", "params": [1.5, 2000]})).await);
    assert_eq!(got["changes"], json!(3));
    let outcome = call(&write, json!({"sql": "INSERT INTO orders (id) VALUES (8), (7)"})).await;
    assert!(refused(&outcome).contains("[23505]"), "{outcome:?}");
    // A constraint that is looked at only when the change is committed.
    let outcome = call(&write, json!({"sql": "INSERT INTO child VALUES (99)"})).await;
    assert!(refused(&outcome).contains("[23503]"), "{outcome:?}");
    assert_eq!(count(&server).await, 3);
}

#[tokio::test]
async fn slow_and_huge_answers_are_stopped() {
    let server = shop().await;
    let read = tool(&server.url("postgres"), json!({"timeout": "200ms"}));
    let endless = "WITH RECURSIVE n(i) AS (SELECT 1 UNION ALL SELECT 1 FROM n) SELECT count(*) FROM n";
    let outcome = call(&read, json!({"sql": endless})).await;
    assert!(refused(&outcome).starts_with("ST0042"), "{outcome:?}");
    let read = tool(&server.url("postgres"), json!({}));
    let outcome = call(&read, json!({"sql": "SELECT repeat('x', 100000000)"})).await;
    assert!(refused(&outcome).starts_with("ST0052"), "{outcome:?}");
    let cut = rows(call(&read, json!({"sql": "SELECT repeat('x', 100000) AS x"})).await);
    assert!(cut["rows"][0]["x"].as_str().unwrap().ends_with("[cut: 100000 bytes in all]"));
}

#[tokio::test]
async fn a_server_that_is_gone_means_not_sent() {
    let server = shop().await;
    let write = tool(&server.url("postgres"), json!({"allow": ["INSERT"]}));
    server.stop();
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let closing = listener.local_addr().unwrap();
    tokio::spawn(async move { while listener.accept().await.is_ok() {} });
    let other = tool(&format!("postgres://u:hunter2@{closing}/d"), json!({"allow": ["INSERT"]}));
    for tool in [write, other] {
        let outcome = call(&tool, json!({"sql": "INSERT INTO orders (id) VALUES (5)"})).await;
        assert!(matches!(&outcome, Outcome::NotSent(out) if !out.content.contains("hunter2")), "{outcome:?}");
    }
}

#[tokio::test]
async fn a_server_lost_before_the_commit_means_not_sent() {
    let server = shop().await;
    let blocker = admin(&server).await;
    blocker.batch_execute("BEGIN; LOCK TABLE orders").await.unwrap();
    let write = tool(&server.url("postgres"), json!({"allow": ["INSERT"], "timeout": "20s"}));
    let insert = call(&write, json!({"sql": "INSERT INTO orders (id) VALUES (5)"}));
    let crash = async {
        let watcher = admin(&server).await;
        let waiting = "SELECT count(*) FROM pg_locks WHERE NOT granted";
        while watcher.query_one(waiting, &[]).await.unwrap().get::<_, i64>(0) == 0 {}
        server.stop();
    };
    let (outcome, ()) = tokio::join!(insert, crash);
    assert!(matches!(&outcome, Outcome::NotSent(_)), "{outcome:?}");
}

#[tokio::test]
async fn a_connection_lost_at_the_commit_means_unknown_for_a_write_and_nothing_for_a_read() {
    let server = shop().await;
    let proxy = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let url = format!("postgres://postgres@{}/postgres", proxy.local_addr().unwrap());
    let socket = server.socket();
    // Hands everything on until the client says COMMIT, and then closes both sides.
    tokio::spawn(async move {
        while let Ok((mut client, _)) = proxy.accept().await {
            let mut database = UnixStream::connect(&socket).await.unwrap();
            let (mut up, mut down) = (vec![0; 65536], vec![0; 65536]);
            loop {
                tokio::select! {
                    n = client.read(&mut up) => match n {
                        Ok(n) if n > 0 && !up[..n].windows(6).any(|w| w == b"COMMIT") => database.write_all(&up[..n]).await.unwrap(),
                        _ => break,
                    },
                    n = database.read(&mut down) => client.write_all(&down[..n.unwrap()]).await.unwrap(),
                }
            }
        }
    });
    let write = tool(&url, json!({"allow": ["SELECT", "INSERT"]}));
    let outcome = call(&write, json!({"sql": "INSERT INTO orders (id) VALUES (5)"})).await;
    assert!(matches!(&outcome, Outcome::Unknown(out) if out.content.starts_with("ST0043")), "{outcome:?}");
    let got = rows(call(&write, json!({"sql": "SELECT count(*) AS n FROM orders"})).await);
    assert_eq!(got["rows"], json!([{"n": 2}]));
}

#[tokio::test]
async fn a_password_is_given_apart_from_the_url_and_a_wrong_one_is_not_repeated() {
    let server = shop().await;
    let admin = admin(&server).await;
    admin.batch_execute("CREATE ROLE ada LOGIN PASSWORD 'pg-live-0123'; GRANT SELECT ON orders TO ada").await.unwrap();
    let hba: String = admin.query_one("SHOW hba_file", &[]).await.unwrap().get(0);
    let rules = std::fs::read_to_string(&hba).unwrap();
    let asked = "host all ada all scram-sha-256\nlocal all ada scram-sha-256\n";
    std::fs::write(&hba, format!("{asked}{rules}")).unwrap();
    admin.batch_execute("SELECT pg_reload_conf()").await.unwrap();
    let url = server.url("ada");
    let offer = |password: &str| {
        let config = config::<SqlConfig>(json!({ "url": url }));
        let password = Secret::new(password);
        sql::offer("orders", &config, Some(&password), Path::new("/"), &Reach::default()).unwrap().remove(0)
    };
    let one = json!({"sql": "SELECT 1 AS one"});
    assert_eq!(rows(call(&offer("pg-live-0123"), one.clone()).await)["rows"], json!([{"one": 1}]));
    let outcome = call(&offer("pg-wrong-0123"), one.clone()).await;
    assert!(matches!(&outcome, Outcome::NotSent(out) if !out.content.contains("pg-wrong-0123")), "{outcome:?}");
    assert!(matches!(call(&tool(&url, json!({})), one).await, Outcome::NotSent(_)));
}

#[test]
fn a_url_that_makes_no_sense_is_refused_when_it_is_read() {
    let offer = |url: &str| sql::offer("orders", &config(json!({"url": url})), None, Path::new("/"), &Reach::default());
    for url in ["postgres://u:hunter2@db.example/d?sslmode=allow", "postgres://u:hunter2@localhost/d?sslrootcert=/no"] {
        let error = offer(url).unwrap_err();
        assert!(error.to_string().starts_with("ST0103") && !error.detail.contains("hunter2"), "{error}");
    }
    assert!(offer("postgres://u@db.example/d?sslmode=disable").is_ok());
}

#[tokio::test]
async fn a_server_is_reached_by_tls_and_only_with_the_certificate_that_the_url_asks_for() {
    let made = rcgen::generate_simple_self_signed(["127.0.0.1".to_owned()]).unwrap();
    let server =
        stead_testkit::postgres::TestPostgres::start_with_tls(&made.cert.pem(), &made.signing_key.serialize_pem());
    let dir = tempfile::tempdir().unwrap();
    let write = |name: &str, pem: String| {
        std::fs::write(dir.path().join(name), pem).unwrap();
        format!("{}?sslrootcert={}", server.url(), dir.path().join(name).display())
    };
    let one = json!({"sql": "SELECT 1 AS one"});
    let trusting = write("right.pem", made.cert.pem());
    assert_eq!(rows(call(&tool(&trusting, json!({})), one.clone()).await)["rows"], json!([{"one": 1}]));
    let other = rcgen::generate_simple_self_signed(["127.0.0.1".to_owned()]).unwrap();
    let outcome = call(&tool(&write("wrong.pem", other.cert.pem()), json!({})), one).await;
    assert!(matches!(&outcome, Outcome::NotSent(out) if out.content.contains("TLS")), "{outcome:?}");
}

#[tokio::test]
async fn a_guarded_address_is_never_spoken_to_in_any_notation() {
    for host in ["169.254.169.254", "0xA9FEA9FE", "2852039166"] {
        let read = tool(&format!("postgres://u@{host}/d?sslmode=disable"), json!({}));
        let outcome = call(&read, json!({"sql": "SELECT 1"})).await;
        assert!(matches!(&outcome, Outcome::NotSent(out) if out.content.contains("ST0054")), "{outcome:?}");
    }
}

#[tokio::test]
async fn params_of_the_wrong_type_are_refused() {
    let server = shop().await;
    let read = tool(&server.url("postgres"), json!({}));
    let outcome = call(&read, json!({"sql": "SELECT * FROM orders WHERE id = $1", "params": ["x"]})).await;
    assert!(refused(&outcome).contains("invalid input syntax"), "{outcome:?}");
    let outcome = call(&read, json!({"sql": "SELECT $1::int", "params": [1, 2]})).await;
    assert!(refused(&outcome).contains("parameter"), "{outcome:?}");
}

#[tokio::test]
async fn a_statement_that_would_change_another_number_of_rows_is_rolled_back() {
    let server = shop().await;
    let writes = tool(&server.url("postgres"), json!({"allow": ["SELECT", "DELETE"]}));
    let held = async |rows: u64, sql: &str| {
        let precondition = Some(Precondition::Rows(rows));
        let call = common::invocation(&writes, common::arguments(json!({"sql": sql})), 1 << 20);
        writes.tool.call(stead_ports::tool::Invocation { precondition, ..call }).await
    };
    for sql in ["DELETE FROM orders", "DELETE FROM orders RETURNING id"] {
        for wrong in [0, 1, 3] {
            let got = held(wrong, sql).await;
            assert!(refused(&got).starts_with("ST0386: ") && refused(&got).contains("would have changed 2"), "{got:?}");
            assert_eq!(count(&server).await, 2, "{sql}");
        }
    }
    let got = held(2, "DELETE FROM orders RETURNING id").await;
    assert_eq!(rows(got)["changes"], 2);
    assert_eq!(count(&server).await, 0);
}
