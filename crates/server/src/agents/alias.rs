//! From what a caller calls a version (an alias, a digest, the beginning of one) to the version; and back to what was live
//! before.

use stead_api::version::{is_alias, version_prefix};
use stead_core::id::{Name, VersionId};
use stead_ports::journal::{AliasEvent, Journal, LIVE, MovedBy, Step, StoreError, VersionRow};

/// The name that a version is applied under, and who does it.
#[derive(Clone, Debug)]
pub struct Naming {
    /// The alias.
    pub alias: Name,
    /// Who.
    pub by: Name,
    /// Whether it moves, or is proposed.
    pub step: Step,
}

impl Naming {
    /// New runs are to use it.
    pub fn live(by: Name) -> Self {
        Self { alias: LIVE.into(), by, step: Step::Moved }
    }
}

/// The step of a change where two people are asked for, or one is enough.
pub(crate) fn step(four_eyes: bool) -> Step {
    if four_eyes { Step::Proposed } else { Step::Moved }
}

/// What waits for a second person, by a history whose last move comes first: what was proposed since its alias moved last.
pub(crate) fn pending(history: &[AliasEvent]) -> Vec<&AliasEvent> {
    let mut moved: Vec<&Name> = Vec::new();
    let mut pending: Vec<&AliasEvent> = Vec::new();
    for event in history {
        if event.step != Step::Proposed {
            moved.push(&event.alias);
        } else if !moved.contains(&&event.alias)
            && !pending.iter().any(|p| (&p.alias, p.version, &p.by) == (&event.alias, event.version, &event.by))
        {
            pending.push(event);
        }
    }
    pending
}

/// What a reference comes to.
#[derive(Debug)]
pub(crate) enum Found {
    /// A version.
    Version(Box<VersionRow>),
    /// Several versions begin like that.
    Several(usize),
    /// None.
    Nothing,
}

/// The version of an agent that a caller names.
pub(crate) async fn find(
    journal: &dyn Journal,
    tenant: &Name,
    agent: &Name,
    reference: &str,
) -> Result<Found, StoreError> {
    let found = |row: Option<VersionRow>| row.map_or(Found::Nothing, |row| Found::Version(Box::new(row)));
    if is_alias(reference) {
        return journal.aliased(tenant, agent, &reference.into()).await.map(found);
    }
    let Some(prefix) = version_prefix(reference) else { return Ok(Found::Nothing) };
    if prefix.len() < 64 {
        let all = journal.versions(tenant, Some(agent)).await?;
        let begins =
            |row: &&VersionRow| row.version.to_string().strip_prefix("sha256:").is_some_and(|v| v.starts_with(prefix));
        let mut matching = all.iter().filter(begins);
        let Some(first) = matching.next() else { return Ok(Found::Nothing) };
        let more = matching.count();
        if more > 0 {
            return Ok(Found::Several(more + 1));
        }
        return whole(journal, tenant, agent, first.version).await.map(found);
    }
    match format!("sha256:{prefix}").parse() {
        Ok(version) => whole(journal, tenant, agent, version).await.map(found),
        Err(_) => Ok(Found::Nothing),
    }
}

async fn whole(
    journal: &dyn Journal,
    tenant: &Name,
    agent: &Name,
    version: VersionId,
) -> Result<Option<VersionRow>, StoreError> {
    Ok(journal.version(tenant, version).await?.filter(|row| row.agent == *agent))
}

/// What was live before what is live now, by a history whose last move comes first. A rollback takes its moves back, so that
/// two of them in a row go two versions back and not to and fro.
pub(crate) fn live_before(history: &[AliasEvent]) -> Option<VersionId> {
    let mut stack: Vec<VersionId> = Vec::new();
    for event in history.iter().rev().filter(|e| e.alias.as_str() == LIVE && e.step != Step::Proposed) {
        if let Some(was) = event.was
            && stack.last() != Some(&was)
        {
            // A release before did not write down how it came to be live.
            stack.push(was);
        }
        let Some(version) = event.version else { continue };
        let earlier = stack.iter().rposition(|v| *v == version).filter(|_| event.why == MovedBy::Rollback);
        match earlier {
            Some(at) => stack.truncate(at + 1),
            None => stack.push(version),
        }
    }
    let now = stack.pop()?;
    stack.into_iter().rev().find(|v| *v != now)
}

#[cfg(test)]
mod tests {
    use stead_core::time::Timestamp;

    use super::*;

    /// Moves of `live`, oldest first, as (from, to, why); what comes out is newest first.
    fn history(moves: &[(u8, u8, MovedBy)]) -> Vec<AliasEvent> {
        let id = |n: u8| (n > 0).then_some(VersionId([n; 32]));
        let event = |(was, version, why): &(u8, u8, MovedBy)| AliasEvent {
            alias: LIVE.into(),
            was: id(*was),
            version: id(*version),
            at: Timestamp(0),
            by: "ann".into(),
            why: *why,
            step: Step::Moved,
        };
        moves.iter().rev().map(event).collect()
    }

    fn before(moves: &[(u8, u8, MovedBy)]) -> u8 {
        live_before(&history(moves)).map_or(0, |v| v.0[0])
    }

    #[test]
    fn a_rollback_after_a_rollback_goes_further_back() {
        use MovedBy::{Apply, Rollback, Set};
        assert_eq!(before(&[]), 0);
        assert_eq!(before(&[(0, 1, Apply)]), 0);
        assert_eq!(before(&[(0, 1, Apply), (1, 2, Apply), (2, 3, Set)]), 2);
        assert_eq!(before(&[(0, 1, Apply), (1, 2, Apply), (2, 3, Set), (3, 2, Rollback)]), 1);
        assert_eq!(before(&[(0, 1, Apply), (1, 2, Apply), (2, 1, Rollback)]), 0);
        assert_eq!(before(&[(0, 1, Apply), (1, 2, Apply), (2, 1, Rollback), (1, 4, Apply)]), 1);
        // Applied again is no rollback: what was live before it is the one in between.
        assert_eq!(before(&[(0, 1, Apply), (1, 2, Apply), (2, 1, Apply)]), 2);
    }

    #[test]
    fn what_was_live_before_the_history_begins_is_known_from_its_first_move() {
        assert_eq!(before(&[(7, 8, MovedBy::Apply)]), 7);
    }
}
