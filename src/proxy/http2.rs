//! HTTP/2 with a client (RFC 9113), by hyper. Its requests are answered as those of HTTP/1.1 are: what comes is said in
//! that protocol's words first (`request.rs`), and what goes lacks what concerns a connection alone.
//!
//! Bounds are h2's where it has them, and tightened (`limits.rs`); for the rest, `watched.rs` stands below h2,
//! `frames.rs` tells it what passes, and `streams.rs` judges. Each stream's answer is made in a task of its own, which
//! ends with the connection.

mod frames;
mod request;
mod streams;
mod watched;

use std::convert::Infallible;
use std::sync::Arc;

use http::{Request, header};
use hyper::body::Incoming;
use hyper::server::conn::http2;
use hyper::service::service_fn;
use hyper_util::rt::{TokioExecutor, TokioIo, TokioTimer};
use tokio::io::{AsyncRead, AsyncWrite};
use tokio::sync::Notify;

use super::interim::Interim;
use super::listener::stopped;
use super::protocol::{Ended, Given, Visit};
use crate::limits;
use request::as_http1;
use streams::Streams;
use watched::Watched;

/// Serves a connection whose preface has not been read.
pub async fn serve(stream: impl AsyncRead + AsyncWrite + Unpin, visit: Visit) -> Ended {
    let streams = Streams::new(visit.times, visit.phase.since());
    let goodbye = Arc::new(Notify::new());
    let watched = Watched::new(stream, streams, goodbye.clone());
    visit.phase.busy(); // For good: what is due, and when, is known above.
    let (phase, interim) = (visit.phase.of_streams(), Interim::default());
    let service = service_fn(|mut request: Request<Incoming>| {
        let begun = phase.busy();
        as_http1(&mut request);
        let Given { answering, mut ending, is_last } = visit.answer(request, &interim, begun);
        if is_last {
            goodbye.notify_one();
        }
        let phase = phase.clone();
        async move {
            let mut reply = answering.await;
            phase.answered(begun);
            if let Some(ending) = &mut ending {
                ending.answered(&reply);
            }
            reply.headers_mut().remove(header::CONNECTION); // A stream ends by itself (RFC 9113 §8.2.2).
            Ok::<_, Infallible>(reply.map(|body| body.ending(phase, ending)))
        }
    });
    let serving = http2::Builder::new(TokioExecutor::new())
        .timer(TokioTimer::new())
        .max_concurrent_streams(limits::HTTP2_STREAMS_MAX)
        .initial_stream_window_size(limits::HTTP2_STREAM_WINDOW_BYTES)
        .initial_connection_window_size(limits::HTTP2_CONNECTION_WINDOW_BYTES)
        .max_frame_size(limits::HTTP2_FRAME_BYTES_MAX)
        .max_header_list_size(limits::REQUEST_HEAD_BYTES_MAX as u32)
        .max_send_buf_size(limits::HTTP2_SEND_BUFFER_BYTES)
        .max_pending_accept_reset_streams(limits::HTTP2_PENDING_RESETS_MAX)
        .max_local_error_reset_streams(limits::HTTP2_FAULTS_MAX)
        .keep_alive_interval(limits::HTTP2_PING)
        .keep_alive_timeout(limits::HTTP2_PING)
        .serve_connection(TokioIo::new(watched), service);
    let mut serving = std::pin::pin!(serving);
    let mut stop = visit.stop.clone();
    tokio::select! {
        ended = &mut serving => return Ok(ended?),
        () = stopped(&mut stop) => {}
        () = goodbye.notified() => {}
    }
    serving.as_mut().graceful_shutdown();
    Ok(serving.await?)
}
