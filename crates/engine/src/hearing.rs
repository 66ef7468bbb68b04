//! The conversation of a run as provenance hears it: who said what, and how far that counts. Made anew whenever a run is loaded,
//! from the texts of its journal alone.

use std::{collections::BTreeMap, fmt};

use stead_core::{
    id::Name,
    label::SealedLabel,
    message::{Message, Reply},
    record::Source,
    ruling::PlanMark,
    run::{Call, Entry, EntryKind, Planning, State},
    time::Timestamp,
};
use stead_ports::agent::{Agent, Behind, Provenance};
use stead_provenance::{
    declare::Tool,
    json,
    ledger::{Ledger, Said},
    plan::{Answer, Event, Plan, PlanError, PlanState, Standing, state::Use},
    trace::Traced,
    trust::{Label, Origin, Trust},
};

/// See the module.
#[derive(Default)]
pub(crate) struct Hearing {
    ledger: Ledger,
    /// What each entry counts.
    labels: Vec<Label>,
    /// What the entries up to each count together, so that a long conversation is not joined again for each of them.
    windows: Vec<Label>,
    /// What effects of this run were asked and returned.
    answers: BTreeMap<u32, Answer>,
    /// The calls of the last reply that was heard: the tool, and its arguments.
    calls: Vec<(String, String)>,
    plan: Option<Plan>,
}

impl fmt::Debug for Hearing {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Hearing").field("entries", &self.labels.len()).finish_non_exhaustive()
    }
}

/// What provenance says of a call.
pub(crate) struct Judged {
    pub(crate) traced: Traced,
    pub(crate) standing: Standing,
    pub(crate) state: PlanState,
}

impl Judged {
    /// What is recorded of it when it is let go.
    pub(crate) fn mark(&self) -> Option<PlanMark> {
        match &self.standing {
            Standing::Free { read } => read.map(PlanMark::Read),
            Standing::Planned(Use { slot, element }) => Some(PlanMark::Used { slot: *slot, element: element.clone() }),
            Standing::Unplanned(_) => None,
        }
    }
}

impl Hearing {
    pub(crate) fn new(agent: &Agent) -> Self {
        let mut hearing = Self::default();
        hearing.ledger.instruct(&agent.instructions);
        hearing
    }

    /// What was heard, folded.
    pub(crate) const fn ledger(&mut self) -> &mut Ledger {
        &mut self.ledger
    }

    /// Entries that were heard.
    pub(crate) fn len(&self) -> usize {
        self.labels.len()
    }

    /// Whether something untrusted was heard after the first so many entries.
    pub(crate) fn tainted_since(&self, entries: usize) -> bool {
        self.labels.iter().skip(entries).any(Label::is_tainted)
    }

    /// The plan, if it was drawn.
    pub(crate) const fn plan(&self) -> Option<&Plan> {
        self.plan.as_ref()
    }

    /// Takes the text of the plan in. One that was drawn can be drawn again: a version keeps its tools.
    pub(crate) fn take_plan(
        &mut self,
        provenance: &Provenance,
        task: &Label,
        text: &str,
    ) -> Result<(), Vec<PlanError>> {
        self.plan = Some(draw(provenance, task, text)?);
        Ok(())
    }

    /// Whether the run's plan has not been taken in yet.
    pub(crate) fn lacks_plan(&self, state: &State) -> bool {
        self.plan.is_none() && matches!(state.planning, Planning::Drawn(_))
    }

    /// Hears the next entry. `own` is what a person said without the files that came with it.
    pub(crate) fn hear(&mut self, agent: &Agent, provenance: &Provenance, state: &State, heard: Spoken<'_>) {
        let Spoken { entry, message, own } = heard;
        let index = self.labels.len();
        let window = self.window(index);
        let label = match (entry.kind, message) {
            (EntryKind::Reply, Message::Assistant(reply)) => {
                let label = self.ledger.hear(Said::Reply(&window)).label;
                self.replied(agent, provenance, reply, &window);
                label
            }
            (EntryKind::User, _) => self.person(entry, own, agent),
            (EntryKind::Result { effect, call, error }, Message::Tool(result)) => {
                let (named, asked) = match self.calls.get(usize::from(call)) {
                    Some((name, arguments)) => (name.clone(), arguments.clone()),
                    None => (result.name.to_string(), String::new()),
                };
                let said = Result_ { name: &named, asked: &asked, content: &result.content, error, effect };
                self.result(agent, provenance, state, entry, (index, &window), said)
            }
            // The runtime's own words quote what it speaks of: they are a source of nothing, and add nothing.
            (EntryKind::Rejected, _) => self.ledger.hear(Said::Reply(&window)).label,
            // A late answer has lost its place, and what is declared of it.
            (_, message) => {
                let nobody = Tool::named("");
                let content = text_of(message);
                self.ledger.hear(Said::Result { tool: &nobody, content, error: true }).label
            }
        };
        self.windows.push(window.join(&label));
        self.labels.push(label);
    }

    fn replied(&mut self, agent: &Agent, provenance: &Provenance, reply: &Reply, window: &Label) {
        self.calls.clear();
        for call in &reply.calls {
            let (arguments, _) = crate::gate::split(agent, call.arguments.get());
            if let Some(tool) = provenance.tools.get(call.name.as_str())
                && let Ok(traced) = self.ledger.trace(tool, &arguments, window)
            {
                // Whether it was sent in the end is no matter: an echo only lowers.
                self.ledger.sent(&traced);
            }
            self.calls.push((call.name.clone(), arguments.into_owned()));
        }
    }

    fn person(&mut self, entry: &Entry, own: &str, agent: &Agent) -> Label {
        match &entry.label {
            Some(sealed) => {
                let origin = Origin::Agent(agent.name.clone());
                self.ledger.hear(Said::Carried { origin: &origin, label: &opened(sealed), text: own }).label
            }
            None if entry.payload.source == Some(Source::User) => {
                let label = self.ledger.hear(Said::User(own)).label;
                match entry.payload.artifacts.first() {
                    // The words of files are those of whoever wrote them.
                    Some(file) => {
                        let name = Name::from(file.name.as_str());
                        label.join(&Label::new(Trust::Untrusted, Origin::File(name)))
                    }
                    None => label,
                }
            }
            None => {
                let origin = Origin::Agent(agent.name.clone());
                self.ledger.hear(Said::Carried { origin: &origin, label: &Label::default(), text: own }).label
            }
        }
    }

    fn result(
        &mut self,
        agent: &Agent,
        provenance: &Provenance,
        state: &State,
        entry: &Entry,
        (index, window): (usize, &Label),
        said: Result_<'_>,
    ) -> Label {
        let Result_ { name, asked, content, error, effect } = said;
        if matches!(entry.payload.source, Some(Source::Runtime | Source::User)) {
            // A refusal, or a human's no.
            return self.ledger.hear(Said::Reply(window)).label;
        }
        let is_agent = agent.tool(name).is_some_and(|t| matches!(t.behind, Behind::Agent(..)));
        if is_agent || entry.label.is_some() {
            let origin = Origin::Child(name.into());
            let label = entry.label.as_ref().map(opened).unwrap_or_default();
            return self.ledger.hear(Said::Carried { origin: &origin, label: &label, text: content }).label;
        }
        let undeclared = Tool::named(name);
        let tool = provenance.tools.get(name).unwrap_or(&undeclared);
        let heard = self.ledger.hear(Said::Result { tool, content, error });
        if index >= state.earlier as usize
            && let Some(value) = heard.value
        {
            let arguments = json::arguments(asked).unwrap_or_default();
            self.answers.insert(effect, Answer { tool: name.into(), arguments, value });
        }
        heard.label
    }

    /// What the first so many entries count together. What a model has read stays with the run, so all of them count, whether they are still
    /// in view or not.
    pub(crate) fn window(&self, entries: usize) -> Label {
        let heard = entries.min(self.windows.len()).checked_sub(1).and_then(|last| self.windows.get(last));
        heard.cloned().unwrap_or_else(|| Label::new(Trust::Trusted, Origin::Operator))
    }

    /// What counts of what a model reads that is asked now. Of what has just come in and is not heard yet, that is the least that it can
    /// count by who said it; a planner reads the task alone.
    pub(crate) fn reading(&self, agent: &Agent, provenance: &Provenance, state: &State) -> Label {
        if state.planning.wanted() {
            return task(state);
        }
        let fresh = state.transcript.iter().skip(self.len());
        fresh.fold(self.window(self.len()), |label, entry| match self.unheard(agent, provenance, entry) {
            Some(more) => label.join(&more),
            None => label,
        })
    }

    /// What an entry counts at least; `None` when it adds nothing to what is there already.
    fn unheard(&self, agent: &Agent, provenance: &Provenance, entry: &Entry) -> Option<Label> {
        match entry.kind {
            EntryKind::Reply | EntryKind::Rejected => None,
            EntryKind::User if !entry.payload.artifacts.is_empty() => Some(Label::default()),
            EntryKind::User => Some(said_by(entry)),
            EntryKind::Result { call, .. } => {
                if matches!(entry.payload.source, Some(Source::Runtime | Source::User)) {
                    return None;
                }
                if let Some(sealed) = &entry.label {
                    return Some(opened(sealed));
                }
                let Some((name, _)) = self.calls.get(usize::from(call)) else { return Some(Label::default()) };
                let is_agent = agent.tool(name).is_some_and(|t| matches!(t.behind, Behind::Agent(..)));
                let declared = provenance.tools.get(name.as_str()).filter(|_| !is_agent);
                let trust = declared.map(|tool| tool.trust.lowest()).unwrap_or_default();
                Some(Label::new(trust, Origin::Tool(name.as_str().into())))
            }
            EntryKind::Note => Some(Label::default()),
        }
    }

    /// What a call of the open turn's reply comes to. What it was to the plan when it was let go before does not count.
    pub(crate) fn judge(
        &self,
        provenance: &Provenance,
        state: &State,
        of: &Call,
        arguments: &str,
    ) -> Result<Judged, String> {
        let reply = state.transcript.iter().enumerate().filter(|(_, e)| e.kind == EntryKind::Reply).last();
        let made = Made {
            effect: of.head.effect,
            tool: &of.head.tool,
            arguments,
            window: self.window(reply.map_or(self.labels.len(), |(n, _)| n)),
            began: state.started_at,
            marks: &state.plan_marks,
        };
        self.judge_as(provenance, &made)
    }

    /// The same of a call that is told so.
    pub(crate) fn judge_as(&self, provenance: &Provenance, made: &Made<'_>) -> Result<Judged, String> {
        let undeclared = Tool::named(made.tool).effect();
        let tool = provenance.tools.get(made.tool).unwrap_or(&undeclared);
        let traced = self.ledger.trace(tool, made.arguments, &made.window).map_err(|e| format!("its arguments {e}"))?;
        let plans = self.plan_state(made);
        let standing = plans.judge(self.plan.as_ref(), tool, &traced, &provenance.entitled);
        Ok(Judged { traced, standing, state: plans })
    }

    /// What has become of the plan, by what calls but that one were let go and what they returned.
    fn plan_state(&self, made: &Made<'_>) -> PlanState {
        let mut plans = PlanState::of_run_begun_at(made.began);
        for (effect, mark) in made.marks.iter().filter(|(effect, _)| *effect != made.effect) {
            let effect = *effect;
            plans.apply(&match mark {
                PlanMark::Read(read) => Event::Read { effect, read: *read },
                PlanMark::Used { slot, element } => {
                    Event::Used { effect, used: Use { slot: *slot, element: element.clone() } }
                }
            });
            if let Some(answer) = self.answers.get(&effect) {
                plans.returned(effect, answer);
            }
        }
        plans
    }
}

/// A call that is to be judged, and what had happened to the plan before.
pub(crate) struct Made<'a> {
    pub(crate) effect: u32,
    pub(crate) tool: &'a str,
    pub(crate) arguments: &'a str,
    /// What the model had read that wrote it.
    pub(crate) window: Label,
    /// When the run began.
    pub(crate) began: Timestamp,
    /// What calls that were let go are to the plan.
    pub(crate) marks: &'a [(u32, PlanMark)],
}

/// An entry of the conversation with its text.
pub(crate) struct Spoken<'a> {
    pub(crate) entry: &'a Entry,
    pub(crate) message: &'a Message,
    pub(crate) own: &'a str,
}

struct Result_<'a> {
    name: &'a str,
    /// The arguments of its call.
    asked: &'a str,
    content: &'a str,
    error: bool,
    effect: u32,
}

/// Reads and checks a plan that was drawn from the task alone.
pub(crate) fn draw(provenance: &Provenance, task: &Label, text: &str) -> Result<Plan, Vec<PlanError>> {
    let tools: Vec<Tool> = provenance.tools.values().cloned().collect();
    Plan::draw("plan", text, &tools, task)
}

/// Whose words a run's task is: all that a planner is shown of it.
pub(crate) fn task(state: &State) -> Label {
    let own = state.transcript.iter().skip(state.earlier as usize).filter(|e| e.kind == EntryKind::User);
    own.fold(Label::new(Trust::Trusted, Origin::Operator), |label, entry| label.join(&said_by(entry)))
}

/// Whose words a task is, without the files that came with it.
fn said_by(entry: &Entry) -> Label {
    match &entry.label {
        Some(sealed) => opened(sealed),
        None if entry.payload.source == Some(Source::User) => Label::new(Trust::Trusted, Origin::User),
        None => Label::default(),
    }
}

/// A label out of the journal; one that cannot be read is untrusted.
pub(crate) fn opened(sealed: &SealedLabel) -> Label {
    minicbor::decode(&sealed.0).unwrap_or_default()
}

/// A label for the journal.
pub(crate) fn sealed(label: &Label) -> SealedLabel {
    SealedLabel(minicbor::to_vec(label).expect("encodes to memory").into())
}

/// The label of an input that is not its giver's word alone: nobody here has heard who said it.
pub fn untrusted() -> SealedLabel {
    sealed(&Label::default())
}

fn text_of(message: &Message) -> &str {
    match message {
        Message::User { text, .. } => text,
        Message::Assistant(reply) => &reply.text,
        Message::Tool(result) => &result.content,
    }
}
