//! The policy decision point: how many decisions one core makes, and how long each takes, from 10 to 10,000 policies.
//!
//! A decision is a tool call of a loaded run: its arguments as JSON text in, the verdict with the policies that decided out. The
//! request is built in it. Slices are made in a warm-up round, as they are kept while an epoch lasts.
//!
//! Beside them: decisions under the default policy alone, as most steps of a run ask for them, and calls that a human is asked about.

mod durable;

use std::{
    collections::BTreeSet,
    fmt::Write as _,
    hint::black_box,
    process::ExitCode,
    time::{Duration, Instant},
};

use serde_json::{Value, json};
use stead_core::{effect::EffectClass, time::Timestamp};
use stead_policy::{
    Asker, Confidence, Deed, Event, Facts, Happened, History, Policies, Principal, Request, Risk, Source, ToolSpec,
    User, Verdict,
};

/// Numbers of policies.
const SIZES: [(&str, usize); 4] = [("n10", 10), ("n100", 100), ("n1000", 1_000), ("n10000", 10_000)];
/// Tools of the agent that asks.
const TOOLS: usize = 5;
/// Policies of one tool beside the default policy's four that can match a call: a limit, a rule of recipients, a gate.
const OF_A_TOOL: usize = 3;

pub(crate) fn main(quick: bool, as_json: bool) -> ExitCode {
    let span = Duration::from_millis(if quick { 1_500 } else { 10_000 });
    let mut out = json!({});
    for (key, size) in SIZES {
        let figures = Bench::new(size, false).measure(span);
        if !as_json {
            println!("{key:<8} {figures}");
        }
        out[key] = figures;
    }
    // How far the slowest and the fastest size are from the middle between them.
    let per_s = || SIZES.iter().filter_map(|(key, _)| out[*key]["per_s"].as_f64());
    let (least, most) = (per_s().fold(f64::INFINITY, f64::min), per_s().fold(0.0, f64::max));
    out["flat_within_pct"] = json!(((most - least) / (most + least) * 1_000.0).round() / 10.0);
    for (key, bench) in [
        ("history", Bench::new(300, true)),
        ("asked", Bench { risk: Risk::High, ..Bench::new(100, false) }.asked()),
        ("default", Bench::of_default()),
    ] {
        let figures = bench.measure(span);
        if !as_json {
            println!("{key:<8} {figures}");
        }
        out[key] = figures;
    }
    for (key, figures) in durable::figures(span) {
        if !as_json {
            println!("{key:<22} {figures}");
        }
        out[key] = figures;
    }
    out["quick"] = json!(quick);
    if !as_json {
        println!("{out:#}");
    }
    println!("{out}");
    ExitCode::SUCCESS
}

struct Bench {
    policies: Policies,
    principals: Vec<Principal>,
    history: History,
    deeds: Vec<Ask>,
    risk: Risk,
}

/// What is asked about.
enum Ask {
    Tool(String, String),
    Model,
}

fn tool(n: usize, class: EffectClass) -> ToolSpec {
    let schema = json!({
        "type": "object",
        "required": ["order_id", "amount", "to"],
        "properties": {
            "order_id": { "type": "string" },
            "amount": { "type": "integer" },
            "rate": { "type": "number" },
            "to": { "type": "array", "items": { "type": "string" } },
            "note": { "type": "string" },
        },
    });
    ToolSpec::new(&format!("tool_{n}"), &format!("set_{}", n / TOOLS), class, Risk::Normal, &schema)
}

/// That many policies: the default ones, and three for each of so many tools.
fn sources(size: usize, history: bool) -> (Vec<Source>, usize) {
    let mut files = vec![Source::default_policy()];
    let tools = (size.saturating_sub(5)).div_ceil(OF_A_TOOL).max(1);
    for n in 0..tools {
        let mut text = String::new();
        let action = format!("action == Action::\"tool_{n}\"");
        let _ = writeln!(
            text,
            "forbid (principal in Agent::\"agent\", {action}, resource) when {{ context.args.amount > 100000 }};\n\
             forbid (principal, {action}, resource)\n\
             when {{ context.taint && !([\"ada@example.com\", \"team@example.com\"].containsAll(context.args.to)) }};\n\
             @require(\"approval\") @approvers(\"finance\") @quorum(\"1\") @ttl(\"15m\")\n\
             forbid (principal, {action}, resource is Tool in Toolset::\"set_{}\")\n\
             when {{ context.args.amount > 1000 && context.risk != \"normal\"{} }};",
            n / TOOLS,
            if history { format!(" || context.history.calls_{n} > 1000000") } else { String::new() },
        );
        files.push(Source { file: format!("tool_{n}.cedar"), text });
    }
    if history {
        let counters: String =
            (0..tools).map(|n| format!("calls_{n}: {{ count: tool_{n}, by: agent, within: 1h }}\n")).collect();
        files.push(Source { file: "history.yaml".to_owned(), text: counters });
    }
    (files, tools)
}

impl Bench {
    fn new(size: usize, history: bool) -> Self {
        let (files, tools) = sources(size, history);
        let all: Vec<ToolSpec> = (0..tools).map(|n| tool(n, EffectClass::Keyed)).collect();
        Self::of(&files, all, history)
    }

    /// The default policy alone: by turns a model is asked, a `pure` and an `irreversible` tool are called.
    fn of_default() -> Self {
        let all = vec![tool(0, EffectClass::Pure), tool(1, EffectClass::Irreversible)];
        let mut bench = Self::of(&[Source::default_policy()], all, false);
        let deeds = std::mem::take(&mut bench.deeds).into_iter().enumerate();
        bench.deeds =
            deeds.flat_map(|(n, ask)| [ask].into_iter().chain(n.is_multiple_of(2).then_some(Ask::Model))).collect();
        bench
    }

    /// Those calls alone that a gate asks about.
    fn asked(self) -> Self {
        let asks = |n: &usize| matches!(self.decide(*n).verdict, Verdict::Ask(_));
        let asked: BTreeSet<usize> = (0..self.deeds.len()).filter(asks).collect();
        let deeds = self.deeds.into_iter().enumerate().filter(|(n, _)| asked.contains(n));
        Self { deeds: deeds.map(|(_, ask)| ask).collect(), ..self }
    }

    fn of(files: &[Source], all: Vec<ToolSpec>, history: bool) -> Self {
        let policies = Policies::apply(files, all.clone(), 1).unwrap_or_else(|problems| panic!("{problems:#?}"));
        let own = &all[..TOOLS.min(all.len())];
        let asker = |n: usize| Asker {
            tenant: "acme".to_owned(),
            agent: "agent".to_owned(),
            version: "ver_1".to_owned(),
            session: format!("ses_{n}"),
            run: format!("run_{n}"),
            user: Some(User { name: "alice".to_owned(), roles: BTreeSet::from(["support".to_owned()]) }),
            callers: BTreeSet::new(),
            grant: None,
        };
        let principals: Vec<Principal> = (0..64).map(|n| Principal::run(asker(n), own)).collect();
        let deeds: Vec<Ask> = (0..256)
            .map(|n| {
                let arguments = json!({
                    "order_id": n.to_string(), "amount": n * 7, "to": ["ada@example.com"], "note": "as agreed by telephone",
                });
                Ask::Tool(own[n % own.len()].name.clone(), arguments.to_string())
            })
            .collect();
        let mut past = History::new(policies.world().counters().clone());
        for (n, ask) in deeds.iter().enumerate().filter(|_| history) {
            let Ask::Tool(tool, arguments) = ask else { continue };
            let at = Timestamp(1_767_268_800_000_000 + i64::try_from(n).unwrap_or(0));
            let happened = Happened::Sent { approved: false };
            past.apply(&Event { at, scope: principals[0].scope(), tool, arguments: Some(arguments), happened });
        }
        Self { policies, principals, history: past, deeds, risk: Risk::Normal }
    }

    fn decide(&self, n: usize) -> stead_policy::Decision {
        let facts = Facts {
            now: Timestamp(1_767_268_800_000_000),
            granted: true,
            risk: self.risk,
            confidence: Confidence::new(0.9),
            ask_below: Confidence::new(0.7),
            traced: true,
            taint: n.is_multiple_of(2),
            // What was read before is planned for, so that every call is allowed as before there was such a gate.
            plan: true,
            history: &self.history,
            approvals: &[],
        };
        let deed = match &self.deeds[n % self.deeds.len()] {
            Ask::Tool(tool, arguments) => Deed::CallTool { tool, arguments, provenance: &[] },
            Ask::Model => Deed::CallModel { model: "anthropic:claude", max_output_tokens: 2_000 },
        };
        self.policies.decide(&Request { principal: &self.principals[n % self.principals.len()], deed, facts })
    }

    fn measure(&self, span: Duration) -> Value {
        let rounds = |span: Duration, times: &mut Vec<u32>| {
            let begun = Instant::now();
            let mut n = 0;
            let mut last = begun;
            while last - begun < span {
                black_box(self.decide(n));
                let now = Instant::now();
                times.push(u32::try_from((now - last).as_nanos()).unwrap_or(u32::MAX));
                (last, n) = (now, n + 1);
            }
        };
        let mut times = Vec::new();
        rounds(span / 4, &mut times);
        times.clear();
        let begun = Instant::now();
        rounds(span, &mut times);
        let per_s = (times.len() as f64 / begun.elapsed().as_secs_f64()).round();
        times.sort_unstable();
        let at = |share: usize| f64::from(times[(times.len() - 1) * share / 1_000]) / 1_000.0;
        json!({ "per_s": per_s, "p50_us": at(500), "p99_us": at(990), "p999_us": at(999), "policies": self.policies.ids().count() })
    }
}
