//! Bodies that are stored in the memory file: every way to read one gives the bytes that the origin sent, what leaves the
//! store leaves the file, and where the system gives no file nobody can tell.

use std::process::Command;

use crate::support::binary::Binary;
use crate::support::client::{Answer, Client};
use crate::support::http2;
use crate::support::origin::{Origin, Seen, Step, answer};
use crate::support::{Freshet, HOST, KEY, account, wait_until};
use freshet::limits::{CHUNK_BYTES, PAGED_BODY_BYTES_MIN, PAGED_READ_BYTES};

const LONG: usize = 3 * CHUNK_BYTES + 5;

fn bytes(length: usize) -> Vec<u8> {
    (0..length).map(|at| (at / 251 + at) as u8).collect()
}

fn fields() -> Vec<(&'static str, &'static str)> {
    vec![("content-type", "image/png"), ("cache-control", "max-age=60"), ("etag", "\"one\"")]
}

/// `/N` is an image of N bytes; it answers ranges, and confirms what is held.
fn origin() -> Origin {
    Origin::new(|seen: &Seen| {
        let whole = bytes(seen.target[1..].parse().unwrap());
        if seen.field("if-none-match").is_some() {
            return vec![Step::Send(answer("304 Not Modified", &fields(), ""))];
        }
        let Some(range) = seen.field("range").and_then(|range| range.strip_prefix("bytes=")) else {
            return vec![Step::Send(answer("200 OK", &fields(), whole))];
        };
        let (from, to) = range.split_once('-').unwrap();
        let from: usize = from.parse().unwrap();
        let to = to.parse().map_or(whole.len(), |to: usize| to + 1);
        let place = format!("bytes {from}-{}/{}", to - 1, whole.len());
        let fields = [fields(), vec![("content-range", &*place)]].concat();
        vec![Step::Send(answer("206 Partial Content", &fields, &whole[from..to]))]
    })
}

/// Fields of a request, and the status and the bytes that are right.
type Question = (Vec<(&'static str, String)>, u16, Vec<u8>);

/// Every kind of question about what is stored under `/LONG`.
fn questions() -> Vec<Question> {
    let whole = bytes(LONG);
    let border = PAGED_READ_BYTES as usize;
    let mut questions = vec![
        (vec![], 200, whole.clone()),
        (vec![("if-none-match", "\"one\"".to_owned())], 304, vec![]),
        (vec![("range", format!("bytes={LONG}-"))], 416, vec![]),
    ];
    for (from, to) in [
        (0, 1),
        (border - 1, border + 1),
        (border, 2 * border),
        (CHUNK_BYTES - 3, CHUNK_BYTES + border + 3),
        (LONG - 1, LONG),
        (1, LONG),
    ] {
        let range = vec![("range", format!("bytes={from}-{}", to - 1))];
        questions.push((range, 206, whole[from..to].to_vec()));
    }
    questions
}

fn is_right(answer: &Answer, status: u16, body: &[u8], what: &str) {
    assert_eq!((answer.status, answer.complete), (status, true), "{what}");
    assert!(answer.is_hit(), "{what}: {}", answer.cache_status());
    assert!(answer.body == body, "{what}: {} bytes, {} are right", answer.body.len(), body.len());
}

#[test]
fn every_way_to_read_a_large_body_gives_the_origins_bytes() {
    let origin = origin();
    let freshet = Freshet::with(&origin, "[proxy]\nhttp2_cleartext = true\n");
    let path = format!("/{LONG}");
    assert!(freshet.get(&path).body == bytes(LONG));
    assert!(freshet.app().figures().file_bytes >= LONG as u64);
    for (fields, status, body) in questions() {
        let fields: Vec<(&str, &str)> = fields.iter().map(|(name, value)| (*name, &**value)).collect();
        let of_http1 = freshet.client().request("GET", HOST, &path, &fields);
        is_right(&of_http1, status, &body, &format!("HTTP/1.1 {fields:?}"));
        let of_http2 = http2::Client::connect(freshet.app().proxy).request("GET", HOST, &path, &fields);
        is_right(&of_http2, status, &body, &format!("HTTP/2 {fields:?}"));
    }
    let head = freshet.client().request("HEAD", HOST, &path, &[]);
    assert_eq!((head.status, head.field("content-length")), (200, Some(&*LONG.to_string())));
    assert_eq!(origin.seen().len(), 1);
}

#[test]
fn several_ranges_of_a_large_body_come_in_any_order() {
    let origin = origin();
    let freshet = Freshet::before(&origin);
    let path = format!("/{LONG}");
    freshet.get(&path);
    let (late, early) = (CHUNK_BYTES..CHUNK_BYTES + 100_000, 10..70_000);
    let range = format!("bytes={}-{},{}-{}", late.start, late.end - 1, early.start, early.end - 1);
    let parts = freshet.get_with(&path, &[("range", &range)]);
    assert_eq!((parts.status, parts.complete), (206, true));
    let whole = bytes(LONG);
    let mut at = 0;
    for range in [late, early] {
        let head = parts.body[at..].windows(4).position(|bytes| bytes == b"\r\n\r\n").unwrap() + 4;
        // The first line end of all belongs to the border before a later part.
        let start = if at == 0 { head } else { at + head };
        assert!(parts.body[start..][..range.len()] == whole[range.clone()], "{range:?}");
        at = start + range.len() + 2;
    }
}

#[test]
fn a_body_at_the_bound_is_in_the_file_and_one_below_it_is_not() {
    let origin = origin();
    let freshet = Freshet::before(&origin);
    freshet.get(&format!("/{}", PAGED_BODY_BYTES_MIN - 1));
    assert_eq!(freshet.app().figures().file_bytes, 0);
    freshet.get(&format!("/{PAGED_BODY_BYTES_MIN}"));
    assert_eq!(freshet.app().figures().file_bytes, PAGED_BODY_BYTES_MIN);
}

#[test]
fn what_is_purged_leaves_the_file() {
    let origin = origin();
    let freshet = Freshet::before(&origin);
    for length in [100_000, 200_000, LONG] {
        freshet.get(&format!("/{length}"));
    }
    assert!(freshet.app().figures().file_bytes > LONG as u64);
    for length in [100_000, 200_000, LONG] {
        freshet.purge_and_wait(&format!("http://{HOST}/{length}"));
    }
    wait_until("the file is empty", || freshet.app().figures().file_bytes == 0);
}

#[test]
fn a_large_body_that_is_renewed_stays_where_it_is() {
    let origin = origin();
    let freshet = Freshet::before(&origin);
    freshet.get("/100000");
    let before = freshet.app().figures().file_bytes;
    freshet.clock.advance(std::time::Duration::from_secs(61));
    assert!(freshet.get("/100000").body == bytes(100_000));
    assert_eq!((origin.seen().len(), freshet.app().figures().file_bytes), (2, before));
}

#[test]
fn a_large_part_is_completed_from_the_file_and_stored_whole() {
    let origin = origin();
    let freshet = Freshet::with(&origin, "[[routes]]\nhttp = \"rfc\"\n");
    let part = freshet.get_with("/200000", &[("range", "bytes=0-99999")]);
    assert!(part.status == 206 && part.body == bytes(200_000)[..100_000]);
    assert!(freshet.app().figures().file_bytes >= 100_000, "the part is in the file");
    let whole = freshet.get("/200000");
    assert!(whole.status == 200 && whole.complete && whole.body == bytes(200_000));
    assert_eq!(origin.seen()[1].field("range"), Some("bytes=100000-"));
    let again = freshet.get("/200000");
    is_right(&again, 200, &bytes(200_000), "the whole");
}

#[test]
fn the_files_bytes_are_in_the_figures_of_memory() {
    let origin = origin();
    let freshet = Freshet::before(&origin);
    freshet.get(&format!("/{LONG}"));
    let file = freshet.app().figures().file_bytes;
    let admin = freshet.app().admin;
    let scrape = Client::connect(admin).request("GET", &admin.to_string(), "/metrics", &[]).text();
    assert!(scrape.contains(&format!("\nfreshet_cache_file_bytes {file}.0\n")), "{scrape}");
}

/// Where files are limited in size (`RLIMIT_FSIZE`), a write behind the limit would end the process.
#[test]
fn where_there_is_no_memory_file_large_bodies_are_served_all_the_same() {
    let origin = origin();
    let folder = tempfile::tempdir().unwrap();
    let config = folder.path().join("config.toml");
    let account = account(&format!("http://{}", origin.address));
    let text = format!(
        "[proxy]\nlisten = \"127.0.0.1:0\"\n[admin]\nlisten = \"127.0.0.1:0\"\n[ledger]\npath = \":memory:\"\n{account}"
    );
    std::fs::write(&config, text).unwrap();
    let mut command = Command::new("prlimit");
    command.arg(format!("--fsize={}", 1 << 30)).arg(env!("CARGO_BIN_EXE_freshet"));
    command.args(["serve", "--config"]).arg(&config);
    let server = Binary::run(command, &config);
    assert!(server.log().contains("no memory file"), "{}", server.log());
    let mut client = Client::connect(server.proxy);
    let path = format!("/{LONG}");
    assert!(client.request("GET", HOST, &path, &[]).body == bytes(LONG));
    for (fields, status, body) in questions() {
        let fields: Vec<(&str, &str)> = fields.iter().map(|(name, value)| (*name, &**value)).collect();
        is_right(&client.request("GET", HOST, &path, &fields), status, &body, &format!("{fields:?}"));
    }
    let bearer = format!("Bearer {KEY}");
    let fields = [("authorization", &*bearer)];
    let overview =
        Client::connect(server.admin).request("GET", &server.admin.to_string(), "/v1/overview", &fields);
    assert_eq!(overview.status, 200);
}
