//! Why a run stands where it stands, what led to a step, and what the model saw, as text.

use stead_api::{
    context::{Context, ContextMessage, ContextText},
    fact::{AnyFact, FactEvent},
    why::{Cause, Denial, Granted, LinkOfChain, OnBehalf, StepWhy, Why},
};
use stead_core::{
    code::{self, Code},
    fact::Fact,
    id::Name,
    record::Actor,
};
use stead_server::serve::OWNER;

use super::policies;
use crate::ui::{
    action,
    steps::reason,
    table::fields,
    term::{clean, short},
    text,
};

/// Characters of a text on its line.
const SHOWN: usize = 120;

/// Why, in full.
pub(super) fn why(why: &Why) -> String {
    let r = &why.run;
    let code = r.code.map_or_else(String::new, |c| format!(" ({c})"));
    let mut out = fields(&[
        ("run", r.id.to_string()),
        ("agent", format!("{} {}", r.agent, text::version(&r.version))),
        ("status", format!("{}{code}", r.status)),
        ("for", behalf(why)),
        ("why", why.causes.iter().map(cause).collect::<Vec<_>>().join("\n")),
        ("denied", why.denied.iter().map(denial).collect::<Vec<_>>().join("\n")),
        ("spent", text::spend(why.budget.spent)),
        ("left", left(why)),
    ]);
    if let Some(s) = &why.step {
        out.push('\n');
        out.push_str(&step(s));
    }
    out
}

/// On whose behalf it works and through whom; nothing where it is the data folder's own user's and nobody is in between.
fn behalf(why: &Why) -> String {
    let Some(OnBehalf { person, until, chain }) = &why.behalf else { return String::new() };
    if chain.is_empty() && until.is_none() && person.as_deref().is_none_or(|person| person == OWNER) {
        return String::new();
    }
    let until = until.map_or_else(String::new, |until| format!(", until {}", text::instant(until)));
    let first = format!("{}{until}", person.as_deref().map_or_else(|| "nobody".to_owned(), |name| short(name, 60)));
    let link = |link: &LinkOfChain| {
        let run = link.run.map_or_else(String::new, |run| format!(" {run}"));
        let grant = link.grant.as_ref().map_or_else(String::new, |g| format!(", which granted {}", granted(g)));
        format!("through {}{run}{grant}", clean(&link.agent))
    };
    [first].into_iter().chain(chain.iter().map(link)).collect::<Vec<_>>().join("\n")
}

fn granted(grant: &Granted) -> String {
    let list = |what: &str, names: &Option<Vec<Name>>| {
        names.as_ref().map(|names| match names.len() {
            0 => format!("no {what}"),
            _ => format!("the {what} {}", short(&names.iter().map(|n| &**n).collect::<Vec<_>>().join(", "), SHOWN)),
        })
    };
    let parts = [
        list("tools", &grant.tools),
        list("hosts", &grant.hosts),
        list("scopes", &grant.scopes),
        grant.depth.map(|depth| format!("agents {depth} deep")),
        grant.until.map(|until| format!("until {}", text::instant(until))),
    ];
    parts.into_iter().flatten().collect::<Vec<_>>().join(", ")
}

fn left(why: &Why) -> String {
    let budget = &why.budget;
    let used = |limit: Option<u32>, used: u32, what: &str| {
        limit.map(|l| text::counted(u64::from(l.saturating_sub(used)), what))
    };
    let parts = [
        budget.left.tokens.map(|n| text::counted(n, "token")),
        budget.left.usd.map(text::usd),
        used(budget.limits.tool_calls, budget.tool_calls, "tool call"),
        budget.limits.active.map(|a| format!("{} active", text::span(a.0.saturating_sub(budget.active.0)))),
        budget
            .limits
            .cpu
            .map(|l| format!("{} of processor time in sandboxes", text::span(l.0.saturating_sub(budget.cpu.0)))),
        budget.limits.traffic.map(|l| format!("{} of traffic", text::size(l.saturating_sub(budget.traffic)))),
        budget.deadline.map(|d| format!("until {}", text::instant(d))),
    ];
    parts.into_iter().flatten().collect::<Vec<_>>().join(", ")
}

fn by(actor: &Actor) -> String {
    match actor {
        Actor::Runtime => "the runtime".to_owned(),
        Actor::User(name) => short(name, 24),
        Actor::Run(run) => run.to_string(),
    }
}

fn cause(cause: &Cause) -> String {
    match cause {
        Cause::Queued { behind, position } => {
            let behind = behind.map_or_else(String::new, |b| format!(" behind {b}"));
            format!("waits for its turn in the session: number {position} of the queue{behind}")
        }
        Cause::Unloadable { code, detail, again } => {
            let again = again.map_or_else(
                || "it is tried again when a server or `stead run --resume` loads it".to_owned(),
                |at| format!("it is tried again at {}", text::instant(at)),
            );
            format!("could not be loaded or go on ({code}); {again}: {}", short(detail, 400))
        }
        Cause::Off { what, name, by: who, since, reason } => {
            let reason = if reason.is_empty() { String::new() } else { format!(": {}", short(reason, SHOWN)) };
            let (what, name) = (clean(what), clean(name));
            let which = if what == "runs" { "all runs".to_owned() } else { format!("the {what} {name}") };
            format!("{which} turned off by {} at {}{reason}", short(who, 24), text::instant(*since))
        }
        Cause::Paused { by: who, since } => format!("paused by {} at {}", by(who), text::instant(*since)),
        Cause::Stopping { limit: Some(limit), since, .. } => {
            format!("stops since {}: its limit on {} is reached", text::instant(*since), word(limit))
        }
        Cause::Stopping { mode, by: who, since, .. } => {
            format!("stops ({}) for {} since {}", word(mode), by(who), text::instant(*since))
        }
        Cause::Human { effect, tool, arguments, question, reason: why, since, expires } => {
            let until = expires.map_or_else(String::new, |e| format!(", until {}", text::instant(e)));
            if let Some(words) = question {
                return format!("asks a human ({effect}) since {}{until}: {}", text::instant(*since), clean(words));
            }
            let why = reason(*why);
            let why = if why.is_empty() { String::new() } else { format!(" ({why})") };
            format!(
                "asks a human about {effect} since {}{until}{why}: {} {}",
                text::instant(*since),
                clean(tool),
                short(arguments, SHOWN)
            )
        }
        Cause::Model { turn, attempt, model, since } => {
            format!("waits for {} since {}: turn {turn}, attempt {attempt}", clean(model), text::instant(*since))
        }
        Cause::Provider { turn, model, provider, waits_for, position, since, .. } => format!(
            "waits in line for {} since {}, number {position}, to ask {} for turn {turn}: {}",
            clean(provider),
            text::instant(*since),
            clean(model),
            clean(waits_for)
        ),
        Cause::ModelRetry { turn, model, at, code: code::PROVIDER_LIMIT, detail, .. } => format!(
            "waits for its provider ({}); {} is asked for turn {turn} at {}: {}",
            code::PROVIDER_LIMIT,
            clean(model),
            text::instant(*at),
            short(detail, SHOWN)
        ),
        Cause::ModelRetry { turn, attempt, model, at, code, detail } => format!(
            "attempt {attempt} of turn {turn} failed ({code}); {} is asked at {}: {}",
            clean(model),
            text::instant(*at),
            short(detail, SHOWN)
        ),
        Cause::Tool { effect, tool, attempt, since } => {
            let since = since.map_or_else(String::new, |s| format!(" since {}", text::instant(s)));
            format!("waits for {} ({effect}){since}, attempt {}", clean(tool), attempt.max(&1))
        }
        Cause::ToolRetry { effect, tool, at, unknown } => {
            let last = if *unknown { "may have happened" } else { "was not sent" };
            format!("the last attempt at {} ({effect}) {last}; the next is at {}", clean(tool), text::instant(*at))
        }
        Cause::Reconcile { effect, tool, at } => {
            format!("asks whether {} ({effect}) happened, at {}", clean(tool), text::instant(*at))
        }
        Cause::Child { effect, tool, run, status } => {
            let status = status.map_or_else(|| "not started yet".to_owned(), |s| s.to_string());
            format!("waits for the agent {} ({effect}): {run} is {status}", clean(tool))
        }
        Cause::Next { turn } => format!("is about to ask its model for turn {turn}"),
        Cause::Completed => "completed with an answer".to_owned(),
        Cause::Failed { code, detail, limit } => {
            let limit = limit.map_or_else(String::new, |l| format!(" (its limit on {})", word(&l)));
            format!("failed with {code}{limit}: {}", short(detail, 400))
        }
        Cause::Cancelled { by: who, since } => format!("stopped for {} at {}", by(who), text::instant(*since)),
        Cause::Other => "for a reason that this release does not know; `--json` shows it".to_owned(),
    }
}

/// The word that JSON has for a value.
fn word(value: &impl serde::Serialize) -> String {
    let value = serde_json::to_value(value).ok();
    value.and_then(|v| v.as_str().map(|w| w.replace('_', " "))).unwrap_or_default()
}

fn denial(d: &Denial) -> String {
    let code = d.code.map_or_else(String::new, |c: Code| format!(" {c}"));
    format!("{} {}{code} by {}: {}", d.effect, clean(&d.tool), by(&d.by), short(&d.told, SHOWN))
}

fn step(s: &StepWhy) -> String {
    let cleared = if s.seen.cleared > 0 { format!(", {} cleared", s.seen.cleared) } else { String::new() };
    let last = s.seen.last_source.map_or_else(String::new, |l| format!(", the last from {}", word(&l)));
    let estimated = if s.estimated { " (partly estimated)" } else { "" };
    let call = s.effect.as_ref();
    let pairs = [
        ("turn", s.turn.to_string()),
        (
            "saw",
            format!(
                "{}, about {}{cleared}{last}",
                text::counted(s.seen.messages.into(), "message"),
                text::counted(s.seen.tokens, "token")
            ),
        ),
        ("call", call.map_or_else(String::new, |e| format!("{} {} {}", e.id, clean(&e.tool), clean(&e.arguments)))),
        ("class", call.map_or_else(String::new, |e| word(&e.class))),
        ("key", call.and_then(|e| e.key.as_ref()).map_or_else(String::new, |k| clean(k))),
        ("cost", format!("{}{estimated}", text::spend(s.spent))),
    ];
    let mut out = fields(&pairs);
    for f in &s.facts {
        out.push_str(&format!("{}  {}\n", text::instant(f.at), fact(f)));
        out.extend(f.why.iter().map(policies::tree));
    }
    out
}

fn fact(event: &FactEvent) -> String {
    let AnyFact::Known(known) = &event.fact else { return event.fact.kind().to_owned() };
    let said = event.text.as_deref().map(|t| format!(": {}", short(t, SHOWN))).unwrap_or_default();
    let code = |code: Option<Code>| code.map_or_else(String::new, |c| format!(" ({c})"));
    match known {
        Fact::ContextCompacted(f) => format!("results before message {} were cleared from view", f.clear_before + 1),
        Fact::ModelRequested(f) => {
            format!("asked, attempt {}: {} set aside", f.attempt, text::spend(f.reserved))
        }
        Fact::ModelReplied(f) => {
            let calls = f.calls.iter().map(|c| format!("e{} {}", c.effect, clean(&c.tool))).collect::<Vec<_>>();
            let calls = if calls.is_empty() { String::new() } else { format!("; calls {}", calls.join(", ")) };
            format!("answered: {} in, {} out{calls}", f.usage.input, f.usage.output)
        }
        Fact::ModelFailed(f) if f.code == code::PROVIDER_LIMIT => {
            let next = f.next.map_or_else(String::new, |n| format!("; again at {}", text::instant(n.at)));
            format!("attempt {} was not made ({}){next}{said}", f.attempt, f.code)
        }
        Fact::AnswerRejected(f) => {
            let next = f.repair.map_or_else(|| "; no repair is left".to_owned(), |n| format!("; repair {n} follows"));
            format!("the answer does not fit{next}{said}")
        }
        Fact::ModelFailed(f) => {
            let next = f.next.map_or_else(String::new, |n| format!("; again at {}", text::instant(n.at)));
            format!("attempt {} failed ({}){next}{said}", f.attempt, f.code)
        }
        Fact::EffectDecided(f) => {
            format!("decided: {}{}{}{said}", word(&f.verdict), code(f.code), policies::by(known.ruled()))
        }
        Fact::HistoryRead(f) => format!("counters said: {}", policies::read(&f.read)),
        Fact::ModelDenied(_) => format!("a model is not asked{}{said}", policies::by(known.ruled())),
        Fact::PreviewDecided(f) if f.verdict == stead_core::fact::Verdict::Allow => {
            format!("{} looks at what it would do{}", short(&f.tool, 64), policies::by(known.ruled()))
        }
        Fact::PreviewDecided(_) => format!("there is no preview{}{said}", policies::by(known.ruled())),
        Fact::Previewed(f) if f.failed => format!("there is no preview{said}"),
        Fact::Previewed(f) => {
            let binds = f.precondition.as_ref().map_or_else(|| "not binding".to_owned(), ToString::to_string);
            format!("preview ({binds}){said}")
        }
        Fact::ApprovalRequested(f) => {
            format!("a human is asked: {}{}", word(&f.reason), policies::wanted(f.asked.as_deref()))
        }
        Fact::ApprovalGiven(f) => {
            let signed = if f.signed.is_some() { ", signed" } else { "" };
            format!("{} by {}{signed}{said}", if f.approved { "approved" } else { "denied" }, short(&f.by, 24))
        }
        Fact::EffectIntended(f) => format!("intended, attempt {}", f.attempt),
        Fact::EffectReturned(f) if f.action.is_some() => {
            let done = f.action.as_deref().map(action::lines).unwrap_or_default();
            format!("effect returned{said}{done}")
        }
        _ => format!("{}{said}", event.fact.kind().replace('_', " ")),
    }
}

/// What a model saw.
pub(super) fn context(c: &Context) -> String {
    let mut out = fields(&[
        ("run", c.run.to_string()),
        ("turn", format!("{}, attempt {}", c.turn, c.attempt)),
        ("asked", text::instant(c.at)),
        ("model", clean(&c.model)),
        ("tokens", format!("about {}", text::thousands(c.overhead_tokens.saturating_add(c.message_tokens)))),
    ]);
    out.push_str(&format!("\n── instructions and {}", text::counted(c.tools.len() as u64, "tool")));
    out.push_str(&format!(" · about {}\n", text::counted(c.overhead_tokens, "token")));
    out.push_str(&format!("{}\n", clean(c.instructions.trim_end())));
    if !c.tools.is_empty() {
        let names = c.tools.iter().map(|t| clean(&t.name)).collect::<Vec<_>>().join(", ");
        out.push_str(&format!("tools: {names}\n"));
    }
    if let Some(schema) = &c.output {
        out.push_str(&format!("the answer must fit: {}\n", clean(&schema.to_string())));
    }
    out.extend(c.messages.iter().zip(1..).map(|(m, n)| message(n, m)));
    out
}

fn message(n: usize, m: &ContextMessage) -> String {
    let source = m.source.map_or_else(|| "unlabelled".to_owned(), |s| word(&s));
    let mut head = format!("\n── {n} · {source}");
    if let ContextText::Tool { name, .. } = &m.message {
        head.push_str(&format!(" {}", clean(name)));
    }
    if let Some(effect) = m.effect {
        head.push_str(&format!(" · {effect}"));
    }
    head.push_str(&format!(" · about {}", text::counted(m.tokens, "token")));
    for (is, what) in [(m.earlier, "earlier run"), (m.cleared, "cleared")] {
        if is {
            head.push_str(&format!(" · {what}"));
        }
    }
    if let Some(whole) = m.cut_from {
        head.push_str(&format!(" · beginning of {} bytes", text::thousands(whole)));
    }
    let body = match &m.message {
        ContextText::User { text } => clean(text),
        ContextText::Tool { content, .. } => clean(content),
        ContextText::Assistant { text, calls, .. } => {
            let mut lines = vec![clean(text)];
            lines.extend(calls.iter().map(|c| format!("→ {} {}", clean(&c.name), clean(&c.arguments))));
            lines.retain(|l| !l.is_empty());
            lines.join("\n")
        }
    };
    format!("{head}\n{body}\n")
}
