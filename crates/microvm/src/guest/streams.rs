//! The command's streams: pipes or a terminal inside, streams of the channel outside, and threads between the two.

use std::{
    fs::File,
    io::{self, Read, Write},
    os::fd::OwnedFd,
    path::Path,
    sync::Arc,
};

use rustix::pipe::PipeFlags;
use stead_tier::pty::{self, Pair};

use super::{
    ROOT, USER, boxed,
    link::{Link, Reader, Writer},
};
use crate::{
    fault::{At, Fault},
    wire::stream,
};

/// The channel's side.
#[derive(Debug)]
pub(super) struct Ends {
    input: Reader,
    output: Writer,
    error: Writer,
}

impl Ends {
    pub(super) fn open(link: &Arc<Link>) -> Self {
        Self {
            input: link.reader(stream::STDIN),
            output: link.writer(stream::STDOUT),
            error: link.writer(stream::STDERR),
        }
    }
}

/// The command's side.
#[derive(Debug)]
pub(super) enum Given {
    /// What it reads, writes, and the ends that are ours.
    Pipes { inside: Option<[OwnedFd; 3]>, input: OwnedFd, output: OwnedFd, error: OwnedFd },
    /// A terminal: what it has, and what is ours.
    Terminal { inside: Option<OwnedFd>, outer: OwnedFd },
}

fn pipe() -> Result<(OwnedFd, OwnedFd), Fault> {
    rustix::pipe::pipe_with(PipeFlags::CLOEXEC).at("making a pipe")
}

/// Makes the command's side.
pub(super) fn make(terminal: Option<(u16, u16)>) -> Result<Given, Fault> {
    let Some(size) = terminal else {
        let ((its_input, input), (output, its_output), (error, its_error)) = (pipe()?, pipe()?, pipe()?);
        for end in [&its_input, &its_output, &its_error] {
            // So that it may open `/dev/stdout` again.
            std::os::unix::fs::fchown(end, Some(USER), Some(USER)).at("giving the streams away")?;
        }
        return Ok(Given::Pipes { inside: Some([its_input, its_output, its_error]), input, output, error });
    };
    let Pair { outer, inner } = pty::pair(Path::new(&format!("{ROOT}/dev/pts/ptmx")), size)?;
    std::os::unix::fs::fchown(&inner, Some(USER), Some(USER)).at("giving the terminal away")?;
    Ok(Given::Terminal { inside: Some(inner), outer })
}

impl Given {
    /// What the command gets as its three streams; once.
    pub(super) fn inside(&mut self) -> Result<[OwnedFd; 3], Fault> {
        let step = "handing the streams over";
        let taken = || Fault(format!("{step}: they are gone"));
        match self {
            Self::Pipes { inside, .. } => inside.take().ok_or_else(taken),
            Self::Terminal { inside, .. } => {
                let one = inside.take().ok_or_else(taken)?;
                Ok([one.try_clone().at(step)?, one.try_clone().at(step)?, one])
            }
        }
    }

    /// Another handle of the terminal, to resize it.
    pub(super) fn terminal(&self) -> Result<Option<OwnedFd>, Fault> {
        match self {
            Self::Pipes { .. } => Ok(None),
            Self::Terminal { outer, .. } => outer.try_clone().map(Some).at("holding the terminal"),
        }
    }

    /// Starts to pump, on threads that end with the streams.
    pub(super) fn pump(self, ends: Ends) -> Result<(), Fault> {
        let Ends { mut input, output, error } = ends;
        let to = match self {
            Self::Pipes { input: to, output: from, error: from_error, .. } => {
                boxed::thread("stdout", move || out(from, output))?;
                boxed::thread("stderr", move || out(from_error, error))?;
                to
            }
            Self::Terminal { outer, .. } => {
                error.end();
                let to = outer.try_clone().at("holding the terminal")?;
                boxed::thread("terminal", move || out(outer, output))?;
                to
            }
        };
        boxed::thread("stdin", move || {
            let mut to = File::from(to);
            if io::copy(&mut input, &mut to).is_err() {
                input.refuse();
            }
        })
        .map(drop)
    }
}

/// Reads an output to its end. What nobody wants is read all the same, so that the command does not wait for it.
fn out(from: OwnedFd, mut to: Writer) {
    let (mut from, mut piece, mut wanted) = (File::from(from), vec![0; 32 << 10], true);
    // A terminal that nobody holds any more fails, and a pipe ends.
    while let Ok(n @ 1..) = from.read(&mut piece) {
        wanted = wanted && to.write_all(&piece[..n]).is_ok();
    }
    to.end();
}
