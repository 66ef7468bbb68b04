//! Whether it may be looked at what a call would do: a call of another tool, which the runtime makes for the people that are to be
//! asked. Policies are asked about it as about any other.

use std::{borrow::Cow, sync::Arc};

use stead_core::{
    code,
    effect::EffectClass,
    fact::Verdict,
    grant::Use,
    run::{Call, Rewrite, Ruling, State},
    time::Timestamp,
};
use stead_policy::{Deed, Policies, Risk};
use stead_ports::agent::{BoundTool, Preview};
use stead_provenance::plan::Standing;

use super::{Around, RunGate, no_policies, off, outside, refused, said_by, split, told};
use crate::{history::inline, off::Through, prepare, preview};

impl RunGate<'_> {
    /// See [`Gate::preview`](stead_core::run::Gate::preview).
    pub(super) fn look(&self, state: &State, i: usize, now: Timestamp) -> Ruling {
        let Some(policies) = &self.policies else { return no_policies() };
        let call = &state.calls[i];
        let Some((how, tool)) = self.looks(call) else {
            return refused(policies, "the agent version has nothing that looks at it".to_owned());
        };
        let allowed = state.behalf.allows(Use::Tool(&how.tool), now);
        if let Some(denied) = allowed.err().or_else(|| outside(state, tool, now)) {
            return Ruling { code: code::GRANT, ..refused(policies, format!("not looked at: {denied}")) };
        }
        let through = Through::tool(self.agent, &how.tool);
        if let Some(why) = self.off.as_ref().zip(through).and_then(|(view, t)| t.why_off(view, &state.tenant)) {
            return off(policies, &why);
        }
        let made = self.sent(call).ok_or_else(|| "its arguments cannot be read any more".to_owned());
        let made = made.and_then(|sent| preview::arguments(how, tool, &sent));
        match made {
            Ok(arguments) => self.look_with(policies, state, (call, tool), &arguments, now),
            Err(why) => refused(policies, why),
        }
    }

    /// What looks at a call, and the tool that it looks with.
    fn looks(&self, call: &Call) -> Option<(&Preview, &BoundTool)> {
        let how = self.agent.tool(&call.head.tool)?.preview.as_deref()?;
        let tool = self.agent.tool(&how.tool).filter(|tool| tool.class == EffectClass::Pure)?;
        Some((how, tool))
    }

    /// The arguments of a call, as they will be sent.
    fn sent(&self, call: &Call) -> Option<String> {
        let Some(written) = &call.arguments else {
            let said = self.reply?.calls.get(usize::from(call.index))?;
            return Some(split(self.agent, said.arguments.get()).0.into_owned());
        };
        let known = || self.answers?.texts.iter().find(|(effect, _)| *effect == call.head.effect);
        inline(written).map(Cow::into_owned).or_else(|| known().map(|(_, text)| text.clone()))
    }

    fn look_with(
        &self,
        policies: &Arc<Policies>,
        state: &State,
        (call, tool): (&Call, &BoundTool),
        arguments: &str,
        now: Timestamp,
    ) -> Ruling {
        // Where its arguments come from is told as of the call that they are taken from.
        let mut look = call.clone();
        (look.head.tool, look.head.class) = (tool.def.name.as_str().into(), tool.class);
        let judged = match self.judged(state, &look, arguments) {
            Ok(judged) => judged,
            Err(why) => return refused(policies, why),
        };
        let around = Around {
            now,
            risk: Risk::Normal,
            // The runtime makes it: how sure the model is says nothing about it.
            confidence: None,
            ask_below: None,
            view: self.heard.map(|heard| heard.view(state, None, None, now)),
            approvals: &[],
            traced: judged.is_some(),
            taint: judged.as_ref().is_some_and(|judged| judged.traced.window.is_tainted()),
            plan: judged.as_ref().is_some_and(|judged| !matches!(judged.standing, Standing::Unplanned(_))),
        };
        let said_by = judged.as_ref().map(said_by).unwrap_or_default();
        let deed = Deed::CallTool { tool: &tool.def.name, arguments, provenance: &said_by };
        let (mut ruling, why, written) = self.decide_whole(policies, state, tool, deed, &around);
        if ruling.why.is_some() {
            ruling.why = Some(told::why(&why, judged.as_ref(), None));
        }
        ruling.rewritten = None;
        if ruling.verdict == Verdict::Allow {
            let written = written.as_deref().unwrap_or(arguments);
            match prepare::identity(tool, written) {
                Ok((args, _)) => {
                    let arguments = written.to_owned().into();
                    ruling.rewritten = Some(Rewrite { arguments, args, key: None });
                }
                Err(why) => return refused(policies, why),
            }
        }
        ruling
    }
}
