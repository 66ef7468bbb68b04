//! What callers may have: numbers, limits, egress, templates.

use stead_api::sandbox::{ChangeSandbox, CreateSandbox, ResourceLimits};
use stead_core::code;

use super::kit::{Lab, refused, run};

#[tokio::test]
async fn ten_at_once_do_not_see_each_other_and_there_are_no_more_than_there_may_be() {
    let lab = Lab::with("[sandboxes]\nmost_of_tenant = 10\n");
    let made = futures_util::future::join_all((0..10).map(|_| lab.create())).await;
    let ran = made.iter().enumerate().map(async |(n, sandbox)| {
        lab.run(
            sandbox.id,
            &format!("echo {n} > /tmp/own; echo {n} > own; sleep 0.1; cat /tmp/own own; ls /workspace; ls /tmp"),
        )
        .await
        .0
    });
    for (n, out) in futures_util::future::join_all(ran).await.into_iter().enumerate() {
        assert_eq!(out, format!("{n}\n{n}\nown\nown\n"));
    }
    refused(lab.client.create_sandbox(&CreateSandbox::default()).await, 429, code::SESSION_SANDBOXES_FULL);
    // Another tenant has places of its own.
    let eve = lab.other();
    let hers = eve.create_sandbox(&CreateSandbox::default()).await.unwrap();
    assert_eq!(run(&eve, hers.id, "echo hers").await.0, "hers\n");
    lab.client.remove_sandbox(made[0].id).await.unwrap();
    lab.create().await;
    lab.server.stop();
}

#[tokio::test]
async fn limits_and_egress_are_changed_while_it_runs() {
    let lab = Lab::dev();
    let (client, id) = (&lab.client, lab.create().await.id);
    // A host of this machine's own, which counts who asks.
    let listener = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
    let port = listener.local_addr().unwrap().port();
    std::thread::spawn(move || {
        for stream in listener.incoming().flatten() {
            let mut stream = stream;
            let _ = std::io::Read::read(&mut stream, &mut [0; 4096]);
            let _ = std::io::Write::write_all(
                &mut stream,
                b"HTTP/1.1 200 OK\r\nContent-Length: 5\r\nConnection: close\r\n\r\nhello",
            );
        }
    });
    let ask = format!(
        "python3 -c \"\nimport socket\ns = socket.create_connection(('127.0.0.1', 3128))\n\
         s.sendall(b'GET http://localhost:{port}/ HTTP/1.1\\r\\nHost: localhost:{port}\\r\\nConnection: close\\r\\n\\r\\n')\n\
         d = b''\nwhile True:\n  p = s.recv(4096)\n  if not p: break\n  d += p\nprint(d.decode().split()[1])\""
    );
    let status = async || lab.run(id, &ask).await.0.trim().to_owned();
    assert_eq!(status().await, "403");
    let rule = serde_json::json!({ "host": "localhost", "ports": [port], "scheme": "http", "addresses": ["127.0.0.0/8", "::1/128"] });
    let change = |egress| ChangeSandbox { egress: Some(egress), ..ChangeSandbox::default() };
    let changed = client.change_sandbox(id, &change(vec![rule])).await.unwrap();
    assert_eq!(changed.egress[0]["host"], "localhost");
    assert_eq!(status().await, "200");
    client.change_sandbox(id, &change(vec![])).await.unwrap();
    assert_eq!(status().await, "403");
    let usage = client.sandbox(id).await.unwrap().usage.unwrap();
    assert_eq!((usage.allowed, usage.denied), (1, 2));
    refused(client.change_sandbox(id, &change(vec!["10.0.0.1:443".into()])).await, 422, code::EGRESS_RULE);

    let limits = |limits| ChangeSandbox { limits, ..ChangeSandbox::default() };
    let fewer = limits(ResourceLimits { pids: Some(12), ..ResourceLimits::default() });
    match client.change_sandbox(id, &fewer).await {
        Ok(changed) => {
            assert_eq!(changed.limits.pids, Some(12));
            let (_, err, _) =
                lab.run(id, "for i in 1 2 3 4 5 6 7 8 9 0 1 2; do sleep 1000 >/dev/null 2>&1 & done").await;
            assert!(err.contains("fork"), "{err}");
        }
        // Without root no control group holds it, and it says so.
        Err(error) => assert_eq!(error.code, code::SANDBOX_LACKS, "{error}"),
    }
    let much = limits(ResourceLimits { memory: Some(1 << 40), ..ResourceLimits::default() });
    refused(client.change_sandbox(id, &much).await, 422, code::SESSION_SANDBOX_REFUSED);
    lab.server.stop();
}

#[tokio::test]
async fn a_template_bounds_what_callers_get_and_its_secrets_stay_outside() {
    let lab = Lab::with(
        "[sandboxes.templates.small]\nmemory = \"64Mi\"\nmax_memory = \"128Mi\"\nany_egress = false\nenv = { KEY = \"secret://example\", WORD = \"w\" }\n\
         egress = [{ host = \"api.example.com\", secrets = [{ secret = \"example\", inject = \"bearer\" }] }]\n",
    );
    let create = async |change: fn(&mut CreateSandbox)| {
        let mut create = CreateSandbox { template: Some("small".into()), ..CreateSandbox::default() };
        change(&mut create);
        lab.client.create_sandbox(&create).await
    };
    let made = create(|_| {}).await.unwrap();
    assert_eq!((made.limits.memory, made.egress.len()), (Some(64 << 20), 1));
    let (out, ..) = lab.run(made.id, "echo $WORD $KEY").await;
    assert!(out.starts_with("w stead-secret-") && out.len() > 40, "{out}");
    refused(create(|c| c.limits.memory = Some(256 << 20)).await, 422, code::SESSION_SANDBOX_REFUSED);
    refused(create(|c| c.egress = Some(vec!["b.example.com".into()])).await, 422, code::SESSION_SANDBOX_REFUSED);
    refused(create(|c| c.egress = Some(vec![])).await, 422, code::SESSION_SANDBOX_REFUSED);
    refused(create(|c| c.template = Some("none".into())).await, 422, code::SANDBOX_TEMPLATE);
    // Of the usual template callers choose hosts, and bind no secret to one.
    let own =
        serde_json::json!({ "host": "evil.example.com", "secrets": [{ "secret": "example", "inject": "bearer" }] });
    let take = CreateSandbox { egress: Some(vec![own]), ..CreateSandbox::default() };
    refused(lab.client.create_sandbox(&take).await, 422, code::SESSION_SANDBOX_REFUSED);
    lab.server.stop();
}
