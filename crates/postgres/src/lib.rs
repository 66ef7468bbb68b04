//! A PostgreSQL URL as libpq reads it, with what it says about TLS: the store and the SQL tool connect by it.
//!
//! * `target` reads `sslmode` and `sslrootcert` out of a URL, and sets what they say nothing about.
//! * `trust` makes the TLS that goes with it.
//!
//! Not here: connections, pools and statements, and any certificate of a client.
//!
//! ```
//! let target = stead_postgres::target("postgres://stead@127.0.0.1/stead").unwrap();
//! assert_eq!(target.mode, stead_postgres::Mode::Prefer);
//! ```

mod target;
mod trust;

pub use target::{BadUrl, Mode, Target, is_tls, target};
pub use tokio_postgres_rustls::MakeRustlsConnect as Tls;
