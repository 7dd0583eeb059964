//! The client: a constant rate, or as fast as the server answers; on one thread that never sleeps.
//!
//! At a constant rate a request's time counts from when it was due, sent late or not: a server that stalls is
//! charged for all that should have come meanwhile. The loop asks the sockets again and again instead of waiting
//! for them, so no timer and no wake-up of its own stands in what it measures; it wants a core to itself.

use std::collections::VecDeque;
use std::time::{Duration, Instant};

use base64::Engine;
use bytes::Bytes;
use clap::{Args, ValueEnum};
use serde_json::{Value, json};

use super::connection::{Connection, Progress};
use super::content::{self, Random, Zipf};

/// Bytes read at once.
const READ_BYTES: usize = 256 * 1024;
/// Connections that purges are sent on: they wait for the disk.
const PURGE_CONNECTIONS: usize = 32;
/// No exchange at all for so long is the end of the run.
const STALL: Duration = Duration::from_secs(20);

/// What to ask for, and how fast.
#[derive(Args, Clone)]
pub struct Plan {
    /// The server's address.
    #[arg(long)]
    to: String,
    #[arg(long, default_value = "bench.test")]
    host: String,
    #[arg(long, default_value_t = 1)]
    connections: usize,
    /// Requests a second; 0: as fast as they are answered.
    #[arg(long, default_value_t = 0.0)]
    rate: f64,
    /// The run ends after so many requests, or `seconds`.
    #[arg(long, default_value_t = u64::MAX)]
    requests: u64,
    #[arg(long, default_value_t = 3600.0)]
    seconds: f64,
    /// The path and query; {} is the key's number.
    #[arg(long, default_value = "/1024/photos/{}.jpg?tr=w-300,h-200")]
    template: String,
    #[arg(long, default_value_t = 1)]
    keys: usize,
    /// The first number.
    #[arg(long, default_value_t = 0)]
    from: usize,
    #[arg(long, value_enum, default_value = "sequence")]
    order: Order,
    /// Of every so many answers the bytes of one are compared; those of the others are counted.
    #[arg(long, default_value_t = 1, value_parser = clap::value_parser!(u64).range(1..))]
    compare_every: u64,
    /// The share of requests that is for keys that were never asked for, by `fresh_template`.
    #[arg(long, default_value_t = 0.0)]
    fresh_share: f64,
    #[arg(long, default_value = "/1024/fresh/{}.jpg?tr=w-300,h-200")]
    fresh_template: String,
    #[arg(long, default_value_t = 7)]
    seed: u64,
    /// Keeps the connections open until the standard input ends.
    #[arg(long)]
    pub hold: bool,
    /// The admin listener; without it nothing is purged.
    #[arg(long)]
    purge_to: Option<String>,
    #[arg(long, default_value = "")]
    purge_key: String,
    /// URLs to purge one by one, {} counts up from 0; and how many a second.
    #[arg(long, default_value = "")]
    purge_template: String,
    #[arg(long, default_value_t = 0.0)]
    purge_rate: f64,
    #[arg(long, default_value_t = 0)]
    purge_from: usize,
    /// The same for prefixes.
    #[arg(long, default_value = "")]
    prefix_template: String,
    #[arg(long, default_value_t = 0.0)]
    prefix_rate: f64,
    #[arg(long, default_value_t = 0)]
    prefix_from: usize,
}

/// In which order keys are asked for.
#[derive(Clone, Copy, PartialEq, ValueEnum)]
enum Order {
    /// The first, always.
    One,
    /// One after the other, then from the start.
    Sequence,
    /// By chance, few of them often.
    Zipf,
}

/// Runs a plan; what came of it, and its connections.
pub fn run(plan: &Plan) -> (Value, Vec<Connection>) {
    let mut keys = Keys::new(plan);
    let mut hits = Lane::new(&plan.to, plan.connections, plan.rate);
    let mut purges: Vec<(Lane, Purges)> = Vec::new();
    let purged = [
        (&plan.purge_template, plan.purge_rate, plan.purge_from, PURGE_CONNECTIONS),
        (&plan.prefix_template, plan.prefix_rate, plan.prefix_from, 2),
    ];
    for (template, rate, from, connections) in purged {
        if let Some(to) = plan.purge_to.as_ref().filter(|_| rate > 0.0) {
            let purge = Purges { template, to, key: &plan.purge_key, next: from };
            purges.push((Lane::new(to, connections, rate), purge));
        }
    }
    let mut buffer = vec![0; READ_BYTES];
    let start = Instant::now();
    let end = start + Duration::from_secs_f64(plan.seconds);
    let mut progress_at = start;
    loop {
        let now = Instant::now();
        let over = now >= end;
        let mut moved = hits.step(now, start, &mut buffer, 200, || {
            (!over && keys.asked < plan.requests).then(|| keys.next(&plan.host))
        });
        for (lane, purge) in &mut purges {
            moved |= lane.step(now, start, &mut buffer, 201, || (!over).then(|| (purge.next(), None)));
        }
        if hits.busy.is_empty() && (over || keys.asked >= plan.requests) {
            break;
        }
        if moved {
            progress_at = now;
        } else if now - progress_at > STALL {
            hits.errors += hits.busy.len() as u64;
            hits.last_error = "nothing came for a long time".into();
            break;
        } else {
            std::thread::yield_now(); // For an origin on the same core.
        }
    }
    let seconds = start.elapsed().as_secs_f64();
    let mut report = hits.report(seconds);
    report["purges"] = purges.iter_mut().map(|(lane, _)| lane.report(seconds)).collect();
    (report, hits.idle.into())
}

/// Connections of one kind, with their pace and their times.
struct Lane {
    to: String,
    idle: VecDeque<Connection>,
    busy: Vec<Connection>,
    /// Between two requests; none: whenever a connection is idle.
    interval: Option<Duration>,
    begun: u32,
    /// Nanoseconds of each exchange.
    times: Vec<u32>,
    errors: u64,
    last_error: String,
}

impl Lane {
    fn new(to: &str, connections: usize, rate: f64) -> Lane {
        let open = || Connection::open(to).unwrap_or_else(|error| panic!("{to}: {error}"));
        Lane {
            to: to.to_owned(),
            idle: (0..connections).map(|_| open()).collect(),
            busy: Vec::with_capacity(connections),
            interval: (rate > 0.0).then(|| Duration::from_secs_f64(1.0 / rate)),
            begun: 0,
            times: Vec::new(),
            errors: 0,
            last_error: String::new(),
        }
    }

    /// Begins what is due, and goes on with what was begun; whether anything moved.
    fn step(
        &mut self,
        now: Instant,
        start: Instant,
        buffer: &mut [u8],
        status_wanted: u16,
        mut next: impl FnMut() -> Option<(Bytes, Option<Bytes>)>,
    ) -> bool {
        let mut moved = false;
        while !self.idle.is_empty() {
            let due = self.interval.map_or(now, |interval| start + interval * self.begun);
            if due > now {
                break;
            }
            let Some((request, expected)) = next() else { break };
            let mut connection = self.idle.pop_front().expect("one is idle");
            self.begun += 1;
            moved = true;
            match connection.begin(request, expected, due) {
                Ok(()) => self.busy.push(connection),
                Err(error) => self.fail(error.to_string()),
            }
        }
        let mut at = 0;
        while at < self.busy.len() {
            match self.busy[at].poll(buffer) {
                Ok(Progress::None) => at += 1,
                Ok(Progress::Some) => {
                    moved = true;
                    at += 1;
                }
                Ok(Progress::Done { status, since }) => {
                    moved = true;
                    self.idle.push_back(self.busy.swap_remove(at));
                    match status == status_wanted {
                        true => self.times.push(since.elapsed().as_nanos().try_into().unwrap_or(u32::MAX)),
                        false => {
                            self.errors += 1;
                            self.last_error = format!("status {status}");
                        }
                    }
                }
                Err(error) => {
                    moved = true;
                    drop(self.busy.swap_remove(at));
                    self.fail(error.to_string());
                }
            }
        }
        moved
    }

    fn fail(&mut self, error: String) {
        self.errors += 1;
        self.last_error = error;
        // A server that closes its connections goes on being asked.
        self.idle.extend(Connection::open(&self.to));
    }

    fn report(&mut self, seconds: f64) -> Value {
        self.times.sort_unstable();
        let last = self.times.len().saturating_sub(1);
        let quantile = |share: f64| {
            let at = (last as f64 * share).round() as usize;
            self.times.get(at).map(|nanoseconds| f64::from(*nanoseconds) / 1e3)
        };
        json!({
            "requests": self.times.len(),
            "errors": self.errors,
            "last_error": self.last_error,
            "seconds": seconds,
            "rate": self.times.len() as f64 / seconds,
            "p50_us": quantile(0.5),
            "p99_us": quantile(0.99),
            "p999_us": quantile(0.999),
            "max_us": quantile(1.0),
        })
    }
}

/// The requests for images.
struct Keys<'a> {
    plan: &'a Plan,
    zipf: Option<Zipf>,
    random: Random,
    asked: u64,
    fresh: u64,
}

impl Keys<'_> {
    fn new(plan: &Plan) -> Keys<'_> {
        let zipf = (plan.order == Order::Zipf).then(|| Zipf::new(plan.keys));
        Keys { plan, zipf, random: Random::new(plan.seed), asked: 0, fresh: 0 }
    }

    fn next(&mut self, host: &str) -> (Bytes, Option<Bytes>) {
        let target = if self.plan.fresh_share > 0.0 && self.random.share() < self.plan.fresh_share {
            self.fresh += 1;
            // The seed keeps one run's fresh keys from being another's.
            self.plan.fresh_template.replace("{}", &format!("{}-{}", self.plan.seed, self.fresh))
        } else {
            let at = match &self.zipf {
                Some(zipf) => zipf.next(&mut self.random),
                None if self.plan.order == Order::One => 0,
                None => usize::try_from(self.asked).unwrap_or(usize::MAX) % self.plan.keys,
            };
            self.plan.template.replace("{}", &(self.plan.from + at).to_string())
        };
        let compared = self.asked.is_multiple_of(self.plan.compare_every);
        self.asked += 1;
        let expected = compared.then(|| content::body(&target).expect("the template names a size"));
        (format!("GET {target} HTTP/1.1\r\nHost: {host}\r\n\r\n").into(), expected)
    }
}

/// The requests to purge, each for another URL.
struct Purges<'a> {
    template: &'a str,
    to: &'a str,
    key: &'a str,
    next: usize,
}

impl Purges<'_> {
    fn next(&mut self) -> Bytes {
        let url = self.template.replace("{}", &self.next.to_string());
        self.next += 1;
        let body = json!({ "url": url }).to_string();
        let credentials = base64::engine::general_purpose::STANDARD.encode(format!("{}:", self.key));
        format!(
            "POST /v1/files/purge HTTP/1.1\r\nHost: {}\r\nAuthorization: Basic {credentials}\r\n\
             Content-Type: application/json\r\nContent-Length: {}\r\n\r\n{body}",
            self.to,
            body.len()
        )
        .into()
    }
}
