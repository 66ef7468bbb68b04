//! Statements that a guard must refuse, and a few that it must let through.

#![expect(clippy::unwrap_used, reason = "tests")]

use super::*;

const ALL: &[SqlKind] = &[SqlKind::Select, SqlKind::Insert, SqlKind::Update, SqlKind::Delete];
const READ: &[SqlKind] = &[SqlKind::Select];

fn sqlite(sql: &str, allow: &[SqlKind]) -> Result<SqlKind, String> {
    check(sql, Dialect::Sqlite, allow).map(|c| c.kind)
}

fn postgres(sql: &str, allow: &[SqlKind]) -> Result<SqlKind, String> {
    check(sql, Dialect::Postgres, allow).map(|c| c.kind)
}

#[test]
fn ordinary_statements_pass() {
    for sql in [
        "SELECT * FROM orders WHERE id = ?1",
        "select count(*), max(total) from orders group by customer having count(*) > 2 order by 2 limit 5;",
        "WITH big AS (SELECT * FROM orders WHERE total > 100) SELECT * FROM big JOIN customers USING (id)",
        "WITH RECURSIVE n(i) AS (SELECT 1 UNION ALL SELECT i + 1 FROM n WHERE i < 10) SELECT i FROM n",
        "SELECT 1 -- a remark",
        "SELECT date('now', '-7 day'), json_extract(body, '$.a') FROM t WHERE name LIKE '%x%'",
        "VALUES (1, 2), (3, 4)",
        "SELECT 'DELETE FROM orders; DROP TABLE orders'",
        "SELECT name, sql FROM sqlite_schema",
    ] {
        assert_eq!(sqlite(sql, READ), Ok(SqlKind::Select), "{sql}");
    }
    assert_eq!(sqlite("WITH a AS (SELECT 1) INSERT INTO t SELECT * FROM a", ALL), Ok(SqlKind::Insert));
    assert_eq!(
        postgres("SELECT id::text, tags[1] FROM orders WHERE at > now() - interval '1 day'", READ),
        Ok(SqlKind::Select)
    );
    assert_eq!(postgres("UPDATE t SET a = $1 WHERE id = $2 RETURNING a", ALL), Ok(SqlKind::Update));
}

#[test]
fn a_kind_that_is_not_allowed_is_denied_with_its_code() {
    for sql in ["INSERT INTO t VALUES (1)", "UPDATE t SET a = 1", "DELETE FROM t", "WITH a AS (SELECT 1) DELETE FROM t"]
    {
        for error in [sqlite(sql, READ).unwrap_err(), postgres(sql, READ).unwrap_err()] {
            assert!(error.starts_with("ST0051: ") && error.contains("only SELECT"), "{sql}: {error}");
        }
    }
}

#[test]
fn everything_but_the_four_kinds_is_denied_even_when_all_are_allowed() {
    for sql in [
        "PRAGMA writable_schema = 1",
        "PRAGMA table_info(orders)",
        "ATTACH DATABASE '/tmp/x.db' AS x",
        "DETACH DATABASE x",
        "VACUUM INTO '/tmp/copy.db'",
        "CREATE TABLE t (a)",
        "CREATE TEMP TABLE t (a)",
        "CREATE TRIGGER x AFTER INSERT ON t BEGIN DELETE FROM t; END",
        "DROP TABLE t",
        "ALTER TABLE t ADD COLUMN b",
        "BEGIN",
        "COMMIT",
        "ROLLBACK",
        "SAVEPOINT a",
        "EXPLAIN SELECT 1",
        "ANALYZE",
        "REINDEX t",
    ] {
        assert!(sqlite(sql, ALL).unwrap_err().starts_with("ST0051"), "{sql}");
    }
    for sql in [
        "COPY t TO '/tmp/x'",
        "COPY t FROM PROGRAM 'id'",
        "COPY (SELECT 1) TO STDOUT",
        "SET statement_timeout = 0",
        "SET ROLE postgres",
        "RESET ALL",
        "DO $$ BEGIN PERFORM 1; END $$",
        "CALL p()",
        "EXECUTE p",
        "PREPARE p AS DELETE FROM t",
        "LISTEN x",
        "NOTIFY x",
        "TRUNCATE t",
        "GRANT ALL ON t TO public",
        "EXPLAIN ANALYZE DELETE FROM t",
        "LOCK TABLE t",
        "CREATE FUNCTION f() RETURNS int LANGUAGE sql AS 'SELECT 1'",
        "MERGE INTO t USING s ON t.a = s.a WHEN MATCHED THEN DELETE",
    ] {
        assert!(postgres(sql, ALL).unwrap_err().starts_with("ST0051"), "{sql}");
    }
}

#[test]
fn smuggled_statements_are_found() {
    for sql in [
        "SELECT 1; DELETE FROM t",
        "SELECT 1;;DROP TABLE t",
        "SELECT 1 /* ; */; DELETE FROM t",
        "SELECT 1 /* /* */ ; DELETE FROM t -- */",
        "SELECT 1\n;\nDELETE FROM t --",
        "",
        ";",
        "-- nothing",
        "SELECT 'unterminated",
        "SELECT 1\0; DELETE FROM t",
    ] {
        assert!(sqlite(sql, READ).is_err(), "{sql}");
        assert!(postgres(sql, READ).is_err(), "{sql}");
    }
    for sql in [
        "WITH gone AS (DELETE FROM t RETURNING *) SELECT * FROM gone",
        "WITH a AS (WITH b AS (UPDATE t SET x = 1 RETURNING *) SELECT * FROM b) SELECT * FROM a",
        "SELECT * FROM (WITH a AS (INSERT INTO t VALUES (1) RETURNING *) SELECT * FROM a) q",
        "SELECT * INTO copy FROM t",
        "SELECT * FROM t FOR UPDATE",
        "SELECT * FROM (SELECT * FROM t FOR SHARE) q",
        "WITH gone AS (DELETE FROM t RETURNING *) INSERT INTO u SELECT * FROM gone",
    ] {
        let error = postgres(sql, if sql.contains("INTO u") { ALL } else { READ }).unwrap_err();
        assert!(error.starts_with("ST0051"), "{sql}: {error}");
    }
}

#[test]
fn functions_that_reach_outside_are_denied_however_they_are_written() {
    for sql in [
        "SELECT pg_read_file('/etc/passwd')",
        "SELECT PG_READ_FILE('/etc/passwd')",
        "SELECT \"pg_read_file\"('/etc/passwd')",
        "SELECT pg_catalog.pg_read_file('/etc/passwd')",
        "SELECT U&\"pg\\005fread_file\"('/etc/passwd')",
        "SELECT * FROM pg_read_file('/etc/passwd')",
        "SELECT * FROM ROWS FROM (pg_read_file('/etc/passwd'))",
        "SELECT * FROM t, LATERAL pg_read_file(t.a)",
        "SELECT upper(lower(pg_read_file('/etc/passwd')))",
        "SELECT 1 WHERE EXISTS (SELECT pg_sleep(10))",
        "SELECT 1 ORDER BY pg_sleep(10)",
        "SELECT 1 LIMIT (SELECT length(pg_read_file('x')))",
        "SELECT CASE WHEN true THEN lo_import('/etc/passwd') END",
        "SELECT * FROM dblink('host=x', 'DELETE FROM t') AS (a int)",
        "SELECT query_to_xml('delete from t', true, true, '')",
        "SELECT set_config('transaction_read_only', 'off', false)",
        "SELECT pg_terminate_backend(1)",
        "SELECT rolpassword FROM pg_authid",
        "SELECT * FROM pg_catalog.pg_shadow",
    ] {
        assert!(postgres(sql, READ).unwrap_err().starts_with("ST0051"), "{sql}");
    }
    for sql in [
        "SELECT load_extension('/tmp/x.so')",
        "SELECT Load_Extension ( 'x' )",
        "SELECT * FROM t WHERE a IN (SELECT readfile('/etc/passwd'))",
    ] {
        assert!(sqlite(sql, READ).unwrap_err().starts_with("ST0051"), "{sql}");
    }
}

#[test]
fn a_write_that_implies_another_needs_both() {
    let insert = &[SqlKind::Insert];
    for sql in [
        "INSERT OR REPLACE INTO t VALUES (1)",
        "REPLACE INTO t VALUES (1)",
        "INSERT INTO t VALUES (1) ON CONFLICT (a) DO UPDATE SET a = 2",
    ] {
        assert!(sqlite(sql, insert).is_err(), "{sql}");
        assert_eq!(sqlite(sql, ALL), Ok(SqlKind::Insert), "{sql}");
    }
    assert_eq!(sqlite("INSERT INTO t VALUES (1) ON CONFLICT DO NOTHING", insert), Ok(SqlKind::Insert));
    assert!(sqlite("UPDATE OR REPLACE t SET a = 1", &[SqlKind::Update]).is_err());
}

#[test]
fn deep_and_long_statements_are_denied_without_harm() {
    for sql in [
        format!("SELECT {}1", "1+".repeat(20_000)),
        format!("SELECT {}1{}", "(".repeat(10_000), ")".repeat(10_000)),
        format!("SELECT {}1", "NOT ".repeat(10_000)),
        format!("SELECT {}1", "-".repeat(30_000)),
        "SELECT 1 UNION ".repeat(3_000),
        format!("SELECT {}", "x".repeat(MAX_SQL)),
        format!("SELECT {}1{}", "(".repeat(700), ")".repeat(700)),
        format!("SELECT {}1{}", "abs(".repeat(300), ")".repeat(300)),
    ] {
        assert!(sqlite(&sql, READ).unwrap_err().starts_with("ST0051"), "{}", &sql[..30]);
        assert!(postgres(&sql, READ).is_err());
    }
    // The longest chain that passes is walked and dropped by recursion; it must fit a small stack.
    let longest = format!("SELECT {}1", "1+".repeat(MAX_TOKENS - 1));
    let small = std::thread::Builder::new().stack_size(2 << 20);
    assert_eq!(small.spawn(move || sqlite(&longest, READ)).unwrap().join().unwrap(), Ok(SqlKind::Select));
    let many: Vec<_> = (0..5_000).map(|n| n.to_string()).collect();
    assert_eq!(sqlite(&format!("SELECT * FROM t WHERE id IN ({})", many.join(", ")), READ), Ok(SqlKind::Select));
}
