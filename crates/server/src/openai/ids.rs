//! Names of this face and what they stand for here: `resp_X` is `run_X`, `conv_X` a session. Each leads back to the other.

use stead_core::id::{EffectId, Name, RunId, SessionId};
use stead_ports::journal::{Journal, SessionRow};

/// What stands before the 26 characters of a conversation.
const CONVERSATION: &str = "conv_";

/// The characters of an id after its prefix.
fn bare(id: &impl std::fmt::Display) -> String {
    let text = id.to_string();
    text.split_once('_').map_or_else(String::new, |(_, bare)| bare.to_owned())
}

/// The name of a run as a response.
pub(crate) fn response(run: RunId) -> String {
    format!("resp_{}", bare(&run))
}

/// The run that a response's name stands for.
pub(crate) fn run(response: &str) -> Option<RunId> {
    format!("run_{}", response.strip_prefix("resp_")?).parse().ok()
}

/// The name of a run as a chat completion.
pub(crate) fn completion(run: RunId) -> String {
    format!("chatcmpl-{}", bare(&run))
}

/// The name of what a run was asked (turn 0), or of what it said in a turn.
pub(crate) fn message(run: RunId, turn: u32) -> String {
    format!("msg_{}_{turn}", bare(&run))
}

/// The name of a call that an outside client is to make.
pub(crate) fn question(effect: EffectId) -> String {
    format!("mcpr_{}", bare(&effect))
}

/// The name of a session as a conversation: the key it was made with here, or its own id.
pub(crate) fn conversation(session: SessionId, key: Option<&Name>) -> String {
    match key {
        Some(key) if ulid(key).is_some() => key.to_string(),
        _ => format!("{CONVERSATION}{}", bare(&session)),
    }
}

/// As [`conversation`].
pub(crate) fn of_session(row: &SessionRow) -> String {
    conversation(row.id, row.key.as_ref())
}

/// The number in a conversation's name.
pub(crate) fn ulid(conversation: &str) -> Option<u128> {
    format!("ses_{}", conversation.strip_prefix(CONVERSATION)?).parse::<SessionId>().ok().map(|id| id.0)
}

/// A conversation that nobody has spoken in yet. There is no row for it: its name says when it was made, and a digest under the
/// store's key says that it was made here. 48 bits of time, 24 of chance, 56 of the digest.
pub(crate) fn fresh(journal: &dyn Journal, tenant: &Name, made: u128) -> String {
    let head = made >> 56 << 56;
    format!("{CONVERSATION}{}", bare(&SessionId(head | seal(journal, tenant, head))))
}

/// When a conversation without a row was made, in milliseconds since 1970; `None` for one that was not made here.
pub(crate) fn made(journal: &dyn Journal, tenant: &Name, conversation: &str) -> Option<u64> {
    let id = ulid(conversation)?;
    let head = id >> 56 << 56;
    (id == head | seal(journal, tenant, head)).then(|| u64::try_from(id >> 80).unwrap_or(0))
}

fn seal(journal: &dyn Journal, tenant: &Name, head: u128) -> u128 {
    let mut said = b"stead/conversation/v1".to_vec();
    said.extend_from_slice(&head.to_be_bytes());
    journal.blob_id(tenant, &said).0.iter().take(7).fold(0, |n, byte| n << 8 | u128::from(*byte))
}

#[cfg(test)]
mod tests {
    #![expect(clippy::unwrap_used, reason = "tests")]
    use super::*;

    #[test]
    fn names_lead_there_and_back() {
        let id = RunId(0x0190_0000_0000_0000_0000_0000_0000_0001);
        assert_eq!(run(&response(id)), Some(id));
        assert_eq!(run(&id.to_string()), None);
        assert_eq!(run("resp_"), None);
        assert_eq!(run("resp_01M7Y9NCB4JM0VGYAXA7S9ACRN\n"), None);
        let session = SessionId(7);
        let name = conversation(session, None);
        assert_eq!(ulid(&name), Some(7));
        // A key that people gave is no name of a conversation.
        assert_eq!(conversation(session, Some(&"customer/42".into())), name);
        let own = conversation(SessionId(9), None);
        assert_eq!(conversation(session, Some(&own.as_str().into())), own);
        assert_eq!(ulid("conv_x").or(ulid("conv_")), None);
        assert!(question("run_01M7Y9NCB4JM0VGYAXA7S9ACRN.e1".parse().unwrap()).ends_with("ACRN.e1"));
    }
}
