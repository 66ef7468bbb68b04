//! Lines of stdin, read by a thread of their own, so that waiting for one can be given up. The thread begins with the first
//! question: a command that asks nothing leaves stdin alone.

use std::io::{BufRead as _, Read as _};

use tokio::sync::mpsc;

use crate::{error::Outcome, input};

/// See the module.
#[derive(Debug, Default)]
pub(crate) struct Keyboard(Option<mpsc::Receiver<Outcome<String>>>);

impl Keyboard {
    /// The next line; `None` at the end of input. A line that is not text, or longer than an input may be, is the last.
    pub(crate) async fn line(&mut self) -> Outcome<Option<String>> {
        self.0.get_or_insert_with(read).recv().await.transpose()
    }
}

fn read() -> mpsc::Receiver<Outcome<String>> {
    let (send, receive) = mpsc::channel(1);
    std::thread::spawn(move || {
        let mut stdin = std::io::stdin().lock();
        loop {
            let mut line = Vec::new();
            match stdin.by_ref().take(input::MAX as u64 + 1).read_until(b'\n', &mut line) {
                Ok(n) if n > 0 => {}
                _ => return,
            }
            let line = input::text(line);
            let last = line.is_err();
            if send.blocking_send(line).is_err() || last {
                return;
            }
        }
    });
    receive
}
