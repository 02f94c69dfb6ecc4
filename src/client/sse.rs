//! Parses server-sent events (HTML standard, section 9.2.6). Knows nothing of their content.

/// A message of the stream.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(super) struct Message {
    /// Its id, if that is a number.
    pub(super) id: Option<u64>,
    /// Its event type; empty if it has none.
    pub(super) event: String,
    /// Its data; several lines are joined with a newline.
    pub(super) data: String,
}

/// Error: a message is longer than the limit.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("an event is longer than {0} bytes")]
pub(super) struct TooLong(usize);

/// A parser of a stream that arrives in pieces.
#[derive(Debug)]
pub(super) struct Parser {
    /// The start of a line that is not complete.
    line: Vec<u8>,
    message: Message,
    has_data: bool,
    /// Size of the message so far, in bytes.
    size: usize,
    max: usize,
}

impl Parser {
    /// A parser for messages of at most `max` bytes.
    pub(super) fn new(max: usize) -> Self {
        Self { line: Vec::new(), message: Message::default(), has_data: false, size: 0, max }
    }

    /// Parses the next piece, and passes each message that it completes to `each`. Lines end with LF or
    /// CRLF. The standard also allows CR alone, which is not supported: ringherd sends LF.
    pub(super) fn push(&mut self, piece: &[u8], mut each: impl FnMut(Message)) -> Result<(), TooLong> {
        for part in piece.split_inclusive(|&byte| byte == b'\n') {
            self.size += part.len();
            if self.size > self.max {
                return Err(TooLong(self.max));
            }
            self.line.extend_from_slice(part);
            if part.ends_with(b"\n") {
                let line = std::mem::take(&mut self.line);
                if let Some(message) = self.end_of_line(&line) {
                    each(message);
                }
            }
        }
        Ok(())
    }

    /// Parses a line; returns the message that an empty line completes.
    fn end_of_line(&mut self, bytes: &[u8]) -> Option<Message> {
        let line = &*text(bytes);
        if line.is_empty() {
            self.size = 0;
            let message = std::mem::take(&mut self.message);
            return std::mem::take(&mut self.has_data).then_some(message);
        }
        let (field, value) = line.split_once(':').unwrap_or((line, ""));
        let value = value.strip_prefix(' ').unwrap_or(value);
        match field {
            // A comment keeps the connection alive, and is not part of a message. Its bytes are counted
            // and not its text, which is longer if it is not UTF-8.
            "" => self.size -= bytes.len(),
            "id" => self.message.id = value.parse().ok(),
            "event" => value.clone_into(&mut self.message.event),
            "data" => {
                if std::mem::replace(&mut self.has_data, true) {
                    self.message.data.push('\n');
                }
                self.message.data.push_str(value);
            }
            _ => {}
        }
        None
    }
}

/// The text of a line, without its line ending.
fn text(line: &[u8]) -> std::borrow::Cow<'_, str> {
    let line = line.strip_suffix(b"\n").unwrap_or(line);
    String::from_utf8_lossy(line.strip_suffix(b"\r").unwrap_or(line))
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn parsed(pieces: &[&[u8]], max: usize) -> Result<Vec<Message>, TooLong> {
        let (mut parser, mut messages) = (Parser::new(max), Vec::new());
        for piece in pieces {
            parser.push(piece, |message| messages.push(message))?;
        }
        Ok(messages)
    }

    fn message(id: Option<u64>, event: &str, data: &str) -> Message {
        Message { id, event: event.to_owned(), data: data.to_owned() }
    }

    const STREAM: &str = "id: 7\nevent: publish\ndata: {\"a\":1}\n\n: keep-alive\n\nevent:stats\r\n\
                          data:x\ndata: y\nretry: 5\r\n\r\nevent: none\n\ndata\n\nid: x\ndata: ü\n\n";

    fn of_stream() -> Vec<Message> {
        vec![
            message(Some(7), "publish", "{\"a\":1}"),
            message(None, "stats", "x\ny"),
            message(None, "", ""),
            message(None, "", "ü"),
        ]
    }

    #[test]
    fn messages_end_with_an_empty_line_and_have_data() {
        assert_eq!(parsed(&[STREAM.as_bytes()], 99).unwrap(), of_stream());
        assert_eq!(parsed(&[b"data: cut"], 99).unwrap(), []);
    }

    #[test]
    fn where_the_stream_is_cut_into_pieces_does_not_matter() {
        for at in 0..STREAM.len() {
            let (head, tail) = STREAM.as_bytes().split_at(at);
            assert_eq!(parsed(&[head, tail], 99).unwrap(), of_stream(), "{at}");
        }
        let bytes: Vec<&[u8]> = STREAM.as_bytes().chunks(1).collect();
        assert_eq!(parsed(&bytes, 99).unwrap(), of_stream());
    }

    #[test]
    fn a_message_has_a_limit_and_the_stream_has_none() {
        assert_eq!(parsed(&[b"data: 12345678\n\n"], 16).unwrap().len(), 1);
        assert_eq!(parsed(&[b"data: 123456789\n\n"], 16), Err(TooLong(16)));
        assert_eq!(parsed(&[b"data: 1\ndata: 2\n", b"data: 3\n\n"], 16), Err(TooLong(16)));
        assert_eq!(parsed(&[b"no end of it", b" and none"], 16), Err(TooLong(16)));
        let long = "data: 1\n\n: comment\n".repeat(99);
        assert_eq!(parsed(&[long.as_bytes()], 24).unwrap().len(), 99);
    }

    proptest! {
        /// Bytes of which many begin a comment, end a line, or are no UTF-8.
        #[test]
        fn no_bytes_are_too_odd(
            bytes in prop::collection::vec(prop_oneof![Just(b':'), Just(b'\n'), Just(0xff), any::<u8>()], 0..200),
            at in any::<prop::sample::Index>(),
            max in 1_usize..250,
        ) {
            let (head, tail) = bytes.split_at(at.index(bytes.len() + 1));
            prop_assert_eq!(parsed(&[head, tail], max), parsed(&[&bytes], max));
        }

        #[test]
        fn comments_of_any_bytes_leave_room_for_a_message(
            comments in prop::collection::vec(prop::collection::vec(any::<u8>(), 0..20), 0..30),
        ) {
            let mut stream = Vec::new();
            for mut comment in comments {
                comment.retain(|&byte| byte != b'\n');
                stream.extend([b":", &*comment, b"\n"].concat());
            }
            stream.extend(b"data: 12345678\n\n");
            prop_assert_eq!(parsed(&[&stream], 24).unwrap(), [message(None, "", "12345678")]);
        }
    }
}
