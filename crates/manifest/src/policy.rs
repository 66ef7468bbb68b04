//! The folder of policies that a manifest may name: which of its files are a part of the agent. What they say is not looked
//! at here.

/// The file that declares counters.
const COUNTERS: &str = "history.yaml";
/// The folder below it that may hold gates apart.
const GATES: &str = "gates";

/// The folder's name without a slash at its end.
pub(crate) fn trimmed(folder: &str) -> &str {
    folder.trim_end_matches('/')
}

/// The folders in which its files stand: itself, and that of its gates.
pub(crate) fn parts(folder: &str) -> [String; 2] {
    let folder = trimmed(folder);
    [folder.to_owned(), format!("{folder}/{GATES}")]
}

/// Whether that is a file of the folder which belongs to the agent. Cases and tools for trying policies do not.
pub(crate) fn is_file(folder: &str, file: &str) -> bool {
    let inside = file.strip_prefix(trimmed(folder)).and_then(|rest| rest.strip_prefix('/'));
    let Some(inside) = inside else { return false };
    let name = inside.strip_prefix(GATES).and_then(|rest| rest.strip_prefix('/'));
    let cedar = |name: &str| {
        let stem = name.strip_suffix(".cedar").unwrap_or_default();
        !stem.is_empty() && !stem.starts_with('.') && !name.contains('/') && !name.chars().any(char::is_control)
    };
    inside == COUNTERS || cedar(name.unwrap_or(inside))
}

/// A folder without a policy is a mistake: whoever names one means that something is forbidden.
pub(crate) fn enough<'a>(folder: &str, mut files: impl Iterator<Item = &'a str>) -> Result<(), String> {
    match files.any(|file| file.ends_with(".cedar")) {
        true => Ok(()),
        false => Err(format!("there is no `*.cedar` in `{folder}`")),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn policies_gates_and_counters_belong_to_the_agent_and_nothing_else() {
        for file in ["./policy/a.cedar", "./policy/gates/b.cedar", "./policy/history.yaml", "./policy/a b.cedar"] {
            assert!(is_file("./policy", file) && is_file("./policy/", file), "{file}");
        }
        for file in [
            "./policy/tests.yaml",
            "./policy/tools.yaml",
            "./policy/.cedar",
            "./policy/.a.cedar",
            "./policy/gates/history.yaml",
            "./policy/more/c.cedar",
            "./policy/gates/more/c.cedar",
            "./policy/../a.cedar",
            "./policys/a.cedar",
            "./policy",
            "policy/a.cedar",
        ] {
            assert!(!is_file("./policy", file), "{file}");
        }
    }
}
