//! The program of a command: where it is looked for, and the environment that it has.

/// Where programs are looked for if the environment does not say.
pub const PATH: &str = "/usr/local/bin:/usr/bin:/bin:/usr/local/sbin:/usr/sbin:/sbin";

/// Variables that a command has unless it is given others.
pub const USUAL: &[(&str, &str)] =
    &[("PATH", PATH), ("HOME", crate::root::HOME), ("USER", "box"), ("TMPDIR", "/tmp"), ("LANG", "C.UTF-8")];

/// The whole environment of a command: what is given, and what is usual where that is not given. Each as `NAME=VALUE`, as
/// execve(2) takes them.
pub fn environment(given: &[(String, String)]) -> Vec<String> {
    let missing = USUAL.iter().filter(|(name, _)| !given.iter().any(|(n, _)| n == name));
    let given = given.iter().map(|(name, value)| format!("{name}={value}"));
    given.chain(missing.map(|(name, value)| format!("{name}={value}"))).collect()
}

/// Where the program of a command is looked for that is given these variables: folders with colons between them.
pub fn path(given: &[(String, String)]) -> &str {
    given.iter().find(|(name, _)| name == "PATH").map_or(PATH, |(_, value)| value)
}

/// What a program's name may mean, in order. Only absolute folders of `path` count.
pub fn candidates(program: &str, path: &str) -> Vec<String> {
    if program.contains('/') {
        return vec![program.to_owned()];
    }
    path.split(':').filter(|folder| folder.starts_with('/')).map(|folder| format!("{folder}/{program}")).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_program_is_looked_for_in_absolute_folders_only() {
        assert_eq!(candidates("./x", "/bin"), ["./x"]);
        assert_eq!(candidates("/y", "/bin"), ["/y"]);
        assert_eq!(candidates("x", "/usr/bin:::relative:/bin"), ["/usr/bin/x", "/bin/x"]);
    }

    #[test]
    fn what_is_given_hides_what_is_usual() {
        let given = [("HOME".to_owned(), "/workspace".to_owned())];
        let env = environment(&given);
        assert_eq!(env.iter().filter(|e| e.starts_with("HOME=")).collect::<Vec<_>>(), ["HOME=/workspace"]);
        assert!(env.contains(&format!("PATH={PATH}")));
        assert_eq!(path(&given), PATH);
        assert_eq!(path(&[("PATH".to_owned(), "/bin".to_owned())]), "/bin");
    }
}
