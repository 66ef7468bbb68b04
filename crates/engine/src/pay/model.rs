//! A model's call: one attempt, in its provider's turn.

use std::sync::Arc;

use stead_core::{code, message::Reply, run::Phase, time::Span};
use stead_ports::model::{Begun, DeltaSink, Model, ModelCall, ModelError, Retry};

use super::{permit, unwound};
use crate::{
    Engine,
    actor::Actor,
    flights::{Done, Key, Sent},
    off::{Leave, Through},
    planner,
    providers::Pass,
    stats::UnderWay,
    types::EngineError,
};

/// One attempt at a model's call, ready to be made.
struct Attempt {
    engine: Engine,
    /// None when the agent's version no longer has it.
    model: Option<Arc<dyn Model>>,
    /// How long the complete reply may take.
    limit: Span,
    call: ModelCall,
    deltas: DeltaSink,
    /// Tokens set aside for it.
    tokens: u64,
    sent: Sent,
    leave: Leave,
}

impl Actor {
    pub(super) async fn call_model(&mut self, turn: u32, attempt: u32, model: u8) -> Result<(), EngineError> {
        self.messages.refresh(&self.engine.0.ports.journal, &self.state, self.fresh_reply.as_ref()).await?;
        let (engine, run) = (self.engine.clone(), self.run);
        let seq = self.state.next_seq.saturating_sub(1);
        if attempt > 1 {
            engine.0.rooms.reset(run, seq, attempt);
        }
        let planner = match self.agent.provenance.as_ref().filter(|_| self.state.planning.wanted()) {
            Some(provenance) => {
                let messages = planner::messages(&self.engine.0.ports.journal, &self.state).await?;
                Some((planner::instructions(&self.agent, provenance), messages))
            }
            None => None,
        };
        let call = ModelCall {
            run,
            turn,
            attempt,
            instructions: self.agent.instructions.clone(),
            messages: self.messages.view(&self.state),
            tools: self.agent.defs.clone(),
            output: self.agent.output.as_ref().map(|output| output.schema.clone()),
            max_output_tokens: self.state.config.models.get(usize::from(model)).map_or(0, |m| m.max_output_tokens),
            raw: None,
            begun: None,
        };
        // A planner is told the task and what the tools are, and is offered none.
        let call = match planner {
            Some((instructions, messages)) => {
                ModelCall { instructions, messages, tools: Arc::default(), output: None, ..call }
            }
            None => call,
        };
        // Pieces count while the flight is in the air; an adapter that goes on writing afterwards is not heard.
        let in_the_air = Arc::new(engine.clone());
        let heard_by = Arc::downgrade(&in_the_air);
        let deltas: DeltaSink = Arc::new(move |delta| {
            if let Some(engine) = heard_by.upgrade() {
                engine.0.rooms.piece(run, seq, attempt, delta);
            }
        });
        let tokens = match self.state.phase {
            Phase::Model { reserved, .. } => reserved.tokens,
            _ => 0,
        };
        let leave = self.leave(Through::model(&self.agent, usize::from(model)));
        let (model, limit) = (self.agent.models.get(usize::from(model)).cloned(), self.agent.model_timeout);
        let sent = Sent::default();
        let next = Attempt { engine, model, limit, call, deltas, tokens, sent: sent.clone(), leave };
        let flight = async move {
            let _in_the_air = in_the_air;
            next.make().await
        };
        self.flights.push_waiting(Key::Model { turn, attempt }, sent, Box::pin(flight));
        Ok(())
    }
}

impl Attempt {
    async fn make(self) -> Done {
        let Self { engine, model, limit, mut call, deltas, tokens, sent, leave } = self;
        let (turn, attempt) = (call.turn, call.attempt);
        // The provider's turn first: whoever waits for it holds no permit that another provider's call could use.
        let account = model.as_ref().and_then(|m| m.account());
        let provider = account.map(|a| engine.0.providers.label(a));
        let account = account.map(|a| engine.0.providers.of(a));
        let pass = match account {
            Some(account) => match account.turn(call.run, tokens).await {
                Ok(pass) => Some(Arc::new(pass)),
                Err(deferred) => return Done::ModelDeferred { turn, attempt, deferred },
            },
            None => None,
        };
        let _permit = permit(&engine, &engine.0.models, Some(&leave)).await;
        sent.now();
        if let Some(pass) = &pass {
            pass.sends();
            call.begun = Some(begun(pass));
        }
        let _counted = UnderWay::new(&engine.0.counters.model_calls);
        let clock = engine.0.ports.clock.clone();
        let asked = clock.boot_micros();
        let result = ask(model, limit, call, deltas).await;
        engine.0.counters.attempted(provider, clock.boot_micros().saturating_sub(asked));
        if let Some(pass) = &pass {
            pass.came_to(&result);
        }
        Done::Model { turn, attempt, result }
    }
}

/// Tells a provider's account when the first of a reply arrives.
fn begun(pass: &Arc<Pass>) -> Begun {
    let arrives = Arc::downgrade(pass);
    Begun::new(move || {
        if let Some(pass) = arrives.upgrade() {
            pass.arrived();
        }
    })
}

/// The reply, or why there is none.
async fn ask(
    model: Option<Arc<dyn Model>>,
    limit: Span,
    call: ModelCall,
    deltas: DeltaSink,
) -> Result<Reply, ModelError> {
    let Some(model) = model else {
        let detail = "the agent version no longer has this model".to_owned();
        return Err(ModelError { code: code::VERSION_GONE, detail, retry: Retry::No, charged: false });
    };
    let failed = |code, detail| Err(ModelError { code, detail, retry: Retry::After(None), charged: true });
    match tokio::time::timeout(limit.to_std(), unwound(|| model.call(call, deltas))).await {
        Ok(Some(result)) => result,
        Ok(None) => failed(code::INTERNAL, "the model's adapter panicked".to_owned()),
        Err(_) => failed(code::MODEL_TIMEOUT, format!("no complete reply within {limit}")),
    }
}
