//! `stead schema`.

use insta::assert_snapshot;

use crate::common::TestEnvironment;

#[test]
fn the_schemas_are_those_of_the_files() {
    let env = TestEnvironment::new();
    assert!(env.json("schema agent")["properties"]["instructions"].is_object());
    assert!(env.json("schema server")["properties"]["listen"].is_object());
    assert!(env.json("schema api")["paths"]["/v1/runs"].is_object());
    assert_snapshot!(env.stead("schema nothing"), @"
    exit 2
    --- stderr
    error: invalid value 'nothing' for '<OF>'
      [possible values: agent, server, api, test]

    For more information, try '--help'.
    ");
}
