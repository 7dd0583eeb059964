//! An origin whose objects have versions: quick, kept alive, one thread for each connection.
//!
//! The version of an answer is read when its request has arrived; the answer goes out after a delay. So a slow
//! answer tells of a version that has been replaced meanwhile, which is what a race with a purge is made of.

use std::io::{BufRead, BufReader, Write};
use std::net::{SocketAddr, TcpListener, TcpStream};
use std::ops::Range;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::time::Duration;

/// Bytes of one record; a body is the same record again and again, so that every part tells key and version.
pub const RECORD_BYTES: usize = 16;
/// Records of a body.
pub const RECORDS: usize = 256;

/// How the origin answers for an object.
#[derive(Clone, Debug)]
pub struct Manner {
    pub delay: Duration,
    pub cache_control: &'static str,
    pub vary: bool,
    /// What it names as Surrogate-Key.
    pub tag: String,
    /// One answer of so many is a 503; 0 for none.
    pub error_one_in: u64,
}

#[derive(Default)]
struct Counts {
    requests: AtomicU64,
    not_modified: AtomicU64,
}

/// See the module. Ends when it is dropped.
pub struct VersionedOrigin {
    pub address: SocketAddr,
    /// The version of each object, from 1; the test raises them.
    pub versions: Arc<[AtomicU64]>,
    counts: Arc<Counts>,
    stopped: Arc<AtomicBool>,
}

impl VersionedOrigin {
    /// Serves `objects` objects: `/anything/12.jpg?anything` is the thirteenth.
    pub fn new(objects: usize, manner: impl Fn(usize) -> Manner + Send + Sync + 'static) -> VersionedOrigin {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let address = listener.local_addr().unwrap();
        let versions: Arc<[AtomicU64]> = (0..objects).map(|_| AtomicU64::new(1)).collect();
        let (counts, stopped, manner) =
            (Arc::<Counts>::default(), Arc::<AtomicBool>::default(), Arc::new(manner));
        let (served, counted, ended) = (versions.clone(), counts.clone(), stopped.clone());
        std::thread::spawn(move || {
            for socket in listener.incoming().map_while(Result::ok) {
                if ended.load(Ordering::SeqCst) {
                    return;
                }
                let (served, counted, manner) = (served.clone(), counted.clone(), manner.clone());
                std::thread::spawn(move || serve(socket, &served, &counted, &*manner));
            }
        });
        VersionedOrigin { address, versions, counts, stopped }
    }

    /// Requests so far.
    pub fn count(&self) -> u64 {
        self.counts.requests.load(Ordering::SeqCst)
    }

    /// Those that were answered with 304.
    pub fn not_modified(&self) -> u64 {
        self.counts.not_modified.load(Ordering::SeqCst)
    }
}

impl Drop for VersionedOrigin {
    fn drop(&mut self) {
        self.stopped.store(true, Ordering::SeqCst);
        let _ = TcpStream::connect(self.address); // Wakes the accept.
    }
}

/// One record of an object's body.
pub fn record(object: usize, version: u64) -> String {
    format!("{object:>6} {version:>8}\n")
}

/// The object and the version that a body, or whole records of it, tells; nothing where they differ in it.
pub fn told(body: &[u8]) -> Option<(usize, u64)> {
    let first = body.get(..RECORD_BYTES)?;
    let mut words = std::str::from_utf8(first).ok()?.split_ascii_whitespace();
    let told = (words.next()?.parse().ok()?, words.next()?.parse().ok()?);
    (body.len().is_multiple_of(RECORD_BYTES) && body.chunks(RECORD_BYTES).all(|record| record == first))
        .then_some(told)
}

/// The version that an entity tag names.
pub fn version_of(etag: &str) -> Option<u64> {
    etag.trim_start_matches("W/").trim_matches('"').strip_prefix('v')?.parse().ok()
}

fn serve(socket: TcpStream, versions: &[AtomicU64], counts: &Counts, manner: &dyn Fn(usize) -> Manner) {
    socket.set_nodelay(true).unwrap();
    let mut reader = BufReader::new(socket.try_clone().unwrap());
    let mut socket = socket;
    let mut line = String::new();
    loop {
        line.clear();
        if reader.read_line(&mut line).is_ok_and(|bytes| bytes == 0) {
            return;
        }
        let Some((method, target)) = line.split_once(' ') else { return };
        let is_head = method == "HEAD";
        let target = target.split(' ').next().unwrap_or_default();
        let path = target.split('?').next().unwrap_or_default();
        let name = path.rsplit('/').next().and_then(|name| name.strip_suffix(".jpg"));
        let Some(object) = name.and_then(|name| name.parse::<usize>().ok()) else { return };
        let (mut held, mut range, mut if_range) = (None, None, None);
        loop {
            line.clear();
            if reader.read_line(&mut line).is_ok_and(|bytes| bytes == 0) {
                return;
            }
            match line.trim_end().split_once(':') {
                None => break,
                Some((name, value)) if name.eq_ignore_ascii_case("if-none-match") => {
                    held = version_of(value.trim());
                }
                Some((name, value)) if name.eq_ignore_ascii_case("range") => range = part(value.trim()),
                Some((name, value)) if name.eq_ignore_ascii_case("if-range") => {
                    if_range = version_of(value.trim());
                }
                Some(_) => {}
            }
        }
        let version = versions[object].load(Ordering::SeqCst);
        let number = counts.requests.fetch_add(1, Ordering::SeqCst);
        let manner = manner(object);
        std::thread::sleep(manner.delay); // Not a wait for a state: this is how slow the origin is.
        let answer = if manner.error_one_in > 0 && number.is_multiple_of(manner.error_one_in) {
            "HTTP/1.1 503 Service Unavailable\r\ncontent-length: 0\r\n\r\n".to_owned()
        } else {
            if held == Some(version) {
                counts.not_modified.fetch_add(1, Ordering::SeqCst);
            }
            let range = range.filter(|_| if_range.is_none_or(|required| required == version));
            answer(object, version, &manner, held, range, is_head)
        };
        if socket.write_all(answer.as_bytes()).is_err() {
            return;
        }
    }
}

/// The bytes that one range of a Range field names.
fn part(range: &str) -> Option<Range<usize>> {
    const LENGTH: usize = RECORD_BYTES * RECORDS;
    let (first, last) = range.strip_prefix("bytes=")?.split_once('-')?;
    match (first.parse::<usize>(), last.parse::<usize>()) {
        (Ok(first), Ok(last)) => Some(first..last + 1),
        (Ok(first), Err(_)) => Some(first..LENGTH),
        (Err(_), Ok(length)) => Some(LENGTH - length..LENGTH),
        (Err(_), Err(_)) => None,
    }
}

fn answer(
    object: usize,
    version: u64,
    manner: &Manner,
    held: Option<u64>,
    range: Option<Range<usize>>,
    is_head: bool,
) -> String {
    let vary = if manner.vary { "vary: accept\r\n" } else { "" };
    let Manner { cache_control, tag, .. } = manner;
    let fields = format!(
        "etag: \"v{version}\"\r\ncache-control: {cache_control}\r\nsurrogate-key: {tag} image\r\n{vary}"
    );
    if held == Some(version) {
        return format!("HTTP/1.1 304 Not Modified\r\n{fields}\r\n");
    }
    let length = RECORD_BYTES * RECORDS;
    if let Some(range) = range.filter(|_| !is_head) {
        let place = format!("content-range: bytes {}-{}/{length}\r\n", range.start, range.end - 1);
        let body = &record(object, version).repeat(RECORDS)[range];
        let bytes = body.len();
        return format!(
            "HTTP/1.1 206 Partial Content\r\ncontent-type: image/jpeg\r\n{place}content-length: {bytes}\r\n{fields}\r\n{body}"
        );
    }
    let body = if is_head { String::new() } else { record(object, version).repeat(RECORDS) };
    format!("HTTP/1.1 200 OK\r\ncontent-type: image/jpeg\r\ncontent-length: {length}\r\n{fields}\r\n{body}")
}
