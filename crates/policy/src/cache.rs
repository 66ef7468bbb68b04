//! Slices that have been made, by agent version, action and resource. A cache belongs to one policy set, so an epoch ends it.

use std::{
    collections::BTreeMap,
    sync::{Arc, PoisonError, RwLock},
};

use cedar_policy::EntityUid;

use crate::slice::Slice;

/// Most slices kept; beyond, all are forgotten and made again as they are needed.
pub const MAX_SLICES: usize = 8_192;
/// The bound here; tests reach a smaller one sooner.
pub(crate) const KEPT: usize = if cfg!(test) { 64 } else { MAX_SLICES };

type Slices = BTreeMap<String, BTreeMap<EntityUid, BTreeMap<EntityUid, Arc<Slice>>>>;

/// The slices.
#[derive(Debug, Default)]
pub(crate) struct Cache(RwLock<(usize, Slices)>);

impl Cache {
    /// The slice, made by `make` if it is not there.
    pub(crate) fn get(
        &self,
        key: &str,
        action: &EntityUid,
        (resource, above): (&EntityUid, &[EntityUid]),
        make: impl FnOnce() -> Slice,
    ) -> Arc<Slice> {
        {
            // A panic while slices were written leaves only fewer of them.
            let kept = self.0.read().unwrap_or_else(PoisonError::into_inner);
            let found = kept.1.get(key).and_then(|actions| actions.get(action)).and_then(|of| of.get(resource));
            // A resource whose place has changed has another slice.
            if let Some(slice) = found.filter(|slice| slice.above == above) {
                return Arc::clone(slice);
            }
        }
        let slice = Arc::new(make());
        let mut kept = self.0.write().unwrap_or_else(PoisonError::into_inner);
        if kept.0 >= KEPT {
            *kept = (0, Slices::new());
        }
        kept.0 += 1;
        let actions = kept.1.entry(key.to_owned()).or_default();
        actions.entry(action.clone()).or_default().insert(resource.clone(), Arc::clone(&slice));
        slice
    }

    /// How many are kept.
    #[cfg(test)]
    pub(crate) fn len(&self) -> usize {
        self.0.read().unwrap_or_else(PoisonError::into_inner).0
    }
}
