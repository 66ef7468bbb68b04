//! The lists of calls that all tiers share ([`stead_tier::calls`]) as the profile of an OCI runtime (OCI runtime specification,
//! `config-linux.md`, Seccomp).
//!
//! A profile allows a call if all conditions of one of its rows hold; there is no "unless", and one error for all that no row
//! allows. So each rule is turned into the rows that it allows (`rows.rs`), and what it refuses gets `EPERM`, where the
//! namespace tier has an error for each.

mod rows;

use serde_json::{Value, json};
use stead_tier::calls::{
    self,
    rule::{Rule, Verdict},
};

const EPERM: u32 = 1;

#[cfg(target_arch = "x86_64")]
const ARCHITECTURE: &str = "SCMP_ARCH_X86_64";
#[cfg(target_arch = "aarch64")]
const ARCHITECTURE: &str = "SCMP_ARCH_AARCH64";

/// The profile, as it stands in `config.json`.
pub(super) fn profile() -> Value {
    let (mut allowed, mut rules) = (Vec::new(), Vec::new());
    for (call, rule) in calls::rules() {
        match rule {
            Rule::Always(Verdict::Allow) => allowed.push(call.name),
            Rule::Always(Verdict::Errno(code)) => rules.push(json!({
                "names": [call.name], "action": "SCMP_ACT_ERRNO", "errnoRet": code.unsigned_abs(),
            })),
            Rule::Always(Verdict::Kill) => {
                rules.push(json!({ "names": [call.name], "action": "SCMP_ACT_KILL_PROCESS" }))
            }
            Rule::Checked(checks, last) => rules.extend(rows::allowed(checks, last).into_iter().map(|row| {
                let conditions = row.into_iter().map(|is| {
                    let op = "SCMP_CMP_MASKED_EQ";
                    json!({ "index": is.argument, "value": is.mask, "valueTwo": is.value, "op": op })
                });
                let conditions: Vec<Value> = conditions.collect();
                json!({ "names": [call.name], "action": "SCMP_ACT_ALLOW", "args": conditions })
            })),
        }
    }
    rules.push(json!({ "names": allowed, "action": "SCMP_ACT_ALLOW" }));
    json!({
        "defaultAction": "SCMP_ACT_ERRNO",
        "defaultErrnoRet": EPERM,
        "architectures": [ARCHITECTURE],
        "syscalls": rules,
    })
}
