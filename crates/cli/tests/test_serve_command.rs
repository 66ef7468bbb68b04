//! `stead serve`. What it serves is tested with the server; here is what the command says.

use insta::assert_snapshot;

use crate::common::{Serving, TestEnvironment};

#[test]
fn serve_reads_its_configuration_and_other_commands_find_it() {
    let env = TestEnvironment::with_refund_desk();
    env.write("stead.toml", "listen = \"127.0.0.1:0\"\ndata_dir = \"data\"\n");
    let server = Serving::start(env.command(["serve"]), "serving");
    env.stead("agents ls --data data").succeeds();
    assert_eq!(server.stop(), Some(0));
}

#[test]
fn a_service_under_dev_does_not_run_on_a_server() {
    let env = TestEnvironment::with_refund_desk();
    env.write("stead.toml", "listen = \"127.0.0.1:0\"\ndata_dir = \".stead\"\n");
    let _server = Serving::start(env.command(["serve", "--config", "stead.toml"]), "serving");
    assert_snapshot!(env.stead("agents apply refund-desk"), @"
    exit 1
    --- stderr
    error[ST0105]: agent.yaml:55:18: the service `mail` does not run here (at `dev.services`)
    hint: services under `dev` belong to `stead run` and `stead dev`; give a server a real address
    see: stead errors ST0105
    ");
}

#[test]
fn a_wrong_configuration_is_told() {
    let env = TestEnvironment::new();
    env.write("stead.toml", "lisen = \"127.0.0.1:0\"\n");
    assert_snapshot!(env.stead("serve"), @"
    exit 1
    --- stderr
    error[ST0110]: stead.toml:1:1: unknown field `lisen`, expected one of `listen`, `data_dir`, `database`, `encrypt`, `public_url`, `behind_proxy`, `metrics_open`, `drain_timeout`, `tls`, `auth`, `agents`, `secrets`, `sandbox`, `limits`, `engine`, `providers`, `sandboxes`, `budgets`, `policy`, `audit`, `erasure`, `identity`, `approvals`, `telemetry`
    hint: did you mean `listen`?
    see: stead errors ST0110
    ");
    assert_snapshot!(env.stead("serve --config nowhere.toml"), @"
    exit 1
    --- stderr
    error[ST0110]: nowhere.toml: cannot be read: No such file or directory (os error 2)
    see: stead errors ST0110
    ");
    env.write("open.toml", "listen = \"0.0.0.0:0\"\n");
    assert_snapshot!(env.stead("serve --config open.toml"), @"
    exit 1
    --- stderr
    error[ST0111]: open.toml: refusing to listen on 0.0.0.0:0 without TLS: tokens would travel in the clear
    hint: set `tls.cert` and `tls.key`, or `behind_proxy = true` when a proxy in front does TLS
    see: stead errors ST0111
    ");
}

#[test]
fn a_server_that_does_not_answer_is_told() {
    let env = TestEnvironment::new();
    let closed = std::net::TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap();
    let mut command = env.command(["runs", "ls", "--server", &format!("http://{closed}")]);
    command.env("STEAD_TOKEN", "t");
    assert_snapshot!(env.finish(command), @"
    exit 5
    --- stderr
    error[ST0151]: error sending request for url (http://[address]/v1/runs?limit=50): client error (Connect): tcp connect error: Connection refused (os error 111)
    hint: is the server running? `stead dev` starts one
    see: stead errors ST0151
    ");
    assert_snapshot!(env.stead("runs ls --server http://127.0.0.1:1"), @"
    exit 1
    --- stderr
    error[ST0200]: there is no token for http://127.0.0.1:1
    hint: log in with `stead login`, set STEAD_TOKEN, or name the server's data folder with --data
    see: stead errors ST0200
    ");
}
