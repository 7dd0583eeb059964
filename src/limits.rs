//! Every hard bound of the process, and the relations between them, checked when this file is compiled.
//!
//! Owns numbers alone. What an operator may choose stands in `config.rs` with a default there and a hard
//! maximum here; what nobody should choose stands here only. Units are the last word of a name.

use std::time::Duration;

/// Longest request head that a client may send, in bytes (RFC 9110 §5.4 leaves the bound to us).
pub const REQUEST_HEAD_BYTES_MAX: usize = 16 * 1024;
/// Most fields in a request head.
pub const REQUEST_FIELDS_MAX: usize = 64;
/// Longest request target (path and query) in bytes; RFC 9112 §3 asks for at least 8000.
pub const TARGET_BYTES_MAX: usize = 8 * 1024;
/// Longest key in bytes: a target whose every byte had to be escaped, and the account before it.
pub const KEY_BYTES_MAX: usize = 3 * TARGET_BYTES_MAX + ACCOUNT_ID_BYTES_MAX;
/// Most memory that a thread keeps for the text of its next key, in bytes.
pub const KEY_SPARE_BYTES_MAX: usize = 1024;
/// Longest body of a request that is passed on, in bytes.
pub const REQUEST_BODY_BYTES_MAX: usize = 1024 * 1024;

/// Certificates in a config.
pub const CERTIFICATES_MAX: usize = 1000;
/// Sessions of TLS 1.2 that are kept for clients that take no ticket.
pub const TLS_SESSIONS_MAX: usize = 1024;

/// Streams that a client of HTTP/2 may have open at once on one connection.
pub const HTTP2_STREAMS_MAX: u32 = 100;
/// Bytes of one body that such a client may send before it is told to go on, and of all bodies of a connection.
pub const HTTP2_STREAM_WINDOW_BYTES: u32 = 64 * 1024;
/// See above.
pub const HTTP2_CONNECTION_WINDOW_BYTES: u32 = 1024 * 1024;
/// Largest frame that it may send, in bytes of payload; the least that RFC 9113 §4.2 allows.
pub const HTTP2_FRAME_BYTES_MAX: u32 = 16 * 1024;
/// Bytes of an answer that may wait in one stream for the client's window.
pub const HTTP2_SEND_BUFFER_BYTES: usize = 64 * 1024;
/// Streams that were reset before anybody has looked at them.
pub const HTTP2_PENDING_RESETS_MAX: usize = 20;
/// Streams of one connection that may end by a fault of the client's, as a malformed head.
pub const HTTP2_FAULTS_MAX: usize = 64;
/// Pause after which a client that says nothing is asked whether it is still there, and how long it may take to say so.
pub const HTTP2_PING: Duration = Duration::from_secs(20);
/// How long a client that has nothing to do, and was told so, may keep its connection.
pub const HTTP2_GOODBYE: Duration = Duration::from_secs(2);
/// Frames in a row that ask for nothing (pings, settings, updates of windows, priorities).
pub const HTTP2_CONTROL_MAX: u32 = 1000;
/// As many of them a client may send in each second, for ever.
pub const HTTP2_CONTROL_PER_SECOND: u32 = 100;
/// One more for each so many bytes that it is sent.
pub const HTTP2_CONTROL_BYTES: u32 = 1024;
/// So many more for each request.
pub const HTTP2_CONTROL_OF_REQUEST: u32 = 4;
/// A reset counts as so many of them.
pub const HTTP2_CONTROL_OF_RESET: u32 = 10;

/// Least average rate at which a client must take an answer that its socket did not take at once.
pub const CLIENT_BYTES_PER_SECOND_MIN: u64 = 1024;
/// Bytes of an answer that the kernel may hold for one client.
pub const SEND_BUFFER_BYTES: usize = 256 * 1024;
/// File descriptors that the process has for itself, without its serving threads: its other threads' runtimes, files.
pub const DESCRIPTORS_OF_PROCESS: u64 = 41;
/// File descriptors of one serving thread: its listener and its runtime.
pub const DESCRIPTORS_OF_THREAD: u64 = 5;
/// File descriptors kept from clients, for origins and the admin listener; at most half of what the process leaves.
pub const DESCRIPTORS_RESERVED: u64 = 512;
/// How long a listener that begins no more connections, for another process to begin them, accepts those that have begun;
/// and how long, after a signal to stop, a connection may take for the head that is due on it.
pub const LAST_HANDSHAKES_TIME: Duration = Duration::from_millis(250);
/// How long a process that is to take over waits for the one before it to end.
pub const HAND_OVER_TIME_MAX: Duration = Duration::from_secs(2 * 60 * 60);
/// Pause between two looks whether it has.
pub const HAND_OVER_PAUSE: Duration = Duration::from_millis(10);
/// Of the memory that the process may have: over this it gives up what is stored, in percent.
pub const MEMORY_SHED_PERCENT: u64 = 95;
/// Over this it takes on nothing new.
pub const MEMORY_REFUSE_PERCENT: u64 = 98;
/// How much of what is stored is given up at once, in percent.
pub const MEMORY_SHED_STEP_PERCENT: u64 = 5;
/// How often somebody looks at it.
pub const MEMORY_TICK: Duration = Duration::from_millis(250);
/// Connections that wait to be accepted by one listener.
pub const ACCEPT_BACKLOG: i32 = 1024;

/// Origins of one account.
pub const ORIGINS_MAX: usize = 16;
/// Bytes of a file with certificates that are trusted.
pub const ROOTS_BYTES_MAX: u64 = 4 * 1024 * 1024;
/// Addresses of one name that are tried for one connection.
pub const ADDRESSES_MAX: usize = 16;
/// How long an address may take to connect before the next one is tried beside it (RFC 8305 §5).
pub const CONNECT_STAGGER: Duration = Duration::from_millis(250);
/// Names that are looked up at once: each takes a thread, for as long as the system's resolver takes.
pub const LOOKUPS_MAX: usize = 32;
/// How long the system's resolver may take before the addresses that it told last are used.
pub const LOOKUP_PATIENCE: Duration = Duration::from_millis(300);
/// How long addresses are used that the system's resolver does not tell again.
pub const ADDRESSES_KEPT: Duration = Duration::from_secs(10 * 60);
/// Longest response head that an origin may send, in bytes.
pub const RESPONSE_HEAD_BYTES_MAX: usize = 32 * 1024;
/// Most fields in a response head.
pub const RESPONSE_FIELDS_MAX: usize = 100;
/// Requests that wait for a connection to one origin; one more is refused at once.
pub const FETCH_QUEUE_MAX: usize = 1024;
/// Most interim (1xx) responses before the final one.
pub const INTERIM_RESPONSES_MAX: usize = 16;
/// Bytes of them that wait for one client; what is over it is not passed on.
pub const INTERIM_BYTES_MAX: usize = 16 * 1024;

/// Hard maximum of `cache.object_max_bytes`; an entry's weight is counted in 32 bits by the store.
pub const OBJECT_BYTES_MAX: u64 = 1024 * 1024 * 1024;
/// Hard minimum of `cache.process_max_bytes`.
pub const PROCESS_BYTES_MIN: u64 = 32 * 1024 * 1024;
/// Hard minimum of `cache.max_bytes`.
pub const CACHE_BYTES_MIN: u64 = 1024 * 1024;
/// How much nicer the sweeper's thread is than the others (`nice(2)`): it has a third of the weight of one that serves, where
/// they share a core. A sweep is seen by nobody; a hit that waits is.
pub const SWEEPER_NICER: i32 = 5;
/// Tables that the store is made of, at most: each has memory of its own, for what it counts and what waits to be done.
pub const STORE_PARTS_MAX: u64 = 1024;
/// Least room of one of them, in bytes, where there are several: so that it matters little that one fills before another.
pub const STORE_PART_BYTES_MIN: u64 = 256 * 1024 * 1024;
/// The largest bodies, of `cache.object_max_bytes`, that it has room for at least, for the same reason.
pub const STORE_PART_OBJECTS_MIN: u64 = 8;
/// Bytes that a body which is not stored may run ahead of its slowest reader, and the origin ahead of the
/// fastest.
pub const STREAM_WINDOW_BYTES: usize = 1024 * 1024;
/// Bytes of one stored piece of a body: a fill copies a body in pieces of this size, never whole.
pub const CHUNK_BYTES: usize = 256 * 1024;
/// Bytes from which a stored body is in the memory file; a shorter one is in the heap.
pub const PAGED_BODY_BYTES_MIN: u64 = 64 * 1024;
/// Bytes that are read of such a body at once, where its pages can't be sent as they are: what is read waits in the heap
/// for its client.
pub const PAGED_READ_BYTES: u64 = 64 * 1024;
/// Variants of one resource; the oldest leaves first.
pub const VARIANTS_MAX: usize = 16;
/// Longest X-Request-Id of a client's that is kept.
pub const REQUEST_ID_BYTES_MAX: usize = 64;
/// Keys remembered as refreshed lately; beyond it a further one is refreshed as often as it is asked for.
pub const REFRESHES_MAX: usize = 10_000;
/// How long a refresh that brought nothing to store is not tried again.
pub const REFRESH_PAUSE: Duration = Duration::from_secs(5);
/// Query parameters that one route may leave out.
pub const IGNORED_PARAMETERS_MAX: usize = 64;
/// Targeted fields that one route may read.
pub const TARGETED_FIELDS_MAX: usize = 8;
/// Request fields that one response may name in Vary.
pub const VARY_FIELDS_MAX: usize = 16;
/// Bytes of the request fields that select one variant.
pub const SELECTION_BYTES_MAX: usize = 4 * 1024;
/// Tags, or cache groups, of one response (RFC 9875 §2 asks for 32 at least); one with more is not stored, since a purge might miss it.
pub const TAGS_MAX: usize = 128;
/// Longest name of a tag, in bytes.
pub const TAG_BYTES_MAX: usize = 256;
/// Longest name of a named transformation, in bytes.
pub const TRANSFORMATION_BYTES_MAX: usize = 256;
/// Ranges that one request may ask for; with more, the whole is sent (RFC 9110 §14.2).
pub const RANGES_MAX: usize = 16;
/// Sets of field names that stored responses share; a response with another one keeps its own.
pub const SHAPES_MAX: usize = 1024;
/// Bytes of a thread's block for the values of its answers' fields; it grows with a response that has more.
pub const ANSWER_BLOCK_BYTES: usize = 4 * 1024;
/// Bytes of a thread's room for the heads of connections that hyper has not got; as much as hyper's own is at first.
pub const EXPRESS_ROOM_BYTES: usize = 8 * 1024;
/// Largest body that an answer on the express lane has copied behind its head, so that the socket gets one slice: below it
/// the copy costs less than a second slice does in the kernel.
pub const EXPRESS_COPY_BYTES_MAX: usize = 4 * 1024;
/// Slices that an answer on the express lane gives to the socket at once: a head, and more than its buffer takes of a body.
pub const EXPRESS_SLICES_MAX: usize = 4;
/// Bytes of a body's pages that one call offers to the socket, which takes as many as its buffer has room for.
pub const EXPRESS_PAGES_BYTES_MAX: u64 = 1024 * 1024;
/// Values that shapes may hold for all responses that have them; kept as long as the process lives.
pub const SHARED_VALUES_MAX: usize = 1024;
/// Longest of them, in bytes.
pub const SHARED_VALUE_BYTES_MAX: usize = 256;
/// Live fences; beyond it two neighbours of an account are folded into a wider one.
pub const FENCES_MAX: usize = 100;
/// Fences remembered after they have retired, for audits of the store.
pub const FENCES_REMEMBERED: usize = 1024;
/// Variants that one purge can name as the hottest of what it removed.
pub const HOTTEST_MAX: usize = 1000;
/// Bytes of their keys and fields.
pub const HOTTEST_BYTES_MAX: usize = 1024 * 1024;
/// Keys collected from the index under one hold of its lock.
pub const SWEEP_SLICE_KEYS: usize = 256;
/// Keys that are swept before the sweeper pauses, as long as they took: it may share its core with a thread that serves.
pub const SWEEP_RUN_KEYS: usize = 32;
/// Keys that one page of a list looks at; beyond it the page ends early and says where to go on.
pub const PAGE_LOOKS_MAX: usize = 4096;
/// How long the sweeper waits when a purge wakes it: whoever purges answers first, however few the cores are.
pub const SWEEP_DELAY: Duration = Duration::from_millis(1);
/// Keys remembered as not storable.
pub const PASS_MARKERS_MAX: usize = 100_000;
/// How long a key is remembered as not storable.
pub const PASS_MARKER_TIME: Duration = Duration::from_secs(60);

/// Threads whose counts stand apart from each other's; further ones share their places.
pub const TELEMETRY_SHARDS: usize = 16;
/// One step of the history that an overview shows.
pub const HISTORY_STEP: Duration = Duration::from_secs(10);
/// Steps that are kept: six hours.
pub const HISTORY_SAMPLES: usize = 6 * 360;
/// How often somebody looks whether a step has ended.
pub const HISTORY_TICK: Duration = Duration::from_secs(1);

/// Lines of the access log that wait for its thread; one more is dropped.
pub const ACCESS_QUEUE_LINES: usize = 8192;
/// Bytes of their text; one that is over it is dropped.
pub const ACCESS_QUEUE_BYTES: usize = 16 * 1024 * 1024;
/// Bytes of a request's target that its line shows.
pub const ACCESS_TARGET_BYTES_MAX: usize = 2048;
/// Bytes of each of its fields that it shows.
pub const ACCESS_FIELD_BYTES_MAX: usize = 512;

/// Longest account id.
pub const ACCOUNT_ID_BYTES_MAX: usize = 64;
/// Accounts in a config.
pub const ACCOUNTS_MAX: usize = 10_000;
/// Shortest private key in bits where a listener is not on loopback.
pub const PRIVATE_KEY_BITS_MIN: usize = 128;
/// Keys with scopes of their own in a config.
pub const KEYS_MAX: usize = 1000;
/// Longest name of a key, in bytes.
pub const KEY_NAME_BYTES_MAX: usize = 64;
/// URLs that one key may be bound to.
pub const KEY_URLS_MAX: usize = 32;

/// Connections that the admin listener holds at once.
pub const ADMIN_CONNECTIONS_MAX: usize = 256;
/// Longest body of an admin request, in bytes.
pub const ADMIN_BODY_BYTES_MAX: usize = 1024 * 1024;
/// From an admin connection's start, or its last answer, to the end of the next request's head.
pub const ADMIN_HEADER_TIME: Duration = Duration::from_secs(10);
/// From the end of an admin request's head to the end of its body.
pub const ADMIN_BODY_TIME: Duration = Duration::from_secs(10);
/// From the end of an admin request's head to its answer.
pub const ADMIN_REQUEST_TIME: Duration = Duration::from_secs(30);
/// Age at which an admin connection is closed after the answer that runs: a client that reads nothing leaves.
pub const ADMIN_CONNECTION_TIME: Duration = Duration::from_secs(10 * 60);
/// Pause of the accept loop after an error that concerns the process, such as too few descriptors.
pub const ADMIN_ACCEPT_PAUSE: Duration = Duration::from_millis(100);
/// Wrong private keys that one client address may present in `AUTH_FAILURES_TIME`.
pub const AUTH_FAILURES_MAX: u32 = 10;
/// The window in which wrong private keys are counted.
pub const AUTH_FAILURES_TIME: Duration = Duration::from_secs(1);
/// Client addresses whose wrong private keys are counted at once.
pub const AUTH_ADDRESSES_MAX: usize = 4096;
/// Longest head of an admin request, in bytes: a cursor may hold a whole key.
pub const ADMIN_HEAD_BYTES_MAX: usize = 64 * 1024;
/// Largest allowance that a call sets: what every reader of JSON holds exactly (2^53 - 1).
pub const ALLOWANCE_MAX: u64 = (1 << 53) - 1;
/// Rows of the history in one table.
pub const CSV_ROWS_MAX: usize = 100_000;
/// Keys on one page of a list, where the caller names no number.
pub const KEYS_PAGE: usize = 100;
/// Most keys on one page of a list.
pub const KEYS_PAGE_MAX: usize = 1000;
/// How long an invalidation event may wait for the sweep that removes; it is answered 202 then.
pub const INVALIDATION_TIME: Duration = Duration::from_secs(20);
/// Longest pause between two looks at that sweep.
pub const INVALIDATION_PAUSE_MAX: Duration = Duration::from_millis(100);
/// Sessions of browsers at once; one more ends the one that has been idle for longest.
pub const SESSIONS_MAX: usize = 4096;
/// Of them, those that were begun with one key.
pub const SESSIONS_OF_KEY_MAX: usize = 64;
/// How long a session may be idle.
pub const SESSION_IDLE_TIME: Duration = Duration::from_secs(12 * 60 * 60);
/// How long a session may last, used or not.
pub const SESSION_TIME: Duration = Duration::from_secs(7 * 24 * 60 * 60);
/// Targets of one purge request.
pub const PURGE_TARGETS_MAX: usize = 100;
/// URLs that a dry run names.
pub const DRY_RUN_KEYS_MAX: usize = 100;
/// Longest note of a change, in bytes.
pub const NOTE_BYTES_MAX: usize = 1024;
/// Keys that were made at run time.
pub const STORED_KEYS_MAX: usize = 1000;
/// What is kept of one such key, in bytes.
pub const STORED_KEY_BYTES_MAX: usize = 16 * 1024;
/// Changes that wait for a disk that takes no writes; beyond it the oldest history leaves, charges never.
pub const LEDGER_PENDING_MAX: usize = 100_000;
/// Bytes of the texts of those changes; the same rule holds beyond it.
pub const LEDGER_PENDING_BYTES_MAX: usize = 64 * 1024 * 1024;
/// Calls to the ledger that wait for its thread at once; further ones wait for a place.
pub const LEDGER_QUEUE_MAX: usize = 1024;
/// How long after the beginning of a transaction that several calls shared the next one begins: so many calls share that
/// one, too, and a thousand a second take the disk and the cores a third of what a transaction each would. An answer waits
/// longer by as much, at most.
pub const LEDGER_GATHER: Duration = Duration::from_millis(3);
/// How long the end of a sweep waits for a transaction that takes it along. A kill loses what was counted in so much time,
/// at most.
pub const LEDGER_SWEEPS_PAUSE: Duration = Duration::from_millis(100);
/// Pause between two attempts to write to a disk that failed.
pub const LEDGER_RETRY_PAUSE: Duration = Duration::from_secs(1);
/// Pause between two searches for rows that are older than `ledger.keep`.
pub const LEDGER_PRUNE_PAUSE: Duration = Duration::from_secs(60 * 60);
/// Rows that one transaction removes for their age.
pub const LEDGER_PRUNE_ROWS: usize = 10_000;
/// Memory for pages of the ledger's file, in bytes.
pub const LEDGER_CACHE_BYTES: usize = 8 * 1024 * 1024;
/// Rows of the history that the ledger's thread looks at before it writes again.
pub const LEDGER_SLICE_ROWS: usize = 256;
/// Bytes of such rows; the row that passes it is the last one.
pub const LEDGER_SLICE_BYTES: usize = 512 * 1024;
/// Rows of one page of the history.
pub const LIST_ROWS_MAX: usize = 200;
/// Rows of a page, where the caller doesn't say.
pub const LIST_ROWS_DEFAULT: usize = 50;
/// Slices that one page looks at; it ends with what it has, and a cursor.
pub const LIST_SLICES_MAX: usize = 32;
/// Bytes of texts in one page; the slice that passes it is the last one.
pub const LIST_BYTES: usize = 4 * 1024 * 1024;
/// A wall clock that steps back by less than this makes no later change an earlier one in the history.
pub const CLOCK_STEP_BACK: Duration = Duration::from_secs(1);
/// Fences whose first sweep has not ended; beyond it a purge is refused for a moment.
pub const PURGES_LIVE_MAX: usize = 100_000;
/// Warmings that have not ended; what a purge over it asked to be fetched again is not.
pub const WARMINGS_MAX: usize = 16;
/// Warmings that fetch at once.
pub const WARMINGS_RUNNING_MAX: usize = 4;
/// Variants that one warming fetches.
pub const WARM_KEYS_MAX: usize = HOTTEST_MAX;
/// The same, where the caller doesn't say.
pub const WARM_KEYS_DEFAULT: usize = 1000;
/// Fetches of one warming in a second.
pub const WARM_PER_SECOND_MAX: u32 = 1000;
/// The same, where the caller doesn't say.
pub const WARM_PER_SECOND_DEFAULT: u32 = 50;
/// Fetches of one warming that are under way at once; where they are slow, its pace is theirs.
pub const WARM_FETCHES_MAX: usize = 16;
/// How long one of them may take.
pub const WARM_FETCH_TIME: Duration = Duration::from_secs(60);
/// Purges remembered to tell a client's retry from a new one; beyond it a retry is charged like a new one.
pub const RETRIES_REMEMBERED_MAX: usize = 4096;
/// How long after its answer a purge may be repeated by what is marked as a retry.
pub const RETRY_TIME: Duration = Duration::from_secs(60);

/// Longest side of a picture that the demo origin makes, in pixels.
pub const DEMO_SIDE_PIXELS_MAX: u32 = 4096;
/// Largest area of a picture that the demo origin makes, in pixels.
pub const DEMO_AREA_PIXELS_MAX: u64 = 4096 * 4096;
/// Largest area of a picture that the demo origin reads, in pixels.
pub const DEMO_SOURCE_AREA_PIXELS_MAX: u64 = 8192 * 8192;
/// Largest file that the demo origin reads, in bytes.
pub const DEMO_SOURCE_BYTES_MAX: u64 = 64 * 1024 * 1024;
/// Largest body that the demo origin takes in place of one of its pictures, in bytes.
pub const DEMO_BODY_BYTES_MAX: usize = 16 * 1024 * 1024;
/// How long such a body may take to arrive.
pub const DEMO_BODY_TIME: Duration = Duration::from_secs(30);
/// Steps of one transformation.
pub const DEMO_STEPS_MAX: usize = 8;
/// Connections that the demo origin holds at once.
pub const DEMO_CONNECTIONS_MAX: usize = 256;
/// How long a request's head may take to arrive at the demo origin, and how long a connection may wait for one.
pub const DEMO_HEAD_TIME: Duration = Duration::from_secs(10);
/// How long the demo origin's running answers may take after a signal to stop.
pub const DEMO_DRAIN_TIME: Duration = Duration::from_secs(10);

const _: () = assert!(TARGET_BYTES_MAX < REQUEST_HEAD_BYTES_MAX);
const _: () = assert!(TARGET_BYTES_MAX >= 8000);
// A browser that leaves a page resets all that is open.
const _: () = assert!(HTTP2_STREAMS_MAX * HTTP2_CONTROL_OF_RESET <= HTTP2_CONTROL_MAX);
const _: () = assert!(HTTP2_CONTROL_OF_REQUEST < HTTP2_CONTROL_OF_RESET);
const _: () = assert!(HTTP2_STREAM_WINDOW_BYTES <= HTTP2_CONNECTION_WINDOW_BYTES);
const _: () = assert!(REQUEST_HEAD_BYTES_MAX <= RESPONSE_HEAD_BYTES_MAX);
const _: () = assert!(OBJECT_BYTES_MAX < u32::MAX as u64);
const _: () = assert!(CHUNK_BYTES <= STREAM_WINDOW_BYTES);
const _: () = assert!((EXPRESS_SLICES_MAX - 2) * CHUNK_BYTES > SEND_BUFFER_BYTES);
// A shorter one wastes more of its last page than it saves.
const _: () = assert!(PAGED_BODY_BYTES_MIN >= 16 * 1024 && PAGED_BODY_BYTES_MIN < OBJECT_BYTES_MAX);
const _: () = assert!(12 * (ACCESS_TARGET_BYTES_MAX + 3 * ACCESS_FIELD_BYTES_MAX) < ACCESS_QUEUE_BYTES);
const _: () = assert!(SELECTION_BYTES_MAX < REQUEST_HEAD_BYTES_MAX);
const _: () = assert!(VARY_FIELDS_MAX <= REQUEST_FIELDS_MAX);
const _: () = assert!(TAGS_MAX >= 32);
const _: () = assert!(ADMIN_CONNECTIONS_MAX < LEDGER_QUEUE_MAX);
const _: () = assert!(LEDGER_GATHER.as_micros() < LEDGER_SWEEPS_PAUSE.as_micros());
const _: () = assert!(LEDGER_SWEEPS_PAUSE.as_micros() < LEDGER_RETRY_PAUSE.as_micros());
const _: () = assert!(ADMIN_BODY_TIME.as_secs() < ADMIN_REQUEST_TIME.as_secs());
const _: () =
    assert!(ADMIN_BODY_TIME.as_secs() + INVALIDATION_TIME.as_secs() <= ADMIN_REQUEST_TIME.as_secs());
const _: () = assert!(SESSIONS_OF_KEY_MAX < SESSIONS_MAX);
const _: () = assert!(SESSION_IDLE_TIME.as_secs() < SESSION_TIME.as_secs());
const _: () = assert!(TARGET_BYTES_MAX < ADMIN_BODY_BYTES_MAX);
// A cursor, at four letters for three bytes, and a URL whose every byte is escaped.
const _: () = assert!(KEY_BYTES_MAX / 3 * 4 + 3 * TARGET_BYTES_MAX < ADMIN_HEAD_BYTES_MAX);
const _: () = assert!(KEYS_PAGE_MAX <= PAGE_LOOKS_MAX);
const _: () = assert!(2 * KEY_BYTES_MAX < u16::MAX as usize);
const _: () = assert!(DEMO_AREA_PIXELS_MAX <= DEMO_SOURCE_AREA_PIXELS_MAX);
const _: () = assert!(WARM_KEYS_DEFAULT <= WARM_KEYS_MAX);
const _: () = assert!(WARM_PER_SECOND_DEFAULT <= WARM_PER_SECOND_MAX);
const _: () = assert!(LIST_ROWS_DEFAULT <= LIST_ROWS_MAX);
const _: () = assert!(PURGE_TARGETS_MAX <= PURGES_LIVE_MAX);
const _: () = assert!(DEMO_BODY_BYTES_MAX as u64 <= DEMO_SOURCE_BYTES_MAX);
