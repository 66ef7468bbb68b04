//! `/v1/runs/{run}/why` and `/v1/runs/{run}/context`.

use axum::{Json as Body, extract::State};
use serde::Deserialize;
use stead_api::{
    context::{Context, ContextCall, ContextMessage, ContextText, ContextTool},
    why::{BudgetState, Cause, Denial, EffectStep, Granted, LinkOfChain, OnBehalf, Seen, StepRef, StepWhy, Why},
};
use stead_core::{
    grant::Grant,
    id::{EffectId, Name, RunId},
    message::Message,
    ruling::Behalf,
};
use stead_engine::{self as engine, ContextView, Step, StepView, WhyView};

use super::views;
use crate::{
    auth::Principal,
    http::{
        app::Shared,
        failure::{Answer, Failure},
        input::{At, Params},
    },
};

/// Which step.
#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct Of {
    step: Option<String>,
}

pub(super) async fn why(
    State(app): State<Shared>,
    who: Principal,
    At(run): At<RunId>,
    Params(of): Params<Of>,
) -> Answer<Body<Why>> {
    let step = of.step.as_deref().map(|text| step(run, text)).transpose()?;
    views::own_run(&app, &who, run).await?;
    let engine = app.runtime.engine();
    let why = engine.why(run).await?;
    let step = match step {
        Some(step) => Some(engine.why_step(run, step).await?),
        None => None,
    };
    Ok(Body(told(why, step)))
}

pub(super) async fn context(
    State(app): State<Shared>,
    who: Principal,
    At(run): At<RunId>,
    Params(of): Params<Of>,
) -> Answer<Body<Context>> {
    let step = step(run, of.step.as_deref().unwrap_or_default())?;
    views::own_run(&app, &who, run).await?;
    let engine = app.runtime.engine();
    let turn = match step {
        Step::Turn(turn) => turn,
        effect @ Step::Effect(_) => engine.why_step(run, effect).await?.turn,
    };
    Ok(Body(seen(engine.context(run, turn).await?)))
}

fn step(run: RunId, text: &str) -> Answer<Step> {
    match StepRef::of(run, text) {
        Some(StepRef::Turn(turn)) => Ok(Step::Turn(turn)),
        Some(StepRef::Effect(n)) => Ok(Step::Effect(n)),
        None => {
            let short: String = text.chars().filter(|c| !c.is_control()).take(40).collect();
            Err(Failure::bad_request(format!("`{short}` is no step of {run}"))
                .hint("a turn by its number such as `2`, or an effect such as `e1`"))
        }
    }
}

fn told(why: WhyView, step: Option<StepView>) -> Why {
    let WhyView { row, causes, denied, budget, box_limits, left, deadline, behalf } = why;
    Why {
        run: views::summary(row),
        causes: causes.into_iter().map(cause).collect(),
        denied: denied
            .into_iter()
            .map(|d| Denial { effect: d.effect, tool: d.tool, at: d.at, code: d.code, told: d.told, by: d.by })
            .collect(),
        budget: BudgetState {
            limits: (&budget.limits).into(),
            left: (&left).into(),
            spent: budget.spent,
            reserved: budget.reserved,
            tool_calls: budget.tool_calls,
            active: budget.active,
            children: budget.children,
            cpu: budget.boxes.cpu,
            memory_peak: budget.boxes.memory_peak,
            traffic: budget.boxes.traffic,
            sandbox: box_limits.into(),
            deadline,
        },
        behalf: (behalf.user.is_some() || !behalf.callers.is_empty()).then(|| on_behalf(behalf)),
        step: step.map(step_told),
    }
}

fn on_behalf(behalf: Behalf) -> OnBehalf {
    let Behalf { user, callers, above, grants, delegated, .. } = behalf;
    let grant = |n: usize| {
        let granted = grants.iter().find(|granted| usize::from(granted.by) == n)?;
        let Grant { tools, hosts, scopes, until, depth } = granted.grant.clone();
        Some(Granted { tools, hosts, scopes, until, depth })
    };
    let link =
        |(n, agent): (usize, Name)| LinkOfChain { run: above.get(n).map(|above| above.run), agent, grant: grant(n) };
    let chain = callers.into_iter().enumerate().map(link).collect();
    OnBehalf { person: user.map(|user| user.name), until: delegated.map(|d| d.until), chain }
}

fn cause(cause: engine::Cause) -> Cause {
    use engine::Cause as C;
    match cause {
        C::Queued { behind, position } => Cause::Queued { behind, position },
        C::Unloadable { code, detail, again } => Cause::Unloadable { code, detail, again },
        C::Off { what, name, by, since, reason } => Cause::Off { what, name, by, since, reason },
        C::Paused { by, since } => Cause::Paused { by, since },
        C::Stopping { mode, limit, by, since } => Cause::Stopping { mode, limit, by, since },
        C::Human { effect, tool, arguments, question, reason, since, expires } => {
            Cause::Human { effect, tool, arguments, question, reason, since, expires }
        }
        C::Model { turn, attempt, model, since } => Cause::Model { turn, attempt, model, since },
        C::Provider { turn, attempt, model, waiting } => Cause::Provider {
            turn,
            attempt,
            model,
            provider: waiting.provider,
            waits_for: waiting.waits_for.as_str().to_owned(),
            position: waiting.position,
            since: waiting.since,
        },
        C::ModelRetry { turn, attempt, model, at, code, detail } => {
            Cause::ModelRetry { turn, attempt, model, at, code, detail }
        }
        C::Tool { effect, tool, attempt, since } => Cause::Tool { effect, tool, attempt, since },
        C::ToolRetry { effect, tool, at, unknown } => Cause::ToolRetry { effect, tool, at, unknown },
        C::Reconcile { effect, tool, at } => Cause::Reconcile { effect, tool, at },
        C::Child { effect, tool, run, status } => Cause::Child { effect, tool, run, status },
        C::Next { turn } => Cause::Next { turn },
        C::Completed => Cause::Completed,
        C::Failed { code, detail, limit } => Cause::Failed { code, detail, limit },
        C::Cancelled { by, since } => Cause::Cancelled { by, since },
    }
}

fn step_told(step: StepView) -> StepWhy {
    let StepView { turn, seen, facts, spent, estimated, effect } = step;
    StepWhy {
        turn,
        seen: Seen {
            messages: seen.messages,
            tokens: seen.tokens,
            cleared: seen.cleared,
            last_source: seen.last_source,
        },
        effect: effect.map(|e| EffectStep {
            id: e.effect,
            tool: e.tool,
            class: e.class,
            key: e.key,
            arguments: e.arguments,
        }),
        facts: facts.iter().map(views::fact).collect(),
        spent,
        estimated,
    }
}

fn seen(view: ContextView) -> Context {
    let run = view.run;
    Context {
        run,
        turn: view.turn,
        attempt: view.attempt,
        at: view.at,
        model: view.model,
        max_output_tokens: view.max_output_tokens,
        overhead_tokens: view.overhead_tokens,
        message_tokens: view.message_tokens,
        instructions: view.instructions.to_string(),
        tools: view
            .tools
            .iter()
            .map(|t| ContextTool { name: t.name.clone(), description: t.description.clone(), schema: t.schema.clone() })
            .collect(),
        output: view.output.map(|o| o.schema.clone()),
        messages: view
            .messages
            .into_iter()
            .map(|m| ContextMessage {
                source: m.source,
                tokens: m.tokens,
                cleared: m.cleared,
                earlier: m.earlier,
                // An effect of an earlier run has its number there.
                effect: m.effect.filter(|_| !m.earlier).map(|n| EffectId { run, n }),
                cut_from: m.cut_from,
                message: said(&m.message),
            })
            .collect(),
    }
}

fn said(message: &Message) -> ContextText {
    match message {
        Message::User { text, .. } => ContextText::User { text: text.clone() },
        Message::Tool(result) => ContextText::Tool {
            call_id: result.call_id.clone(),
            name: result.name.clone(),
            content: result.content.clone(),
            error: result.error,
        },
        Message::Assistant(reply) => ContextText::Assistant {
            text: reply.text.clone(),
            calls: reply
                .calls
                .iter()
                .map(|c| ContextCall {
                    id: c.id.clone(),
                    name: c.name.clone(),
                    arguments: c.arguments.get().to_owned(),
                })
                .collect(),
            reasoning: reply.reasoning.clone(),
        },
    }
}
