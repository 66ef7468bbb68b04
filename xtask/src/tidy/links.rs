//! Links of the Markdown files lead to files that exist and to headings in them; the pages of the manual are all in its
//! table of contents, and lead to no file outside of it, which the book would not have.

use std::{
    collections::{BTreeMap, BTreeSet},
    path::{Component, Path, PathBuf},
};

use pulldown_cmark::{Event, Options, Parser, Tag, TagEnd};

use crate::{Fail, repo::Repo, tidy::Findings};

/// The folder of the manual, and its table of contents.
const BOOK: &str = "docs";
const CONTENTS: &str = "docs/SUMMARY.md";

/// What a page says that others can point at, and what it points at.
#[derive(Debug, Default, PartialEq, Eq)]
struct Page {
    anchors: BTreeSet<String>,
    links: Vec<String>,
}

pub(super) fn check(repo: &Repo) -> Result<Findings, Fail> {
    let mut pages = BTreeMap::new();
    for file in repo.files()?.into_iter().filter(|f| f.ends_with(".md")) {
        let page = Page::read(&repo.read(&file)?);
        pages.insert(PathBuf::from(file), page);
    }
    let mut found = compare(&pages, |path| repo.root().join(path).exists());
    let contents: BTreeSet<PathBuf> = pages
        .get(Path::new(CONTENTS))
        .map(|page| page.links.iter().map(|link| Path::new(BOOK).join(link)).collect())
        .unwrap_or_default();
    for page in pages.keys().filter(|p| p.starts_with(BOOK) && *p != Path::new(CONTENTS)) {
        if !contents.contains(page) {
            found.push(format!("{}: not in {CONTENTS}", page.display()));
        }
    }
    Ok(found)
}

fn compare(pages: &BTreeMap<PathBuf, Page>, exists: impl Fn(&Path) -> bool) -> Findings {
    let mut found = Findings::new();
    for (file, page) in pages {
        for link in &page.links {
            // With a scheme, or a host alone: not ours.
            if link.contains(':') || link.starts_with("//") {
                continue;
            }
            let (path, anchor) = link.split_once('#').unwrap_or((link, ""));
            let target = if path.is_empty() { file.clone() } else { resolve(file, path) };
            let wrong = |what: &str| format!("{}: the link to {link} {what}", file.display());
            if !exists(&target) {
                found.push(wrong("leads nowhere"));
            } else if file.starts_with(BOOK) && !target.starts_with(BOOK) {
                found.push(wrong("leads out of the book"));
            } else if let Some(there) = pages.get(&target).filter(|p| !anchor.is_empty() && !p.anchors.contains(anchor))
            {
                let close: Vec<&str> =
                    there.anchors.iter().map(String::as_str).filter(|a| a.contains(anchor)).collect();
                found.push(wrong(&format!("names no heading there {}", close.join(" "))).trim_end().to_owned());
            }
        }
    }
    found
}

/// The file that a relative link names, from the root.
fn resolve(file: &Path, link: &str) -> PathBuf {
    let mut out = file.parent().unwrap_or(Path::new("")).to_owned();
    for part in Path::new(link).components() {
        match part {
            Component::ParentDir => {
                out.pop();
            }
            Component::CurDir => {}
            other => out.push(other),
        }
    }
    out
}

impl Page {
    fn read(text: &str) -> Self {
        let mut page = Self::default();
        let mut heading: Option<String> = None;
        for event in Parser::new_ext(text, Options::ENABLE_TABLES | Options::ENABLE_FOOTNOTES) {
            match event {
                Event::Start(Tag::Link { dest_url, .. } | Tag::Image { dest_url, .. }) => {
                    page.links.push(dest_url.into_string());
                }
                Event::Start(Tag::Heading { .. }) => heading = Some(String::new()),
                Event::End(TagEnd::Heading(_)) => {
                    let anchor = slug(&heading.take().unwrap_or_default());
                    // The second heading of a name is told apart by a number.
                    let twice = (1..).map(|n| format!("{anchor}-{n}")).find(|a| !page.anchors.contains(a));
                    let taken = page.anchors.contains(&anchor);
                    page.anchors.extend(if taken { twice } else { Some(anchor) });
                }
                Event::Text(part) | Event::Code(part) => {
                    if let Some(heading) = &mut heading {
                        heading.push_str(&part);
                    }
                }
                _ => {}
            }
        }
        page
    }
}

/// A heading's anchor, as mdBook and the usual forges make it.
fn slug(heading: &str) -> String {
    heading
        .trim()
        .chars()
        .filter_map(|c| match c {
            ' ' => Some('-'),
            c if c.is_alphanumeric() || c == '-' || c == '_' => Some(c.to_ascii_lowercase()),
            _ => None,
        })
        .collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn found(files: &[(&str, &str)]) -> Findings {
        let pages = files.iter().map(|(file, text)| (PathBuf::from(file), Page::read(text))).collect();
        compare(&pages, |path| files.iter().any(|(file, _)| Path::new(file) == path) || path == Path::new("src/a.rs"))
    }

    #[test]
    fn links_lead_to_files_and_to_headings_in_them() {
        let text = "# A `b` c\n[a](x.md#two-words) [b](https://example.com/#x) [c](#a-b-c) [d](src/a.rs)\n\
                    ```\n[e](code.md)\n```\n";
        assert_eq!(found(&[("README.md", text), ("x.md", "## Two words\n")]), Vec::<String>::new());
        let found =
            found(&[("README.md", "[a](y.md) [b](x.md#three) [c](#none)\n\n[d]: z.md\n[d]"), ("x.md", "# Two")]);
        assert_eq!(found.len(), 4, "{found:?}");
        assert!(found[1].contains("x.md#three names no heading"), "{found:?}");
    }

    #[test]
    fn a_page_of_the_book_leads_to_no_file_that_the_book_has_not() {
        assert_eq!(
            found(&[("docs/a.md", "[x](b.md) [y](errors/c.md)"), ("docs/b.md", ""), ("docs/errors/c.md", "")]).len(),
            0
        );
        assert_eq!(found(&[("docs/a.md", "[x](../README.md)"), ("README.md", "[y](docs/a.md)")]).len(), 1);
    }

    #[test]
    fn the_second_heading_of_a_name_has_a_number() {
        let page = Page::read("# A\n## A\n## Exit codes, and why\n");
        assert_eq!(page.anchors, ["a", "a-1", "exit-codes-and-why"].map(str::to_owned).into());
    }
}
