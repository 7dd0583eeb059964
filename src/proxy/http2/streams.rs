//! A connection of HTTP/2 as its time-outs see it: which streams are open, which of them wait for the client, and what
//! the client has sent that asks for nothing. Told of every frame that passes; says until when it may go on so.
//!
//! Pure, but for the moments that it is given. A stream is open from the client's HEADERS until its answer's end, or a
//! reset, has passed to the socket. It waits for the client where the client's window for it, or for the connection,
//! is used up (RFC 9113 §5.2). Cost: O(log streams) a frame; O(streams) where nothing more comes, or goes.

use std::collections::BTreeMap;
use std::time::Duration;

use tokio::time::Instant;

use super::frames::{
    CONTINUATION, DATA, END_HEADERS, END_STREAM, Event, Frame, GOAWAY, HEADERS, INITIAL_WINDOW_SIZE,
    RST_STREAM, WINDOW_UPDATE,
};
use crate::limits::{
    HTTP2_CONTROL_BYTES, HTTP2_CONTROL_MAX, HTTP2_CONTROL_OF_REQUEST, HTTP2_CONTROL_OF_RESET,
    HTTP2_CONTROL_PER_SECOND, HTTP2_GOODBYE, HTTP2_STREAMS_MAX,
};
use crate::proxy::connection::Times;
use crate::proxy::pace::Pace;

/// What windows are until somebody says otherwise (RFC 9113 §6.9.2).
const WINDOW: i64 = 65_535;

/// What is to be done with the connection.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Verdict {
    /// Nothing before this moment.
    GoOn(Instant),
    /// It takes no further requests: the client is to be told so.
    SayGoodbye,
    /// It ends.
    End(Why),
}

/// Why a connection ends.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Why {
    /// A preface, or a head, that does not come to its end.
    SlowHead,
    /// The client takes nothing of its answers, or too little.
    SlowReader,
    /// It has nothing to do, and was told goodbye.
    Idle,
}

impl Why {
    /// For log fields.
    pub fn as_str(self) -> &'static str {
        match self {
            Why::SlowHead => "a head came too slowly",
            Why::SlowReader => "an answer was taken too slowly",
            Why::Idle => "nothing was asked for",
        }
    }
}

/// The state of a connection.
pub struct Streams {
    times: Times,
    open: BTreeMap<u32, Stream>,
    /// The newest that the client has opened.
    newest: u32,
    /// What the client's windows are for new streams, and what is left of the connection's.
    initial_window: i64,
    window: i64,
    pace: Pace,
    /// When the last one was closed.
    closed: Instant,
    /// Since when a head is on its way, of a request or of a frame; the preface first.
    head_since: Option<Instant>,
    /// Whether fields are on their way, which nothing may interrupt.
    in_fields: bool,
    /// When the client was told that no further requests are taken.
    goodbye: Option<Instant>,
    /// The newest stream that is answered all the same.
    last: u32,
    budget: Budget,
}

struct Stream {
    window: i64,
    /// Since its answer's head.
    pace: Option<Pace>,
}

impl Streams {
    /// Of a connection that was accepted at `accepted`.
    pub fn new(times: Times, accepted: Instant) -> Streams {
        Streams {
            times,
            open: BTreeMap::new(),
            newest: 0,
            initial_window: WINDOW,
            window: WINDOW,
            pace: Pace::new(accepted),
            closed: accepted,
            head_since: Some(accepted),
            in_fields: false,
            goodbye: None,
            last: u32::MAX,
            budget: Budget { left: HTTP2_CONTROL_MAX.into(), filled: accepted },
        }
    }

    /// The client has sent this. False where it has sent too much of what asks for nothing.
    pub fn came(&mut self, event: Event, now: Instant) -> bool {
        match event {
            Event::Begun(frame) => return self.begun(frame, now),
            Event::Setting(INITIAL_WINDOW_SIZE, size) => {
                let by = i64::from(size) - self.initial_window;
                self.initial_window = i64::from(size);
                for stream in self.open.values_mut() {
                    stream.grow(by, now);
                }
            }
            Event::Number(Frame { kind: WINDOW_UPDATE, stream, .. }, by) => {
                if stream == 0 {
                    self.window += i64::from(by);
                    self.weigh(now);
                } else if let Some(stream) = self.open.get_mut(&stream) {
                    stream.grow(by.into(), now);
                }
            }
            Event::Ended(frame) => {
                if matches!(frame.kind, HEADERS | CONTINUATION) && frame.flags & END_HEADERS != 0 {
                    self.in_fields = false;
                }
                if !self.in_fields {
                    self.head_since = None;
                }
            }
            Event::Setting(..) | Event::Number(..) => {}
        }
        true
    }

    fn begun(&mut self, frame: Frame, now: Instant) -> bool {
        match frame.kind {
            DATA => {
                if !self.in_fields {
                    self.head_since = None;
                }
                true
            }
            CONTINUATION => true,
            HEADERS => {
                self.in_fields = true;
                self.budget.earn(HTTP2_CONTROL_OF_REQUEST.into());
                if frame.stream > self.newest && frame.stream <= self.last {
                    self.newest = frame.stream;
                    self.open.insert(frame.stream, Stream { window: self.initial_window, pace: None });
                }
                // A client that was told goodbye asks for nothing more (RFC 9113 §6.8), but for what was on its way.
                let is_late = self.goodbye.is_some_and(|said| said + HTTP2_GOODBYE <= now);
                // Those over the bound are refused, which closes them; more than that wait for a socket.
                !is_late && self.open.len() <= 4 * HTTP2_STREAMS_MAX as usize
            }
            RST_STREAM => {
                self.close(frame.stream, now);
                self.budget.spend(HTTP2_CONTROL_OF_RESET.into(), now)
            }
            _ => self.budget.spend(1.0, now),
        }
    }

    /// What the client has sent so far ends here. `partial`: within a frame, of this kind if it is known.
    pub fn paused(&mut self, partial: Option<Option<u8>>, now: Instant) {
        // Of a body's pieces the body's own time-out takes care.
        if self.in_fields || partial.is_some_and(|kind| kind != Some(DATA)) {
            self.head_since.get_or_insert(now);
        }
    }

    /// We have sent this.
    pub fn went(&mut self, event: Event, now: Instant) {
        let frame = match event {
            Event::Begun(frame) => frame,
            Event::Number(Frame { kind: GOAWAY, .. }, last) => {
                self.goodbye = self.goodbye.or(Some(now));
                self.last = last;
                return;
            }
            _ => return,
        };
        let bytes = if frame.kind == DATA { frame.length } else { 0 };
        // Of a stream that the client has reset too: what lay in a buffer then goes all the same.
        self.window -= i64::from(bytes);
        if let (DATA | HEADERS, Some(stream)) = (frame.kind, self.open.get_mut(&frame.stream)) {
            stream.pace.get_or_insert_with(|| Pace::new(now)).took(bytes as usize, now);
            stream.grow(-i64::from(bytes), now);
            self.pace.took(bytes as usize, now);
        }
        match frame.kind {
            DATA | HEADERS if frame.flags & END_STREAM != 0 => self.close(frame.stream, now),
            RST_STREAM => self.close(frame.stream, now),
            _ => {}
        }
        self.weigh(now);
    }

    /// The socket has taken so many bytes.
    pub fn has_sent(&mut self, bytes: usize) {
        self.budget.earn(bytes as f64 / f64::from(HTTP2_CONTROL_BYTES));
    }

    /// What is to be done at `now`.
    pub fn verdict(&self, now: Instant) -> Verdict {
        if let Some(since) = self.head_since
            && since + self.times.header <= now
        {
            return Verdict::End(Why::SlowHead);
        }
        let head = self.head_since.map(|since| since + self.times.header);
        let next = match self.open.is_empty() {
            true => self.idle_end(now),
            false => self.slow_end(now),
        };
        match next {
            Ok(next) => Verdict::GoOn(head.into_iter().chain(next).min().unwrap_or(now + self.times.idle)),
            Err(verdict) => verdict,
        }
    }

    fn idle_end(&self, now: Instant) -> Result<Option<Instant>, Verdict> {
        match self.goodbye {
            None if self.closed + self.times.idle <= now => Err(Verdict::SayGoodbye),
            None => Ok(Some(self.closed + self.times.idle)),
            Some(said) => {
                let end = said.max(self.closed) + HTTP2_GOODBYE;
                if end <= now { Err(Verdict::End(Why::Idle)) } else { Ok(Some(end)) }
            }
        }
    }

    /// Where all that is open waits too long for the client, the connection ends; where some of it does, it is told
    /// goodbye, and the rest runs to its end.
    fn slow_end(&self, now: Instant) -> Result<Option<Instant>, Verdict> {
        let write = self.times.write;
        let of_connection = self.pace.deadline(write);
        let of_streams =
            || self.open.values().map(|stream| stream.pace.as_ref().and_then(|pace| pace.deadline(write)));
        let is_over = |deadline: Option<Instant>| deadline.is_some_and(|deadline| deadline <= now);
        if is_over(of_connection) || of_streams().all(is_over) {
            // The end of another answer may be on its way still, and would be lost with the connection.
            let end = self.closed + write;
            return if end <= now { Err(Verdict::End(Why::SlowReader)) } else { Ok(Some(end)) };
        }
        if self.goodbye.is_none() && of_streams().any(is_over) {
            return Err(Verdict::SayGoodbye);
        }
        let ahead = of_streams().chain([of_connection]).flatten().filter(|deadline| *deadline > now);
        Ok(ahead.min())
    }

    /// The client is told goodbye.
    pub fn says_goodbye(&mut self, now: Instant) {
        self.goodbye = self.goodbye.or(Some(now));
    }

    fn close(&mut self, stream: u32, now: Instant) {
        if self.open.remove(&stream).is_some() {
            self.closed = now;
        }
    }

    /// Sees whether everybody waits for the client.
    fn weigh(&mut self, now: Instant) {
        match self.window <= 0 && !self.open.is_empty() {
            true => self.pace.wait(now),
            false => self.pace.go_on(now),
        }
    }
}

impl Stream {
    /// Changes its window, and sees whether it waits for the client.
    fn grow(&mut self, by: i64, now: Instant) {
        self.window += by;
        let waits = self.window <= 0;
        self.pace.iter_mut().for_each(|pace| if waits { pace.wait(now) } else { pace.go_on(now) });
    }
}

/// What a client may send that asks for nothing: pings, settings, resets, updates of windows. It grows by time, by
/// requests, and by what we send.
struct Budget {
    left: f64,
    filled: Instant,
}

impl Budget {
    fn earn(&mut self, amount: f64) {
        self.left = (self.left + amount).min(HTTP2_CONTROL_MAX.into());
    }

    /// False where nothing is left.
    fn spend(&mut self, amount: f64, now: Instant) -> bool {
        let passed: Duration = now.saturating_duration_since(self.filled);
        self.filled = now;
        self.earn(passed.as_secs_f64() * f64::from(HTTP2_CONTROL_PER_SECOND));
        self.left -= amount;
        self.left >= 0.0
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::proxy::http2::frames::SETTINGS;

    const SECOND: Duration = Duration::from_secs(1);

    /// A connection on which the preface and the settings have come; heads have 10 seconds, streams 30, idleness 60.
    fn connected(start: Instant) -> Streams {
        let times = Times { header: 10 * SECOND, idle: 60 * SECOND, write: 30 * SECOND };
        let mut streams = Streams::new(times, start);
        came(&mut streams, SETTINGS, 0, 0, 0, start);
        streams
    }

    fn head(kind: u8, flags: u8, stream: u32, length: u32) -> Frame {
        Frame { length, kind, flags, stream }
    }

    fn came(streams: &mut Streams, kind: u8, flags: u8, stream: u32, length: u32, now: Instant) -> bool {
        let frame = head(kind, flags, stream, length);
        let is_fair = streams.came(Event::Begun(frame), now) && streams.came(Event::Ended(frame), now);
        streams.paused(None, now);
        is_fair
    }

    fn asks(streams: &mut Streams, stream: u32, now: Instant) -> bool {
        came(streams, HEADERS, END_HEADERS | END_STREAM, stream, 20, now)
    }

    fn widens(streams: &mut Streams, stream: u32, by: u32, now: Instant) {
        assert!(streams.came(Event::Number(head(WINDOW_UPDATE, 0, stream, 4), by), now));
    }

    fn went(streams: &mut Streams, kind: u8, flags: u8, stream: u32, length: u32, now: Instant) {
        streams.went(Event::Begun(head(kind, flags, stream, length)), now);
    }

    #[test]
    fn a_preface_and_a_head_are_due_and_a_body_is_not() {
        let start = Instant::now();
        let times = Times { header: 10 * SECOND, idle: 60 * SECOND, write: 30 * SECOND };
        let new = Streams::new(times, start);
        assert_eq!(new.verdict(start), Verdict::GoOn(start + 10 * SECOND));
        assert_eq!(new.verdict(start + 10 * SECOND), Verdict::End(Why::SlowHead));

        let mut streams = connected(start);
        assert_eq!(streams.verdict(start), Verdict::GoOn(start + 60 * SECOND));
        streams.came(Event::Begun(head(HEADERS, END_STREAM, 1, 20)), start + SECOND);
        streams.paused(Some(Some(HEADERS)), start + SECOND);
        streams.came(Event::Ended(head(HEADERS, END_STREAM, 1, 20)), start + 2 * SECOND);
        streams.paused(None, start + 2 * SECOND);
        came(&mut streams, CONTINUATION, 0, 1, 1, start + 9 * SECOND);
        assert_eq!(
            streams.verdict(start + 9 * SECOND),
            Verdict::GoOn(start + 11 * SECOND),
            "its fields go on"
        );
        came(&mut streams, CONTINUATION, END_HEADERS, 1, 1, start + 10 * SECOND);
        assert_eq!(
            streams.verdict(start + 60 * SECOND),
            Verdict::GoOn(start + 120 * SECOND),
            "it is being answered"
        );
        streams.paused(Some(Some(DATA)), start + 60 * SECOND);
        assert!(matches!(streams.verdict(start + 90 * SECOND), Verdict::GoOn(_)));
        streams.paused(Some(None), start + 90 * SECOND);
        assert_eq!(streams.verdict(start + 100 * SECOND), Verdict::End(Why::SlowHead));
    }

    #[test]
    fn a_connection_without_streams_is_told_goodbye_and_ends() {
        let start = Instant::now();
        let mut streams = connected(start);
        asks(&mut streams, 1, start + 50 * SECOND);
        went(&mut streams, HEADERS, 0, 1, 9, start + 51 * SECOND);
        went(&mut streams, DATA, END_STREAM, 1, 100, start + 52 * SECOND);
        came(&mut streams, RST_STREAM, 0, 1, 4, start + 53 * SECOND);
        came(&mut streams, 6, 0, 0, 8, start + 54 * SECOND);
        assert_eq!(
            streams.verdict(start + 53 * SECOND),
            Verdict::GoOn(start + 112 * SECOND),
            "since the answer's end"
        );
        assert_eq!(streams.verdict(start + 112 * SECOND), Verdict::SayGoodbye);
        streams.says_goodbye(start + 112 * SECOND);
        let end = start + 112 * SECOND + HTTP2_GOODBYE;
        assert_eq!(streams.verdict(start + 112 * SECOND), Verdict::GoOn(end));
        assert_eq!(streams.verdict(end), Verdict::End(Why::Idle));
        // A request that was on its way is answered; after the last word none is.
        asks(&mut streams, 3, start + 113 * SECOND);
        assert!(matches!(streams.verdict(end), Verdict::GoOn(_)));
        streams.went(Event::Number(head(GOAWAY, 0, 0, 8), 3), start + 113 * SECOND);
        went(&mut streams, HEADERS, END_STREAM, 3, 9, start + 114 * SECOND);
        asks(&mut streams, 5, start + 114 * SECOND);
        assert_eq!(streams.verdict(start + 114 * SECOND + HTTP2_GOODBYE), Verdict::End(Why::Idle));
    }

    #[test]
    fn a_stream_is_waited_for_while_its_window_is_used_up_and_no_longer() {
        let start = Instant::now();
        let mut streams = connected(start);
        widens(&mut streams, 0, 1 << 24, start);
        asks(&mut streams, 1, start);
        asks(&mut streams, 3, start);
        assert!(
            matches!(streams.verdict(start + 100 * SECOND), Verdict::GoOn(_)),
            "it is we who are waited for"
        );
        let begun = start + 100 * SECOND;
        for stream in [1, 3] {
            went(&mut streams, HEADERS, 0, stream, 9, begun);
        }
        went(&mut streams, DATA, 0, 1, 65_535, begun);
        assert_eq!(streams.verdict(begun), Verdict::GoOn(begun + 30 * SECOND));
        assert_eq!(streams.verdict(begun + 30 * SECOND), Verdict::SayGoodbye, "the other stream goes on");
        streams.says_goodbye(begun + 30 * SECOND);
        assert!(matches!(streams.verdict(begun + 30 * SECOND), Verdict::GoOn(_)));
        went(&mut streams, DATA, END_STREAM, 3, 10, begun + 31 * SECOND);
        let end = begun + 61 * SECOND;
        assert_eq!(streams.verdict(begun + 31 * SECOND), Verdict::GoOn(end), "nothing else is left");
        assert_eq!(streams.verdict(end), Verdict::End(Why::SlowReader));

        // One byte at a time is too little in all.
        let mut streams = connected(start);
        asks(&mut streams, 1, start);
        assert!(streams.came(Event::Setting(INITIAL_WINDOW_SIZE, 0), start));
        went(&mut streams, HEADERS, 0, 1, 9, start);
        for second in 1..30 {
            widens(&mut streams, 1, 1, start + second * SECOND);
            went(&mut streams, DATA, 0, 1, 1, start + second * SECOND);
            assert!(matches!(streams.verdict(start + second * SECOND), Verdict::GoOn(_)), "after {second} s");
        }
        assert_eq!(streams.verdict(start + 30 * SECOND), Verdict::End(Why::SlowReader));
        widens(&mut streams, 1, 100, start + 30 * SECOND);
        assert!(matches!(streams.verdict(start + 30 * SECOND), Verdict::GoOn(_)), "now it is our turn");
    }

    #[test]
    fn a_connections_window_holds_up_everything() {
        let start = Instant::now();
        let mut streams = connected(start);
        assert!(streams.came(Event::Setting(INITIAL_WINDOW_SIZE, 1 << 20), start));
        for stream in [1, 3] {
            asks(&mut streams, stream, start);
            went(&mut streams, HEADERS, 0, stream, 9, start);
        }
        went(&mut streams, DATA, 0, 1, 65_535, start);
        assert_eq!(streams.verdict(start), Verdict::GoOn(start + 30 * SECOND));
        assert_eq!(streams.verdict(start + 30 * SECOND), Verdict::End(Why::SlowReader));
        widens(&mut streams, 0, 1, start + 30 * SECOND);
        assert!(matches!(streams.verdict(start + 30 * SECOND), Verdict::GoOn(_)));

        // What a reset stream had in a buffer takes of the window too.
        let mut streams = connected(start);
        assert!(streams.came(Event::Setting(INITIAL_WINDOW_SIZE, 1 << 20), start));
        for stream in [1, 3] {
            asks(&mut streams, stream, start);
            went(&mut streams, HEADERS, 0, stream, 9, start);
        }
        came(&mut streams, RST_STREAM, 0, 1, 4, start);
        went(&mut streams, DATA, END_STREAM, 1, 1000, start);
        went(&mut streams, DATA, 0, 3, 64_535, start);
        assert_eq!(streams.verdict(start + 30 * SECOND), Verdict::End(Why::SlowReader));
    }

    #[test]
    fn who_asks_on_after_a_goodbye_is_ended() {
        let start = Instant::now();
        let mut streams = connected(start);
        asks(&mut streams, 1, start);
        streams.says_goodbye(start);
        assert!(came(&mut streams, HEADERS, END_HEADERS | END_STREAM, 3, 9, start), "it was on its way");
        assert!(!came(&mut streams, HEADERS, END_HEADERS | END_STREAM, 5, 9, start + HTTP2_GOODBYE));
    }

    #[test]
    fn what_asks_for_nothing_is_bounded_and_what_clients_do_is_not() {
        let start = Instant::now();
        let flood = |kind, each: fn(&mut Streams, u32, Instant)| {
            let mut streams = connected(start);
            (0..100_000).find(|number| {
                each(&mut streams, *number, start);
                !came(&mut streams, kind, 0, 2 * number + 1, 8, start)
            })
        };
        assert!(flood(6, |_, _, _| {}).is_some_and(|sent| sent < 1001), "pings");
        assert!(flood(SETTINGS, |_, _, _| {}).is_some_and(|sent| sent < 1001), "settings");
        let reset = flood(RST_STREAM, |streams, number, now| {
            asks(streams, 2 * number + 1, now);
        });
        assert!(reset.is_some_and(|sent| (100..1001).contains(&sent)), "resets: {reset:?}");
        assert_eq!(flood(DATA, |_, _, _| {}), None, "a body's pieces are h2's to count");
        let pings_in_a_while = {
            let mut streams = connected(start);
            (0..10_000).all(|number| came(&mut streams, 6, 0, 0, 8, start + number * SECOND / 50))
        };
        assert!(pings_in_a_while, "as many as a second gives");
        let updates = flood(WINDOW_UPDATE, |streams, _, _| streams.has_sent(16 * 1024));
        assert_eq!(updates, None, "one for each piece that was sent");
    }
}
