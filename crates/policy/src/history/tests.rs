//! What counters say, after what happened.
#![expect(clippy::unwrap_used, reason = "tests")]

use stead_core::{
    effect::{EffectClass, Ended},
    time::{Span, Timestamp},
};

use super::*;
use crate::tool::{Risk, ToolSpec, World};

const HOUR: Span = Span::from_secs(3_600);
const HERE: Scope<'_> = Scope { tenant: "t", agent: "a", session: "s", run: "r" };

fn world() -> World {
    let schema = serde_json::json!({ "type": "object", "properties": {
        "payee": { "type": "string" }, "amount": { "type": "integer" }, "rate": { "type": "number" },
    } });
    let tool = |name: &str| ToolSpec::new(name, "bank", EffectClass::Keyed, Risk::Normal, &schema);
    World::new([tool("pay"), tool("mail")]).unwrap()
}

fn history(text: &str) -> History {
    History::new(Counter::read("history.yaml", text, &world()).unwrap())
}

fn minutes(n: i64) -> Timestamp {
    Timestamp(n * 60_000_000)
}

fn sent<'a>(at: Timestamp, tool: &'a str, arguments: &'a str) -> Event<'a> {
    let arguments = Some(arguments);
    Event { at, scope: HERE, tool, arguments, happened: Happened::Sent { approved: false } }
}

#[test]
fn a_window_slides_and_what_is_exactly_as_old_is_out() {
    let mut history = history("mails: { count: mail, by: agent, within: 1h }");
    for at in [0, 10, 20] {
        history.apply(&sent(minutes(at), "mail", "{}"));
    }
    history.apply(&sent(minutes(20), "pay", "{}"));
    let at = |now: i64| history.read("mails", &HERE, minutes(now), "{}").unwrap();
    assert_eq!([at(20), at(59), at(60), at(79), at(80)], [3, 3, 2, 1, 0].map(Said::Long));
}

#[test]
fn sums_are_exact_negatives_add_nothing_and_what_cannot_be_read_is_all_there_is() {
    let mut history =
        history("paid: { sum: pay, of: amount, by: tenant }\nrates: { sum: pay, of: rate, by: tenant, within: 1d }");
    for arguments in [r#"{"amount":40,"rate":0.5}"#, r#"{"amount":-100}"#, r#"{"amount":2,"rate":0.0001}"#, "{}"] {
        history.apply(&sent(minutes(1), "pay", arguments));
    }
    assert_eq!(history.read("paid", &HERE, minutes(2), "{}"), Ok(Said::Long(42)));
    assert_eq!(history.read("rates", &HERE, minutes(2), "{}"), Ok(Said::Decimal(5_001)));
    history.apply(&sent(minutes(3), "pay", r#"{"amount":1e400}"#));
    assert_eq!(history.read("paid", &HERE, minutes(4), "{}"), Ok(Said::Long(i64::MAX)));
}

#[test]
fn a_value_is_seen_by_what_it_says_within_its_window_and_scope() {
    let mut history = history("known: { seen: pay, of: payee, by: tenant, within: 1h, when: approved }");
    let approved = Happened::Sent { approved: true };
    history.apply(&sent(minutes(0), "pay", r#"{"payee":"eve"}"#));
    history.apply(&Event { happened: approved, ..sent(minutes(1), "pay", r#"{"payee":"ad\u0061"}"#) });
    let seen = |now, arguments| history.read("known", &HERE, minutes(now), arguments);
    assert_eq!(seen(2, r#"{"payee":"ada"}"#), Ok(Said::Bool(true)));
    assert_eq!(seen(61, r#"{"payee":"ada"}"#), Ok(Said::Bool(false)));
    assert_eq!(seen(2, r#"{"payee":"eve"}"#), Ok(Said::Bool(false)));
    assert!(seen(2, "{}").is_err());
    let elsewhere = Scope { tenant: "u", ..HERE };
    assert_eq!(history.read("known", &elsewhere, minutes(2), r#"{"payee":"ada"}"#), Ok(Said::Bool(false)));
}

#[test]
fn the_last_outcome_is_the_latest_by_time() {
    let mut history = history("login: { last: [mail, pay], by: session }");
    let read = |history: &History| history.read("login", &HERE, minutes(9), "{}").unwrap();
    assert_eq!(read(&history), Said::Text("never"));
    for (at, ended) in [(1, Ended::Returned), (3, Ended::Denied), (2, Ended::Unknown)] {
        history.apply(&Event { happened: Happened::Ended(ended), ..sent(minutes(at), "pay", "{}") });
    }
    assert_eq!(read(&history), Said::Text("denied"));
}

#[test]
fn beyond_the_bound_a_count_says_more_and_never_less() {
    let mut history = history("mails: { count: mail, by: run, within: 1h }");
    let many = i64::try_from(MAX_EVENTS).unwrap() + 100;
    for n in 0..many {
        history.apply(&sent(Timestamp(n * 100_000), "mail", "{}"));
    }
    let now = Timestamp((many - 1) * 100_000);
    let Ok(Said::Long(said)) = history.read("mails", &HERE, now, "{}") else { panic!("a count") };
    assert!(said >= many, "{said} of {many}");
    assert_eq!(history.read("mails", &HERE, now.after(HOUR), "{}"), Ok(Said::Long(0)));
}

#[test]
fn more_scopes_than_the_bound_make_what_is_not_there_unknown() {
    let mut history = history("mails: { count: mail, by: run }");
    let runs: Vec<String> = (0..=MAX_KEYS).map(|n| n.to_string()).collect();
    for run in &runs {
        history.apply(&Event { scope: Scope { run, ..HERE }, ..sent(minutes(1), "mail", "{}") });
    }
    let last = Scope { run: &runs[MAX_KEYS], ..HERE };
    assert!(history.read("mails", &last, minutes(1), "{}").is_err());
    assert_eq!(history.read("mails", &Scope { run: "0", ..HERE }, minutes(1), "{}"), Ok(Said::Long(1)));
    let mut tally = history.tally("mails").clone();
    tally.sweep(minutes(2), &|run| run == "t\x000");
    tally.add("t\0last", minutes(3), Mark::Call(0));
    assert_eq!(tally.read("t\0last", minutes(3), None, (0, 0), [].iter()), Ok(Said::Long(1)));
}

#[test]
fn the_order_of_events_of_different_runs_does_not_matter() {
    let text = "mails: { count: mail, by: tenant, within: 1h }\npaid: { sum: pay, of: amount, by: agent, within: 2h }";
    let arguments = r#"{"amount":7}"#;
    let events: Vec<Event<'_>> = [(5, "mail"), (1, "pay"), (70, "mail"), (3, "pay"), (2, "mail")]
        .map(|(at, tool)| sent(minutes(at), tool, arguments))
        .into();
    let read = |order: &[usize]| {
        let mut history = history(text);
        order.iter().for_each(|n| history.apply(&events[*n]));
        ["mails", "paid"].map(|name| history.read(name, &HERE, minutes(64), "{}").unwrap())
    };
    assert_eq!(read(&[0, 1, 2, 3, 4]), read(&[4, 3, 1, 0, 2]));
    assert_eq!(read(&[0, 1, 2, 3, 4]), [Said::Long(2), Said::Long(14)]);
}

#[test]
fn a_counter_that_is_none_is_refused_with_its_place() {
    let said = |text: &str| {
        let problems = Counter::read("history.yaml", text, &world()).unwrap_err();
        problems.iter().map(ToString::to_string).collect::<Vec<_>>().join("\n")
    };
    assert_eq!(
        said("a: { count: mial, by: run }"),
        "history.yaml:1:1: `a`: there is no tool `mial`; did you mean `mail`?"
    );
    assert_eq!(
        said("a: { count: mail, by: run }\nb: { sum: pay, of: payee, by: run }"),
        "history.yaml:2:1: `b`: `payee` is no number"
    );
    assert!(said("a: { by: run }").contains("has one of"));
    assert!(said("a: { count: mail, by: run, within: 0s }").contains("is no span"));
    assert!(said("A: { count: mail, by: run }").contains("small letters"));
    assert!(said("a: { seen: all, of: payee, by: run }").contains("names its tools"));
    assert!(said("a: { count: mail, by: everyone }").starts_with("history.yaml:1:"));
}

#[test]
fn what_is_kept_says_the_same_and_goes_on_the_same() {
    let text = "mails: { count: mail, by: agent, within: 1h }\npaid: { sum: pay, of: rate, by: tenant }\n\
        known: { seen: pay, of: payee, by: tenant, within: 1h }\nended: { last: all, by: run }";
    let mut history = history(text);
    let mut event = |at, tool, happened| {
        let arguments = r#"{"payee":"ada","rate":0.5}"#;
        history.apply(&Event { happened, ..sent(minutes(at), tool, arguments) });
    };
    for at in [1, 5, 3, 9] {
        event(at, "mail", Happened::Sent { approved: false });
        event(at, "pay", Happened::Sent { approved: false });
        event(at, "pay", Happened::Ended(Ended::Refused));
    }
    let again = |tally: &Tally| {
        let bytes = minicbor::to_vec(tally.keep()).unwrap();
        Tally::of(minicbor::decode(&bytes).unwrap())
    };
    for (name, scope, said) in [
        ("mails", "t\0a", Said::Long(2)),
        ("paid", "t\0", Said::Decimal(20_000)),
        ("known", "t\0", Said::Bool(true)),
        ("ended", "t\0r", Said::Text("refused")),
    ] {
        let (mut tally, value) = (history.tally(name).clone(), history.counters()[name].value(r#"{"payee":"ada"}"#));
        // What a sweep has forgotten does not come back either.
        tally.sweep(minutes(64), &|_| false);
        let mut kept = again(&tally);
        assert_eq!(kept.read(scope, minutes(64), value, (0, 0), [].iter()), Ok(said), "{name}");
        for tally in [&mut tally, &mut kept] {
            tally.add(scope, minutes(65), Mark::Call(7));
        }
        let read = |tally: &Tally| tally.read(scope, minutes(66), value, (0, 0), [].iter());
        assert_eq!(read(&tally), read(&kept), "{name}");
    }
}

#[test]
fn a_value_that_nobody_can_read_any_more_makes_the_others_unknown_for_as_long_as_it_counts() {
    let mut history =
        history("known: { seen: pay, of: payee, by: tenant, within: 1h }\npaid: { sum: pay, of: amount, by: run }");
    history.apply(&sent(minutes(1), "pay", r#"{"payee":"ada","amount":1}"#));
    history.apply(&Event { arguments: None, ..sent(minutes(2), "pay", "") });
    let seen = |now, payee: &str| history.read("known", &HERE, minutes(now), &format!("{{\"payee\":\"{payee}\"}}"));
    assert_eq!(seen(3, "ada"), Ok(Said::Bool(true)));
    assert!(seen(3, "eve").is_err());
    assert_eq!(seen(62, "eve"), Ok(Said::Bool(false)));
    assert_eq!(history.read("paid", &HERE, minutes(3), "{}"), Ok(Said::Long(i64::MAX)));
}

#[test]
fn what_is_added_to_a_counter_counts_as_if_it_had_happened() {
    let mut history =
        history("mails: { count: mail, by: agent, within: 1h }\nknown: { seen: pay, of: payee, by: agent }");
    history.apply(&sent(minutes(1), "mail", "{}"));
    history.apply(&sent(minutes(1), "pay", r#"{"payee":"ada"}"#));
    let more = [(minutes(2), Mark::Call(0)), (minutes(-70), Mark::Call(0)), (minutes(2), Mark::Value([7; 16]))];
    let read = |name, value| history.tally(name).read("t\0a", minutes(3), value, (0, 0), more.iter());
    assert_eq!(read("mails", None), Ok(Said::Long(2)));
    assert_eq!(read("known", Some([7; 16])), Ok(Said::Bool(true)));
    assert_eq!(read("known", Some([8; 16])), Ok(Said::Bool(false)));
}
