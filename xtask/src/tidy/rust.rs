//! What a Rust source says without its comments, and which part of it is tests. Judged line by line, as rustfmt writes
//! sources; not a parser.

use crate::{Fail, repo::Repo};

/// The code of some sources, apart.
#[derive(Debug, Default)]
pub(super) struct Code {
    /// What is built into the crate.
    pub(super) product: String,
    /// What is built for its tests only.
    pub(super) tests: String,
}

/// The code of every Rust file under a folder (with its `/`) that `wanted` takes.
pub(super) fn read(repo: &Repo, files: &[String], wanted: impl Fn(&str) -> bool) -> Result<Code, Fail> {
    let mut all = Code::default();
    for file in files.iter().filter(|f| f.ends_with(".rs") && wanted(f)) {
        let code = split(file, &repo.read(file)?);
        // What stands beside another crate's tests is built into whoever names it.
        for shared in elsewhere(file, &code.product) {
            all.product.push_str(&repo.read(&shared)?);
        }
        all.product.push_str(&code.product);
        all.tests.push_str(&code.tests);
    }
    Ok(all)
}

/// The files that a source names as modules of its own (`#[path = "…"]`), from the root.
fn elsewhere(file: &str, code: &str) -> Vec<String> {
    let named = code.lines().filter_map(|line| line.trim().strip_prefix("#[path = \"")?.strip_suffix("\"]"));
    let folder = file.rsplit_once('/').map_or("", |(folder, _)| folder);
    let whole = |path: &str| {
        let mut parts: Vec<&str> = folder.split('/').collect();
        for part in path.split('/') {
            match part {
                ".." => drop(parts.pop()),
                "." => {}
                part => parts.push(part),
            }
        }
        parts.join("/")
    };
    named.map(whole).collect()
}

/// The two parts of one source.
pub(super) fn split(file: &str, text: &str) -> Code {
    let mut code = Code::default();
    let own = file.split('/').any(|part| matches!(part, "tests" | "tests.rs" | "examples" | "benches"));
    let mut lines = text.lines().peekable();
    let mut tests = own;
    while let Some(line) = lines.next() {
        if line.trim() == "#[cfg(test)]" {
            match lines.peek().map(|next| next.trim()) {
                // A module in another file, which is judged by its name.
                Some(next) if next.starts_with("mod ") && next.ends_with(';') => {
                    lines.next();
                }
                // By custom the last thing of a file.
                Some(next) if next.starts_with("mod ") => tests = true,
                _ => {}
            }
            continue;
        }
        let part = if tests { &mut code.tests } else { &mut code.product };
        part.push_str(line.split("//").next().unwrap_or_default());
        part.push('\n');
    }
    code
}

/// Whether code names that path's first part: `name::…`, `use name;`, `name as …`.
pub(super) fn names(code: &str, name: &str) -> bool {
    let part = |c: char| c.is_alphanumeric() || c == '_';
    code.match_indices(name).any(|(at, _)| {
        let (before, after) = (&code[..at], &code[at + name.len()..]);
        // `a::name::b` names the module of another crate.
        let first = !before.ends_with(part) && (!before.ends_with("::") || before.ends_with(" ::"));
        first
            && (after.starts_with("::")
                || after.starts_with(" as ")
                || (after.starts_with(';') && before.ends_with("use ")))
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    const SOURCE: &str = "use serde::Serialize; // tokio::spawn\n#[cfg(test)]\nmod far;\nfn f() {}\n#[cfg(test)]\nmod tests {\n    use insta::x;\n}\n";

    #[test]
    fn a_module_of_another_folder_is_found_where_it_stands() {
        let code = "#[path = \"../../crates/trust/tests/shared/kit.rs\"]\nmod kit;\n";
        assert_eq!(elsewhere("bench/src/approvals.rs", code), ["crates/trust/tests/shared/kit.rs"]);
        assert!(elsewhere("bench/src/main.rs", "mod path;\n").is_empty());
    }

    #[test]
    fn tests_and_comments_are_not_the_product() {
        let code = split("crates/a/src/lib.rs", SOURCE);
        assert!(names(&code.product, "serde") && code.product.contains("fn f"));
        assert!(!names(&code.product, "tokio") && !names(&code.product, "insta") && names(&code.tests, "insta"));
        assert!(names(&split("crates/a/tests/x.rs", SOURCE).tests, "serde"));
        assert!(names(&split("crates/a/src/b/tests.rs", SOURCE).tests, "serde"));
    }

    #[test]
    fn a_name_is_a_whole_word_at_the_head_of_a_path() {
        assert!(
            names("use bytes::Bytes;", "bytes") && names("use bytes as b;", "bytes") && names("use bytes;", "bytes")
        );
        assert!(
            !names("let bytes = 1;", "bytes") && !names("mybytes::x", "bytes") && !names("self::bytes::x", "bytes")
        );
    }
}
