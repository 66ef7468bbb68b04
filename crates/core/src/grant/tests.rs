//! What chains of grants hold, and that none holds more than one above it.

use super::*;

/// Numbers that look random and are the same each time.
struct Dice(u64);

impl Dice {
    fn below(&mut self, n: u64) -> u64 {
        self.0 ^= self.0 << 13;
        self.0 ^= self.0 >> 7;
        self.0 ^= self.0 << 17;
        self.0 % n
    }

    fn some(&mut self, of: &[&str]) -> Option<Vec<Name>> {
        (self.below(3) > 0).then(|| of.iter().filter(|_| self.below(2) == 0).map(|name| Name::from(*name)).collect())
    }

    fn rule(&mut self) -> GrantRule {
        GrantRule {
            tools: self.some(&["pay_*", "pay_refund", "mail_send", "*", "find"]),
            hosts: self.some(&["api.example.com", "*.example.com", "bank.example"]),
            scopes: self.some(&["read", "write"]),
            lasts: (self.below(2) == 0).then(|| Span::from_secs(self.below(100))),
            depth: (self.below(2) == 0).then(|| u8::try_from(self.below(4)).unwrap_or(0)),
        }
    }
}

const WANTED: [Use<'_>; 13] = [
    Use::Tool("pay_refund"),
    Use::Tool("pay_find"),
    Use::Tool("mail_send"),
    Use::Tool("find"),
    Use::Tool("finder"),
    Use::Host("api.example.com"),
    Use::Host("API.example.com."),
    Use::Host("example.com"),
    Use::Host("notexample.com"),
    Use::Host("bank.example"),
    Use::Scope("read"),
    Use::Scope("write"),
    Use::Agent,
];

#[test]
fn of_random_chains_nobody_may_do_what_somebody_above_may_not() {
    let mut dice = Dice(0x9e37_79b9_7f4a_7c15);
    let (mut let_, mut kept) = (0, 0);
    for _ in 0..5_000 {
        let start = Timestamp(1_000_000_000);
        let mut chain = vec![Behalf::default()];
        for depth in 0..dice.below(6) {
            let mut next = chain.last().cloned().unwrap_or_default();
            next.callers.push(format!("a{depth}").as_str().into());
            if dice.below(4) > 0 {
                let by = u8::try_from(depth).unwrap_or(0);
                next.grants.push(Granted { by, grant: dice.rule().at(start) });
            }
            chain.push(next);
        }
        for at in [0, 10, 50, 99, 200] {
            let now = start.after(Span::from_secs(at));
            for (above, behalf) in chain.iter().enumerate() {
                for below in &chain[above..] {
                    for wanted in WANTED {
                        if below.allows(wanted, now).is_ok() {
                            let_ += 1;
                            assert!(behalf.allows(wanted, now).is_ok(), "{wanted:?}: {behalf:?} below {below:?}");
                        } else {
                            kept += 1;
                        }
                    }
                }
                // What time has taken it does not give back.
                let later = now.after(Span::from_secs(1));
                assert!(WANTED.iter().all(|w| behalf.allows(*w, now).is_ok() || behalf.allows(*w, later).is_err()));
            }
        }
    }
    assert!(let_ > 10_000 && kept > 10_000, "{let_} {kept}");
}

#[test]
fn a_grant_holds_what_it_names_for_its_time_and_its_depth() {
    let now = Timestamp(1_000_000);
    let rule = GrantRule {
        tools: Some(vec!["pay_*".into(), "mail_send".into()]),
        hosts: Some(vec!["*.example.com".into()]),
        scopes: Some(Vec::new()),
        lasts: Some(Span::from_secs(60)),
        depth: Some(1),
    };
    let of = |agents: &[&str]| Behalf {
        callers: agents.iter().map(|agent| Name::from(*agent)).collect(),
        grants: vec![Granted { by: 0, grant: rule.at(now) }],
        ..Behalf::default()
    };
    let child = of(&["desk"]);
    let allows = |wanted| child.allows(wanted, now).is_ok();
    assert!(allows(Use::Tool("pay_refund")) && allows(Use::Tool("mail_send")) && allows(Use::Agent));
    assert!(!allows(Use::Tool("mail_send_all")) && !allows(Use::Tool("PAY_refund")) && !allows(Use::Scope("x")));
    assert!(allows(Use::Host("a.b.example.com")) && !allows(Use::Host("example.com")));
    assert!(!allows(Use::Host("evil-example.com")) && !allows(Use::Host(".example.com")));
    assert!(of(&["desk", "child"]).allows(Use::Agent, now).is_err(), "one agent deep, and no deeper");
    let denied = child.allows(Use::Tool("shell_run"), now).map_err(|d| d.to_string());
    let told = "the grant that the agent `desk` gave for this task does not hold it, so `shell_run` is not called";
    assert_eq!(denied, Err(told.to_owned()));
    let over = now.after(Span::from_secs(60));
    assert!(child.allows(Use::Anything, Timestamp(over.0 - 1)).is_ok());
    assert!(child.allows(Use::Anything, over).is_err_and(|d| d.ended == Some(over)));
    assert_eq!(child.narrows_at(now), Some(over));
}
