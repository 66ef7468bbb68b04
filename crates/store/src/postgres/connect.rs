//! Connecting: the settings of a connection, and the pools.

use std::{fmt, time::Duration};

use deadpool_postgres::{Hook, HookError, Manager, ManagerConfig, Object, Pool, PoolError, RecyclingMethod, Runtime};
use stead_core::code;
use stead_ports::journal::StoreError;
use stead_postgres::{Target, Tls};
use tokio_postgres::{Config, config::Host};

use super::{errors::store_error, format};
use crate::{blob::BlobKey, seal::WrappingKey};

/// How a [`super::PgStore`] works.
#[derive(Clone, Debug)]
pub struct PgOptions {
    /// The schema that holds the tables; made if there is none. Lower-case letters, digits and `_`, at most 48.
    pub schema: String,
    /// The key of blob addresses; the same on every server of the database.
    pub blob_key: BlobKey,
    /// Connections that read, 1 to 64.
    pub readers: usize,
    /// The most appends in one transaction, up to 8192.
    pub batch: usize,
    /// The most bytes of records and packed blobs in one transaction; one append alone may have more.
    pub batch_bytes: usize,
    /// How long one answer of the server may take. An append that gets none in this time is of unknown result.
    pub timeout: Duration,
    /// Whether data of an older format is brought forward also by steps that are not taken by themselves.
    pub migrate: bool,
    /// The key under which texts are encrypted, the same on every server; the data must have been written with it, or without any.
    pub encrypt: Option<WrappingKey>,
}

impl PgOptions {
    /// The defaults, with that key.
    pub fn new(blob_key: BlobKey) -> Self {
        Self {
            schema: "stead".into(),
            blob_key,
            readers: 8,
            batch: 4096,
            batch_bytes: 16 << 20,
            timeout: Duration::from_secs(30),
            migrate: false,
            encrypt: None,
        }
    }
}

/// A database that was reached, and ways to it.
#[derive(Clone)]
pub(crate) struct Database {
    /// Which it is, for messages; without the password.
    pub(crate) place: String,
    /// Connections for everything but appends.
    pub(crate) pool: Pool,
    /// The connection for appends.
    pub(crate) writer: Pool,
}

impl fmt::Debug for Database {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Database").field("place", &self.place).finish_non_exhaustive()
    }
}

impl Database {
    /// Connects, and makes the schema if there is none.
    pub(crate) async fn connect(url: &str, options: &PgOptions) -> Result<Self, StoreError> {
        let database = Self::reach(url, options)?;
        format::settle(&database, &options.schema, &options.blob_key, options.migrate).await?;
        Ok(database)
    }

    /// Ways to the database, before anything is asked of it.
    pub(crate) fn reach(url: &str, options: &PgOptions) -> Result<Self, StoreError> {
        let schema = &options.schema;
        let legal = |c: char| c.is_ascii_lowercase() || c.is_ascii_digit() || c == '_';
        if schema.is_empty() || schema.len() > 48 || !schema.chars().all(legal) || schema.starts_with("pg_") {
            return Err(StoreError {
                code: code::CONFIG,
                detail: "the database schema's name must be of 1 to 48 lower-case letters, digits and `_`".into(),
            });
        }
        let (config, tls) = settings(url, options)?;
        let place = place(&config);
        let pool = pool(&config, &tls, options.readers.clamp(1, 64), None, options.timeout)?;
        let settle = Hook::async_fn(|client, _| {
            Box::pin(async move { client.batch_execute(SETTLE).await.map_err(HookError::Backend) })
        });
        let writer = self::pool(&config, &tls, 1, Some(settle), options.timeout)?;
        Ok(Self { place, pool, writer })
    }

    /// A connection for anything but appends.
    pub(crate) async fn client(&self) -> Result<Object, StoreError> {
        self.pool.get().await.map_err(|e| self.unreachable(&e))
    }

    /// What a pool without a connection means.
    pub(crate) fn unreachable(&self, error: &PoolError) -> StoreError {
        match error {
            PoolError::Backend(e) | PoolError::PostCreateHook(HookError::Backend(e)) => store_error(&self.place, e),
            e => StoreError {
                code: code::DATA_UNREACHABLE,
                detail: format!("{}: {e}; check the server and the network", self.place),
            },
        }
    }
}

/// A transaction of a connection that broke may still be under way. Every one that appends shares this lock, so when
/// a new connection for appends has had it alone, the result of all before is certain.
const SETTLE: &str = "SELECT pg_advisory_lock(hashtext('stead'), hashtext(current_schema()));
    SELECT pg_advisory_unlock(hashtext('stead'), hashtext(current_schema()))";

fn settings(url: &str, options: &PgOptions) -> Result<(Config, Tls), StoreError> {
    let bad = |e| StoreError { code: code::CONFIG, detail: format!("the database's URL {e}") };
    let Target { mut config, tls, .. } = stead_postgres::target(url).map_err(bad)?;
    if config.get_password().is_none()
        && let Some(password) = std::env::var_os("PGPASSWORD")
    {
        config.password(password.as_encoded_bytes());
    }
    if config.get_application_name().is_none() {
        config.application_name("stead");
    }
    if config.get_connect_timeout().is_none() {
        config.connect_timeout(Duration::from_secs(5));
    }
    // A dead peer is noticed by both sides well before a lease ends: the server must not hold a dead writer's lock.
    config.tcp_user_timeout(Duration::from_secs(8)).keepalives_idle(Duration::from_secs(3));
    config.keepalives_interval(Duration::from_secs(1)).keepalives_retries(4);
    let own = format!(
        "-c search_path={} -c synchronous_commit=on -c statement_timeout={} -c lock_timeout=10000 \
         -c idle_in_transaction_session_timeout=8000 -c tcp_keepalives_idle=3 -c tcp_keepalives_interval=1 \
         -c tcp_keepalives_count=4 -c tcp_user_timeout=8000",
        options.schema,
        options.timeout.as_millis()
    );
    let all = config.get_options().map_or(own.clone(), |theirs| format!("{theirs} {own}"));
    config.options(all);
    Ok((config, tls))
}

/// Host and database, without user and password.
fn place(config: &Config) -> String {
    let host = match config.get_hosts().first() {
        Some(Host::Tcp(host)) => host.clone(),
        Some(Host::Unix(path)) => path.display().to_string(),
        None => "localhost".into(),
    };
    let port = config.get_ports().first().copied().unwrap_or(5432);
    format!("PostgreSQL at {host}:{port}/{}", config.get_dbname().unwrap_or("postgres"))
}

fn pool(config: &Config, tls: &Tls, size: usize, hook: Option<Hook>, timeout: Duration) -> Result<Pool, StoreError> {
    let recycling = ManagerConfig { recycling_method: RecyclingMethod::Fast };
    let manager = Manager::from_config(config.clone(), tls.clone(), recycling);
    let mut builder = Pool::builder(manager)
        .max_size(size)
        .runtime(Runtime::Tokio1)
        .wait_timeout(Some(timeout))
        .create_timeout(Some(timeout))
        .recycle_timeout(Some(timeout));
    if let Some(hook) = hook {
        builder = builder.post_create(hook);
    }
    builder.build().map_err(|e| StoreError { code: code::INTERNAL, detail: format!("cannot make a pool: {e}") })
}

#[cfg(test)]
mod tests {
    #![expect(clippy::unwrap_used, reason = "tests")]
    use super::*;

    #[test]
    fn messages_name_the_database_and_never_the_password() {
        let options = PgOptions::new(BlobKey::from_bytes([7; 32]));
        let url = "postgres://me:hunter2@db.example:5433/prod?sslmode=disable&options=-c%20a%3Db";
        let (config, _) = settings(url, &options).unwrap();
        assert_eq!(place(&config), "PostgreSQL at db.example:5433/prod");
        assert!(config.get_options().unwrap().starts_with("-c a=b -c search_path=stead "));
        let e = settings("postgres://me:hunter2@db.example:port/prod", &options).err().unwrap();
        assert_eq!(e.code, code::CONFIG);
        assert!(!e.detail.contains("hunter2"), "{}", e.detail);
    }
}
