//! Lines of stdin, read by a thread of their own, so that waiting for one can be given up. The thread begins with the first
//! question: a command that asks nothing leaves stdin alone.

use std::io::BufRead as _;

use tokio::sync::mpsc;

/// Longest line.
const MAX_LINE: usize = 1 << 20;

/// See the module.
#[derive(Debug, Default)]
pub(crate) struct Keyboard(Option<mpsc::Receiver<String>>);

impl Keyboard {
    /// The next line; `None` at the end of input.
    pub(crate) async fn line(&mut self) -> Option<String> {
        self.0.get_or_insert_with(read).recv().await
    }
}

fn read() -> mpsc::Receiver<String> {
    let (send, receive) = mpsc::channel(1);
    std::thread::spawn(move || {
        let mut stdin = std::io::stdin().lock();
        loop {
            let mut line = Vec::new();
            match std::io::Read::take(&mut stdin, MAX_LINE as u64).read_until(b'\n', &mut line) {
                Ok(n) if n > 0 => {}
                _ => return,
            }
            if send.blocking_send(String::from_utf8_lossy(&line).into_owned()).is_err() {
                return;
            }
        }
    });
    receive
}
