//! A manifest's errors, with the lines that they are about.

use miette::{Diagnostic, GraphicalReportHandler, GraphicalTheme, LabeledSpan, NamedSource, SourceCode};
use stead_manifest::ManifestError;

use super::term::{Paint, clean};

/// Width of a report.
const WIDTH: usize = 100;

#[derive(Debug)]
struct Report<'e> {
    error: &'e ManifestError,
    source: NamedSource<String>,
    placed: bool,
}

impl std::fmt::Display for Report<'_> {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        if !self.placed {
            write!(f, "{}: ", clean(&self.error.file))?;
        }
        f.write_str(&clean(&self.error.message))?;
        if self.error.key.is_empty() { Ok(()) } else { write!(f, " (at `{}`)", clean(&self.error.key)) }
    }
}

impl std::error::Error for Report<'_> {}

impl Diagnostic for Report<'_> {
    fn code<'a>(&'a self) -> Option<Box<dyn std::fmt::Display + 'a>> {
        Some(Box::new(format!("error[{}]", self.error.code)))
    }
    fn help<'a>(&'a self) -> Option<Box<dyn std::fmt::Display + 'a>> {
        self.error.hint.as_ref().map(|h| Box::new(clean(h)) as _)
    }
    fn source_code(&self) -> Option<&dyn SourceCode> {
        self.placed.then_some(&self.source as _)
    }
    fn labels(&self) -> Option<Box<dyn Iterator<Item = LabeledSpan> + '_>> {
        let span = self.error.span.clone();
        self.placed.then(|| Box::new(std::iter::once(LabeledSpan::new_with_span(None, span))) as _)
    }
}

/// One error, with its place when it has one.
pub(crate) fn render(error: &ManifestError, paint: Paint) -> String {
    let theme = if paint.is_on() { GraphicalTheme::unicode() } else { GraphicalTheme::unicode_nocolor() };
    let source = NamedSource::new(clean(&error.file), masked(&error.source_text));
    let report = Report { error, source, placed: error.line > 0 };
    let mut out = String::new();
    let handler = GraphicalReportHandler::new_themed(theme).with_width(WIDTH).with_links(false);
    match handler.render_report(&mut out, &report) {
        Ok(()) => out,
        Err(_) => format!("{error}\n"),
    }
}

/// The text without control characters; each is replaced by one of as many bytes, so that places stay where they are.
fn masked(text: &str) -> String {
    let plain = |c: char| !c.is_control() || matches!(c, '\n' | '\r' | '\t');
    text.chars().flat_map(|c| if plain(c) { vec![c] } else { vec!['?'; c.len_utf8()] }).collect()
}
