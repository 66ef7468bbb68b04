//! `stead completions`.

use insta::assert_snapshot;

use crate::common::TestEnvironment;

#[test]
fn every_shell_gets_completions_for_every_command() {
    let env = TestEnvironment::new();
    for shell in ["bash", "zsh", "fish", "elvish", "powershell"] {
        let script = env.stead(&format!("completions {shell}")).succeeds().stdout;
        for command in ["run", "approvals", "doctor"] {
            assert!(script.contains(command), "{shell}: {command}");
        }
    }
    assert_snapshot!(env.stead("completions tcsh"), @"
    exit 2
    --- stderr
    error: invalid value 'tcsh' for '<SHELL>'
      [possible values: bash, elvish, fish, powershell, zsh]

      tip: a similar value exists: 'zsh'

    For more information, try '--help'.
    ");
}

#[test]
fn json_is_refused_where_it_has_no_meaning() {
    let env = TestEnvironment::new();
    for line in ["completions bash --json", "wrap --json -- true"] {
        let told = env.stead(line);
        assert_eq!((told.code, &*told.stdout), (Some(2), ""), "{told}");
        assert!(told.stderr.contains("`--json` has no meaning here"), "{told}");
    }
}
