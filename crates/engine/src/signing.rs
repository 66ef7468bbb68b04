//! Signed answers: who may sign them, and whether one that is kept in a run's journal lets an action go now. Where keys come from is
//! the matter of whoever gives the engine its directories.

use std::{fmt, sync::Arc};

use stead_core::{
    fact::AskReason,
    id::Name,
    ruling::{Asked, Given, Signed},
    run::{Call, CallPhase, State},
    time::Timestamp,
};
use stead_policy::{Approval, Signature};
use stead_ports::{BoxFuture, agent::Agent};
use stead_trust::{
    directory::{Accepted, At, Directory},
    question::Question,
    receipt::{Channel, Receipt},
    statement::Human,
};

use crate::{gate, question};

/// Who vouches for people whose tokens the server knows itself.
pub const ISSUER: &str = "stead";

/// Which answers count only when they are signed.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Demand {
    /// None.
    Never,
    /// Those to what gates of policies ask, once the tenant's directory has a key.
    #[default]
    Gates,
    /// Every yes.
    Always,
}

/// How a tenant's answers are signed now.
#[derive(Clone, Debug, Default)]
pub struct Signing {
    /// Which must be.
    pub demand: Demand,
    /// Whose keys count; `None` when the tenant has no directory.
    pub directory: Option<Arc<Directory>>,
    /// Whether it is not known whose keys count: then no yes counts.
    pub unknown: bool,
}

/// Gives the engine the directories of tenants.
pub trait Directories: fmt::Debug + Send + Sync + 'static {
    /// What is known now, at once.
    fn current(&self, tenant: &Name) -> Signing;

    /// The same, after a look at what other servers added.
    fn fresh<'a>(&'a self, tenant: &'a Name) -> BoxFuture<'a, Signing> {
        let current = self.current(tenant);
        Box::pin(async move { current })
    }
}

/// Nobody signs anything.
#[derive(Clone, Copy, Debug, Default)]
pub struct Unsigned;

impl Directories for Unsigned {
    fn current(&self, _: &Name) -> Signing {
        Signing { demand: Demand::Never, ..Signing::default() }
    }
}

impl Signing {
    /// Whether answers may be signed at all.
    pub fn is_possible(&self) -> bool {
        self.demand != Demand::Never && self.directory.as_ref().is_some_and(|d| d.has_keys())
    }

    /// Whether some yes counts only when it is signed.
    pub fn is_demanded(&self) -> bool {
        match self.demand {
            Demand::Never => false,
            Demand::Always => true,
            Demand::Gates => self.unknown || self.is_possible(),
        }
    }

    /// Whether a yes to what was asked counts only when it is signed.
    pub fn demands(&self, asked: Option<&Asked>) -> bool {
        match self.demand {
            Demand::Never => false,
            Demand::Always => true,
            Demand::Gates => self.unknown || (self.is_possible() && asked.is_some_and(|asked| !asked.gates.is_empty())),
        }
    }

    /// The same of what a call asks now, or asked before it was let go.
    pub(crate) fn wants(&self, call: &Call) -> bool {
        let now = match &call.phase {
            CallPhase::Asking { asked, .. } => asked.as_deref(),
            _ => call.request.as_ref().and_then(|request| request.asked.as_deref()),
        };
        self.demands(now)
    }
}

/// Looks at the answers that a call has.
pub(crate) struct Verifier<'a> {
    pub(crate) signing: &'a Signing,
    pub(crate) agent: &'a Agent,
    pub(crate) editors: &'a [Human],
}

impl Verifier<'_> {
    /// Those that count, as policies see them, when `arguments` are what is sent. An answer that was let go by counts without a look
    /// at its time: it was in time then.
    pub(crate) fn counting(
        &self,
        state: &State,
        call: &Call,
        arguments: &str,
        given: &[Given],
        now: Option<Timestamp>,
    ) -> Vec<Approval> {
        let wanted = self.signing.wants(call);
        let plain = |given: &Given| (!wanted).then(|| gate::approval(given));
        let Some(directory) = self.signing.directory.as_ref().filter(|_| self.signing.demand != Demand::Never) else {
            return given.iter().filter_map(plain).collect();
        };
        let asked = question::of_release(state, self.agent, call, arguments);
        let mut counting = Vec::new();
        for one in given {
            let Some(signed) = &one.signed else {
                counting.extend(plain(one));
                continue;
            };
            let accepted = asked.as_ref().ok_or("it was asked where nobody signs".to_owned());
            match accepted.and_then(|question| self.accepted(directory, question, state, one, signed, now)) {
                Ok((accepted, now)) => {
                    let others: Vec<Human> = given.iter().map(|g| human(&g.name)).collect();
                    counting.extend(as_whom(directory, &accepted, one, call, state, &others, now));
                }
                Err(why) => {
                    tracing::warn!(run = %state.run, effect = call.head.effect, by = %one.name, why, "a signed answer does not count");
                }
            }
        }
        counting
    }

    fn accepted(
        &self,
        directory: &Directory,
        question: &Question,
        state: &State,
        given: &Given,
        signed: &Signed,
        now: Option<Timestamp>,
    ) -> Result<(Accepted, u64), String> {
        let receipt = Receipt::from_text(signed.receipt.as_str()).map_err(|e| e.to_string())?;
        let began = initiators(state, self.editors);
        // Without a time, any at which it counted.
        let now = match now {
            Some(now) => seconds(now),
            None => {
                stead_trust::statement::Statement::from_text(&receipt.text).map_or(0, |s| s.expires.saturating_sub(1))
            }
        };
        let accepted = directory.accept(&receipt, question, &began, now, At::Releasing).map_err(|e| e.to_string())?;
        let same = accepted.statement.human == human(&given.name) && accepted.statement.nonce == signed.nonce.0;
        match same && accepted.statement.approved {
            true => Ok((accepted, now)),
            false => Err("it is another person's, or another answer".to_owned()),
        }
    }
}

/// As whom an answer counts: in which roles, and with whom of a broken glass.
pub(crate) fn as_whom(
    directory: &Directory,
    accepted: &Accepted,
    given: &Given,
    call: &Call,
    state: &State,
    others: &[Human],
    now: u64,
) -> Vec<Approval> {
    let human = &accepted.statement.human;
    let has = |role: &&Name| accepted.roles.as_ref().is_none_or(|roles| roles.iter().any(|r| r == role.as_str()));
    let mut roles: Vec<String> = given.roles.iter().filter(has).map(ToString::to_string).collect();
    let mut without = others.to_vec();
    without.extend(state.behalf.user.iter().map(|user| self::human(&user.name)));
    roles.extend(directory.lent(human, &call.head.tool, &without, now));
    let page = accepted.channel == Channel::Page;
    let escalated = gate::escalated(given);
    let mut counting = Vec::new();
    for broken in directory.breaks(now).filter(|b| b.of.human == *human) {
        if broken.of.run.as_ref().is_none_or(|run| *run == state.run.to_string()) {
            tracing::warn!(run = %state.run, effect = call.head.effect, by = %given.name, reason = broken.of.reason, "an approval by break-glass");
            roles.extend(broken.of.roles.iter().cloned());
            // Those who signed it stand for the others who were asked for.
            let root = |holder: &String| Approval {
                user: format!("root:{holder}"),
                roles: broken.of.roles.clone(),
                signed: Some(Signature { verified: true, page: false }),
                escalated: escalated.clone(),
            };
            counting.extend(broken.by.iter().map(root));
        }
    }
    let signed = Some(Signature { verified: accepted.verified, page });
    counting.insert(0, Approval { user: given.name.to_string(), roles, signed, escalated });
    counting
}

/// Everybody who began what a run does: on whose behalf it works, and who changed its agent last.
pub(crate) fn initiators(state: &State, editors: &[Human]) -> Vec<Human> {
    let user = state.behalf.user.iter().map(|user| human(&user.name));
    user.chain(editors.iter().cloned()).collect()
}

/// A person whom the server knows by a token.
pub fn human(name: &Name) -> Human {
    Human { issuer: ISSUER.to_owned(), subject: name.to_string() }
}

/// A time in whole seconds since 1970.
pub(crate) fn seconds(at: Timestamp) -> u64 {
    u64::try_from(at.0 / 1_000_000).unwrap_or(0)
}

/// Why people are asked, in words.
pub(crate) const fn reason(reason: AskReason) -> &'static str {
    match reason {
        AskReason::Manifest => "the agent's manifest asks for it",
        AskReason::EqualUnknown => "an equal call has an unknown outcome",
        AskReason::OutcomeUnknown => "its own outcome is unknown: a yes says that it did not happen, and does it now",
        AskReason::Restored => "the run was restored from a backup and may have done this since",
        AskReason::Policy => "gates of policies ask for it",
        AskReason::Budget => "a limit is reached",
        AskReason::Delegation => "the time is over in which the run may work on a person's behalf",
    }
}
