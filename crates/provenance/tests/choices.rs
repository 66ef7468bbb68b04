//! What a plan leaves open, and how far whoever speaks to the model gets with it: no further than the plan's author wrote down.
#![expect(clippy::unwrap_used, reason = "tests")]

mod lead;

use proptest::{collection::vec, prelude::*};
use serde_json::{Value, json};
use stead_core::time::Timestamp;
use stead_provenance::{
    declare::{Declared, Tool},
    entitle::Reader,
    ledger::Ledger,
    plan::{Plan, PlanState, Standing, datum::Datum},
    trust::{Label, Origin, Trust},
};

use crate::lead::{Run, answer, planned, why};

fn attests(name: &str) -> Tool {
    Tool::named(name).trust(Declared::all(Trust::Attested))
}

fn pay() -> Tool {
    let properties = json!({"to": {"type": "string"}, "amount": {"type": "number"}, "note": {"type": "string"},
        "currency": {"type": "string", "default": "EUR"}});
    Tool::named("pay")
        .effect()
        .content(["note"])
        .recipients([])
        .input(json!({"type": "object", "properties": properties, "required": ["to", "amount"]}))
}

fn tainted(tools: Vec<Tool>, plan: &str) -> Run {
    let mut run = Run::new(tools, "…", plan);
    run.taint();
    run
}

#[test]
fn a_choice_is_one_call_in_all_with_an_element_that_the_plan_offers() {
    let plan = r#"let all = contacts() do pay(to: c.iban, amount: c.owed) one c in filter(all, owed > 0)"#;
    let mut run = Run::new(vec![attests("contacts"), pay()], "Pay one of those whom I owe.", plan);
    let all = json!([{"iban": "A", "owed": 5}, {"iban": "B", "owed": 7}, {"iban": "C", "owed": 0}]);
    run.call("contacts", &json!({}), &all);
    run.taint();
    for (to, amount) in [("C", 0), ("A", 7), ("eve", 5), ("A", 5000)] {
        assert!(!planned(&run.judge("pay", &json!({"to": to, "amount": amount}))), "{to} {amount}");
    }
    assert!(planned(&run.judge("pay", &json!({"to": "A", "amount": 5}))));
    assert!(planned(&run.call("pay", &json!({"to": "B", "amount": 7}), &json!("done"))));
    assert_eq!(why(&run.judge("pay", &json!({"to": "A", "amount": 5}))), ["slot 1: it is used"], "it was one");
}

#[test]
fn a_choice_among_untrusted_elements_is_none() {
    let plan = r#"let all = contacts() do pay(to: c, amount: 1) one c in all"#;
    let mut run = Run::new(vec![Tool::named("contacts"), pay()], "…", plan);
    run.call("contacts", &json!({}), &json!(["A", "eve"]));
    for to in ["A", "eve"] {
        assert!(why(&run.judge("pay", &json!({"to": to, "amount": 1})))[0].contains("which is untrusted"));
    }
}

#[test]
fn what_lies_between_two_bounds_may_be_chosen_and_nothing_else() {
    let plan = r#"do pay(to: "A", amount: between(1, 50.5))"#;
    let mut run = tainted(vec![pay()], plan);
    for amount in [json!(0.99), json!(50.51), json!(-7), json!("1e9"), json!("9"), json!([9]), json!(null), json!(true)]
    {
        let given = json!({"to": "A", "amount": amount});
        assert!(!planned(&run.judge("pay", &given)), "{given}");
    }
    assert!(why(&run.judge("pay", &json!({"to": "A"})))[0].contains("`amount` is bound"));
    assert!(planned(&run.call("pay", &json!({"to": "A", "amount": 50.5}), &json!("done"))));
    assert!(!planned(&run.judge("pay", &json!({"to": "A", "amount": 1}))), "it is used");

    let plan = r#"do meet(at: between("2026-01-12 18:00", "2026-01-12 20:00"))"#;
    let run = tainted(vec![Tool::named("meet").effect()], plan);
    for (at, may) in [
        ("2026-01-12T18:00", true),
        ("January 12th, 2026 7 pm", true),
        ("2026-01-12 20:00:00", true),
        ("2026-01-12 20:01", false),
        ("2026-01-12T19:00:00Z", false),
        ("2026-01-12 19:00 at Eve's", false),
        ("19:00", false),
    ] {
        assert_eq!(planned(&run.judge("meet", &json!({"at": at}))), may, "{at}");
    }
    let run = tainted(vec![Tool::named("meet").effect()], r#"do meet(at: between("a", "z"))"#);
    assert!(!planned(&run.judge("meet", &json!({"at": "eve"}))), "texts have no between");
}

#[test]
fn alternatives_are_one_effect_in_all() {
    let plan = r#"do pay(to: "A", amount: 1) or wire(to: "A", amount: "1.00") or pay(to: "B", amount: 2)"#;
    let tools = || vec![pay(), Tool::named("wire").effect()];
    for (tool, first) in [
        ("pay", json!({"to": "A", "amount": 1})),
        ("wire", json!({"to": "A", "amount": 1})),
        ("pay", json!({"to": "B", "amount": 2})),
    ] {
        let mut run = tainted(tools(), plan);
        assert!(!planned(&run.judge("wire", &json!({"to": "B", "amount": 2}))), "that was not written");
        assert!(planned(&run.call(tool, &first, &json!("done"))), "{tool} {first}");
        assert_eq!(why(&run.judge("wire", &json!({"to": "A", "amount": 1}))), ["slot 1: it is used"]);
        assert!(!planned(&run.judge("pay", &json!({"to": "A", "amount": 1}))));
    }
}

#[test]
fn what_stands_behind_alternatives_holds_for_each_of_them() {
    let plan = r#"
        let rows = rows()
        do pay(to: c, amount: rows[0]) or pay(to: c, amount: rows[1]) or wire(to: c) one c in ["A", "B"] one n in [c] if n != "B"
    "#;
    let tools = || vec![attests("rows"), pay(), Tool::named("wire").effect()];
    let mut run = Run::new(tools(), "…", plan);
    run.call("rows", &json!({}), &json!([5]));
    run.taint();
    let amount = |to: &str, amount: u8| json!({"to": to, "amount": amount});
    assert!(
        planned(&run.judge("pay", &amount("A", 5))),
        "that the list has no second place spoils the second way alone"
    );
    for (tool, given) in [("pay", amount("A", 6)), ("pay", amount("B", 5)), ("wire", json!({"to": "B"}))] {
        assert!(!planned(&run.judge(tool, &given)), "{tool} {given}");
    }
    assert!(planned(&run.call("wire", &json!({"to": "A"}), &json!("done"))));
    assert!(!planned(&run.judge("pay", &amount("A", 5))), "it was one effect in all");
}

#[test]
fn an_effect_before_taint_uses_the_slot_that_it_fits() {
    let mut run = Run::new(vec![pay()], "…", r#"do pay(to: "A", amount: 1)"#);
    let (fits, other) = (json!({"to": "A", "amount": 1}), json!({"to": "B", "amount": 1}));
    assert_eq!(run.call("pay", &other, &json!("done")), Standing::Free { read: None });
    assert!(planned(&run.call("pay", &fits, &json!("done"))));
    run.taint();
    assert_eq!(why(&run.judge("pay", &fits)), ["slot 1: it is used"]);
}

#[test]
fn a_read_that_is_left_open_is_not_taken_from_what_other_people_said() {
    let plan = r#"let found = search(query: any) or list() do pay(to: first(found), amount: 1)"#;
    let tools = || vec![attests("search"), attests("list"), pay()];
    let ada = json!({"to": "Ada", "amount": 1});
    let mut run = Run::new(tools(), "Pay 'Ada Lovelace' 1.", plan);
    assert_eq!(run.call("search", &json!({"query": "ada"}), &json!(["Ada"])), Standing::Free { read: Some(0) });
    run.taint();
    assert!(planned(&run.judge("pay", &ada)), "the model asked before it was spoken to");

    let mut run = Run::new(tools(), "Pay 'Ada Lovelace' 1.", plan);
    run.taint();
    assert_eq!(run.call("search", &json!({"query": "eve"}), &json!(["Eve"])), Standing::Free { read: None });
    assert!(!planned(&run.judge("pay", &json!({"to": "Eve", "amount": 1}))));
    let asked = json!({"query": "ada lovelace"});
    assert_eq!(run.call("search", &asked, &json!(["Ada"])), Standing::Free { read: Some(0) }, "the user said it");
    assert!(planned(&run.judge("pay", &ada)));

    let mut run = Run::new(tools(), "…", plan);
    assert_eq!(run.call("list", &json!({}), &json!(["Ada"])), Standing::Free { read: Some(0) });
    assert_eq!(run.call("search", &json!({"query": "x"}), &json!(["Eve"])), Standing::Free { read: None });
    run.taint();
    assert!(planned(&run.judge("pay", &ada)), "the first answer stays");
}

#[test]
fn a_loop_of_reads_is_there_when_it_is_whole_and_whatever_the_order() {
    let plan = r#"
        let channels = channels()
        let users = users(channel: c) each c in channels
        do pay(to: u, amount: 1) each u in map(filter(users, count(value) == 1), value[0])
    "#;
    let mut run = Run::new(vec![attests("channels"), attests("users"), pay()], "…", plan);
    run.call("channels", &json!({}), &json!(["x", "y", "z", "x"]));
    for (channel, users, read) in
        [("z", json!(["Zoe"]), Some(1)), ("eve", json!(["Eve"]), None), ("x", json!(["Ada", "Bob"]), Some(1))]
    {
        let standing = run.call("users", &json!({"channel": channel}), &users);
        assert_eq!(standing, Standing::Free { read }, "{channel}");
    }
    run.taint();
    let zoe = json!({"to": "Zoe", "amount": 1});
    let told = why(&run.judge("pay", &zoe));
    assert!(told[0].ends_with("no call of `users` as the plan writes it has returned, for \"y\""), "{told:?}");
    let again = run.call("users", &json!({"channel": "z"}), &json!(["Eve"]));
    assert_eq!(again, Standing::Free { read: None }, "it is answered");
    run.call("users", &json!({"channel": "y"}), &json!([]));
    assert!(!planned(&run.judge("pay", &json!({"to": "Eve", "amount": 1}))));
    assert!(planned(&run.call("pay", &zoe, &json!("done"))));
    assert!(!planned(&run.judge("pay", &zoe)));
}

#[test]
fn what_a_call_made_has_a_name_and_no_other_may_take_its_place() {
    let plan = r#"
        let made = do create(name: "notes", text: any)
        do share(id: made.id, with: "ada@example.com")
    "#;
    let create = attests("create").effect().content(["text"]).recipients([]);
    let mut run = tainted(vec![create, Tool::named("share").effect()], plan);
    let share = |id: &str| json!({"id": id, "with": "ada@example.com"});
    assert!(why(&run.judge("share", &share("7")))[0].contains("`made` is not there"));
    assert!(!planned(&run.call("create", &json!({"name": "other", "text": "…"}), &json!({"id": "6"}))));
    assert!(planned(&run.call("create", &json!({"name": "notes", "text": "…"}), &json!({"id": "7"}))));
    assert!(!planned(&run.judge("share", &share("6"))));
    assert!(planned(&run.call("share", &share("7"), &json!("done"))));

    let create = Tool::named("create").effect().content(["text"]).recipients([]);
    let mut run = tainted(vec![create, Tool::named("share").effect()], plan);
    run.call("create", &json!({"name": "notes", "text": "…"}), &json!({"id": "7"}));
    assert!(why(&run.judge("share", &share("7")))[0].contains("which is untrusted"), "nobody vouches for the id");
}

#[test]
fn the_clock_is_when_the_run_began() {
    let plan = r#"do meet(on: day(later(now, 1, "day")), at: text(day(now), " ", "18:00"))"#;
    let mut run = tainted(vec![Tool::named("meet").effect()], plan);
    let call = json!({"on": "2026-01-01", "at": "2025-12-31 18:00"});
    assert!(why(&run.judge("meet", &call))[0].contains("when the run began is not known"));
    // 2025-12-31 23:30:00 UTC.
    run.state.began = Some(Timestamp(1_767_223_800_000_000));
    assert!(planned(&run.judge("meet", &call)));
    assert!(!planned(&run.judge("meet", &json!({"on": "2026-01-02", "at": "2025-12-31 18:00"}))));
}

#[test]
fn what_is_left_out_is_its_default_and_no_more() {
    let run = tainted(vec![pay()], r#"do pay(to: "A", amount: 1)"#);
    for (given, may) in [
        (json!({"to": "A", "amount": 1, "currency": "EUR"}), true),
        (json!({"to": "A", "amount": 1, "currency": "USD"}), false),
        (json!({"to": "A", "amount": 1, "currency": null}), false),
        (json!({"to": "A", "amount": 1, "currency": ""}), false),
        (json!({"to": "A", "amount": 1, "other": null}), false),
    ] {
        assert_eq!(planned(&run.judge("pay", &given)), may, "{given}");
    }
    for (currency, may) in [("EUR", true), ("USD", false)] {
        let run = tainted(vec![pay()], &format!(r#"do pay(to: "A", amount: 1, currency: "{currency}")"#));
        assert_eq!(planned(&run.judge("pay", &json!({"to": "A", "amount": 1}))), may, "{currency}");
    }
}

#[test]
fn readers_may_be_named_in_any_order_and_no_more_of_them() {
    let send = || Tool::named("send").effect().recipients(["to"]);
    let run = tainted(vec![send()], r#"do send(to: ["a@example.com", "b@example.com"], ways: ["x", "y"])"#);
    for (to, ways, may) in [
        (json!(["b@example.com", "A@example.com"]), json!(["x", "y"]), true),
        (json!(["a@example.com", "b@example.com"]), json!(["y", "x"]), false),
        (json!(["a@example.com", "a@example.com"]), json!(["x", "y"]), false),
        (json!(["a@example.com"]), json!(["x", "y"]), false),
        (json!(["b@example.com", "a@example.com", "eve@example.net"]), json!(["x", "y"]), false),
    ] {
        assert_eq!(planned(&run.judge("send", &json!({"to": to, "ways": ways}))), may, "{to} {ways}");
    }
}

#[test]
fn a_plan_says_who_reads_where_the_tool_does_not_and_lists_of_readers_still_hold() {
    let files = attests("files");
    let append = || Tool::named("append").effect().content(["text"]);
    let plan = r#"
        let file = files(name: "minutes")
        do append(id: file.id, text: any) readers concat([file.owner], keys(file.shared))
    "#;
    let call = json!({"id": "7", "text": "what the page says"});
    let with = |shared: Value| {
        let mut run = Run::new(vec![files.clone(), append()], "…", plan);
        run.call(
            "files",
            &json!({"name": "minutes"}),
            &json!({"id": "7", "owner": "ada@example.com", "shared": shared}),
        );
        run.taint();
        for source in [Origin::Tool("files".into()), Origin::Web("example.net".into())] {
            run.entitled.allow(source, Reader::parse("@example.com"));
        }
        run
    };
    assert!(planned(&with(json!({"bob@example.com": "r"})).judge("append", &call)));
    let told = why(&with(json!({"bob@example.com": "r", "eve@example.net": "r"})).judge("append", &call));
    assert!(told[0].contains("eve@example.net may not read"), "{told:?}");
    let tools = [append(), append().recipients([])];
    for (text, told) in [
        (r#"do append(id: "7", text: any) readers true"#, "plan:1:39: readers are texts, and this is a truth value"),
        (r#"do append(id: "7", text: any) readers []"#, ""),
    ] {
        let drawn = Plan::draw("plan", text, &tools[..1], &Label::nothing());
        let errors = drawn.err().into_iter().flatten().map(|e| e.to_string()).collect::<String>();
        assert_eq!(errors, told, "{text}");
    }
    let run = tainted(vec![append()], r#"do append(id: "7", text: any) readers []"#);
    assert_eq!(why(&run.judge("append", &call)), ["slot 1: plan:1:39: this names no reader"]);
    let errors = Plan::draw("plan", r#"do append(id: "7", text: any) readers ["a"]"#, &tools[1..], &Label::nothing());
    assert!(errors.unwrap_err()[0].to_string().contains("`append` says itself who reads what it sends"));
}

#[test]
fn content_that_the_plan_writes_itself_asks_for_no_reader() {
    let send = || Tool::named("send").effect().content(["body", "seats"]).recipients(["to"]);
    let call = |body: &str| json!({"to": "bob@example.net", "body": body});
    for (plan, body, may) in [
        (r#"do send(to: "bob@example.net", body: "See you.")"#, "See you.", true),
        (r#"do send(to: "bob@example.net", body: "See you.")"#, "The code is 1234.", false),
        (r#"do send(to: "bob@example.net", body: b) one b in ["See you.", "See you"]"#, "See you", true),
        (r#"do send(to: "bob@example.net", body: b) one b in ["See you.", "See you"]"#, "The code is 1234.", false),
        (r#"let r = rows() do send(to: "bob@example.net", body: text("Hi ", r[0]))"#, "Hi Ada", true),
        (r#"do send(to: "bob@example.net", body: any)"#, "See you.", false),
    ] {
        let mut run = Run::new(vec![attests("rows"), send()], "…", plan);
        run.call("rows", &json!({}), &json!(["Ada"]));
        run.taint();
        assert_eq!(planned(&run.judge("send", &call(body))), may, "{plan} {body}");
    }
    // What is not written down, and what lies anywhere between two bounds, could tell something.
    let mut said = call("See you.");
    said["seats"] = json!(1234);
    for seats in ["", ", seats: between(1, 9999)"] {
        let run = tainted(vec![send()], &format!(r#"do send(to: "bob@example.net", body: "See you."{seats})"#));
        assert!(why(&run.judge("send", &said))[0].contains("bob@example.net may not read"), "{seats}");
    }
}

#[test]
fn mistakes_of_what_is_left_open_are_told() {
    let tools = [attests("contacts"), pay()];
    for (text, told) in [
        ("do pay(to: c, amount: 1) one c in 7", "plan:1:35: `one` takes a list, and this is a number"),
        ("do pay(to: \"A\", amount: between(1, [2]))", "plan:1:36: `amount` takes a number, and this is a list"),
        ("do pay(to: \"A\", amount: between(1))", "plan:1:34: here must be `,`"),
        (
            "let p = do pay(to: c, amount: 1) each c in [\"A\"]",
            "plan:1:34: a name is for what one call returns\n  hint: leave the name out, or `each` and `times`",
        ),
        ("let now = 1", "plan:1:5: `now` is named twice"),
        ("let x = {a: 1, \"a\": 2}", "plan:1:16: `a` stands twice in this object"),
        (
            "let p = pay(to: \"A\", amount: 1)",
            "plan:1:9: `pay` does something outside: a plan reads what it returns only after `do`\n  hint: name what it \
             returns: let NAME = do pay(…)",
        ),
        ("do pay(to: \"A\", amount: 1) each c in [1] one c in [2]", "plan:1:46: `c` is named twice"),
        ("do pay(to: \"A\", amount: 1) if true if false", "plan:1:36: `if` stands twice behind this `do`"),
        ("do pay(to: \"A\", amount: 1) times 1 times 2", "plan:1:36: `times` stands twice behind this `do`"),
        ("let x = later(now, 1, \"dayz\")", "plan:1:23: `dayz` is no unit of time\n  hint: did you mean `days`?"),
    ] {
        let errors = Plan::draw("plan", text, &tools, &Label::nothing()).unwrap_err();
        assert!(errors[0].to_string().starts_with(told), "{text}\n{}", errors[0]);
    }
    let many = format!("do pay(to: \"A\", amount: 1){}", " or pay(to: \"A\", amount: 1)".repeat(16));
    let errors = Plan::draw("plan", &many, &tools, &Label::nothing()).unwrap_err();
    assert!(errors[0].to_string().ends_with("at most 16 calls stand beside each other"));
}

#[test]
fn ways_to_choose_are_bounded() {
    let tools = || vec![attests("rows"), pay()];
    let plan = r#"let rows = rows() do pay(to: a, amount: b) one a in map(rows, text(it)) one b in rows"#;
    let mut run = Run::new(tools(), "…", plan);
    run.call("rows", &json!({}), &(0..40).collect::<Vec<i32>>().into());
    run.taint();
    let told = why(&run.judge("pay", &json!({"to": "1", "amount": 1})));
    assert!(told[0].ends_with("there are more than 1000 ways to choose"), "{told:?}");
}

/// Calls that an attacker might make: values that the plan offers, and others.
fn calls() -> impl Strategy<Value = Vec<(String, i64)>> {
    let to = prop_oneof![Just("A"), Just("B"), Just("C"), Just("eve"), Just("")].prop_map(str::to_owned);
    vec((to, -2..8i64), 0..40)
}

proptest! {
    #[test]
    fn whatever_is_tried_no_more_gets_through_than_was_written_down(
        tries in calls(), offered in vec(prop_oneof![Just("A"), Just("B"), Just("C")], 0..4), least in 0..4i64, most in 0..6i64
    ) {
        let plan = format!("do pay(to: c, amount: between({least}, {most})) or pay(to: \"B\", amount: 7) one c in {}", json!(offered));
        let mut run = tainted(vec![pay()], &plan);
        let mut through = Vec::new();
        for (to, amount) in tries {
            if planned(&run.call("pay", &json!({"to": to, "amount": amount}), &json!("done"))) {
                through.push((to, amount));
            }
        }
        prop_assert!(through.len() <= 1, "{through:?}");
        for (to, amount) in through {
            let chosen = offered.contains(&&*to) && (least..=most).contains(&amount);
            prop_assert!(chosen || (!offered.is_empty() && to == "B" && amount == 7), "{to} {amount}");
        }
    }

    #[test]
    fn what_untrusted_words_are_in_decides_nothing(rows in vec(("[a-z]{1,3}", 0..9i64), 1..6), at in 0..6usize) {
        // The names are attested, the notes are not; an expression that looks at a note binds nothing.
        let declared = Declared::new([("$", Trust::Attested), ("$[*].note", Trust::Untrusted)]).unwrap();
        let rows: Vec<Value> = rows.into_iter().map(|(name, note)| json!({"name": name, "note": note})).collect();
        for list in ["filter(rows, note > 0)", "sort_by(rows, note)", "[max_by(rows, note)]"] {
            let plan = format!("let rows = rows() do pay(to: r.name, amount: 1) one r in {list}");
            let mut run = Run::new(vec![Tool::named("rows").trust(declared.clone()), pay()], "…", &plan);
            run.call("rows", &json!({}), &rows.clone().into());
            let to = &rows[at % rows.len()]["name"];
            prop_assert!(!planned(&run.judge("pay", &json!({"to": to, "amount": 1}))), "{list}");
        }
    }
}

#[test]
fn an_answer_counts_for_the_call_that_it_came_to() {
    // Two loops over the same tool: each takes the answers to its own calls.
    let plan = r#"
        let a = users(channel: c, role: "admin") each c in ["x"]
        let b = users(channel: c, role: "guest") each c in ["x"]
        do pay(to: a[0].value, amount: 1)
        do pay(to: b[0].value, amount: 2)
    "#;
    let mut run = Run::new(vec![attests("users"), pay()], "…", plan);
    run.call("users", &json!({"channel": "x", "role": "guest"}), &json!("Gil"));
    run.call("users", &json!({"channel": "x", "role": "admin"}), &json!("Ann"));
    run.taint();
    assert!(!planned(&run.judge("pay", &json!({"to": "Gil", "amount": 1}))));
    assert!(planned(&run.judge("pay", &json!({"to": "Ann", "amount": 1}))));
    assert!(planned(&run.judge("pay", &json!({"to": "Gil", "amount": 2}))));
    let mut state = PlanState::default();
    state.returned(9, &answer("users", &json!({}), Datum::of_value(&json!(1), &Label::nothing())));
    assert_eq!(state, PlanState::default(), "an answer that nothing waits for is not kept");
    assert!(Ledger::default().is_empty());
}
