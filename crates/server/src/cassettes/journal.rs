//! A cassette from the journal, for a run that was not recorded: its replies are facts, and so is what was said before
//! each of them, files included. What went over the wire, and attempts that failed, are not known.

use stead_core::{id::RunId, message::Message};
use stead_engine::{Engine, EngineError, Exchanged};
use stead_models::cassette::{Cassette, Exchange, Header, Outcome, Request, Source};
use stead_ports::{agent::Agent, model::ModelCall};

/// The cassette of a run. `agent` is its version, when that can be loaded: without it nobody knows what was asked.
pub(crate) async fn of_journal(engine: &Engine, run: RunId, agent: Option<&Agent>) -> Result<Cassette, EngineError> {
    let found = engine.exchanges(run).await?;
    let header = Header::new(Source::Journal, found.agent, found.version.to_string(), run.to_string());
    let exchanges = found.all.into_iter().map(|one| exchange(run, one, agent)).collect();
    Ok(Cassette { header, exchanges })
}

fn exchange(run: RunId, one: Exchanged, agent: Option<&Agent>) -> Exchange {
    let Exchanged { turn, model, max_output_tokens, messages, reply } = one;
    let replies = messages.iter().filter(|m| matches!(&***m, Message::Assistant(_))).count();
    let request = agent.map(|agent| {
        Request::of(&ModelCall {
            run,
            turn,
            attempt: 1,
            instructions: agent.instructions.clone(),
            messages,
            tools: agent.defs.clone(),
            output: agent.output.as_ref().map(|output| output.schema.clone()),
            max_output_tokens,
            raw: None,
            begun: None,
        })
    });
    Exchange {
        turn,
        attempt: 1,
        replies: u32::try_from(replies).unwrap_or(u32::MAX),
        model,
        request,
        wire: None,
        outcome: Outcome::Reply(Box::new(reply)),
    }
}
