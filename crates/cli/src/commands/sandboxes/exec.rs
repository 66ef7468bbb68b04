//! `stead sandboxes exec`: a command in a sandbox, as if it ran here.

use std::io::{self, Read as _};

use base64::{Engine as _, engine::general_purpose::STANDARD};
use bytes::Bytes;
use clap::Args;
use stead_api::sandbox::{ExecEnd, ExecState, OutputSource, StartExec};
use stead_client::{Client, ClientError, Output};
use stead_core::{code, id::SandboxId, time::Span};
use tokio::{
    signal::unix::{SignalKind, signal},
    sync::mpsc,
};

use super::{screen::Screen, show, terminal};
use crate::{
    cli::Global,
    error::{CliError, Outcome},
    exit::Exit,
    scalar,
    ui::{self, term},
};

/// Run a command in a sandbox, and end as it does
#[derive(Debug, Args)]
pub(super) struct ExecArgs {
    /// Pass stdin on
    #[arg(long, short)]
    interactive: bool,
    /// Give it a terminal; what it shows reaches yours as it is
    #[arg(long, short)]
    tty: bool,
    /// Do not wait for it; its number goes to stdout
    #[arg(long, short, conflicts_with_all = ["interactive", "tty"])]
    detach: bool,
    /// A variable, besides those of the sandbox
    #[arg(long, short, value_name = "NAME=VALUE", value_parser = super::variable)]
    env: Vec<(String, String)>,
    /// Its working folder
    #[arg(long, short = 'w', value_name = "FOLDER")]
    dir: Option<String>,
    /// How long it may run
    #[arg(long, value_parser = scalar::span)]
    timeout: Option<Span>,
    /// The same command with the same key runs once; asked again, it is followed
    #[arg(long)]
    key: Option<String>,
    /// The sandbox
    sandbox: SandboxId,
    /// The program and its arguments
    #[arg(required = true, trailing_var_arg = true, allow_hyphen_values = true)]
    command: Vec<String>,
}

/// Bytes of stdin that are sent at once.
const PIECE: usize = 64 << 10;

pub(super) async fn run(global: &Global, client: &Client, args: ExecArgs) -> Outcome {
    let ExecArgs { interactive, tty, detach, env, dir, timeout, key, sandbox, command } = args;
    if tty && interactive && !term::can_ask() {
        return Err(CliError::usage("`-t` with `-i` needs a terminal as stdin: leave one of them out"));
    }
    let start = StartExec {
        command,
        env: env.into_iter().collect(),
        dir: dir.unwrap_or_default(),
        terminal: tty.then(terminal::size),
        stdin: interactive,
        timeout,
    };
    let exec = client.exec(sandbox, &start, key.as_deref()).await?;
    if detach {
        if global.json {
            ui::json(&exec)?
        } else {
            ui::line(&exec.n.to_string())?
        }
        return Ok(Exit::Ok);
    }
    let raw = (tty && interactive).then(terminal::RawTerminal::take).transpose()?;
    let typing = interactive.then(|| tokio::spawn(pass_on(client.clone(), sandbox, exec.n)));
    let resizing = tty.then(|| tokio::spawn(resize(client.clone(), sandbox, exec.n)));
    let ended = follow(global, client, sandbox, exec.n, tty).await;
    for task in [typing, resizing].into_iter().flatten() {
        task.abort();
    }
    drop(raw);
    let end = ended?;
    if matches!(end.state, ExecState::Killed | ExecState::Timeout) {
        ui::say(&format!("the command {}", show::state(&end)));
    }
    Ok(exit(&end))
}

/// As a shell tells the end of a command.
fn exit(end: &ExecEnd) -> Exit {
    let code = match end.state {
        ExecState::Exited => end.code.unwrap_or(1),
        ExecState::Signalled => 128 + end.signal.unwrap_or(9),
        ExecState::Timeout => 124,
        ExecState::Killed | ExecState::Running => 137,
    };
    Exit::As(u8::try_from(code & 0xff).unwrap_or(1))
}

async fn follow(global: &Global, client: &Client, sandbox: SandboxId, n: u32, tty: bool) -> Outcome<ExecEnd> {
    let mut out = Screen::new(io::stdout(), !tty && term::out_is_tty());
    let mut err = Screen::new(io::stderr(), !tty && term::err_is_tty());
    let mut follow = client.follow_exec(sandbox, n, 0)?;
    let mut interrupts = signal(SignalKind::interrupt())?;
    loop {
        let heard = tokio::select! {
            heard = follow.next() => heard,
            // The command hears of it, and its end is waited for.
            _ = interrupts.recv() => {
                client.exec_kill(sandbox, n, Some(2)).await?;
                continue;
            }
        };
        match heard {
            Some(Ok(Output::Chunk(chunk))) => {
                if global.json {
                    ui::json_line(&chunk)?;
                    continue;
                }
                let piece =
                    STANDARD.decode(&chunk.data).map_err(|_| CliError::other("the server sent what is no output"))?;
                match chunk.source {
                    OutputSource::Stderr => err.write(&piece)?,
                    OutputSource::Stdout | OutputSource::Terminal => out.write(&piece)?,
                }
            }
            Some(Ok(Output::Lost(lost))) => {
                ui::say(&format!(
                    "hint: output came faster than it was read; pieces {} to {} are lost",
                    lost.from, lost.to
                ));
            }
            Some(Ok(Output::Exit(exit))) => {
                if global.json {
                    ui::json_line(&exit)?;
                }
                out.finish()?;
                err.finish()?;
                return Ok(exit.end);
            }
            Some(Err(error)) => return Err(error.into()),
            None => return Err(CliError::other("the output ended without the command's end")),
        }
    }
}

/// Sends stdin, until it ends or the command takes no more.
async fn pass_on(client: Client, sandbox: SandboxId, n: u32) {
    let (send, mut pieces) = mpsc::channel::<Bytes>(4);
    // Reading blocks, and may go on doing so when the command has ended.
    std::thread::spawn(move || {
        let mut room = vec![0; PIECE];
        while let Ok(read @ 1..) = io::stdin().read(&mut room) {
            if send.blocking_send(Bytes::copy_from_slice(&room[..read])).is_err() {
                return;
            }
        }
    });
    while let Some(piece) = pieces.recv().await {
        if send_all(&client, sandbox, n, piece).await.is_err() {
            return;
        }
    }
    // One that reads no more needs no end of it.
    let _ = client.exec_input(sandbox, n, Bytes::new(), true).await;
}

async fn send_all(client: &Client, sandbox: SandboxId, n: u32, piece: Bytes) -> Result<(), ClientError> {
    match client.exec_input(sandbox, n, piece, false).await {
        Err(error) if error.code == code::SANDBOX_INPUT => Err(error),
        Err(error) => {
            ui::say(&format!("hint: stdin is not passed on any more: {error}"));
            Err(error)
        }
        Ok(_) => Ok(()),
    }
}

/// Tells each new size of this terminal.
async fn resize(client: Client, sandbox: SandboxId, n: u32) {
    let Ok(mut changes) = signal(SignalKind::window_change()) else { return };
    while changes.recv().await.is_some() {
        // A size that is not told is told with the next one.
        let _ = client.exec_resize(sandbox, n, terminal::size()).await;
    }
}
