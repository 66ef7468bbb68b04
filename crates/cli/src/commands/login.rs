//! `stead login`, `stead logout`, `stead whoami`: who somebody is to a server that knows an identity provider.

use std::{io, time::Duration};

use clap::Args;
use serde::Serialize;
use stead_client::{
    Client,
    login::{Provider, Tokens},
};
use stead_core::code;
use tokio::{
    io::{AsyncReadExt as _, AsyncWriteExt as _},
    net::{TcpListener, TcpStream},
};

use crate::{
    cli::Global,
    connect::{Connection, Need},
    credentials::{self, Entry},
    error::{CliError, Outcome},
    exit::Exit,
    ui::{
        self,
        table::fields,
        term::{clean, short},
    },
};

/// How long a browser may take.
const PATIENCE: Duration = Duration::from_secs(600);
/// Bytes of a request of the browser that are read.
const MAX_REQUEST: usize = 16 << 10;
/// Where the browser comes back to.
const CALLBACK: &str = "/callback";

/// Log in to a server at its identity provider
///
/// Opens a page of the provider in a browser on this machine; with --device any other device will do. The server is that of --server.
#[derive(Debug, Args)]
pub(crate) struct Login {
    /// Log in with another device: a phone, or a browser elsewhere
    #[arg(long)]
    device: bool,
    /// Write the page's address and open no browser
    #[arg(long, conflicts_with = "device")]
    no_browser: bool,
}

/// Forget the login at a server, and tell the provider to take it no more
#[derive(Debug, Args)]
pub(crate) struct Logout {}

/// Show who you are to the server, and what you may do
#[derive(Debug, Args)]
pub(crate) struct Whoami {}

fn server(global: &Global) -> Outcome<&str> {
    global.server.as_deref().ok_or_else(|| {
        CliError::usage("name the server that you log in to: --server URL, or STEAD_SERVER")
            .hint("on the machine of a data folder nobody need log in")
    })
}

pub(crate) async fn login(global: &Global, args: Login) -> Outcome {
    let url = server(global)?;
    let login = Client::new(url, "")?.login().await?;
    let provider = Provider::discover(login.clone()).await?;
    let tokens = if args.device { by_device(&provider).await? } else { by_browser(&provider, args.no_browser).await? };
    let client = Client::new(url, &tokens.bearer)?;
    // What the server does not take is not kept.
    client.status().await?;
    credentials::keep(url, Entry { login, tokens })?;
    shown(global, &client).await
}

async fn by_device(provider: &Provider) -> Outcome<Tokens> {
    let device = provider.device().await?;
    let (uri, code) = (clean(&device.uri()), clean(&device.code()));
    ui::say(&format!("open {uri} on any device and enter {code}"));
    if let Some(whole) = device.whole_uri() {
        ui::say(&format!("or open {}", clean(&whole)));
    }
    Ok(provider.wait(&device).await?)
}

async fn by_browser(provider: &Provider, no_browser: bool) -> Outcome<Tokens> {
    let other = |e: io::Error| CliError::new(code::LOGIN, format!("no browser can come back to this machine: {e}"));
    // RFC 8252, section 7.3: the address, not the name, and any port.
    let listener = TcpListener::bind(("127.0.0.1", 0)).await.map_err(other)?;
    let port = listener.local_addr().map_err(other)?.port();
    let begun = provider.begin(&format!("http://127.0.0.1:{port}{CALLBACK}"))?;
    ui::say(&format!("log in at {}", begun.url));
    if !no_browser {
        browser(begun.url.as_str());
    }
    let came = tokio::time::timeout(PATIENCE, came_back(&listener)).await;
    let query = came.map_err(|_| CliError::new(code::LOGIN, "nobody logged in within 10 minutes"))?.map_err(other)?;
    Ok(provider.finish(begun, &query).await?)
}

/// Opens a browser, if there is one; the address was written anyway.
pub(super) fn browser(url: &str) {
    let program = if cfg!(target_os = "macos") { "open" } else { "xdg-open" };
    let mut command = std::process::Command::new(program);
    let quiet = std::process::Stdio::null;
    let started = command.arg(url).stdin(quiet()).stdout(quiet()).stderr(quiet()).spawn();
    drop(started);
}

/// Waits for the browser to come back, and tells with what.
async fn came_back(listener: &TcpListener) -> io::Result<String> {
    loop {
        let (stream, _) = listener.accept().await?;
        // A browser asks for more than the page, and others may try.
        if let Ok(Ok(Some(query))) = tokio::time::timeout(Duration::from_secs(5), asked(stream)).await {
            return Ok(query);
        }
    }
}

/// The query of a request for the page, answered with a word.
async fn asked(mut stream: TcpStream) -> io::Result<Option<String>> {
    let mut head = Vec::new();
    while !head.ends_with(b"\r\n\r\n") && head.len() < MAX_REQUEST {
        let mut piece = [0; 1_024];
        let read = stream.read(&mut piece).await?;
        if read == 0 {
            break;
        }
        head.extend_from_slice(&piece[..read]);
    }
    let head = String::from_utf8_lossy(&head);
    let target = head.lines().next().and_then(|line| line.strip_prefix("GET ")).and_then(|rest| rest.split(' ').next());
    let query = target.and_then(|t| t.strip_prefix(CALLBACK)).and_then(|t| t.strip_prefix('?')).map(str::to_owned);
    let (status, said) = match &query {
        Some(_) => ("200 OK", "You may close this page: the command line goes on.\n"),
        None => ("404 Not Found", "There is nothing here.\n"),
    };
    let answer = format!(
        "HTTP/1.1 {status}\r\ncontent-type: text/plain; charset=utf-8\r\ncontent-length: {}\r\ncache-control: no-store\r\n\
         connection: close\r\n\r\n{said}",
        said.len()
    );
    stream.write_all(answer.as_bytes()).await?;
    stream.shutdown().await?;
    Ok(query)
}

pub(crate) async fn logout(global: &Global, _: Logout) -> Outcome {
    let url = server(global)?;
    let Some(Entry { login, tokens }) = credentials::forget(url)? else {
        ui::say(&format!("nobody was logged in at {url}"));
        return Ok(Exit::Ok);
    };
    let told = match &tokens.refresh {
        Some(refresh) => match Provider::discover(login).await {
            Ok(provider) => provider.revoke(refresh).await.unwrap_or(false),
            Err(_) => false,
        },
        None => false,
    };
    ui::say(match told {
        true => "logged out; the identity provider takes this login no more",
        false => "logged out here; what the provider gave holds until it ends",
    });
    Ok(Exit::Ok)
}

pub(crate) async fn whoami(global: &Global, _: Whoami) -> Outcome {
    let connection = Connection::open(global, Need::Rest).await?;
    let outcome = shown(global, &connection.client).await;
    connection.close().await;
    outcome
}

/// Who somebody is, as JSON.
#[derive(Serialize)]
struct Me {
    subject: String,
    tenant: String,
    rights: Vec<&'static str>,
}

async fn shown(global: &Global, client: &Client) -> Outcome {
    let status = client.status().await?;
    let rights: Vec<&'static str> = status.rights.iter().map(|right| right.as_str()).collect();
    if global.json {
        ui::json(&Me { subject: status.subject, tenant: status.tenant, rights })?;
    } else {
        let rows = [
            ("subject", short(&status.subject, 200)),
            ("tenant", clean(&status.tenant)),
            ("rights", rights.join(", ")),
        ];
        ui::text(&fields(&rows))?;
    }
    Ok(Exit::Ok)
}
