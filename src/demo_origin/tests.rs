//! The demo origin over real connections.

use std::sync::atomic::Ordering;

use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;
use tokio::sync::oneshot;

use super::*;

fn settings() -> Settings {
    let images = None;
    Settings {
        listen: ([127, 0, 0, 1], 0).into(),
        images,
        max_age: MAX_AGE,
        clock: Clock::manual(1_700_000_000),
    }
}

async fn exchange(stream: &mut TcpStream, request: &str) -> String {
    stream.write_all(request.as_bytes()).await.unwrap();
    let mut answer = String::new();
    stream.read_to_string(&mut answer).await.unwrap();
    answer
}

#[tokio::test]
async fn answers_are_counted_and_running_ones_finish_after_the_signal_to_stop() {
    let origin = DemoOrigin::bind(settings()).await.unwrap();
    let (address, requests) = (origin.local_addr(), origin.requests());
    let (stop, stopped) = oneshot::channel::<()>();
    let serving = tokio::spawn(origin.serve(async { drop(stopped.await) }));

    let mut first = TcpStream::connect(address).await.unwrap();
    let answer = exchange(&mut first, "GET / HTTP/1.1\r\nHost: a\r\nConnection: close\r\n\r\n").await;
    assert!(
        answer.starts_with("HTTP/1.1 200 OK\r\n") && answer.contains("photos/2024/harbour.jpg\n"),
        "{answer}"
    );
    let mut head = TcpStream::connect(address).await.unwrap();
    let answer = exchange(&mut head, "HEAD / HTTP/1.1\r\nHost: a\r\nConnection: close\r\n\r\n").await;
    assert!(answer.contains("content-length: ") && answer.ends_with("\r\n\r\n"), "{answer}");
    assert_eq!(requests.load(Ordering::Relaxed), 2);

    // The head has arrived (100 says so) and the body has not when the signal comes: still it is answered.
    let mut last = TcpStream::connect(address).await.unwrap();
    let put = "PUT /art/marble.jpg HTTP/1.1\r\nHost: a\r\nContent-Length: 4\r\nExpect: 100-continue\r\n\r\n";
    last.write_all(put.as_bytes()).await.unwrap();
    let mut interim = [0; 25];
    last.read_exact(&mut interim).await.unwrap();
    assert_eq!(&interim, b"HTTP/1.1 100 Continue\r\n\r\n");
    stop.send(()).unwrap();
    let answer = exchange(&mut last, "text").await;
    assert!(answer.starts_with("HTTP/1.1 400 ") && answer.contains("\"help\""), "{answer}");
    serving.await.unwrap();
    assert_eq!(requests.load(Ordering::Relaxed), 3);
    assert!(TcpStream::connect(address).await.is_err());
}

#[tokio::test]
async fn err_a_body_beyond_the_ceiling_is_refused() {
    let origin = DemoOrigin::bind(settings()).await.unwrap();
    let address = origin.local_addr();
    let (stop, stopped) = oneshot::channel::<()>();
    let serving = tokio::spawn(origin.serve(async { drop(stopped.await) }));
    let mut announced = TcpStream::connect(address).await.unwrap();
    let put =
        "PUT /art/marble.jpg HTTP/1.1\r\nHost: a\r\nContent-Length: 16777217\r\nConnection: close\r\n\r\n";
    let answer = exchange(&mut announced, put).await;
    assert!(answer.starts_with("HTTP/1.1 413 "), "{answer}");

    let mut stream = TcpStream::connect(address).await.unwrap();
    let put =
        "PUT /art/marble.jpg HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked\r\nConnection: close\r\n\r\n";
    stream.write_all(put.as_bytes()).await.unwrap();
    let chunk = [b"10000\r\n".as_slice(), &[b'x'; 0x10000], b"\r\n"].concat();
    for _ in 0..=crate::limits::DEMO_BODY_BYTES_MAX / 0x10000 {
        // The answer may come, and the connection close, before the last chunk.
        if stream.write_all(&chunk).await.is_err() {
            break;
        }
    }
    let mut answer = [0; 12];
    stream.read_exact(&mut answer).await.unwrap();
    assert_eq!(&answer, b"HTTP/1.1 413");
    drop(stop);
    serving.await.unwrap();
}

#[tokio::test]
async fn err_an_address_in_use_and_a_missing_folder_are_named() {
    let first = DemoOrigin::bind(settings()).await.unwrap();
    let taken = Settings { listen: first.local_addr(), ..settings() };
    let error = DemoOrigin::bind(taken).await.err().unwrap();
    assert!(matches!(error, Error::Listen { .. }));
    assert!(error.to_string().contains(&first.local_addr().to_string()), "{error}");
    let folder = tempfile::tempdir().unwrap().path().join("missing");
    let error = DemoOrigin::bind(Settings { images: Some(folder), ..settings() }).await.err().unwrap();
    assert!(matches!(error, Error::Images { .. }) && error.to_string().contains("missing"), "{error}");
}
