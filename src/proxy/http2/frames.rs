//! The frames of HTTP/2 as they pass by (RFC 9113 §4.1): their heads, and of the few that change windows their
//! numbers. Payloads are counted and left alone. Pure; nothing is copied but what is in the midst of a frame's head.

/// A frame's head.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Frame {
    /// Bytes of its payload.
    pub length: u32,
    /// One of the kinds below, or another.
    pub kind: u8,
    /// See [`END_STREAM`] and [`END_HEADERS`]; what they mean depends on the kind.
    pub flags: u8,
    /// 0: the connection.
    pub stream: u32,
}

/// Kinds of frames.
pub const DATA: u8 = 0;
pub const HEADERS: u8 = 1;
pub const RST_STREAM: u8 = 3;
pub const SETTINGS: u8 = 4;
pub const GOAWAY: u8 = 7;
pub const WINDOW_UPDATE: u8 = 8;
pub const CONTINUATION: u8 = 9;

/// Of DATA and HEADERS: nothing follows on the stream.
pub const END_STREAM: u8 = 1;
/// Of HEADERS and CONTINUATION: the fields end here.
pub const END_HEADERS: u8 = 4;

/// The setting that says how large streams' windows are.
pub const INITIAL_WINDOW_SIZE: u16 = 4;

/// What passes by.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Event {
    /// A frame begins.
    Begun(Frame),
    /// One of a SETTINGS frame's entries.
    Setting(u16, u32),
    /// What a GOAWAY frame or a WINDOW_UPDATE frame begins with.
    Number(Frame, u32),
    /// A frame was there to its end.
    Ended(Frame),
}

/// Bytes of a frame's head.
const HEAD: usize = 9;

/// Reads one direction of a connection.
pub struct Frames {
    /// Bytes before the first frame.
    skip: usize,
    head: [u8; HEAD],
    /// Bytes of the head that are there.
    has: usize,
    frame: Frame,
    /// Bytes of the payload that are not.
    left: usize,
    /// An entry, or a number, and how many bytes of it are there.
    word: [u8; 6],
    word_has: usize,
}

impl Frames {
    /// With so many bytes before the first frame.
    pub fn after(skip: usize) -> Frames {
        Frames { skip, head: [0; HEAD], has: 0, frame: Frame::default(), left: 0, word: [0; 6], word_has: 0 }
    }

    /// Whether a frame has begun, or what comes before the first one, and is not there to its end; and its kind, if that
    /// is known.
    pub fn partial(&self) -> Option<Option<u8>> {
        match (self.skip, self.has) {
            (1.., _) => Some(None),
            (0, 0) => None,
            (0, HEAD) => Some(Some(self.frame.kind)),
            (0, _) => Some(None),
        }
    }

    /// Takes bytes that pass, and tells what is in them.
    pub fn pass(&mut self, mut bytes: &[u8], mut tell: impl FnMut(Event)) {
        let skipped = self.skip.min(bytes.len());
        self.skip -= skipped;
        bytes = &bytes[skipped..];
        while !bytes.is_empty() {
            if self.has < HEAD {
                let taken = (HEAD - self.has).min(bytes.len());
                self.head[self.has..self.has + taken].copy_from_slice(&bytes[..taken]);
                self.has += taken;
                bytes = &bytes[taken..];
                if self.has < HEAD {
                    return;
                }
                self.begin();
                tell(Event::Begun(self.frame));
            }
            let taken = self.left.min(bytes.len());
            self.payload(&bytes[..taken], &mut tell);
            self.left -= taken;
            bytes = &bytes[taken..];
            if self.left == 0 {
                self.has = 0;
                tell(Event::Ended(self.frame));
            }
        }
    }

    fn begin(&mut self) {
        let [a, b, c, kind, flags, d, e, f, g] = self.head;
        let length = u32::from_be_bytes([0, a, b, c]);
        let stream = u32::from_be_bytes([d, e, f, g]) & 0x7fff_ffff;
        self.frame = Frame { length, kind, flags, stream };
        self.left = length as usize;
        self.word_has = 0;
    }

    fn payload(&mut self, mut bytes: &[u8], tell: &mut impl FnMut(Event)) {
        let size = match self.frame.kind {
            SETTINGS => 6,
            GOAWAY | WINDOW_UPDATE => 4,
            _ => return,
        };
        while !bytes.is_empty() && self.word_has < size {
            let taken = (size - self.word_has).min(bytes.len());
            self.word[self.word_has..self.word_has + taken].copy_from_slice(&bytes[..taken]);
            self.word_has += taken;
            bytes = &bytes[taken..];
            if self.word_has < size {
                return;
            }
            let [a, b, c, d, e, f] = self.word;
            if self.frame.kind == SETTINGS {
                self.word_has = 0;
                tell(Event::Setting(u16::from_be_bytes([a, b]), u32::from_be_bytes([c, d, e, f])));
            } else {
                tell(Event::Number(self.frame, u32::from_be_bytes([a, b, c, d]) & 0x7fff_ffff));
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn frames_are_told_alike_in_any_pieces() {
        let mut bytes = b"preface".to_vec();
        bytes.extend([0, 0, 12, SETTINGS, 0, 0, 0, 0, 0, 0, 3, 0, 0, 0, 100, 0, 4, 0, 1, 0, 0]);
        bytes.extend([0, 0, 3, DATA, END_STREAM, 0x80, 0, 0, 5, 1, 2, 3]);
        bytes.extend([0, 0, 4, WINDOW_UPDATE, 0, 0, 0, 0, 5, 0, 0, 2, 1]);
        bytes.extend([0, 0, 10, GOAWAY, 0, 0, 0, 0, 0, 0, 0, 0, 7, 0, 0, 0, 0, b'x', b'y']);
        bytes.extend([0, 0, 0, SETTINGS, 1, 0, 0, 0, 0]);
        let frame = |length, kind, flags, stream| Frame { length, kind, flags, stream };
        let (settings, data) = (frame(12, SETTINGS, 0, 0), frame(3, DATA, END_STREAM, 5));
        let (window, goaway) = (frame(4, WINDOW_UPDATE, 0, 5), frame(10, GOAWAY, 0, 0));
        let settled = frame(0, SETTINGS, 1, 0);
        let expected = [
            Event::Begun(settings),
            Event::Setting(3, 100),
            Event::Setting(INITIAL_WINDOW_SIZE, 65_536),
            Event::Ended(settings),
            Event::Begun(data),
            Event::Ended(data),
            Event::Begun(window),
            Event::Number(window, 513),
            Event::Ended(window),
            Event::Begun(goaway),
            Event::Number(goaway, 7),
            Event::Ended(goaway),
            Event::Begun(settled),
            Event::Ended(settled),
        ];
        for piece in 1..=bytes.len() {
            let (mut frames, mut told) = (Frames::after(7), Vec::new());
            assert_eq!(frames.partial(), Some(None));
            bytes.chunks(piece).for_each(|bytes| frames.pass(bytes, |event| told.push(event)));
            assert_eq!(told, expected, "in pieces of {piece}");
            assert_eq!(frames.partial(), None);
            frames.pass(&[0, 0], |_| panic!("nothing has begun"));
            assert_eq!(frames.partial(), Some(None));
            frames.pass(&[9, HEADERS, 0, 0, 0, 0, 1, 7], |_| {});
            assert_eq!(frames.partial(), Some(Some(HEADERS)));
        }
    }
}
