//! Slices that have been made, by agent version, edge and what it leads to. A cache belongs to one policy set, so an epoch
//! ends it.

use std::{
    collections::BTreeMap,
    sync::{Arc, PoisonError, RwLock},
};

use cedar_policy::EntityUid;

use crate::{deed::Deed, edge::Edge, slice::Slice};

/// Most slices kept; beyond, all are forgotten and made again as they are needed.
pub const MAX_SLICES: usize = 8_192;
/// The bound here; tests reach a smaller one sooner.
pub(crate) const KEPT: usize = if cfg!(test) { 64 } else { MAX_SLICES };

/// By who asks, the edge, and the deed's name.
type Slices = BTreeMap<String, BTreeMap<Edge, BTreeMap<String, Arc<Slice>>>>;

/// The slices.
#[derive(Debug, Default)]
pub(crate) struct Cache(RwLock<(usize, Slices)>);

impl Cache {
    /// The slice, made by `make` if it is not there. `above` is what is above the resource, where its name does not tell.
    pub(crate) fn get(
        &self,
        key: &str,
        deed: &Deed<'_>,
        above: Option<&[EntityUid]>,
        make: impl FnOnce() -> Slice,
    ) -> Arc<Slice> {
        let (edge, name) = (deed.edge(), deed.name());
        {
            // A panic while slices were written leaves only fewer of them.
            let kept = self.0.read().unwrap_or_else(PoisonError::into_inner);
            let found = kept.1.get(key).and_then(|edges| edges.get(&edge)).and_then(|of| of.get(name.as_ref()));
            // A resource whose place has changed has another slice.
            if let Some(slice) = found.filter(|slice| above.is_none_or(|above| slice.resource.above == above)) {
                return Arc::clone(slice);
            }
        }
        let slice = Arc::new(make());
        let mut kept = self.0.write().unwrap_or_else(PoisonError::into_inner);
        if kept.0 >= KEPT {
            *kept = (0, Slices::new());
        }
        kept.0 += 1;
        let edges = kept.1.entry(key.to_owned()).or_default();
        edges.entry(edge).or_default().insert(name.into_owned(), Arc::clone(&slice));
        slice
    }

    /// How many are kept.
    #[cfg(test)]
    pub(crate) fn len(&self) -> usize {
        self.0.read().unwrap_or_else(PoisonError::into_inner).0
    }
}
