//! Text of `agent.yaml` to a checked [`Manifest`].

use stead_core::code;

use crate::{
    check,
    error::ManifestError,
    keys::MANIFEST,
    manifest::Manifest,
    read::Reader,
    source::Source,
    yaml::{self, Node},
};

/// Parses and checks a manifest without looking at the files it names. `file` is what errors call it.
///
/// # Errors
/// Everything that is wrong, in order of the text, up to a bound; a syntax error stands alone.
pub fn parse(text: &str, file: &str) -> Result<Manifest, Vec<ManifestError>> {
    let source = Source { file: file.to_owned(), text: text.into() };
    parse_source(&source).map(|(manifest, _)| manifest)
}

/// [`parse`], keeping the tree for errors that come later.
pub(crate) fn parse_source(source: &Source) -> Result<(Manifest, Node), Vec<ManifestError>> {
    let root = yaml::parse(&source.text)
        .map_err(|e| vec![source.error(code::MANIFEST_SYNTAX, &e.at, "", e.message, e.hint.map(str::to_owned))])?;
    let json = Reader::read(source, &root, &MANIFEST)?;
    // The reader has checked all that the types ask for; a difference between the two is a bug that must not panic.
    let manifest: Manifest = serde_json::from_value(json)
        .map_err(|e| vec![source.whole(code::MANIFEST_VALUE, format!("cannot be read: {e}"), None)])?;
    let errors = check::check(source, &root, &manifest);
    if errors.is_empty() { Ok((manifest, root)) } else { Err(errors) }
}
