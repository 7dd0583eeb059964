//! One fetch, many requests.
//!
//! Owns the open flights (those that a request may still join) and each flight's progress: how it landed,
//! and its body as it arrives. The fetch itself belongs to the proxy; it drives a flight by its [`Lead`].
//!
//! Invariants:
//! - A request joins no flight whose ticket is older than a fence over its key. The fences are read under
//!   the lock of the open flights, and a flight leaves these before its ticket leaves the active set: a
//!   flight found here has not left the set, so a fence over it has not retired, so the view shows it.
//! - A lead removes its own flight alone; two flights of one key may be open at once.
//! - A flight whose lead is dropped has failed: its readers are told, whatever happened to the fetch.
//! - Memory: a flight that will be stored keeps its body, which the storing limit bounds. One that won't
//!   keeps a window: the origin is read at the pace of the fastest reader, and a reader that falls further
//!   behind that one than the window is cut off.
//!
//! Locks: `open`, then the fences' own; `progress` is a leaf, and wakers are called after it.

use std::collections::{HashMap, VecDeque};
use std::future::poll_fn;
use std::ops::Range;
use std::sync::Arc;
use std::task::{Context, Poll, Waker};

use super::body::Body;
use super::fence::{Epoch, Fences, Ticket};
use super::snapshot::Verdict;
use super::span::Subject;
use super::sync::Mutex;
use super::variant::Variant;
use crate::key::Key;
use crate::limits::{CHUNK_BYTES, STREAM_WINDOW_BYTES};
use crate::semantics::range::Part;
use crate::semantics::vary::Selection;
use crate::target::Tags;
use bytes::Bytes;
use http::{HeaderMap, StatusCode, header};

/// Why a fetch brought nothing, or ended early.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Failure {
    /// No connection could be made.
    Connect,
    /// No connection was made in time.
    ConnectTimeout,
    /// The response's head did not come in time.
    HeadTimeout,
    /// The body made no progress in time, or the whole fetch took too long.
    BodyTimeout,
    /// The origin answered with an error of its own, and a stale response may stand in for it.
    ServerError,
    /// What came is no valid HTTP response to what was asked.
    BadResponse,
    /// The connection ended before the response did.
    Incomplete,
    /// All connections to the origin are taken, and so is the queue for them.
    Overloaded,
    /// The reader fell too far behind a body that is not kept.
    TooSlow,
    /// The fetch was given up: the process ends, or nobody reads it.
    Abandoned,
}

impl Failure {
    /// All of them.
    pub const ALL: [Failure; 10] = [
        Failure::Connect,
        Failure::ConnectTimeout,
        Failure::HeadTimeout,
        Failure::BodyTimeout,
        Failure::ServerError,
        Failure::BadResponse,
        Failure::Incomplete,
        Failure::Overloaded,
        Failure::TooSlow,
        Failure::Abandoned,
    ];

    /// For log fields, metric labels and the detail of Cache-Status.
    pub fn as_str(self) -> &'static str {
        match self {
            Failure::Connect => "connect",
            Failure::ConnectTimeout => "connect-timeout",
            Failure::HeadTimeout => "head-timeout",
            Failure::BodyTimeout => "body-timeout",
            Failure::ServerError => "server-error",
            Failure::BadResponse => "bad-response",
            Failure::Incomplete => "incomplete",
            Failure::Overloaded => "overloaded",
            Failure::TooSlow => "too-slow",
            Failure::Abandoned => "abandoned",
        }
    }
}

/// The head of a response whose body is shared as it arrives.
#[derive(Debug)]
pub struct Head {
    /// The status of the whole.
    pub status: StatusCode,
    /// The status that the origin answered the fetch with: 206 where it brought a part.
    pub origin_status: StatusCode,
    /// The fields as they are sent, less those that depend on the answer.
    pub fields: HeaderMap,
    /// Fields that are the lead's alone, and not stored.
    pub withheld: HeaderMap,
    /// The body's length, where the origin told it.
    pub bytes: Option<u64>,
    /// The body's place in the whole, where it is a part.
    pub part: Option<Part>,
    /// Which requests it answers.
    pub selection: Selection,
    /// Its age when it arrived, in seconds.
    pub age: u64,
    /// Seconds that it is fresh still, where it is to be stored.
    pub ttl: Option<i64>,
    /// Whether it is to be stored.
    pub stored: bool,
}

/// How a flight turned out, as soon as its head is known.
#[derive(Clone, Debug)]
pub enum Landing {
    /// A response whose body every reader gets as it arrives.
    Shared(Arc<Head>),
    /// Nothing was fetched: another fetch had stored this before the lead began.
    Stored(Arc<Variant>),
    /// The stored response was confirmed, and renewed.
    Renewed(Arc<Variant>),
    /// Not to be shared: every follower goes to the origin on its own.
    Alone,
    /// Nothing usable came.
    Failed(Failure),
}

/// One fetch that many requests may share.
pub struct Flight {
    number: u64,
    key: Key,
    epoch: Epoch,
    /// What the origin is told of the client: requests alike in it are one to the origin.
    fields: HeaderMap,
    progress: Mutex<Progress>,
}

#[derive(Default)]
struct Progress {
    landing: Option<Landing>,
    /// What it may be purged by, once its head has come.
    tags: Option<Tags>,
    /// (offset of its first byte, piece), in order, without gaps.
    pieces: VecDeque<(u64, Bytes)>,
    /// Of `pieces`, how many from the front are in their stored form.
    compacted: usize,
    /// Bytes of the other ones.
    loose: usize,
    received: u64,
    /// Up to here readers may read; behind `received` only while the last piece waits for the commit.
    shown: u64,
    end: Option<Result<(), Failure>>,
    /// Whether pieces leave once they were read.
    windowed: bool,
    readers: Vec<Option<ReaderState>>,
    producer: Option<Waker>,
}

struct ReaderState {
    position: u64,
    waker: Option<Waker>,
}

/// The open flights.
pub struct Flights {
    open: Mutex<HashMap<Key, Vec<Arc<Flight>>>>,
    fences: Arc<Fences>,
}

/// What a request that needs a fetch is to do.
pub enum Join {
    /// Fetch, and share: the lead goes into a task of its own.
    Lead(Lead, Reader),
    /// Wait for a fetch that is under way.
    Follow(Reader),
}

impl Flights {
    /// No flight.
    pub fn new(fences: Arc<Fences>) -> Arc<Flights> {
        Arc::new(Flights { open: Mutex::new(HashMap::new()), fences })
    }

    /// Joins an open flight of `key` that may answer a request with these `fields`, or opens one. Where
    /// `alike_alone` is set, only a flight of the same fields is joined, or one that is known to match.
    pub fn join(self: &Arc<Flights>, key: &Key, fields: &HeaderMap, alike_alone: bool) -> Join {
        let mut open = self.open.lock();
        let view = self.fences.view();
        let joinable = open.get(key).into_iter().flatten().find(|flight| {
            let tags = flight.progress.lock().tags.clone();
            let subject = Subject { key: key.as_str(), tags: tags.as_ref() };
            // A soft purge too: what is joined after it is to be newer than it.
            view.judge(subject, flight.epoch) == Verdict::Live && flight.may_answer(fields, alike_alone)
        });
        if let Some(flight) = joinable {
            return Join::Follow(Reader::of(flight.clone()));
        }
        let lead = self.lead(key, fields);
        open.entry(key.clone()).or_default().push(lead.flight.clone());
        drop(open);
        let reader = Reader::of(lead.flight.clone());
        Join::Lead(lead, reader)
    }

    /// Opens a flight that nobody joins, for a key that is remembered as not storable.
    pub fn alone(self: &Arc<Flights>, key: &Key, fields: &HeaderMap) -> (Lead, Reader) {
        let lead = self.lead(key, fields);
        let reader = Reader::of(lead.flight.clone());
        (lead, reader)
    }

    /// Makes all that is older than this fetch's answer invalid, see [`Fences::supersede`]; then another flight that
    /// nobody joins brings the answer. Nothing where a purge came since the fetch began.
    pub fn supersede(self: &Arc<Flights>, mut lead: Lead) -> Option<(Lead, Reader)> {
        self.close(&lead.flight); // Before its ticket leaves the active set.
        let first = lead.ticket.take().expect("it has not landed: it may be stored");
        let ticket = self.fences.supersede(first, lead.key())?;
        let lead = self.lead_with(ticket, lead.key(), lead.fields());
        let reader = Reader::of(lead.flight.clone());
        Some((lead, reader))
    }

    /// Open flights.
    pub fn len(&self) -> usize {
        self.open.lock().values().map(Vec::len).sum()
    }

    fn lead(self: &Arc<Flights>, key: &Key, fields: &HeaderMap) -> Lead {
        self.lead_with(self.fences.enter(key), key, fields)
    }

    fn lead_with(self: &Arc<Flights>, ticket: Ticket, key: &Key, fields: &HeaderMap) -> Lead {
        let flight = Flight {
            number: ticket.number(),
            key: key.clone(),
            epoch: ticket.epoch(),
            fields: fields.clone(),
            progress: Mutex::default(),
        };
        Lead { flights: self.clone(), flight: Arc::new(flight), ticket: Some(ticket), tags: None }
    }

    fn close(&self, flight: &Flight) {
        let mut open = self.open.lock();
        if let Some(flights) = open.get_mut(&flight.key) {
            flights.retain(|other| other.number != flight.number);
            if flights.is_empty() {
                open.remove(&flight.key);
            }
        }
    }
}

impl Flight {
    fn may_answer(&self, fields: &HeaderMap, alike_alone: bool) -> bool {
        if self.fields == *fields {
            return true;
        }
        // What is asked for by Range brings a part: it answers no other request.
        if self.fields.contains_key(header::RANGE) {
            return false;
        }
        match &self.progress.lock().landing {
            None => !alike_alone,
            Some(Landing::Shared(head)) => head.selection.matches(fields),
            Some(_) => false,
        }
    }
}

impl Progress {
    fn wakers(&mut self) -> Vec<Waker> {
        self.readers.iter_mut().flatten().filter_map(|reader| reader.waker.take()).collect()
    }

    /// Drops what every reader has read, and cuts off those that fell behind the fastest by more than the
    /// window. The fastest is never cut: how far the origin is ahead of it is `wanted`'s to bound, and was not
    /// bounded while the body was to be stored.
    fn slide(&mut self) {
        if !self.windowed {
            return;
        }
        let keep_from = self.fastest().unwrap_or(self.shown).saturating_sub(STREAM_WINDOW_BYTES as u64);
        let slowest = self.readers.iter().flatten().map(|reader| reader.position).min();
        let from = slowest.unwrap_or(self.shown).max(keep_from);
        while self.pieces.front().is_some_and(|(start, piece)| start + piece.len() as u64 <= from) {
            self.pieces.pop_front();
        }
    }

    fn fastest(&self) -> Option<u64> {
        self.readers.iter().flatten().map(|reader| reader.position).max()
    }

    /// Turns the newest pieces, slices of a connection's read buffers, into one piece of their exact size.
    fn compact(&mut self) {
        let loose: Vec<Bytes> = self.pieces.drain(self.compacted..).map(|(_, piece)| piece).collect();
        let bytes: usize = loose.iter().map(Bytes::len).sum();
        if bytes == 0 {
            return;
        }
        let mut piece = Vec::with_capacity(bytes);
        loose.iter().for_each(|loose| piece.extend_from_slice(loose));
        self.pieces.push_back((self.received - bytes as u64, piece.into()));
        self.compacted = self.pieces.len();
        self.loose = 0;
    }
}

/// The fetch's side of a flight. Dropped before [`Lead::finish`], the flight has failed.
pub struct Lead {
    flights: Arc<Flights>,
    flight: Arc<Flight>,
    /// Gone once nothing will be stored.
    ticket: Option<Ticket>,
    tags: Option<Tags>,
}

impl Lead {
    /// What is fetched.
    pub fn key(&self) -> &Key {
        &self.flight.key
    }

    /// The fields that the flight was opened with.
    pub fn fields(&self) -> &HeaderMap {
        &self.flight.fields
    }

    /// The epoch of whatever the fetch brings.
    pub fn epoch(&self) -> Epoch {
        self.flight.epoch
    }

    /// Whether it is in the active set.
    pub fn is_active(&self) -> bool {
        self.ticket.is_some()
    }

    /// Tells by which tags the fetch may be purged: those of its response, and of what it renews. Before it is
    /// told, every purge by tag in the account counts as one over the fetch. Before the commit, and once.
    pub fn learn(&mut self, tags: Tags) {
        assert!(self.tags.is_none(), "a head comes once");
        if let Some(ticket) = &self.ticket {
            ticket.learn(&tags);
        }
        self.flight.progress.lock().tags = Some(tags.clone());
        self.tags = Some(tags);
    }

    /// The tags that it has learned.
    pub fn tags(&self) -> Option<&Tags> {
        self.tags.as_ref()
    }

    /// Tells the readers how the flight turned out. What is not to be stored takes no more followers, and
    /// no fence waits for it.
    pub fn land(&mut self, landing: Landing) {
        let stored = matches!(&landing, Landing::Shared(head) if head.stored);
        if !stored {
            self.leave();
        }
        let mut progress = self.flight.progress.lock();
        assert!(progress.landing.is_none(), "a flight lands once");
        progress.windowed = !stored;
        progress.landing = Some(landing);
        let wakers = progress.wakers();
        drop(progress);
        wakers.into_iter().for_each(Waker::wake);
    }

    /// Gives up storing a body on its way, because it grew over the limit.
    pub fn stop_storing(&mut self) {
        self.leave();
        let mut progress = self.flight.progress.lock();
        progress.windowed = true;
        progress.slide();
    }

    /// Adds a piece of the body; readers get it at the next [`Lead::show`].
    pub fn append(&self, piece: Bytes) {
        let mut progress = self.flight.progress.lock();
        let start = progress.received;
        progress.received += piece.len() as u64;
        progress.pieces.push_back((start, piece));
        if progress.windowed {
            return;
        }
        progress.loose += progress.pieces.back().map_or(0, |(_, piece)| piece.len());
        if progress.loose >= CHUNK_BYTES {
            progress.compact();
        }
    }

    /// Lets the readers have all that was appended.
    pub fn show(&self) {
        let mut progress = self.flight.progress.lock();
        progress.shown = progress.received;
        progress.slide();
        let wakers = progress.wakers();
        drop(progress);
        wakers.into_iter().for_each(Waker::wake);
    }

    /// Bytes appended so far.
    pub fn received(&self) -> u64 {
        self.flight.progress.lock().received
    }

    /// The whole body in its stored form. Not for one that is not stored: its pieces leave.
    pub fn body(&self) -> Body {
        let mut progress = self.flight.progress.lock();
        assert!(!progress.windowed, "a body that is kept in a window is never whole");
        progress.compact();
        Body::new(progress.pieces.iter().map(|(_, piece)| piece.clone()).collect())
    }

    /// Waits until a reader wants more of a body that is not stored; an error where none is left.
    pub async fn wanted(&self) -> Result<(), Failure> {
        poll_fn(|context| {
            let mut progress = self.flight.progress.lock();
            if !progress.windowed {
                return Poll::Ready(Ok(()));
            }
            match progress.fastest() {
                None => Poll::Ready(Err(Failure::Abandoned)),
                Some(fastest) if progress.shown.saturating_sub(fastest) < STREAM_WINDOW_BYTES as u64 => {
                    Poll::Ready(Ok(()))
                }
                Some(_) => {
                    progress.producer = Some(context.waker().clone());
                    Poll::Pending
                }
            }
        })
        .await
    }

    /// Ends the flight, after its insert if there was one.
    pub fn finish(mut self, end: Result<(), Failure>) {
        self.end(end);
    }

    fn end(&mut self, end: Result<(), Failure>) {
        self.leave();
        let mut progress = self.flight.progress.lock();
        if progress.end.is_some() {
            return;
        }
        if progress.landing.is_none() {
            progress.landing = Some(Landing::Failed(end.err().unwrap_or(Failure::Abandoned)));
        }
        progress.end = Some(end);
        let wakers = progress.wakers();
        drop(progress);
        wakers.into_iter().for_each(Waker::wake);
    }

    /// Out of the open flights first, out of the active set after it.
    fn leave(&mut self) {
        if let Some(ticket) = self.ticket.take() {
            self.flights.close(&self.flight);
            drop(ticket);
        }
    }
}

impl Drop for Lead {
    fn drop(&mut self) {
        self.end(Err(Failure::Abandoned));
    }
}

/// One request's side of a flight.
pub struct Reader {
    flight: Arc<Flight>,
    slot: usize,
    position: u64,
    until: u64,
}

impl Reader {
    fn of(flight: Arc<Flight>) -> Reader {
        let mut progress = flight.progress.lock();
        let state = Some(ReaderState { position: 0, waker: None });
        let slot = match progress.readers.iter().position(Option::is_none) {
            Some(free) => free,
            None => {
                progress.readers.push(None);
                progress.readers.len() - 1
            }
        };
        progress.readers[slot] = state;
        drop(progress);
        Reader { flight, slot, position: 0, until: u64::MAX }
    }

    /// Waits for the flight's head. Cancelling it is safe: nothing is consumed.
    pub async fn landing(&self) -> Landing {
        poll_fn(|context| {
            let mut progress = self.flight.progress.lock();
            match &progress.landing {
                Some(landing) => Poll::Ready(landing.clone()),
                None => {
                    self.wait(&mut progress, context);
                    Poll::Pending
                }
            }
        })
        .await
    }

    /// Narrows the reader to a part of the body.
    pub fn narrow(mut self, range: Range<u64>) -> Reader {
        (self.position, self.until) = (range.start, range.end);
        self
    }

    /// The next piece of the body; nothing at its end.
    pub fn poll_next(&mut self, context: &mut Context<'_>) -> Poll<Option<Result<Bytes, Failure>>> {
        if self.position >= self.until {
            return Poll::Ready(None);
        }
        let mut progress = self.flight.progress.lock();
        let shown = progress.shown.min(self.until);
        if self.position >= shown {
            return match progress.end {
                Some(Ok(())) => Poll::Ready(None),
                Some(Err(failure)) => Poll::Ready(Some(Err(failure))),
                None => {
                    self.wait(&mut progress, context);
                    Poll::Pending
                }
            };
        }
        let after = progress.pieces.partition_point(|(start, _)| *start <= self.position);
        let Some((start, piece)) = after.checked_sub(1).map(|at| &progress.pieces[at]) else {
            return Poll::Ready(Some(Err(Failure::TooSlow)));
        };
        let from = usize::try_from(self.position - start).unwrap_or(usize::MAX);
        let to = usize::try_from(shown - start).unwrap_or(usize::MAX).min(piece.len());
        let part = piece.slice(from..to);
        self.position += part.len() as u64;
        if let Some(state) = &mut progress.readers[self.slot] {
            state.position = self.position;
        }
        progress.slide();
        let producer = progress.producer.take();
        drop(progress);
        if let Some(producer) = producer {
            producer.wake();
        }
        Poll::Ready(Some(Ok(part)))
    }

    fn wait(&self, progress: &mut Progress, context: &Context<'_>) {
        if let Some(state) = &mut progress.readers[self.slot] {
            state.waker = Some(context.waker().clone());
        }
    }
}

impl Drop for Reader {
    fn drop(&mut self) {
        let mut progress = self.flight.progress.lock();
        progress.readers[self.slot] = None;
        progress.slide();
        let producer = progress.producer.take();
        drop(progress);
        if let Some(producer) = producer {
            producer.wake();
        }
    }
}
