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
/// Longest body of a request that is passed on, in bytes.
pub const REQUEST_BODY_BYTES_MAX: usize = 1024 * 1024;

/// Longest response head that an origin may send, in bytes.
pub const RESPONSE_HEAD_BYTES_MAX: usize = 32 * 1024;
/// Most fields in a response head.
pub const RESPONSE_FIELDS_MAX: usize = 100;
/// Most interim (1xx) responses before the final one.
pub const INTERIM_RESPONSES_MAX: usize = 16;

/// Hard maximum of `cache.object_max_bytes`; an entry's weight is counted in 32 bits by the store.
pub const OBJECT_BYTES_MAX: u64 = 1024 * 1024 * 1024;
/// Hard minimum of `cache.max_bytes`.
pub const CACHE_BYTES_MIN: u64 = 1024 * 1024;
/// Bytes that a body which is not stored may run ahead of its slowest reader, and the origin ahead of the
/// fastest.
pub const STREAM_WINDOW_BYTES: usize = 1024 * 1024;
/// Bytes of one stored piece of a body: a fill copies a body in pieces of this size, never whole.
pub const CHUNK_BYTES: usize = 256 * 1024;
/// Variants of one resource; the oldest leaves first.
pub const VARIANTS_MAX: usize = 16;
/// Live fences; beyond it the two newest of an account are folded into a wider one.
pub const FENCES_MAX: usize = 100;
/// Keys collected from the index under one hold of its lock.
pub const SWEEP_SLICE_KEYS: usize = 256;
/// Keys remembered as not storable.
pub const PASS_MARKERS_MAX: u64 = 100_000;
/// How long a key is remembered as not storable.
pub const PASS_MARKER_TIME: Duration = Duration::from_secs(60);

/// Longest account id.
pub const ACCOUNT_ID_BYTES_MAX: usize = 64;
/// Accounts in a config.
pub const ACCOUNTS_MAX: usize = 10_000;
/// Shortest private key in bits where a listener is not on loopback.
pub const PRIVATE_KEY_BITS_MIN: usize = 128;

/// Connections that the admin listener holds at once.
pub const ADMIN_CONNECTIONS_MAX: usize = 256;
/// Longest body of an admin request, in bytes.
pub const ADMIN_BODY_BYTES_MAX: usize = 1024 * 1024;
/// URLs in one purge request.
pub const PURGE_URLS_MAX: usize = 100;
/// Purges that wait for a disk that takes no writes; beyond it the oldest history leaves, charges never.
pub const LEDGER_PENDING_MAX: usize = 100_000;

/// Longest side of a picture that the demo origin makes, in pixels.
pub const DEMO_SIDE_PIXELS_MAX: u32 = 4096;
/// Largest area of a picture that the demo origin makes, in pixels.
pub const DEMO_AREA_PIXELS_MAX: u64 = 4096 * 4096;

const _: () = assert!(TARGET_BYTES_MAX < REQUEST_HEAD_BYTES_MAX);
const _: () = assert!(TARGET_BYTES_MAX >= 8000);
const _: () = assert!(REQUEST_HEAD_BYTES_MAX <= RESPONSE_HEAD_BYTES_MAX);
const _: () = assert!(OBJECT_BYTES_MAX < u32::MAX as u64);
const _: () = assert!(CHUNK_BYTES <= STREAM_WINDOW_BYTES);
const _: () = assert!(KEY_BYTES_MAX < u16::MAX as usize);
