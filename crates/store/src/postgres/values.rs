//! Ids, digests and text on PostgreSQL's wire.

use std::{borrow::Cow, error::Error};

use bytes::{Bytes, BytesMut};
use tokio_postgres::types::{FromSql, IsNull, ToSql, Type, accepts, to_sql_checked};

/// Bytes of a fixed length: an id of 16, a digest of 32.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) struct Raw<const N: usize>(pub(crate) [u8; N]);

impl<const N: usize> ToSql for Raw<N> {
    fn to_sql(&self, _: &Type, out: &mut BytesMut) -> Result<IsNull, Box<dyn Error + Sync + Send>> {
        out.extend_from_slice(&self.0);
        Ok(IsNull::No)
    }
    accepts!(BYTEA);
    to_sql_checked!();
}

impl<'a, const N: usize> FromSql<'a> for Raw<N> {
    fn from_sql(_: &Type, raw: &'a [u8]) -> Result<Self, Box<dyn Error + Sync + Send>> {
        Ok(Self(raw.try_into()?))
    }
    accepts!(BYTEA);
}

/// Bytes of any length.
#[derive(Clone, Debug)]
pub(crate) struct Octets(pub(crate) Bytes);

impl ToSql for Octets {
    fn to_sql(&self, _: &Type, out: &mut BytesMut) -> Result<IsNull, Box<dyn Error + Sync + Send>> {
        out.extend_from_slice(&self.0);
        Ok(IsNull::No)
    }
    accepts!(BYTEA);
    to_sql_checked!();
}

/// An id.
pub(crate) fn id(n: u128) -> Raw<16> {
    Raw(n.to_be_bytes())
}

/// A signed 64-bit number, as PostgreSQL has no other; what is larger is kept as the largest.
pub(crate) fn int(n: u64) -> i64 {
    i64::try_from(n).unwrap_or(i64::MAX)
}

/// Text without the one character that PostgreSQL cannot keep.
pub(crate) fn text(s: &str) -> Cow<'_, str> {
    if s.contains('\0') { Cow::Owned(s.replace('\0', "\u{fffd}")) } else { Cow::Borrowed(s) }
}
