//! The files of the page, which are in the binary.

use axum::{
    extract::Path,
    http::header,
    response::{IntoResponse as _, Response},
};

use crate::http::failure::{Answer, Failure};

const PAGE: &str = include_str!("../../../assets/approvals/page.html");
const SCRIPT: &str = "text/javascript; charset=utf-8";
const FILES: [(&str, &str, &str); 7] = [
    ("page.css", "text/css; charset=utf-8", include_str!("../../../assets/approvals/page.css")),
    ("page.js", SCRIPT, include_str!("../../../assets/approvals/page.js")),
    ("views.js", SCRIPT, include_str!("../../../assets/approvals/views.js")),
    ("server.js", SCRIPT, include_str!("../../../assets/approvals/server.js")),
    ("statement.js", SCRIPT, include_str!("../../../assets/approvals/statement.js")),
    ("passkey.js", SCRIPT, include_str!("../../../assets/approvals/passkey.js")),
    ("icon.svg", "image/svg+xml", include_str!("../../../assets/approvals/icon.svg")),
];

/// One page for all that there is to see: its scripts look at where they are.
pub(super) async fn page() -> Response {
    ([(header::CONTENT_TYPE, "text/html; charset=utf-8")], PAGE).into_response()
}

pub(super) async fn asset(Path(file): Path<String>) -> Answer<Response> {
    let found = FILES.iter().find(|(name, ..)| *name == file);
    let (_, kind, text) = found.ok_or_else(|| Failure::not_found("this file of the page"))?;
    Ok(([(header::CONTENT_TYPE, *kind)], *text).into_response())
}
