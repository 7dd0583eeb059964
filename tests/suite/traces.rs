//! Spans for OpenTelemetry, as a collector gets them, and `traceparent` as an origin does.

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex};

use opentelemetry_proto::tonic::collector::trace::v1::ExportTraceServiceRequest;
use opentelemetry_proto::tonic::common::v1::any_value::Value;
use opentelemetry_proto::tonic::trace::v1::Span;
use prost::Message;

use crate::support::origin::{Origin, Step, answer, image};
use crate::support::{Freshet, account};

const TRACE: &str = "4bf92f3577b34da6a3ce929d0e0e4736";
const PARENT: &str = "00f067aa0ba902b7";

/// A collector: takes what is delivered.
struct Collector {
    origin: Origin,
    spans: Arc<Mutex<Vec<Span>>>,
}

impl Collector {
    fn start() -> Collector {
        let spans = Arc::new(Mutex::new(Vec::new()));
        let taken = spans.clone();
        let origin = Origin::new(move |seen| {
            assert_eq!((&*seen.method, &*seen.target), ("POST", "/v1/traces"));
            assert_eq!(seen.field("content-type"), Some("application/x-protobuf"));
            let request = ExportTraceServiceRequest::decode(&*seen.body).unwrap();
            let scopes = request.resource_spans.into_iter().flat_map(|resource| resource.scope_spans);
            taken.lock().unwrap().extend(scopes.flat_map(|scope| scope.spans));
            vec![Step::Send(answer("200 OK", &[("content-type", "application/x-protobuf")], ""))]
        });
        Collector { origin, spans }
    }
}

fn hex(bytes: &[u8]) -> String {
    bytes.iter().map(|byte| format!("{byte:02x}")).collect()
}

fn attributes(span: &Span) -> BTreeMap<String, String> {
    let text = |value: &Value| match value {
        Value::StringValue(text) => text.clone(),
        Value::IntValue(number) => number.to_string(),
        Value::BoolValue(truth) => truth.to_string(),
        other => panic!("{other:?}"),
    };
    let pair = |(key, value): (&String, &Value)| (key.clone(), text(value));
    span.attributes
        .iter()
        .map(|attribute| (&attribute.key, attribute.value.as_ref().unwrap().value.as_ref().unwrap()))
        .map(pair)
        .collect()
}

/// What requests with these `traceparent` fields come to: the spans, and what the origin saw.
fn trace(sample: &str, parents: &[&str]) -> (Vec<Span>, Vec<Option<String>>) {
    let (origin, collector) = (Origin::new(|_| image("picture")), Collector::start());
    let text = format!(
        "[trace]\nendpoint = \"http://{}\"\nsample = {sample}\n{}",
        collector.origin.address,
        account(&format!("http://{}", origin.address))
    );
    let mut freshet = Freshet::start(&text);
    for (number, parent) in parents.iter().enumerate() {
        let fields = [("traceparent", *parent), ("tracestate", "evil=payload")];
        let fields = if parent.is_empty() { &[][..] } else { &fields };
        let got = freshet.get_with(&format!("/{number}.png?ik-s=secret"), fields);
        assert_eq!((got.status, &*got.text()), (200, "picture"));
    }
    freshet.app.take().unwrap().stop(); // Delivers what waits.
    assert!(origin.seen().iter().all(|seen| seen.field("tracestate").is_none()), "it stays here");
    let seen = origin.seen().iter().map(|seen| seen.field("traceparent").map(str::to_owned)).collect();
    let spans = std::mem::take(&mut *collector.spans.lock().unwrap());
    (spans, seen)
}

#[test]
fn a_trace_goes_on_from_the_client_to_the_origin_with_a_span_for_each_of_us() {
    let (spans, seen) = trace("0", &[&format!("00-{TRACE}-{PARENT}-01")]);
    let of = |name: &str| spans.iter().find(|span| span.name == name).unwrap_or_else(|| panic!("{spans:?}"));
    let (request, fetch) = (of("GET"), of("GET origin"));
    assert_eq!(spans.len(), 2);
    assert_eq!((hex(&request.trace_id), hex(&request.parent_span_id)), (TRACE.into(), PARENT.into()));
    assert_eq!((&fetch.trace_id, &fetch.parent_span_id), (&request.trace_id, &request.span_id));
    assert_eq!(seen, [Some(format!("00-{TRACE}-{}-01", hex(&fetch.span_id)))]);
    assert!(request.start_time_unix_nano <= request.end_time_unix_nano);

    let told = attributes(request);
    assert_eq!(told["http.response.status_code"], "200");
    assert_eq!(told["http.response.body.size"], "7");
    assert_eq!((&*told["freshet.outcome"], &*told["freshet.account"]), ("miss", "test"));
    assert_eq!(told["freshet.aborted"], "false");
    assert!(told["freshet.cache_status"].contains("fwd=uri-miss"), "{told:?}");
    assert!(told["url.path"].starts_with("/0.png?ik-s=") && !told["url.path"].contains("secret"), "{told:?}");
    assert_eq!(attributes(fetch)["http.response.status_code"], "200");
}

#[test]
fn who_comes_without_a_trace_has_one_by_the_share_and_who_says_no_has_none() {
    let broken = format!("00-{}-{PARENT}-01", TRACE.to_uppercase());
    let (spans, seen) = trace("1.0", &["", &broken, &format!("00-{TRACE}-{PARENT}-00")]);
    assert_eq!(spans.len(), 4, "{spans:?}");
    assert!(spans.iter().all(|span| hex(&span.trace_id) != TRACE), "a trace that was not to be is none");
    assert_eq!(seen.iter().map(Option::is_some).collect::<Vec<_>>(), [true, true, false]);

    let (spans, seen) = trace("0", &["", &broken]);
    assert_eq!((spans.len(), seen), (0, vec![None, None]));
}

#[test]
fn an_origin_that_gives_no_answer_is_an_error_in_both_spans_and_a_collector_that_is_gone_costs_nothing() {
    let (origin, collector) = (Origin::new(|_| vec![Step::Close]), Collector::start());
    let text = format!(
        "[trace]\nendpoint = \"http://{}\"\nsample = 1.0\n{}",
        collector.origin.address,
        account(&format!("http://{}", origin.address))
    );
    let mut freshet = Freshet::start(&text);
    assert_eq!(freshet.get("/a.png").status, 502);
    freshet.app.take().unwrap().stop();
    let spans = collector.spans.lock().unwrap();
    assert_eq!(spans.len(), 2, "{spans:?}");
    for span in &*spans {
        assert_eq!(span.status.as_ref().unwrap().code, 2, "{span:?}");
    }

    let origin = Origin::new(|_| image("picture"));
    let text = text_of_nobody(&origin);
    let mut freshet = Freshet::start(&text);
    for _ in 0..20 {
        assert_eq!(freshet.get("/a.png").text(), "picture");
    }
    freshet.app.take().unwrap().stop();
}

/// Nothing listens on this port.
fn text_of_nobody(origin: &Origin) -> String {
    let account = account(&format!("http://{}", origin.address));
    format!("[trace]\nendpoint = \"http://127.0.0.1:9\"\nsample = 1.0\n{account}")
}
