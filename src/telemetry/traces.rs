//! Traces for OpenTelemetry: a span for a request, and one for each time that an origin is asked for it.
//!
//! A client's `traceparent` (W3C Trace Context) is taken where there is one that can be read: it says whether its request is
//! traced. Without one, a share is. Who is traced has `traceparent` passed on to the origin, with the span of the asking
//! as parent. Spans go to a collector by OTLP over HTTP, from a thread of the exporter's own, which nobody waits for: its
//! queue is bounded, and what comes too fast is dropped.

use std::fmt;
use std::time::{Duration, SystemTime};

use bytes::Bytes;
use http::{HeaderMap, Method, Request, Response};
use opentelemetry::propagation::TextMapPropagator;
use opentelemetry::trace::{Span as _, SpanKind, Status, TraceContextExt, Tracer as _, TracerProvider as _};
use opentelemetry::{Context, KeyValue};
use opentelemetry_http::{HeaderExtractor, HeaderInjector, HttpClient, HttpError};
use opentelemetry_otlp::{ExporterBuildError, SpanExporter, WithExportConfig, WithHttpConfig};
use opentelemetry_sdk::Resource;
use opentelemetry_sdk::propagation::TraceContextPropagator;
use opentelemetry_sdk::trace::{SdkTracer, SdkTracerProvider, Span};

use super::sample::Sample;
use crate::config;

/// How long the collector may take for one delivery.
const DELIVERY_TIME: Duration = Duration::from_secs(5);

/// Where spans are made.
pub struct Traces {
    provider: SdkTracerProvider,
    tracer: SdkTracer,
    sample: Sample,
}

impl fmt::Debug for Traces {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Traces(…)")
    }
}

impl Traces {
    /// Starts it; nothing where it is off.
    pub fn start(settings: Option<&config::Trace>) -> Result<Option<Traces>, ExporterBuildError> {
        let Some(settings) = settings else { return Ok(None) };
        let agent = ureq::Agent::config_builder()
            .http_status_as_error(false)
            .timeout_global(Some(DELIVERY_TIME))
            .build()
            .into();
        let exporter = SpanExporter::builder()
            .with_http()
            .with_http_client(Deliverer(agent))
            .with_endpoint(&*settings.endpoint)
            .build()?;
        let version = KeyValue::new("service.version", env!("CARGO_PKG_VERSION"));
        let resource = Resource::builder().with_service_name("freshet").with_attribute(version).build();
        let provider =
            SdkTracerProvider::builder().with_batch_exporter(exporter).with_resource(resource).build();
        let tracer = provider.tracer("freshet");
        Ok(Some(Traces { provider, tracer, sample: Sample::new(settings.sample) }))
    }

    /// The span of a request that came at `time`, if it is to have one.
    pub fn begin(&self, method: &Method, fields: &HeaderMap, time: SystemTime) -> Option<RequestSpan> {
        let parent = parent(fields);
        let is_traced = match parent.has_active_span() {
            true => parent.span().span_context().is_sampled(),
            false => self.sample.next(),
        };
        if !is_traced {
            return None;
        }
        let span = self
            .tracer
            .span_builder(named(method))
            .with_kind(SpanKind::Server)
            .with_start_time(time)
            .start_with_context(&self.tracer, &parent);
        Some(RequestSpan { tracer: self.tracer.clone(), context: parent.with_span(span) })
    }

    /// Delivers what waits, and ends the exporter's thread.
    pub fn close(&self) {
        if let Err(error) = self.provider.shutdown_with_timeout(DELIVERY_TIME) {
            tracing::warn!(%error, "the last spans were not delivered");
        }
    }
}

/// What the client's fields say; nothing of two lines, or of one that can't be read.
fn parent(fields: &HeaderMap) -> Context {
    let is_one = fields.get_all("traceparent").iter().nth(1).is_none();
    let nothing = HeaderMap::new();
    let fields = if is_one { fields } else { &nothing };
    TraceContextPropagator::new().extract_with_context(&Context::new(), &HeaderExtractor(fields))
}

/// A method of anybody's invention names no span.
fn named(method: &Method) -> &'static str {
    match *method {
        Method::GET => "GET",
        Method::HEAD => "HEAD",
        Method::POST => "POST",
        Method::PUT => "PUT",
        Method::PATCH => "PATCH",
        Method::DELETE => "DELETE",
        Method::OPTIONS => "OPTIONS",
        _ => "HTTP",
    }
}

/// The span of a request.
#[derive(Debug)]
pub struct RequestSpan {
    tracer: SdkTracer,
    context: Context,
}

impl RequestSpan {
    /// An origin is asked for it now; `fields` are those that the origin gets.
    pub fn ask(&self, method: &Method, origin: &str, fields: &mut HeaderMap) -> FetchSpan {
        let attributes = [
            KeyValue::new("http.request.method", named(method)),
            KeyValue::new("url.full", origin.to_owned()),
        ];
        let span = self
            .tracer
            .span_builder(format!("{} origin", named(method)))
            .with_kind(SpanKind::Client)
            .with_attributes(attributes)
            .start_with_context(&self.tracer, &self.context);
        let context = Context::new().with_remote_span_context(span.span_context().clone());
        TraceContextPropagator::new().inject_context(&context, &mut HeaderInjector(fields));
        fields.remove("tracestate"); // What a client writes there would go to an origin that makes what others get.
        FetchSpan(span)
    }

    /// It was answered, or its client has left.
    pub fn end(&self, attributes: impl IntoIterator<Item = KeyValue>, is_error: bool) {
        let span = self.context.span();
        span.set_attributes(attributes);
        if is_error {
            span.set_status(Status::error(""));
        }
        span.end();
    }
}

/// The span of an asking; ends when it is dropped.
#[derive(Debug)]
pub struct FetchSpan(Span);

impl FetchSpan {
    /// The origin answered so.
    pub fn answered(mut self, status: u16) {
        self.0.set_attribute(KeyValue::new("http.response.status_code", i64::from(status)));
        if status >= 500 {
            self.0.set_status(Status::error(""));
        }
    }

    /// It did not.
    pub fn failed(mut self, why: &'static str) {
        self.0.set_attribute(KeyValue::new("error.type", why));
        self.0.set_status(Status::error(why));
    }
}

/// Sends spans to the collector, on the exporter's thread, which may wait for it.
#[derive(Debug)]
struct Deliverer(ureq::Agent);

#[async_trait::async_trait]
impl HttpClient for Deliverer {
    async fn send_bytes(&self, request: Request<Bytes>) -> Result<Response<Bytes>, HttpError> {
        let (parts, body) = request.into_parts();
        let sent = self.0.run(Request::from_parts(parts, &body[..]))?;
        let (parts, mut body) = sent.into_parts();
        Ok(Response::from_parts(parts, body.read_to_vec()?.into()))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_parent_is_one_that_can_be_read_and_nothing_else() {
        let id = "4bf92f3577b34da6a3ce929d0e0e4736";
        let parent_of = |values: &[&str]| {
            let fields = values.iter().map(|value| ("traceparent".parse().unwrap(), value.parse().unwrap()));
            let parent = parent(&fields.collect());
            parent.has_active_span().then(|| parent.span().span_context().is_sampled())
        };
        let good = format!("00-{id}-00f067aa0ba902b7-01");
        #[rustfmt::skip]
        let table = [
            (vec![good.clone()],                                             Some(true)),
            (vec![format!("00-{id}-00f067aa0ba902b7-00")],                   Some(false)),
            (vec![good.clone(), good.clone()],                               None),
            (vec![],                                                         None),
            (vec!["".into()],                                                None),
            (vec![format!("00-{}-00f067aa0ba902b7-01", "0".repeat(32))],     None),
            (vec![format!("00-{id}-{}-01", "0".repeat(16))],                 None),
            (vec![good.to_uppercase()],                                      None),
            (vec![format!("ff-{id}-00f067aa0ba902b7-01")],                   None),
            (vec![format!("{good}-more")],                                   None),
        ];
        for (values, expected) in table {
            let values: Vec<&str> = values.iter().map(String::as_str).collect();
            assert_eq!(parent_of(&values), expected, "{values:?}");
        }
    }
}
