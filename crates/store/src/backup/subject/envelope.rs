//! A text sealed under the keys of those whose it is.

use stead_ports::journal::StoreError;
use zeroize::Zeroizing;

use super::{KeyId, SubjectKey};
use crate::seal::{
    key::{LEN, NONCE, TAG, open, random, seal, sealing},
    place::Place,
};

/// Begins what one key opens, and what each of several opens.
const ONE: [u8; 4] = [0xff, b'S', b'K', 1];
const SHARED: [u8; 4] = [0xff, b'S', b'K', 2];
/// Bytes of an id, a nonce and a wrapped content key.
const WRAP: usize = 16 + NONCE + LEN + TAG;

/// What came of opening.
pub(super) enum Opened {
    /// This was in it.
    Text(Vec<u8>),
    /// Under these keys, of which none is here.
    NoKey(Vec<KeyId>),
    /// It was changed, or stood elsewhere, or is not sealed at all.
    Shut,
}

/// Seals for whoever has one of these keys, of which there is at least one.
pub(super) fn seal_for(keys: &[&SubjectKey], place: &Place<'_>, plain: &[u8]) -> Result<Vec<u8>, StoreError> {
    if let [key] = keys {
        let head = [&ONE[..], &key.id].concat();
        return seal(&key.key, &bound(place, key), &head, plain);
    }
    let mut content = Zeroizing::new([0; LEN]);
    random(&mut *content)?;
    let mut head = SHARED.to_vec();
    head.extend_from_slice(&(keys.len() as u16).to_be_bytes());
    for key in keys {
        head.extend_from_slice(&seal(&key.key, &bound(place, key), &key.id, &*content)?);
    }
    // All are of one tenant.
    seal(&sealing(&content), &bound(place, keys[0]), &head, plain)
}

/// Opens with the first of the keys that is here.
pub(super) fn open_with<'k>(
    find: impl Fn(&KeyId) -> Option<&'k SubjectKey>,
    place: &Place<'_>,
    sealed: &[u8],
) -> Opened {
    let text = |text: Option<Vec<u8>>| text.map_or(Opened::Shut, Opened::Text);
    if let Some((id, rest)) = sealed.strip_prefix(&ONE).and_then(|rest| rest.split_first_chunk::<16>()) {
        return match find(id) {
            Some(key) => text(open(&key.key, &bound(place, key), rest)),
            None => Opened::NoKey(vec![*id]),
        };
    }
    let Some((n, rest)) = sealed.strip_prefix(&SHARED).and_then(|rest| rest.split_first_chunk::<2>()) else {
        return Opened::Shut;
    };
    let Some((wraps, rest)) = rest.split_at_checked(usize::from(u16::from_be_bytes(*n)) * WRAP) else {
        return Opened::Shut;
    };
    let mut ids = Vec::new();
    for wrap in wraps.chunks_exact(WRAP) {
        let Some((id, wrapped)) = wrap.split_first_chunk::<16>() else { return Opened::Shut };
        if let Some(key) = find(id) {
            let content = open(&key.key, &bound(place, key), wrapped).map(Zeroizing::new);
            let content = content.and_then(|c| <[u8; LEN]>::try_from(&c[..]).ok()).map(Zeroizing::new);
            return text(content.and_then(|c| open(&sealing(&c), &bound(place, key), rest)));
        }
        ids.push(*id);
    }
    Opened::NoKey(ids)
}

fn bound(place: &Place<'_>, key: &SubjectKey) -> Vec<u8> {
    [b"stead/subject/v1", &place.bound(&key.tenant)[..]].concat()
}

#[cfg(test)]
mod tests {
    #![expect(clippy::unwrap_used, reason = "tests")]
    use stead_core::id::RunId;

    use super::*;

    const HERE: Place<'static> = Place::Row { run: RunId(1) };

    fn opens(keys: &[&SubjectKey], place: &Place<'_>, sealed: &[u8]) -> Option<Vec<u8>> {
        match open_with(|id| keys.iter().find(|key| key.id == *id).copied(), place, sealed) {
            Opened::Text(text) => Some(text),
            Opened::NoKey(_) | Opened::Shut => None,
        }
    }

    #[test]
    fn each_of_those_whose_it_is_opens_it_and_nobody_else() {
        let key = |n| SubjectKey::fresh("acme", [n; 32], 1, None).unwrap();
        let (ada, bob, eve) = (key(1), key(2), key(3));
        let one = seal_for(&[&ada], &HERE, b"a text").unwrap();
        assert_eq!(opens(&[&ada], &HERE, &one).unwrap(), b"a text");
        assert!(opens(&[&bob, &eve], &HERE, &one).is_none());
        let both = seal_for(&[&ada, &bob], &HERE, b"a text").unwrap();
        assert_eq!(opens(&[&ada], &HERE, &both).unwrap(), b"a text");
        assert_eq!(opens(&[&bob], &HERE, &both).unwrap(), b"a text", "the key of one being gone, the other's opens it");
        assert!(opens(&[&eve], &HERE, &both).is_none());
        for sealed in [one, both] {
            assert!(opens(&[&ada, &bob], &Place::Row { run: RunId(2) }, &sealed).is_none(), "another place");
            for at in 0..sealed.len() {
                let mut changed = sealed.clone();
                changed[at] ^= 1;
                // In what another's key opens a change may stay unnoticed by the one whose key comes first.
                let noticed = opens(&[&bob], &HERE, &changed).is_none() || opens(&[&ada], &HERE, &changed).is_none();
                assert!(noticed, "{at}");
                assert!(opens(&[&ada, &bob], &HERE, &sealed[..at]).is_none(), "cut at {at}");
            }
        }
    }
}
