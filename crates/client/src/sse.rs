//! Reading server-sent events (WHATWG HTML, section 9.2) from pieces of any size, with a bound on each event.

/// Most bytes of one event.
const MAX_EVENT: usize = 32 << 20;

/// One event.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(crate) struct Frame {
    /// The last id seen, on this event or before.
    pub(crate) id: Option<String>,
    /// Its kind; `message` when it has none.
    pub(crate) event: String,
    /// Its data.
    pub(crate) data: String,
}

/// An event larger than [`MAX_EVENT`].
#[derive(Debug, PartialEq, Eq)]
pub(crate) struct TooLarge;

/// Puts events together.
#[derive(Debug, Default)]
pub(crate) struct Parser {
    line: Vec<u8>,
    frame: Frame,
    has_data: bool,
    after_cr: bool,
}

impl Parser {
    /// Takes in a piece and adds the events it completes to `out`.
    pub(crate) fn push(&mut self, bytes: &[u8], out: &mut Vec<Frame>) -> Result<(), TooLarge> {
        for byte in bytes {
            // A line ends with CR, LF or both.
            match byte {
                b'\n' if self.after_cr => self.after_cr = false,
                b'\n' | b'\r' => {
                    self.after_cr = *byte == b'\r';
                    let line = std::mem::take(&mut self.line);
                    self.take(&String::from_utf8_lossy(&line), out);
                }
                other => {
                    self.after_cr = false;
                    self.line.push(*other);
                    if self.line.len() + self.frame.data.len() > MAX_EVENT {
                        return Err(TooLarge);
                    }
                }
            }
        }
        Ok(())
    }

    fn take(&mut self, line: &str, out: &mut Vec<Frame>) {
        if line.is_empty() {
            if self.has_data {
                let id = self.frame.id.clone();
                let mut frame = std::mem::replace(&mut self.frame, Frame { id, ..Frame::default() });
                if frame.event.is_empty() {
                    frame.event.push_str("message");
                }
                out.push(frame);
            }
            self.frame.event.clear();
            self.frame.data.clear();
            self.has_data = false;
            return;
        }
        let (field, value) = line.split_once(':').unwrap_or((line, ""));
        let value = value.strip_prefix(' ').unwrap_or(value);
        match field {
            "id" if !value.contains('\0') => self.frame.id = Some(value.to_owned()),
            "event" => value.clone_into(&mut self.frame.event),
            "data" => {
                if self.has_data {
                    self.frame.data.push('\n');
                }
                self.frame.data.push_str(value);
                self.has_data = true;
            }
            // A comment (no name before the colon), `retry`, or something newer.
            _ => {}
        }
    }
}

#[cfg(test)]
mod tests {
    #![expect(clippy::unwrap_used, reason = "tests")]
    use super::*;

    fn all(pieces: &[&[u8]]) -> Vec<Frame> {
        let (mut parser, mut out) = (Parser::default(), Vec::new());
        pieces.iter().for_each(|p| parser.push(p, &mut out).unwrap());
        out
    }

    #[test]
    fn events_are_the_same_however_they_are_cut() {
        let text = b": hello\n\nid: 1.0.0\nevent: fact\ndata: {\"a\":\ndata: 1}\n\nid: 2.0.0\r\nevent: end\r\ndata:{}\r\n\r\nid: 3";
        let whole = all(&[text]);
        assert_eq!(whole.len(), 2);
        assert_eq!(whole[0], Frame { id: Some("1.0.0".into()), event: "fact".into(), data: "{\"a\":\n1}".into() });
        assert_eq!(whole[1], Frame { id: Some("2.0.0".into()), event: "end".into(), data: "{}".into() });
        for at in 0..text.len() {
            assert_eq!(all(&[&text[..at], &text[at..]]), whole, "cut at {at}");
        }
        let single: Vec<&[u8]> = text.chunks(1).collect();
        assert_eq!(all(&single), whole);
    }

    #[test]
    fn an_event_without_data_is_none_and_an_id_stays() {
        let frames = all(&[b"event: x\n\nid: 7\n\ndata: a\n\ndata: b\n\n"]);
        assert_eq!(frames.len(), 2);
        assert!(frames.iter().all(|f| f.id.as_deref() == Some("7") && f.event == "message"));
    }

    #[test]
    fn an_endless_event_is_refused() {
        let mut parser = Parser::default();
        let piece = vec![b'x'; 1 << 20];
        let refused = (0..64).find_map(|_| parser.push(&piece, &mut Vec::new()).err());
        assert_eq!(refused, Some(TooLarge));
    }
}
