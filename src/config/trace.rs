//! `[trace]`: where spans go.

use http::Uri;

use super::read::Reading;
use super::section::Section;
use super::types::Trace;

/// Where OTLP over HTTP takes spans, if nothing else is said (OpenTelemetry protocol, "OTLP/HTTP Request").
const PATH: &str = "/v1/traces";

impl<'a> Reading<'a> {
    /// Nothing without the section.
    pub(super) fn trace(&mut self, root: &mut Section<'a>) -> Option<Trace> {
        let problems = &mut self.problems;
        let mut section = root.section("trace", problems);
        if !section.is_there() {
            return None;
        }
        if section.take("endpoint").is_none() {
            let rule = "is missing: a collector's URL, as in \"http://127.0.0.1:4318\"";
            problems.add(section.offset, &section.key("endpoint"), "(none)", rule);
        }
        let endpoint = section.parsed("endpoint", problems, endpoint);
        let sample = section.share("sample", 0.01, problems);
        section.finish(problems);
        Some(Trace { endpoint: endpoint?, sample })
    }
}

fn endpoint(text: &str) -> Result<String, &'static str> {
    const RULE: &str = "must be a URL of a collector, in clear, as in \"http://127.0.0.1:4318\"";
    let uri: Uri = text.parse().map_err(|_| RULE)?;
    let authority = uri.authority().filter(|authority| !authority.as_str().contains('@')).ok_or(RULE)?;
    if uri.scheme_str() != Some("http") || uri.query().is_some() {
        return Err(RULE);
    }
    let path = if uri.path() == "/" { PATH } else { uri.path() };
    Ok(format!("http://{authority}{path}"))
}

#[cfg(test)]
mod tests {
    use super::endpoint;

    #[test]
    fn an_endpoint_is_in_clear_and_has_the_usual_path_where_none_is_said() {
        assert_eq!(endpoint("http://c:4318").unwrap(), "http://c:4318/v1/traces");
        assert_eq!(endpoint("http://c:4318/").unwrap(), "http://c:4318/v1/traces");
        assert_eq!(endpoint("http://c/otlp").unwrap(), "http://c/otlp");
        for wrong in ["https://c:4318", "c:4318", "http://", "/v1/traces", "http://u:p@c", "http://c/?a=1"] {
            assert!(endpoint(wrong).is_err(), "{wrong}");
        }
    }
}
