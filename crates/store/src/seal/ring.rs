//! The keys of one store, unwrapped, in memory. Who is to be asked for a key that is not here is the store's matter.

use std::{collections::HashMap, fmt, sync::Arc};

use base64::{Engine as _, engine::general_purpose::STANDARD_NO_PAD};
use parking_lot::RwLock;
use stead_core::{code, id::Name};
use stead_ports::journal::StoreError;

use super::{
    key::{DataKey, NONCE, TAG, WrappedKey, WrappingKey},
    place::Place,
};

/// Begins everything that is sealed. `FF` begins no CBOR, no zstd frame and no JSON.
const MARK: [u8; 4] = [0xff, b'S', b'L', 1];
/// Bytes before the nonce.
const HEAD: usize = MARK.len() + 8;
/// Begins a text that is sealed: titles have neither control characters nor line ends.
const TEXT_MARK: &str = "\u{1}sealed:";

/// What came of opening.
#[derive(Debug, PartialEq, Eq)]
pub(crate) enum Opened {
    /// It is not sealed.
    Plain,
    /// This was in it.
    Text(Vec<u8>),
    /// Its key is not here.
    NoKey,
    /// It was changed, or stood elsewhere.
    Shut,
}

/// What a rotation did.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Rotated {
    /// Tenants that have a new data key; one more when files beside the database are sealed too.
    pub tenants: u64,
    /// Older data keys that were kept, under the wrapping key that is used from now on.
    pub kept: u64,
}

/// See the module.
pub(crate) struct Ring {
    wrapping: WrappingKey,
    keys: RwLock<Keys>,
}

#[derive(Default)]
struct Keys {
    all: HashMap<i64, Arc<DataKey>>,
    current: HashMap<Name, Arc<DataKey>>,
}

impl fmt::Debug for Ring {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Ring").field("keys", &self.keys.read().all.len()).finish_non_exhaustive()
    }
}

/// Encrypted data without its key.
pub(crate) fn refused(place: impl fmt::Display, why: &str) -> StoreError {
    StoreError { code: code::DATA_KEY, detail: format!("{place}: {why}") }
}

impl Ring {
    /// The ring of a store that keeps these keys; none when it is not to be encrypted.
    ///
    /// # Errors
    /// ST0157 when there are keys and no wrapping key, or another than theirs; ST0144 when one is damaged.
    pub(crate) fn of(
        place: impl fmt::Display,
        wrapping: Option<&WrappingKey>,
        rows: &[WrappedKey],
    ) -> Result<Option<Arc<Self>>, StoreError> {
        match wrapping {
            Some(wrapping) => {
                let ring = Self { wrapping: wrapping.clone(), keys: RwLock::default() };
                ring.learn(place, rows)?;
                Ok(Some(Arc::new(ring)))
            }
            None if rows.is_empty() => Ok(None),
            None => Err(refused(
                place,
                "it is encrypted, and no key was named: set `encrypt` in stead.toml, or the variable STEAD_ENCRYPT, as it \
                 was when the data was written",
            )),
        }
    }

    /// The key that wraps the others.
    pub(crate) fn wrapping(&self) -> &WrappingKey {
        &self.wrapping
    }

    /// Takes keys in.
    pub(crate) fn learn(&self, place: impl fmt::Display, rows: &[WrappedKey]) -> Result<(), StoreError> {
        let mut keys = self.keys.write();
        for row in rows {
            if row.wrapper != self.wrapping.id() {
                return Err(refused(
                    place,
                    "it is encrypted under another key than the one that `encrypt` or STEAD_ENCRYPT names; name that one, \
                     or the one to which it was changed last",
                ));
            }
            let bytes = self.wrapping.unwrap(row).ok_or_else(|| StoreError {
                code: code::DATA_DAMAGED,
                detail: format!("{place}: the data key of tenant `{}` is damaged; restore a backup", row.tenant),
            })?;
            let key = Arc::new(DataKey::new(row, &bytes));
            if row.current {
                keys.current.insert(key.tenant.clone(), key.clone());
            }
            keys.all.insert(row.id, key);
        }
        Ok(())
    }

    /// A key for a tenant that has none.
    pub(crate) fn fresh(&self, tenant: &Name) -> Result<WrappedKey, StoreError> {
        self.wrapping.fresh(tenant)
    }

    /// The key under which a tenant's texts are sealed now.
    pub(crate) fn current(&self, tenant: &Name) -> Option<Arc<DataKey>> {
        self.keys.read().current.get(tenant).cloned()
    }

    /// The same, where it was seen to before that there is one.
    pub(super) fn expect(&self, tenant: &Name) -> Result<Arc<DataKey>, StoreError> {
        let missing = || StoreError { code: code::INTERNAL, detail: format!("tenant `{tenant}` has no data key") };
        self.current(tenant).ok_or_else(missing)
    }

    /// Opens what stands at a place, which is another tenant's for nobody.
    pub(crate) fn open(&self, tenant: Option<&str>, place: &Place<'_>, stored: &[u8]) -> Opened {
        let Some(rest) = stored.strip_prefix(&MARK) else { return Opened::Plain };
        let Some((id, sealed)) = rest.split_first_chunk::<8>() else { return Opened::Shut };
        let Some(key) = self.keys.read().all.get(&i64::from_be_bytes(*id)).cloned() else { return Opened::NoKey };
        if tenant.is_some_and(|tenant| *tenant != *key.tenant) {
            return Opened::Shut;
        }
        key.open(&place.bound(&key.tenant), sealed).map_or(Opened::Shut, Opened::Text)
    }

    /// Whether the key is here under which this was sealed.
    pub(crate) fn knows(&self, stored: &[u8]) -> bool {
        let id = stored.strip_prefix(&MARK).and_then(|rest| rest.first_chunk::<8>());
        id.is_none_or(|id| self.keys.read().all.contains_key(&i64::from_be_bytes(*id)))
    }

    /// Opens a text of [`DataKey::seal_text`].
    pub(crate) fn open_text(&self, tenant: Option<&str>, place: &Place<'_>, stored: &str) -> Opened {
        let Some(sealed) = stored.strip_prefix(TEXT_MARK) else { return Opened::Plain };
        match STANDARD_NO_PAD.decode(sealed) {
            Ok(bytes) => self.open(tenant, place, &bytes),
            Err(_) => Opened::Shut,
        }
    }
}

impl DataKey {
    /// Seals for a place.
    pub(crate) fn seal_for(&self, place: &Place<'_>, plain: &[u8]) -> Result<Vec<u8>, StoreError> {
        let mut head = [0; HEAD];
        head[..MARK.len()].copy_from_slice(&MARK);
        head[MARK.len()..].copy_from_slice(&self.id.to_be_bytes());
        self.seal(&place.bound(&self.tenant), &head, plain)
    }

    /// The same as text.
    pub(crate) fn seal_text(&self, place: &Place<'_>, plain: &str) -> Result<String, StoreError> {
        let sealed = self.seal_for(place, plain.as_bytes())?;
        Ok(format!("{TEXT_MARK}{}", STANDARD_NO_PAD.encode(sealed)))
    }
}

/// The keys after a rotation: the old ones under the wrapping key `to`, and for every tenant a new one.
pub(crate) fn rotated(
    place: impl fmt::Display,
    wrapping: &WrappingKey,
    to: &WrappingKey,
    rows: &[WrappedKey],
) -> Result<Vec<WrappedKey>, StoreError> {
    // Proves that each opens.
    Ring::of(&place, Some(wrapping), rows)?;
    let mut next = Vec::with_capacity(rows.len() * 2);
    for row in rows {
        let Some(key) = wrapping.unwrap(row) else { continue };
        next.push(to.wrap(row.id, &row.tenant, false, &key)?);
    }
    for row in rows.iter().filter(|row| row.current) {
        next.push(to.fresh(&Name::from(row.tenant.as_str()))?);
    }
    Ok(next)
}

/// What a rotation to these keys did.
pub(crate) fn told(next: &[WrappedKey]) -> Rotated {
    let tenants = next.iter().filter(|key| key.current).count() as u64;
    Rotated { tenants, kept: next.len() as u64 - tenants }
}

/// Whether these bytes are sealed; not of long texts, whose codec says it.
pub(crate) fn is_sealed(stored: &[u8]) -> bool {
    stored.starts_with(&MARK) && stored.len() >= HEAD + NONCE + TAG
}

/// Whether this text is sealed.
pub(crate) fn is_sealed_text(stored: &str) -> bool {
    stored.starts_with(TEXT_MARK)
}

/// Seals and opens the lines of files that stand beside the database, such as cassettes, under a key of their own.
#[derive(Clone, Debug)]
pub struct LineKey(pub(crate) Arc<Ring>);

impl LineKey {
    /// The tenant that no request can name.
    pub(crate) const TENANT: &str = "";

    /// A line, without its end, as it is kept at byte `at` of the file. It has no line end in it.
    ///
    /// # Errors
    /// ST0001 when the system has no random bytes.
    pub fn seal(&self, file: &str, at: u64, line: &str) -> Result<String, StoreError> {
        self.0.expect(&Name::from(Self::TENANT))?.seal_text(&Place::Line { file, at }, line)
    }

    /// A line that was kept at byte `at`; one that was written before encryption was turned on as it is. None when it was changed,
    /// or stood elsewhere.
    pub fn open(&self, file: &str, at: u64, line: &str) -> Option<String> {
        match self.0.open_text(Some(Self::TENANT), &Place::Line { file, at }, line) {
            Opened::Plain => Some(line.to_owned()),
            Opened::Text(text) => String::from_utf8(text).ok(),
            Opened::NoKey | Opened::Shut => None,
        }
    }
}

#[cfg(test)]
mod tests {
    #![expect(clippy::unwrap_used, reason = "tests")]
    use stead_core::id::RunId;

    use super::*;

    const HERE: Place<'static> = Place::Record { run: RunId(1), seq: 0 };

    fn ring(tenants: &[&str]) -> (Arc<Ring>, Vec<WrappedKey>) {
        let wrapping = WrappingKey::from_bytes(&[1; 32]);
        let rows: Vec<_> = tenants.iter().map(|t| wrapping.fresh(&Name::from(*t)).unwrap()).collect();
        (Ring::of("here", Some(&wrapping), &rows).unwrap().unwrap(), rows)
    }

    #[test]
    fn a_text_opens_where_it_was_put_and_nowhere_else() {
        let (ring, _) = ring(&["acme", "other"]);
        let sealed = ring.expect(&"acme".into()).unwrap().seal_for(&HERE, b"a record").unwrap();
        assert!(is_sealed(&sealed) && !sealed.windows(8).any(|w| w == b"a record"));
        assert_eq!(ring.open(None, &HERE, &sealed), Opened::Text(b"a record".to_vec()));
        assert_eq!(ring.open(Some("acme"), &HERE, &sealed), Opened::Text(b"a record".to_vec()));
        assert_eq!(ring.open(Some("other"), &HERE, &sealed), Opened::Shut, "another tenant's row");
        assert_eq!(
            ring.open(None, &Place::Record { run: RunId(1), seq: 1 }, &sealed),
            Opened::Shut,
            "another position"
        );
        assert_eq!(ring.open(None, &Place::Record { run: RunId(2), seq: 0 }, &sealed), Opened::Shut, "another run");
        assert_eq!(ring.open(None, &Place::Title { run: RunId(1) }, &sealed), Opened::Shut, "another kind");
        assert_eq!(ring.open(None, &HERE, b"\x83 plain"), Opened::Plain);
        assert_eq!(ring.open(None, &HERE, &sealed[..9]), Opened::Shut);
        let (another, _) = self::ring(&["acme"]);
        assert_eq!(another.open(None, &HERE, &sealed), Opened::NoKey);
    }

    #[test]
    fn the_key_of_another_tenant_does_not_stand_in() {
        let (ring, _) = ring(&["acme", "other"]);
        let mut sealed = ring.expect(&"acme".into()).unwrap().seal_for(&HERE, b"a record").unwrap();
        let other = ring.expect(&"other".into()).unwrap().id;
        sealed[MARK.len()..HEAD].copy_from_slice(&other.to_be_bytes());
        assert_eq!(ring.open(None, &HERE, &sealed), Opened::Shut);
    }

    #[test]
    fn encrypted_data_needs_its_own_key() {
        let (_, rows) = ring(&["acme"]);
        let code = |wrapping: Option<WrappingKey>| Ring::of("here", wrapping.as_ref(), &rows).unwrap_err().code;
        assert_eq!(code(None), code::DATA_KEY);
        assert_eq!(code(Some(WrappingKey::from_bytes(&[2; 32]))), code::DATA_KEY);
        let damaged = WrappedKey { wrapped: vec![0; 60], ..rows[0].clone() };
        let error = Ring::of("here", Some(&WrappingKey::from_bytes(&[1; 32])), &[damaged]).unwrap_err();
        assert_eq!(error.code, code::DATA_DAMAGED);
        assert!(Ring::of("here", None, &[]).unwrap().is_none());
    }

    #[test]
    fn a_line_is_bound_to_its_file_and_place_and_old_ones_are_read() {
        let (ring, _) = ring(&[LineKey::TENANT]);
        let lines = LineKey(ring);
        let sealed = lines.seal("run_1", 7, "{\"a\":1}").unwrap();
        assert!(!sealed.contains('\n') && is_sealed_text(&sealed));
        assert_eq!(lines.open("run_1", 7, &sealed).as_deref(), Some("{\"a\":1}"));
        assert_eq!(lines.open("run_1", 8, &sealed), None);
        assert_eq!(lines.open("run_2", 7, &sealed), None);
        assert_eq!(lines.open("run_1", 0, "{\"old\":1}").as_deref(), Some("{\"old\":1}"));
    }
}
