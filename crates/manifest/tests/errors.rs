//! Each mistake is answered with its place, its key and a way out.
#![expect(clippy::unwrap_used, reason = "tests")]

use std::fmt::Write as _;

use stead_core::code;
use stead_manifest::parse;

const HEAD: &str = "stead: v1\nname: desk\nmodel: rehearsal:auto\ninstructions: Be kind.\n";

const HTTP: &str = "tools:
  pay:
    http:
      base_url: https://pay.example.com
      operations:
        refund: { method: POST, path: /refunds, params: { order_id: { type: string } } }
        find: { method: GET, path: '/refunds/{{args.order_id}}', params: { order_id: { type: string } } }
";

/// Every mistake that users make, with what they are told.
#[test]
fn mistakes_are_answered_in_words() {
    let cases: Vec<String> = [
        "",
        "stead: v1\n  name: x",
        "- a list",
        "stead: v2\nname: Desk\nmodel: gpt\n",
        "stead: v1\nname: desk\nmodel: opnai:gpt-5\ninstructions: x\n",
        "stead: v1\nname: desk\nmodel: { use: 'opneai:gpt-5', fallback: ['zzz:q', { use: 'rehersal:auto' }] }\ninstructions: x\n",
    ]
    .into_iter()
    .map(str::to_owned)
    .chain(
        [
            "instruction: twice\n",
            "name: again\n",
            "tool: {}\n",
            "polcy: x\n",
            "policy: ../policy\n",
            "confidence: { ask_below: 7 }\n",
            "confidence: { below: 0.7 }\n",
            "sandbox: { tier: namespce, memory: 1Mi, cpu: 0.001, requires: [memory], egres: [] }\n",
            "sandbox: { tier: none, memory: 64Mi }\n",
            "sandbox: { egress: ['https://u:p@h.example'] }\n",
            "sandbox: { egress: [{ host: 'a.example:443', ports: [80] }, { host: 'http://a.example', scheme: https }] }\n",
            "sandbox: { egress: [{ host: a.example, secrets: [{ secret: hunter2, inject: bearer }, { secret: 'secret://k', inject: { header: {} } }] }] }\n",
            "include: [../outside, /etc/passwd]\n",
            "budget: { cpu: 10, traffic: lots }\n",
            "description: 42\n",
            "max_turns: 1e3\n",
            "budget: { token: 5, usd: 1e-3, active: 10 minutes, deadline: 4000d, children: -1 }\n",
            "budget: { usd: \"0.50\" }\n",
            "budget: { usd: 0.1234567 }\n",
            "session: { budget: { deadline: 1m } }\n",
            "input: ../outside.json\n",
            "input: /etc/passwd\n",
            "tools: { db: { sqll: { url: 'sqlite:./x' } } }\n",
            "tools: { db: { description: nothing } }\n",
            "tools: { sh: { command: [bash, -lc, '{{args.comand}}'], params: { command: { type: string } }, workspace: rx } }\n",
            "tools: { sh: { command: ['{{args.program}}'], params: { program: { type: string } } } }\n",
            "tools: { sh: { command: [./run.sh], auth: 'secret://k', sandbox: none } }\n",
            "tools: { sh: { command: [bash, -lc], effect: contained, env: ['K=secret://k'], sandbox: { egress: [a.example] } } }\n",
            "tools: { sh: { command: [bash, -lc], effect: contained, env: [REGION] } }\n",
            "tools: { sh: { command: [bash, -lc], optional: [x], stdin: '{{args.y}}' } }\n",
            "tools: { f: { files: rx } }\n",
            "tools: { f: { files: ro, workspace: rw, only: [write], effects: { read: contained, write: contained } } }\n",
            "tools: { m: { mcp: { command: [x, '${data}/y'] }, workspace: rw, params: { a: {} } } }\n",
            "tools: { m: { mcp: { command: [x], env: ['K=secret://k'] }, effect: contained, sandbox: none } }\n",
            "tools: { m: { mcp: { url: 'https://m.example' }, sandbox: { cpu: 2 }, workspace: ro, effect: contained } }\n",
            "tools: { db: { sql: { url: 'sqlite:./x' }, stdin: x, env: [A], sandbox: microvm } }\n",
            "tools: { w: { wasm: ./x.wasm } }\n",
            "tools: { api: { http: { openapi: ./api.yaml } } }\n",
            "tools: { api: { http: { openapi: https://x.example/api.yaml, only: [a] } } }\n",
            "tools: { api: { http: { openapi: ./api.yaml, only: [a] }, only: [a], effects: { b: pure } } }\n",
            "tools: { api: { http: { operations: { a: { method: GET, path: / } }, only: [a] } } }\n",
            "tools: { crm: { mcp: { url: 'https://u:p@crm.example/mcp' } } }\n",
            "tools: { crm: { mcp: { url: 'https://crm.example', env: [A], cwd: ./x, headers: { authorization: x } } } }\n",
            "tools: { crm: { mcp: { command: [crm], headers: { a: b }, plain_http: true }, auth: 'env://A' } }\n",
            "tools: { db: { sql: { url: 'sqlite:./x', allow: [SELECT, DROP] }, effect: pur } }\n",
            "tools: { db: { sql: { url: 'postgres://u:hunter2@h/db' } } }\n",
            "tools: { db: { sql: { url: 'sqlite:./x' }, auth: hunter2 } }\n",
            "tools: { db: { sql: { url: 'sqlite:./x' }, auth: 'secret://db/token' } }\n",
            "tools: { db: { sql: { url: 'postgres://u@h/d' }, auth: { oauth2: { token_url: 'https://l.example/t', client_id: c, client_secret: 'secret://db' } } } }\n",
            "tools: { db: { sql: { url: 'sqlite:./x' }, effects: { qurey: pure } } }\n",
            "tools: { db: { sql: { url: 'sqlite:./x' }, effect: contained } }\n",
            "tools: { db: { sql: { url: 'sqlite:${date}/x' } } }\n",
            "tools: { db: { sql: { url: 'sqlite:./x' }, budget: { tokens: 5 } } }\n",
            "tools: { a: { http: { base_url: '${services.pay.url}', operations: {} } } }\ndev: { services: { pays: { command: [x] } } }\n",
            "tools: { m: { mcp: { command: mail_server } } }\n",
            "tools: { m: { mcp: { command: [x] }, effects: { send: { class: keyed, reconcile: find } } } }\n",
            "tools: { r: { agent: researcher, effect: pure, timeout: 5s } }\n",
            "tools: { a: { sql: { url: 'sqlite:./x' } }, a_query: { agent: c } }\n",
        ]
        .into_iter()
        .map(|tail| format!("{HEAD}{tail}")),
    )
    .chain(
        [
            "    effects: { refnd: pure }\n",
            "    only: [refund, fnd]\n",
            "    effects: { refund: reconcilable }\n",
            "    effects: { refund: { class: compensable } }\n",
            "    effects: { refund: { class: keyed, key: order_id } }\n",
            "    effects: { refund: { class: keyed, key: $.orderid } }\n",
            "    effects: { refund: { class: keyed, reconcile: refund } }\n",
            "    effects: { find: { class: keyed, reconcile: refund } }\n",
            "        ask: { method: GET, path: '/{{args.id}}', params: { id: {} } }\n    effects: { refund: { class: keyed, reconcile: ask } }\n",
            "    effects: { refund: { class: irreversible, key_ttl: 1d, settle: 3s } }\n",
            "        more: { method: GET, path: '/{{args.id}}', headers: { Authorization: 'Bearer x' }, optional: [idd] }\n",
        ]
        .into_iter()
        .map(|tail| format!("{HEAD}{HTTP}{tail}")),
    )
    .collect();
    let mut said = String::new();
    for text in &cases {
        let tail = text.strip_prefix(HEAD).unwrap_or(text);
        writeln!(said, ">>> {}", tail.strip_prefix(HTTP).unwrap_or(tail).trim_end().replace('\n', "\n... ")).unwrap();
        for error in parse(text, "agent.yaml").expect_err(text) {
            writeln!(said, "{error}").unwrap();
        }
        said.push('\n');
    }
    insta::assert_snapshot!("mistakes", said);
}

#[test]
fn several_mistakes_are_told_at_once_in_order() {
    let text = "stead: v1\nnme: x\nmodel: { use: 'openai:b', keey: 1 }\ninstructions: x\nbudget: { usd: lots }\n";
    let lines: Vec<(usize, usize)> = parse(text, "a.yaml").unwrap_err().iter().map(|e| (e.line, e.column)).collect();
    assert_eq!(lines, [(2, 1), (3, 27), (5, 16)]);
}

#[test]
fn a_secret_written_by_mistake_is_not_repeated() {
    for (tail, secret) in [
        ("tools: { a: { sql: { url: 'postgres://u:hunter2@h/d' } } }", "hunter2"),
        ("tools: { a: { http: { base_url: 'https://u:hunter2@h', operations: {} } } }", "hunter2"),
        ("tools: { a: { agent: b, auth: hunter2 } }", "hunter2"),
    ] {
        for error in parse(&format!("{HEAD}{tail}"), "agent.yaml").unwrap_err() {
            assert!(!format!("{error} {error:?}").contains(secret), "{error:?}");
        }
    }
}

#[test]
fn the_place_is_exact_to_the_byte() {
    let text = format!("{HEAD}budget: {{ tökens: 5 }}\n");
    let errors = parse(&text, "agent.yaml").unwrap_err();
    assert_eq!(&text[errors[0].span.clone()], "tökens");
    assert_eq!((errors[0].line, errors[0].column, errors[0].code), (5, 11, code::MANIFEST_KEY));
    assert_eq!(errors[0].key, "budget.tökens");
}

#[test]
fn an_endless_list_of_mistakes_is_cut() {
    let many: String = (0..900).map(|i| format!("wrong_{i}: 1\n")).collect();
    assert!(parse(&format!("{HEAD}{many}"), "agent.yaml").unwrap_err().len() <= 50);
}
