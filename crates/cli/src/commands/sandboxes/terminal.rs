//! This person's terminal while a terminal of a sandbox is shown in it: every key goes there, and it is as before afterwards.

use std::io;

use rustix::termios::{OptionalActions, Termios, tcgetattr, tcgetwinsize, tcsetattr};
use stead_api::sandbox::TerminalSize;

/// A terminal that passes every key on, until this is dropped.
pub(super) struct RawTerminal(Termios);

impl RawTerminal {
    /// Takes the terminal that is stdin.
    pub(super) fn take() -> io::Result<Self> {
        let before = tcgetattr(io::stdin())?;
        let mut raw = before.clone();
        raw.make_raw();
        tcsetattr(io::stdin(), OptionalActions::Now, &raw)?;
        Ok(Self(before))
    }
}

impl Drop for RawTerminal {
    fn drop(&mut self) {
        // A terminal that is gone needs nothing.
        let _ = tcsetattr(io::stdin(), OptionalActions::Drain, &self.0);
    }
}

/// Its size; of one that has none, the usual one.
pub(super) fn size() -> TerminalSize {
    let found = tcgetwinsize(io::stdout()).ok().filter(|size| size.ws_row > 0 && size.ws_col > 0);
    found
        .map_or(TerminalSize { rows: 24, columns: 80 }, |size| TerminalSize { rows: size.ws_row, columns: size.ws_col })
}
