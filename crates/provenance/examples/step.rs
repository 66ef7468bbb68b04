//! What labelling costs a step: a result of 2 KiB is heard and a call of three arguments is traced, in a run of 2,000 steps.
//! `cargo run -p stead-provenance --example step --config 'profile.dev.package.stead-provenance.opt-level=3'`
#![expect(
    clippy::disallowed_methods,
    clippy::disallowed_types,
    clippy::disallowed_macros,
    clippy::unwrap_used,
    reason = "an example measures and prints"
)]

use std::time::{Duration, Instant};

use serde_json::json;
use stead_provenance::{
    declare::{Declared, Tool},
    ledger::{Ledger, Said},
    trust::Trust,
};

const STEPS: usize = 2_000;

fn main() {
    let fields = [
        ("$", Trust::Attested),
        ("$[*]", Trust::Untrusted),
        ("$[*].id", Trust::Attested),
        ("$[*].from", Trust::Attested),
    ];
    for (what, trust) in [
        ("untrusted results", Declared::default()),
        ("results with attested fields", Declared::new(fields).unwrap()),
        ("trusted results", Declared::all(Trust::Trusted)),
    ] {
        let tool = Tool::named("mail_list").trust(trust);
        let send = Tool::named("mail_send").effect().content(["body"]).recipients(["to"]);
        let mut ledger = Ledger::default();
        ledger.hear(Said::User("Answer the mails of ada@example.com from May 3rd, 2026 on."));
        let mut quarters = [Duration::ZERO; 4];
        for step in 0..STEPS {
            let mails: Vec<_> = (0..8).map(|i| json!({
                "id": format!("m{step}-{i}"), "from": format!("p{}@example.com", (step * 8 + i) % 500), "date": "2026-05-03T10:00:00Z",
                "body": "The meeting is moved to Thursday, 3 pm. Please bring the figures of the last quarter (12,500.00 EUR) and say \
                         whether 'Acme Ltd' has paid; their page is https://example.com/invoices/2026.",
            })).collect();
            let content = json!(mails).to_string();
            let arguments = json!({"to": ["ada@example.com"], "subject": format!("Re: m{step}-3"), "body": "Thank you, I will be there."}).to_string();
            let start = Instant::now();
            ledger.hear(Said::Result { tool: &tool, content: &content, error: false });
            let window = ledger.window(ledger.len().saturating_sub(40)..ledger.len());
            let call = ledger.trace(&send, &arguments, &window).unwrap();
            ledger.sent(&call);
            ledger.hear(Said::Reply(&window));
            quarters[step * 4 / STEPS] += start.elapsed();
        }
        let each = quarters.map(|q| format!("{:.0}", q.as_secs_f64() * 1e6 / (STEPS / 4) as f64));
        println!(
            "{what}: {} µs a step in each quarter of the run; {} keys held, full: {}",
            each.join(", "),
            ledger.held(),
            ledger.is_full()
        );
    }
}
