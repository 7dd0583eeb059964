//! A scripted origin: raw bytes over real sockets, on a port of its own. It records what it saw, and answers
//! each request as its script says, byte by byte if need be; gates hold it where a test wants it held.

use std::io::{BufRead, BufReader, Read, Write};
use std::net::{Shutdown, SocketAddr, TcpListener, TcpStream};
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::sync::{Arc, Condvar, Mutex};
use std::time::Duration;

/// How long a test waits for something that must happen.
pub const PATIENCE: Duration = Duration::from_secs(20);

/// A request as the origin received it.
#[derive(Clone, Debug)]
pub struct Seen {
    /// Of all requests, from 0.
    pub number: usize,
    /// Of all connections, from 0.
    pub connection: usize,
    pub method: String,
    pub target: String,
    /// The third word of the request line.
    pub version: String,
    /// (lower-case name, value), in order.
    pub fields: Vec<(String, String)>,
    pub body: Vec<u8>,
}

impl Seen {
    pub fn field(&self, name: &str) -> Option<&str> {
        self.fields.iter().find(|(known, _)| known == name).map(|(_, value)| &**value)
    }
}

/// One step of an answer.
#[derive(Clone)]
pub enum Step {
    Send(Vec<u8>),
    /// The same bytes again and again, until the other side has enough.
    SendForEver(Vec<u8>),
    Pause(Gate),
    Close,
    Reset,
}

/// A place where the origin waits until the test lets it go on.
#[derive(Clone, Default)]
pub struct Gate(Arc<(Mutex<(usize, bool)>, Condvar)>);

impl Gate {
    pub fn new() -> Gate {
        Gate::default()
    }

    /// Waits until `count` answers stand at the gate, or have passed it.
    pub fn wait_for(&self, count: usize) {
        let (lock, changed) = &*self.0;
        let state = lock.lock().unwrap();
        let (state, timed_out) =
            changed.wait_timeout_while(state, PATIENCE, |state| state.0 < count).unwrap();
        assert!(!timed_out.timed_out(), "{} of {count} answers reached the gate", state.0);
    }

    pub fn open(&self) {
        self.0.0.lock().unwrap().1 = true;
        self.0.1.notify_all();
    }

    fn pass(&self) {
        let (lock, changed) = &*self.0;
        let mut state = lock.lock().unwrap();
        state.0 += 1;
        changed.notify_all();
        let (_state, timed_out) = changed.wait_timeout_while(state, PATIENCE, |state| !state.1).unwrap();
        assert!(!timed_out.timed_out(), "a gate was never opened");
    }
}

type Script = dyn Fn(&Seen) -> Vec<Step> + Send + Sync;

/// See the module. Ends when it is dropped.
pub struct Origin {
    pub address: SocketAddr,
    seen: Arc<Mutex<Vec<Seen>>>,
    connections: Arc<AtomicUsize>,
    stopped: Arc<AtomicBool>,
}

impl Origin {
    pub fn new(script: impl Fn(&Seen) -> Vec<Step> + Send + Sync + 'static) -> Origin {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let address = listener.local_addr().unwrap();
        let (seen, stopped) = (Arc::new(Mutex::new(Vec::new())), Arc::new(AtomicBool::new(false)));
        let (record, ended, script) = (seen.clone(), stopped.clone(), Arc::new(script));
        let connections = Arc::new(AtomicUsize::new(0));
        let counted = connections.clone();
        std::thread::spawn(move || {
            for socket in listener.incoming().map_while(Result::ok) {
                if ended.load(Ordering::SeqCst) {
                    return;
                }
                let connection = counted.fetch_add(1, Ordering::SeqCst);
                let (record, script) = (record.clone(), script.clone());
                std::thread::spawn(move || serve(socket, connection, &record, &*script));
            }
        });
        Origin { address, seen, connections, stopped }
    }

    /// Every request so far.
    pub fn seen(&self) -> Vec<Seen> {
        self.seen.lock().unwrap().clone()
    }

    pub fn count(&self) -> usize {
        self.seen.lock().unwrap().len()
    }

    /// Connections so far: where there was none, not a byte has come.
    pub fn connections(&self) -> usize {
        self.connections.load(Ordering::SeqCst)
    }
}

impl Drop for Origin {
    fn drop(&mut self) {
        self.stopped.store(true, Ordering::SeqCst);
        let _ = TcpStream::connect(self.address); // Wakes the accept.
    }
}

fn serve(socket: TcpStream, connection: usize, record: &Mutex<Vec<Seen>>, script: &Script) {
    socket.set_nodelay(true).unwrap();
    let mut reader = BufReader::new(socket.try_clone().unwrap());
    let mut socket = socket;
    while let Some(mut seen) = read_request(&mut reader) {
        {
            let mut record = record.lock().unwrap();
            (seen.number, seen.connection) = (record.len(), connection);
            record.push(seen.clone());
        }
        for step in script(&seen) {
            match step {
                Step::Send(bytes) => {
                    if socket.write_all(&bytes).is_err() {
                        return;
                    }
                }
                Step::SendForEver(bytes) => {
                    while socket.write_all(&bytes).is_ok() {}
                    return;
                }
                Step::Pause(gate) => gate.pass(),
                Step::Close => {
                    let _ = socket.shutdown(Shutdown::Both);
                    return;
                }
                Step::Reset => {
                    socket2::SockRef::from(&socket).set_linger(Some(Duration::ZERO)).unwrap();
                    return;
                }
            }
        }
    }
}

fn read_request(reader: &mut BufReader<TcpStream>) -> Option<Seen> {
    let mut line = String::new();
    reader.read_line(&mut line).ok().filter(|bytes| *bytes > 0)?;
    let mut words = line.split_ascii_whitespace();
    let (method, target) = (words.next()?.to_owned(), words.next()?.to_owned());
    let version = words.next().unwrap_or_default().to_owned();
    let mut fields = Vec::new();
    loop {
        let mut line = String::new();
        reader.read_line(&mut line).ok().filter(|bytes| *bytes > 0)?;
        let line = line.trim_end();
        if line.is_empty() {
            break;
        }
        let (name, value) = line.split_once(':')?;
        fields.push((name.to_ascii_lowercase(), value.trim().to_owned()));
    }
    let mut seen = Seen { number: 0, connection: 0, method, target, version, fields, body: Vec::new() };
    if let Some(length) = seen.field("content-length") {
        seen.body = vec![0; length.parse().ok()?];
        reader.read_exact(&mut seen.body).ok()?;
    } else if seen.field("transfer-encoding").is_some() {
        while let size @ 1.. = read_chunk_size(reader)? {
            let mut chunk = vec![0; size + 2];
            reader.read_exact(&mut chunk).ok()?;
            seen.body.extend(&chunk[..size]);
        }
        // Trailers are kept as fields, so that a test sees them if any comes.
        loop {
            let mut line = String::new();
            reader.read_line(&mut line).ok().filter(|bytes| *bytes > 0)?;
            let Some((name, value)) = line.trim_end().split_once(':') else { break };
            seen.fields.push((name.to_ascii_lowercase(), value.trim().to_owned()));
        }
    }
    Some(seen)
}

fn read_chunk_size(reader: &mut BufReader<TcpStream>) -> Option<usize> {
    let mut line = String::new();
    reader.read_line(&mut line).ok()?;
    usize::from_str_radix(line.trim_end(), 16).ok()
}

/// A complete answer with these fields and this body.
pub fn answer(status: &str, fields: &[(&str, &str)], body: impl AsRef<[u8]>) -> Vec<u8> {
    let body = body.as_ref();
    let mut bytes = format!("HTTP/1.1 {status}\r\ncontent-length: {}\r\n", body.len()).into_bytes();
    for (name, value) in fields {
        bytes.extend(format!("{name}: {value}\r\n").bytes());
    }
    bytes.extend(b"\r\n");
    bytes.extend(body);
    bytes
}

/// The answer of an image origin: fresh for a minute.
pub fn image(body: impl AsRef<[u8]>) -> Vec<Step> {
    let fields = [("content-type", "image/jpeg"), ("cache-control", "max-age=60")];
    vec![Step::Send(answer("200 OK", &fields, body))]
}
