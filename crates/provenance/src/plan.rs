//! Plans: what a run may do once it has read other people's words.
//!
//! A plan is drawn from the task and the tools' schemas before anything untrusted is read, and frozen then. It names slots: a
//! tool, the arguments that steer it, how often. An argument is bound to a literal or to an expression that the
//! runtime evaluates over what tools returned, so that no model writes it again.
//!
//! ```
//! use stead_provenance::{declare::Tool, plan::Plan, trust::Label};
//!
//! let tools = [Tool::named("hotels_list"), Tool::named("hotel_reserve").effect()];
//! let text = r#"
//! let hotels = hotels_list(city: "Paris")
//! do hotel_reserve(hotel: max_by(hotels, rating).name, from: "2025-01-11") if count(hotels) > 0
//! "#;
//! let plan = Plan::draw("plan", text, &tools, &Label::nothing()).expect("it is a plan");
//! assert_eq!(plan.slots(), 1);
//! let errors = Plan::draw("plan", "do hotel_reserv(hotel: \"Ritz\")", &tools, &Label::nothing()).unwrap_err();
//! assert_eq!(errors[0].to_string(), "plan:1:4: there is no tool `hotel_reserv`\n  hint: did you mean `hotel_reserve`?");
//! ```

mod ast;
mod check;
pub mod datum;
mod error;
mod eval;
mod judge;
mod lex;
mod moment;
mod names;
mod parse;
pub mod state;
mod types;

use std::{collections::BTreeSet, fmt, sync::Arc};

use sha2::{Digest as _, Sha256};

use self::{
    ast::{Function, Let, Slot, Source, Statement},
    error::Wrong,
};
pub use self::{
    error::PlanError,
    eval::{MAX_STEPS, MAX_TEXT},
    state::{Answer, Event, PlanState, Standing, Why},
};
use crate::{declare::Tool, trust::Label};

/// Bytes of a plan's text.
pub const MAX_PLAN: usize = 64 << 10;
/// Slots of a plan, and names given by `let`.
pub const MAX_STATEMENTS: usize = 256;
/// The name of when the run began.
const NOW: &str = "now";
/// Mistakes of one plan that are told.
pub const MAX_ERRORS: usize = 20;

/// A plan that is frozen: it says what it said when it was drawn, and its digest names it.
#[derive(Clone)]
pub struct Plan(Arc<Frozen>);

struct Frozen {
    file: String,
    text: String,
    digest: [u8; 32],
    lets: Vec<Let>,
    slots: Vec<Slot>,
    /// The tools that it names.
    tools: Vec<Tool>,
}

impl Frozen {
    fn tool(&self, name: &str) -> Option<&Tool> {
        self.tools.iter().find(|tool| *tool.name == *name)
    }
}

impl Plan {
    /// Reads, checks and freezes a plan, which was written with that window in view.
    ///
    /// # Errors
    /// Everything that is wrong with it, up to [`MAX_ERRORS`]; and that it is none if whoever wrote it had read anything that is
    /// not trusted.
    pub fn draw(file: &str, text: &str, tools: &[Tool], window: &Label) -> Result<Self, Vec<PlanError>> {
        let placed = |wrong: Vec<Wrong>| wrong.into_iter().take(MAX_ERRORS).map(|w| w.placed(file, text)).collect();
        if !window.is_trusted() {
            let wrong = Wrong::new(0..0, format!("this plan was drawn with words of {} in view", window.origins));
            return Err(placed(vec![wrong.hint("draw it from the task, before anything else is read")]));
        }
        if text.len() > MAX_PLAN {
            return Err(placed(vec![Wrong::new(MAX_PLAN..MAX_PLAN, format!("a plan has at most {MAX_PLAN} bytes"))]));
        }
        let statements = parse::parse(text).map_err(|wrong| placed(vec![wrong]))?;
        if statements.len() > MAX_STATEMENTS {
            return Err(placed(vec![Wrong::new(0..0, format!("a plan has at most {MAX_STATEMENTS} statements"))]));
        }
        let wrong = check::check(&statements, tools);
        if !wrong.is_empty() {
            return Err(placed(wrong));
        }
        let (mut lets, mut slots) = (Vec::new(), Vec::new());
        for statement in statements {
            match statement {
                Statement::Let(let_) => lets.push(let_),
                Statement::Do(slot) => {
                    lets.extend(slot.name.clone().map(|name| Let { name, source: Source::Done(slots.len()) }));
                    slots.push(slot);
                }
            }
        }
        let reads = lets.iter().filter_map(|let_| match &let_.source {
            Source::Read(read) => Some(&read.calls),
            Source::Value(_) | Source::Done(_) => None,
        });
        let named: BTreeSet<&str> =
            reads.chain(slots.iter().map(|s| &s.calls)).flatten().map(|call| &*call.tool.text).collect();
        let tools = tools.iter().filter(|tool| named.contains(&*tool.name)).cloned().collect();
        let digest = Sha256::new().chain_update(b"stead/plan/v1").chain_update(text).finalize().into();
        Ok(Self(Arc::new(Frozen { file: file.to_owned(), text: text.to_owned(), digest, lets, slots, tools })))
    }

    /// `SHA-256("stead/plan/v1" || text)`.
    pub fn digest(&self) -> [u8; 32] {
        self.0.digest
    }

    /// The text, as it was drawn.
    pub fn text(&self) -> &str {
        &self.0.text
    }

    /// How many slots it has.
    pub fn slots(&self) -> usize {
        self.0.slots.len()
    }

    /// The function's name and what it gives, for whoever writes plans.
    pub fn functions() -> impl Iterator<Item = (&'static str, &'static str)> {
        Function::ALL.iter().map(|f| (f.word(), f.about()))
    }
}

impl fmt::Debug for Plan {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Plan").field("file", &self.0.file).field("slots", &self.0.slots.len()).finish_non_exhaustive()
    }
}

/// Two plans are the same if their texts are.
impl PartialEq for Plan {
    fn eq(&self, other: &Self) -> bool {
        self.0.digest == other.0.digest
    }
}
