//! What `stead dev` and `stead serve` tell a program that starts them: one line of JSON on stdout, once they serve.

use std::{io, path::Path};

use serde::Serialize;
use stead_server::{auth::token_path, serve::Server};

/// Where a server is and what it has. Fields may be added.
#[derive(Debug, Serialize)]
struct Served<'a> {
    url: &'a str,
    api: String,
    openapi: String,
    /// The file that holds the token, not the token.
    token: &'a Path,
    data: &'a Path,
    /// The tiers of sandboxes that agents may ask for. What the host can give, `stead doctor` says.
    sandbox: Vec<String>,
}

/// The tiers of sandboxes that agents may ask for.
pub(crate) fn tiers(server: &Server) -> Vec<String> {
    server.sandbox().tiers.iter().map(|tier| stead_core::sandbox::Tier::from(*tier).to_string()).collect()
}

/// Writes the line.
///
/// # Errors
/// When stdout is closed.
pub(crate) fn json(server: &Server) -> io::Result<()> {
    let (url, data) = (server.url(), server.runtime().data_dir());
    super::json_line(&Served {
        url,
        api: format!("{url}/v1"),
        openapi: format!("{url}/v1/openapi.json"),
        token: &token_path(data),
        data,
        sandbox: tiers(server),
    })
}
