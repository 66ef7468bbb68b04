//! The gate of a run: what the machine asks, put to policies. Everything that policies may look at is at hand when a
//! decision is made; nothing is waited for.

mod answers;
mod asker;
mod confidence;
mod connect;
mod preview;
mod sets;
mod told;

use std::{
    fmt,
    sync::{Arc, atomic::Ordering::Relaxed},
};

use stead_core::{
    budget::Limits,
    code,
    fact::Verdict,
    grant::{Denied, Use},
    id::{Name, RunId, SessionId, VersionId},
    message::Reply,
    ruling::{Asked, Behalf, CounterRead, Escalate, GateAsks, Given},
    run::{Call, CallPhase, Gate, NewRun, Rewrite, Ruling, State},
    time::{Span, Timestamp},
};
use stead_policy::{
    Approval, Approver, Asker, Confidence, Decision, Deed, Facts, Handed, History, Past, Policies, Principal,
    Provenance as From, Request, Risk, ToolSpec, Verdict as Said, Why,
};
use stead_ports::agent::{Agent, Also, Behind, BoundTool};

pub(crate) use answers::Answers;
pub use asker::Lineage;
pub use confidence::offered;
pub(crate) use confidence::{split, stripped};
pub(crate) use connect::{Asking, OfCall};
pub(crate) use sets::policies;
pub use sets::{DefaultPolicy, PolicySets, specs};

use stead_provenance::{
    plan::Standing,
    trust::{self, Label, Origins},
};

use crate::{
    hearing::{Hearing, Judged},
    history::{Heard, View},
    off::Through,
    prepare,
    switches::View as Switched,
};

/// Who a run is to policies; made once for each time that it is loaded.
pub(crate) fn principal(state: &State, agent: &Agent) -> Principal {
    let State { tenant, version, session, run, behalf, .. } = state;
    of((tenant, &state.agent), *version, *session, *run, behalf, &state.config.limits, agent)
}

/// The same for a run that is about to be made.
pub(crate) fn principal_of(new: &NewRun, agent: &Agent) -> Principal {
    of((&new.tenant, &new.agent), new.version, new.session, new.run, &new.behalf, &new.config.limits, agent)
}

fn of(
    (tenant, name): (&Name, &Name),
    version: VersionId,
    session: SessionId,
    run: RunId,
    behalf: &Behalf,
    limits: &Limits,
    agent: &Agent,
) -> Principal {
    let (user, callers) = asker::of_behalf(behalf);
    let asker = Asker {
        tenant: tenant.to_string(),
        agent: name.to_string(),
        version: version.to_string(),
        session: session.to_string(),
        run: run.to_string(),
        user,
        callers,
        grant: Handed::of(behalf, limits),
    };
    let tools: Vec<ToolSpec> = specs(agent).collect();
    let principal = Principal::run(asker, &tools);
    match behalf.session {
        Some(session) => principal.working_for(session.to_string()),
        None => principal,
    }
}

/// See the module.
pub(crate) struct RunGate<'a> {
    /// `None` when none could be had: then nothing begins.
    pub(crate) policies: Option<Arc<Policies>>,
    pub(crate) principal: &'a Principal,
    pub(crate) agent: &'a Agent,
    /// The reply whose calls are open.
    pub(crate) reply: Option<&'a Reply>,
    /// The conversation as provenance heard it, when the manifest asks for that.
    pub(crate) hearing: Option<&'a Hearing>,
    /// What happened before, when the policies have counters.
    pub(crate) heard: Option<&'a Heard<'a>>,
    /// What operators have turned off, when they ever turned off anything.
    pub(crate) off: Option<Arc<Switched>>,
    /// What is known of signed answers; `None` where none can have been given.
    pub(crate) answers: Option<&'a Answers>,
}

impl fmt::Debug for RunGate<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("RunGate").field("agent", &self.agent.name).finish_non_exhaustive()
    }
}

/// What surrounds each deed of one question.
struct Around<'a> {
    now: Timestamp,
    risk: Risk,
    confidence: Option<Confidence>,
    ask_below: Option<Confidence>,
    view: Option<View<'a>>,
    approvals: &'a [Approval],
    /// Whether anybody follows who said what; and if so, whether what is read holds other people's words.
    traced: bool,
    taint: bool,
    /// Whether the plan has it, or it needs none.
    plan: bool,
}

impl Gate for RunGate<'_> {
    fn epoch(&self) -> Option<u64> {
        self.policies.as_ref().map(|policies| policies.epoch())
    }

    fn again(&self, state: &State, i: usize) -> bool {
        self.tool_off(state, i).is_some()
    }

    fn salt(&self) -> Option<[u8; 16]> {
        self.answers.and_then(|answers| answers.salt)
    }

    fn wants_signature(&self, state: &State, i: usize) -> bool {
        self.answers.is_some_and(|answers| answers.signing.wants(&state.calls[i]))
    }

    fn call(&self, state: &State, i: usize, now: Timestamp, given: &[Given]) -> Ruling {
        let Some(policies) = &self.policies else { return no_policies() };
        if let Some(why) = self.tool_off(state, i) {
            return off(policies, &why);
        }
        let call = &state.calls[i];
        let Some(tool) = self.agent.tool(&call.head.tool) else {
            return refused(policies, format!("the agent version has no tool `{}`", call.head.tool));
        };
        if let Some(denied) = outside(state, tool, now) {
            return Ruling { code: code::GRANT, ..refused(policies, format!("not done: {denied}")) };
        }
        let said = self.reply.and_then(|reply| reply.calls.get(usize::from(call.index)));
        let Some(said) = said else { return refused(policies, "its arguments cannot be read any more".to_owned()) };
        let (arguments, sure) = split(self.agent, said.arguments.get());
        let approvals: Vec<Approval> = match self.answers {
            Some(answers) => answers.counting(self.agent, state, call, said.arguments.get(), given, now),
            None => given.iter().map(approval).collect(),
        };
        let judged = match self.judged(state, call, &arguments) {
            Ok(judged) => judged,
            Err(why) => return refused(policies, why),
        };
        let around = Around {
            now,
            risk: sure.risk.unwrap_or_default(),
            confidence: sure.confidence,
            ask_below: self.agent.ask_below.and_then(ten_thousandths),
            view: self.heard.map(|heard| heard.view(state, Some(i), self.reply, now)),
            approvals: &approvals,
            traced: judged.is_some(),
            taint: judged.as_ref().is_some_and(|judged| judged.traced.window.is_tainted()),
            plan: judged.as_ref().is_some_and(|judged| !matches!(judged.standing, Standing::Unplanned(_))),
        };
        let said_by = judged.as_ref().map(said_by).unwrap_or_default();
        let deed = Deed::CallTool { tool: &tool.def.name, arguments: &arguments, provenance: &said_by };
        let (mut ruling, why, written) = self.decide_whole(policies, state, tool, deed, &around);
        let plan = self.hearing.and_then(Hearing::plan);
        if ruling.why.is_some() {
            ruling.why = Some(told::why(&why, judged.as_ref(), plan));
        }
        ruling.plan = judged.as_ref().and_then(Judged::mark);
        if ruling.verdict != Verdict::Deny {
            let written = written.as_deref().or(sure.stripped.then_some(&*arguments));
            match written.map(|text| rewrite(tool, text)).transpose() {
                Ok(rewritten) => ruling.rewritten = rewritten,
                Err(why) => return refused(policies, why),
            }
        }
        if let CallPhase::Asking { asked, .. } = &call.phase
            && ruling.verdict == Verdict::Allow
            && !given.is_empty()
            && approvals.is_empty()
            && self.wants_signature(state, i)
        {
            // What was answered does not count, so what was asked is asked still.
            (ruling.verdict, ruling.asked) = (Verdict::Ask, asked.as_deref().cloned());
        }
        ruling
    }

    fn preview(&self, state: &State, i: usize, now: Timestamp) -> Ruling {
        self.look(state, i, now)
    }

    fn model(&self, state: &State, model: usize, now: Timestamp) -> Ruling {
        let Some(policies) = &self.policies else { return no_policies() };
        let Some(config) = state.config.models.get(model) else {
            return refused(policies, "the agent version has no such model".to_owned());
        };
        let through = Through::model(self.agent, model);
        if let Some(why) = self.off.as_ref().zip(through).and_then(|(view, t)| t.why_off(view, &state.tenant)) {
            return off(policies, &why);
        }
        let read = self.agent.provenance.as_ref().zip(self.hearing);
        let read = read.map(|(provenance, hearing)| hearing.reading(self.agent, provenance, state));
        let around = Around {
            now,
            risk: Risk::Normal,
            confidence: None,
            ask_below: None,
            view: self.heard.map(|heard| heard.view(state, None, None, now)),
            approvals: &[],
            traced: read.is_some(),
            taint: read.is_some_and(|read| read.is_tainted()),
            plan: false,
        };
        let deed = Deed::CallModel { model: &config.name, max_output_tokens: config.max_output_tokens };
        let mut ruling = ruled(policies, &self.decide(policies, deed, &around));
        // Nobody is asked about a model's call: what would need an approval is not done.
        if ruling.verdict == Verdict::Ask {
            ruling.verdict = Verdict::Deny;
            ruling.told = format!(
                "policies let `{}` be asked only with an approval, which a model's call cannot get",
                config.name
            );
        }
        ruling
    }
}

impl RunGate<'_> {
    /// Why operators keep the run from calling the tool of a call, if they do.
    fn tool_off(&self, state: &State, i: usize) -> Option<String> {
        let through = Through::tool(self.agent, &state.calls.get(i)?.head.tool)?;
        through.why_off(self.off.as_ref()?, &state.tenant)
    }

    /// What provenance says of a call; nothing when the manifest does not ask for it.
    fn judged(&self, state: &State, call: &Call, arguments: &str) -> Result<Option<Judged>, String> {
        let Some(provenance) = &self.agent.provenance else { return Ok(None) };
        let hearing = self.hearing.ok_or("where its arguments come from cannot be told")?;
        hearing.judge(provenance, state, call, arguments).map(Some)
    }

    /// Whether policies about a connection read what only its requests tell.
    fn needs_request(&self, policies: &Policies, deed: &Deed<'_>) -> bool {
        ["method", "path"].into_iter().any(|name| policies.reads(self.principal, deed, name))
    }

    /// What policies say of a call and of everything that it also is, with the reasons of all of it, and the arguments that a transform has
    /// written.
    fn decide_whole(
        &self,
        policies: &Arc<Policies>,
        state: &State,
        tool: &BoundTool,
        deed: Deed<'_>,
        around: &Around<'_>,
    ) -> (Ruling, Why, Option<String>) {
        let first = self.decide(policies, deed, around);
        let mut ruling = ruled(policies, &first);
        // Everything that matched counts, whatever part of the call it is about.
        let mut why = first.why;
        for also in tool.also.iter() {
            if ruling.verdict == Verdict::Deny {
                break;
            }
            let deed = also_deed(also, tool, state);
            // What is not known yet is asked with each request.
            if matches!(also, Also::Connect { each: true, .. }) && self.needs_request(policies, &deed) {
                continue;
            }
            let also = self.decide(policies, deed, around);
            join(&mut ruling, ruled(policies, &also));
            told::add(&mut why, also.why);
        }
        (ruling, why, first.arguments)
    }

    /// What policies say. Where that hangs on calls whose appends are under way, it is nothing to go by.
    fn decide(&self, policies: &Policies, deed: Deed<'_>, around: &Around<'_>) -> Decision {
        let (Some(heard), Some(view)) = (self.heard, &around.view) else {
            return self.decide_by(policies, deed, around, &History::default());
        };
        let decision = self.decide_with(policies, deed.clone(), around, view);
        if view.hangs() && !heard.split.load(Relaxed) {
            let settled = self.decide_with(policies, deed, around, &view.settled());
            let same = settled.verdict == decision.verdict && settled.arguments == decision.arguments;
            heard.split.fetch_or(!same, Relaxed);
        }
        decision
    }

    /// The same. Where it hangs on whether the call itself, let go before, was the first with its value, the stricter answer counts.
    fn decide_with(&self, policies: &Policies, deed: Deed<'_>, around: &Around<'_>, view: &View<'_>) -> Decision {
        let decision = self.decide_by(policies, deed.clone(), around, view);
        if !view.doubtful() {
            return decision;
        }
        let unseen = self.decide_by(policies, deed, around, &view.unseen());
        let strict = |decision: &Decision| match decision.verdict {
            Said::Allow => 0,
            Said::Ask(_) => 1,
            Said::Deny(_) => 2,
        };
        if strict(&unseen) >= strict(&decision) { unseen } else { decision }
    }

    fn decide_by(&self, policies: &Policies, deed: Deed<'_>, around: &Around<'_>, history: &dyn Past) -> Decision {
        let facts = Facts {
            now: around.now,
            granted: true,
            risk: around.risk,
            confidence: around.confidence,
            ask_below: around.ask_below,
            traced: around.traced,
            taint: around.taint,
            plan: around.plan,
            history,
            approvals: around.approvals,
        };
        policies.decide(&Request { principal: self.principal, deed, facts })
    }
}

/// Why a call may not be made whose hosts a grant above the run does not hold. What boxes speak to is looked at with each connection.
fn outside(state: &State, tool: &BoundTool, now: Timestamp) -> Option<Denied> {
    if state.behalf.grants.is_empty() {
        return None;
    }
    let hosts = tool.also.iter().filter_map(|also| match also {
        Also::Connect { host, .. } => Some(host.as_str()),
        _ => None,
    });
    // A program outside of any box speaks to whom it likes.
    let boxed = tool.also.iter().any(|also| matches!(also, Also::CreateSandbox { .. } | Also::Connect { .. }));
    let unwatched = matches!(&tool.behind, Behind::Tool(adapter) if adapter.kind() == "mcp") && !boxed;
    let hosts = hosts.chain(unwatched.then_some("anybody, from outside of any sandbox"));
    hosts.filter_map(|host| state.behalf.allows(Use::Host(host), now).err()).next()
}

/// Whether the plan has the call, or it needs none.
pub(crate) fn is_planned(judged: &Judged) -> bool {
    !matches!(judged.standing, Standing::Unplanned(_))
}

/// Where each argument comes from, as policies name it.
pub(crate) fn said_by(judged: &Judged) -> Vec<(String, From)> {
    let from = |label: &Label| From {
        trust: match label.trust {
            trust::Trust::Untrusted => stead_policy::Trust::Untrusted,
            trust::Trust::Attested => stead_policy::Trust::Attested,
            trust::Trust::Trusted => stead_policy::Trust::Trusted,
        },
        sources: match &label.origins {
            Origins::Any => vec!["any".to_owned()],
            Origins::Of(origins) => origins.iter().map(|origin| origin.to_string().replacen(' ', ":", 1)).collect(),
        },
    };
    judged.traced.arguments.iter().map(|argument| (argument.name.to_string(), from(&argument.label))).collect()
}

fn also_deed<'a>(also: &'a Also, tool: &'a BoundTool, state: &State) -> Deed<'a> {
    match also {
        Also::StartAgent(agent) => Deed::StartAgent { agent, hops: u32::from(state.hops) + 1 },
        Also::CreateSandbox { tier, cpu_millis, memory_bytes, network } => {
            Deed::CreateSandbox { tier: *tier, cpu_millis: *cpu_millis, memory_bytes: *memory_bytes, network: *network }
        }
        Also::Connect { host, port, method, path, .. } => Deed::Connect { host, port: *port, method, path },
        Also::UseSecret { secret, host } => Deed::UseSecret { secret, tool: &tool.def.name, host },
    }
}

/// What a decision is to the machine.
fn ruled(policies: &Policies, decision: &Decision) -> Ruling {
    let why = &decision.why;
    let ids = |reasons: &[stead_policy::Reason]| reasons.iter().map(|r| Name::from(&*r.policy)).collect::<Vec<_>>();
    let read = decision.read.iter().map(|(name, said)| CounterRead { name: name.as_str().into(), said: said.into() });
    let read: Vec<CounterRead> = read.collect();
    let allowed = Ruling { read: read.clone(), ..Ruling::allow(policies.epoch(), ids(&why.permitted)) };
    let plain = decision.verdict == Said::Allow && why.transformed.is_empty();
    // Of what is simply allowed, the permits are all that there is to say.
    let told = (!plain).then(|| told::why(why, None, None));
    match &decision.verdict {
        Said::Allow => Ruling { why: told, ..allowed },
        Said::Deny(reason) => {
            let by = if why.erred.is_empty() { ids(&why.forbade) } else { ids(&why.erred) };
            Ruling { why: told, read, ..Ruling::deny(policies.epoch(), by, reason.clone()) }
        }
        Said::Ask(asked) => {
            let gates = asked.requirements.iter().map(|(policy, requirement)| GateAsks {
                verified: requirement.verified.then_some(true),
                channels: requirement.channels.then_some(true),
                policy: Name::from(&**policy),
                approvers: requirement.approvers.iter().map(|a| Name::from(a.to_string().as_str())).collect(),
                quorum: requirement.quorum,
                remind: requirement.remind,
                escalate: requirement.escalate.iter().map(step).collect(),
            });
            Ruling {
                verdict: Verdict::Ask,
                by: ids(&why.gated),
                why: told,
                asked: Some(Asked { gates: gates.collect(), quorum: asked.quorum }),
                ttl: Some(asked.ttl),
                ..allowed
            }
        }
    }
}

fn step((after, to): &(Span, Approver)) -> Escalate {
    Escalate { after: *after, to: Name::from(to.to_string().as_str()) }
}

/// Adds what is said of something that a call does beside: the stricter counts, and all gates ask.
fn join(ruling: &mut Ruling, mut also: Ruling) {
    let mut read = std::mem::take(&mut ruling.read);
    for more in std::mem::take(&mut also.read) {
        if !read.iter().any(|known| known.name == more.name) {
            read.push(more);
        }
    }
    match (ruling.verdict, also.verdict) {
        (_, Verdict::Allow) => {}
        (_, Verdict::Deny) => *ruling = also,
        (Verdict::Ask, Verdict::Ask) => {
            let asked = ruling.asked.get_or_insert_default();
            let more = also.asked.unwrap_or_default();
            asked.quorum = asked.quorum.max(more.quorum);
            asked.gates.extend(more.gates);
            ruling.by.extend(also.by);
            ruling.ttl = shorter(ruling.ttl, also.ttl);
        }
        (_, Verdict::Ask) => {
            let rewritten = ruling.rewritten.take();
            *ruling = Ruling { rewritten, ..also };
        }
    }
    ruling.read = read;
}

fn shorter(a: Option<Span>, b: Option<Span>) -> Option<Span> {
    a.into_iter().chain(b).min()
}

fn rewrite(tool: &BoundTool, text: &str) -> Result<Rewrite, String> {
    let (args, key) = prepare::identity(tool, text)?;
    Ok(Rewrite { arguments: text.to_owned().into(), args, key })
}

pub(crate) fn approval(given: &Given) -> Approval {
    let roles = given.roles.iter().map(ToString::to_string).collect();
    Approval { user: given.name.to_string(), roles, signed: None, escalated: escalated(given) }
}

/// The steps of escalation by which an answer counts.
pub(crate) fn escalated(given: &Given) -> Vec<(String, Approver)> {
    given.escalated.iter().map(|step| (step.policy.to_string(), Approver::from_text(&step.to))).collect()
}

pub(crate) fn ten_thousandths(share: u16) -> Option<Confidence> {
    Confidence::new(f64::from(share) / 10_000.0)
}

fn no_policies() -> Ruling {
    let told = "no policies are loaded, so nothing is allowed. The server's log says why.".to_owned();
    Ruling { code: code::POLICY, ..Ruling::deny(0, Vec::new(), told) }
}

/// What operators have turned off is denied like what policies deny, with a code of its own.
fn off(policies: &Policies, why: &str) -> Ruling {
    Ruling { code: code::DISABLED, ..refused(policies, format!("not done: {why}")) }
}

fn refused(policies: &Policies, why: String) -> Ruling {
    Ruling::deny(policies.epoch(), Vec::new(), why)
}
