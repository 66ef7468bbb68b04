//! Changing a sandbox that runs: its time, its limits, its way out.

use stead_egress::Rules;
use stead_ports::sandbox as port;

use super::{Sandbox, State, span};
use crate::{Change, SandboxesError, limits::LIFE};

impl Sandbox {
    /// Changes it. All that can be refused is looked at before anything changes.
    ///
    /// # Errors
    /// ST0323 beyond its template, ST0221 when nothing holds such a limit, ST0261 for a wrong rule, ST0320 when it has ended.
    pub async fn change(&self, change: Change) -> Result<State, SandboxesError> {
        let (_, template) = self.all.template(Some(&self.template))?;
        template.allows(change.limits)?;
        if change.limits.disk.is_some() {
            let why = "the bytes of disk are set when a sandbox is made, and cannot be changed";
            return Err(SandboxesError::Refused(why.to_owned()));
        }
        let ttl = change.ttl.map(|ttl| template.ttl(Some(ttl))).transpose()?;
        let egress = change.egress.map(|rules| template.egress(Some(rules))).transpose()?;
        let rules = egress.as_ref().map(Rules::new).transpose()?;
        let crate::Limits { memory, cpu_milli, pids, disk: _ } = change.limits;
        let asked = port::Change { memory, pids, cpu_milli };
        if asked != port::Change::default() {
            self.given.limit(asked).await.map_err(|e| self.gone_or(e))?;
            let mut state = self.state.lock();
            let limits = state.limits;
            state.limits = port::Limits {
                memory: memory.or(limits.memory),
                cpu_milli: cpu_milli.or(limits.cpu_milli),
                pids: pids.or(limits.pids),
                ..limits
            };
        }
        if let (Some(rules), Some(egress)) = (rules, egress) {
            self.proxy.set_rules(rules)?;
            self.state.lock().egress = egress;
        }
        if let Some(ttl) = ttl {
            // A box has no longer life than any.
            let last = self.created.after(span(LIFE));
            let expires = self.all.0.parts.clock.now().after(span(ttl)).min(last);
            self.state.lock().expires = expires;
            self.expires.send_replace(expires);
        }
        Ok(self.state())
    }
}
