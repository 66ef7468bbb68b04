//! A cassette from the journal, for a run that was not recorded: its replies are facts, and so is what was said before
//! each of them. What went over the wire, and attempts that failed, are not known.

use std::sync::Arc;

use stead_core::{
    fact::{CallHead, Fact},
    id::RunId,
    message::{Message, Reply, ToolCall, ToolResult},
};
use stead_engine::{Engine, EngineError, FactEvent};
use stead_models::cassette::{Cassette, Exchange, Header, Outcome, Request, Source};
use stead_ports::{agent::Agent, model::ModelCall};

/// Records read at once.
const BATCH: u32 = 256;

/// The cassette of a run. `agent` is its version, when that can be loaded: without it nobody knows what was asked.
pub(crate) async fn of_journal(engine: &Engine, run: RunId, agent: Option<&Agent>) -> Result<Cassette, EngineError> {
    let mut made =
        Made { run, agent, exchanges: Vec::new(), messages: Vec::new(), calls: Vec::new(), known: true, model: 0 };
    let (mut header, mut models) = (None, Vec::new());
    let mut from = 0;
    loop {
        let events = engine.facts(run, from, BATCH).await?;
        let Some(last) = events.last().map(|e| e.seq) else { break };
        for event in events {
            if let Fact::RunStarted(f) = &event.fact {
                header = Some(Header::new(Source::Journal, f.agent.clone(), f.version.to_string(), run.to_string()));
                models = f.config.models.clone();
            }
            made.take(event, &models);
        }
        from = last + 1;
    }
    made.results();
    let header = header.ok_or_else(|| EngineError::NotFound { what: run.to_string() })?;
    Ok(Cassette { header, exchanges: made.exchanges })
}

/// A call that a result belongs to.
struct Called {
    effect: u32,
    id: String,
    name: String,
    /// What the model was told, and whether that is an error.
    told: Option<(String, bool)>,
}

struct Made<'a> {
    run: RunId,
    agent: Option<&'a Agent>,
    exchanges: Vec<Exchange>,
    messages: Vec<Arc<Message>>,
    /// The calls of the last reply.
    calls: Vec<Called>,
    /// Whether `messages` is all that the model saw.
    known: bool,
    model: usize,
}

impl Made<'_> {
    fn take(&mut self, event: FactEvent, models: &[stead_core::fact::ModelConfig]) {
        let text = event.text.unwrap_or_default();
        match event.fact {
            Fact::RunStarted(_) => self.messages.push(Arc::new(Message::user(text))),
            // The conversation before it is another run's, and an old result that was cleared reads otherwise.
            Fact::RunAdmitted(f) => self.known &= f.base.is_none(),
            Fact::ContextCompacted(_) => self.known = false,
            Fact::ModelRequested(f) => {
                self.results();
                self.model = usize::from(f.model);
            }
            Fact::ModelReplied(f) => {
                let Ok(reply) = serde_json::from_str::<Reply>(&text) else {
                    self.known = false;
                    return;
                };
                let request = self.request(models.get(self.model).map_or(0, |m| m.max_output_tokens));
                let heads = f.calls.iter().zip(&reply.calls);
                let called = |(head, call): (&CallHead, &ToolCall)| Called {
                    effect: head.effect,
                    id: call.id.clone(),
                    name: call.name.clone(),
                    told: None,
                };
                self.calls = heads.map(called).collect();
                self.exchanges.push(Exchange {
                    turn: f.turn,
                    attempt: 1,
                    replies: u32::try_from(self.exchanges.len()).unwrap_or(u32::MAX),
                    model: models.get(self.model).map(|m| m.name.clone()).unwrap_or_default(),
                    request,
                    wire: None,
                    outcome: Outcome::Reply(Box::new(reply.clone())),
                });
                self.messages.push(Arc::new(Message::Assistant(reply)));
            }
            Fact::AnswerRejected(f) if f.repair.is_some() => {
                self.messages.push(Arc::new(Message::user(stead_engine::answer_rejected(&text))));
            }
            Fact::EffectDecided(f) if f.payload.is_some() => self.told(f.effect, text, true),
            Fact::ApprovalGiven(f) if !f.approved && f.note.is_some() => self.told(f.effect, text, true),
            Fact::EffectReturned(f) if f.late => self.known = false,
            Fact::EffectReturned(f) => self.told(f.effect, text, f.error),
            Fact::EffectRefused(f) => self.told(f.effect, text, true),
            Fact::EffectNotSent(f) if f.retry_at.is_none() => self.told(f.effect, text, true),
            Fact::EffectUnknown(f) if f.payload.is_some() => self.told(f.effect, text, true),
            Fact::EffectReconciled(f) if f.payload.is_some() => self.told(f.effect, text, false),
            Fact::ChildFinished(f) => {
                self.told(f.effect, text, f.ended != stead_core::effect::Ended::Returned);
            }
            _ => {}
        }
    }

    fn told(&mut self, effect: u32, text: String, error: bool) {
        if let Some(call) = self.calls.iter_mut().find(|c| c.effect == effect) {
            call.told = Some((text, error));
        }
    }

    /// The results of the last reply's calls join the conversation.
    fn results(&mut self) {
        for Called { id: call_id, name, told, .. } in std::mem::take(&mut self.calls) {
            match told {
                Some((content, error)) => {
                    self.messages.push(Arc::new(Message::Tool(ToolResult { call_id, name, content, error })));
                }
                // Told by words that are no payload of a fact.
                None => self.known = false,
            }
        }
    }

    fn request(&self, max_output_tokens: u64) -> Option<Request> {
        let agent = self.agent.filter(|_| self.known)?;
        Some(Request::of(&ModelCall {
            run: self.run,
            turn: 1,
            attempt: 1,
            instructions: agent.instructions.clone(),
            messages: self.messages.clone(),
            tools: agent.defs.clone(),
            output: agent.output.as_ref().map(|output| output.schema.clone()),
            max_output_tokens,
            raw: None,
            begun: None,
        }))
    }
}
