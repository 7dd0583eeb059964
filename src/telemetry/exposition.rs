//! The metrics as scrapers read them: OpenMetrics 1.0 by the library of Prometheus' makers, and the older text 0.0.4
//! made of it.
//!
//! The two differ in the lines that describe a family, and no sample line is another: 0.0.4 names counters and infos
//! as their samples are named, knows no info, no units and no end.

use std::borrow::Cow;
use std::fmt;

use prometheus_client::collector::Collector;
use prometheus_client::encoding::{DescriptorEncoder, MetricEncoder, NoLabelSet, text};
use prometheus_client::metrics::MetricType;
use prometheus_client::registry::{self, Registry};

use super::histogram::Counts;
use super::table::{Description, Kind, PREFIX, Unit};

/// A value of a metric.
#[derive(Clone, Debug, PartialEq)]
pub enum Value {
    /// Of a counter.
    Count(u64),
    /// Of a counter of what is no whole number, and of a gauge.
    Level(f64),
    /// Of a histogram.
    Times(Counts),
    /// Of an info.
    Here,
}

/// A value with the texts of its metric's labels, in their order.
#[derive(Clone, Debug, PartialEq)]
pub struct Sample {
    /// As many as the metric has labels.
    pub labels: Vec<Cow<'static, str>>,
    /// The value.
    pub value: Value,
}

impl Sample {
    /// Of a metric without labels.
    pub fn plain(value: Value) -> Sample {
        Sample { labels: Vec::new(), value }
    }
}

/// A metric with its values.
pub type Family = (&'static Description, Vec<Sample>);

/// A way to write metrics down.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Format {
    /// OpenMetrics 1.0.
    OpenMetrics,
    /// Prometheus' text format 0.0.4.
    Text,
}

impl Format {
    /// Its media type.
    pub fn media_type(self) -> &'static str {
        match self {
            Format::OpenMetrics => "application/openmetrics-text; version=1.0.0; charset=utf-8",
            Format::Text => "text/plain; version=0.0.4; charset=utf-8",
        }
    }

    /// What a client is sent that accepts this (RFC 9110 §12.5.1): OpenMetrics where it names that, and likes text no
    /// better. Whoever names neither gets text.
    pub fn accepted<'a>(accept: impl Iterator<Item = &'a str>) -> Format {
        let (mut openmetrics, mut text) = (0, 0);
        for range in accept.flat_map(|line| line.split(',')) {
            let mut parts = range.split(';').map(str::trim);
            let name = parts.next().unwrap_or_default();
            let weight = parts.find_map(|part| part.strip_prefix("q=").or(part.strip_prefix("Q=")));
            let weight = weight.map_or(1000, thousandths);
            if name.eq_ignore_ascii_case("application/openmetrics-text") {
                openmetrics = openmetrics.max(weight);
            } else if name.eq_ignore_ascii_case("text/plain") {
                text = text.max(weight);
            }
        }
        if openmetrics > 0 && openmetrics >= text { Format::OpenMetrics } else { Format::Text }
    }

    /// The families in this format.
    ///
    /// # Panics
    /// Where a sample is not of its family's kind; whoever exports makes both in one place.
    pub fn write(self, families: Vec<Family>) -> String {
        let mut registry = Registry::with_prefix(PREFIX);
        registry.register_collector(Box::new(Families(families)));
        let mut written = String::new();
        text::encode(&mut written, &registry).expect("a String takes everything");
        match self {
            Format::OpenMetrics => written,
            Format::Text => as_text(&written),
        }
    }
}

/// A weight in thousandths (RFC 9110 §12.4.2); what is none counts as 0.
fn thousandths(weight: &str) -> u32 {
    match weight.parse::<f64>() {
        Ok(weight) if (0.0..=1.0).contains(&weight) => (weight * 1000.0) as u32,
        _ => 0,
    }
}

#[derive(Debug)]
struct Families(Vec<Family>);

impl Collector for Families {
    fn encode(&self, mut encoder: DescriptorEncoder<'_>) -> fmt::Result {
        for (row, samples) in &self.0 {
            let unit = match row.unit {
                Unit::One => None,
                Unit::Seconds => Some(registry::Unit::Seconds),
                Unit::Bytes => Some(registry::Unit::Bytes),
            };
            let kind = match row.kind {
                Kind::Counter => MetricType::Counter,
                Kind::Gauge => MetricType::Gauge,
                Kind::Histogram => MetricType::Histogram,
                Kind::Info => MetricType::Info,
            };
            let mut family = encoder.encode_descriptor(row.name, row.help, unit.as_ref(), kind)?;
            for sample in samples {
                assert_eq!(row.labels.len(), sample.labels.len(), "{row:?} and {sample:?} differ in labels");
                let labels: Vec<(&str, &str)> =
                    row.labels.iter().copied().zip(sample.labels.iter().map(AsRef::as_ref)).collect();
                write_sample(row.kind, &mut family, &labels, &sample.value)?;
            }
        }
        Ok(())
    }
}

fn write_sample(
    kind: Kind,
    family: &mut MetricEncoder<'_>,
    labels: &Vec<(&str, &str)>,
    value: &Value,
) -> fmt::Result {
    match (kind, value) {
        (Kind::Info, Value::Here) => return family.encode_info(labels),
        (Kind::Histogram, Value::Times(counts)) => {
            let (buckets, sum) = counts.in_seconds();
            return family.encode_histogram::<NoLabelSet>(sum, counts.total(), &buckets, None);
        }
        _ => {}
    }
    match labels.is_empty() {
        true => write_number(kind, family, value),
        false => write_number(kind, &mut family.encode_family(labels)?, value),
    }
}

fn write_number(kind: Kind, encoder: &mut MetricEncoder<'_>, value: &Value) -> fmt::Result {
    match (kind, value) {
        (Kind::Counter, Value::Count(count)) => encoder.encode_counter::<NoLabelSet, _, f64>(count, None),
        (Kind::Counter, Value::Level(sum)) => encoder.encode_counter::<NoLabelSet, _, f64>(sum, None),
        (Kind::Gauge, Value::Level(level)) => encoder.encode_gauge(level),
        _ => unreachable!("{kind:?} has no value {value:?}"),
    }
}

/// The same in the format 0.0.4.
fn as_text(openmetrics: &str) -> String {
    let mut written = String::with_capacity(openmetrics.len());
    let mut help = "";
    for line in openmetrics.lines() {
        if let Some(rest) = line.strip_prefix("# HELP ") {
            help = rest.split_once(' ').map_or("", |(_, text)| text);
        } else if let Some(rest) = line.strip_prefix("# TYPE ") {
            let (name, kind) = rest.split_once(' ').unwrap_or((rest, "untyped"));
            let (suffix, kind) = match kind {
                "counter" => ("_total", kind),
                "info" => ("_info", "gauge"),
                _ => ("", kind),
            };
            written.push_str(&format!("# HELP {name}{suffix} {help}\n# TYPE {name}{suffix} {kind}\n"));
        } else if !line.starts_with('#') {
            written.push_str(line);
            written.push('\n');
        }
    }
    written
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::*;
    use crate::telemetry::Row;
    use crate::telemetry::histogram::Histogram;

    fn families() -> Vec<Family> {
        let times = Histogram::default();
        times.record(Duration::from_micros(20));
        times.record(Duration::from_millis(3));
        vec![
            (
                Row::Requests.description(),
                vec![
                    Sample { labels: vec!["hit".into()], value: Value::Count(2) },
                    Sample { labels: vec!["mi\"s\\s\n".into()], value: Value::Count(0) },
                ],
            ),
            (Row::Cache.description(), vec![Sample::plain(Value::Level(1024.0))]),
            (Row::ProcessCpu.description(), vec![Sample::plain(Value::Level(1.5))]),
            (Row::OriginFailing.description(), Vec::new()),
            (Row::PurgeSwept.description(), vec![Sample::plain(Value::Times(times.counts()))]),
            (
                Row::Build.description(),
                vec![Sample { labels: vec!["1".into(), "".into()], value: Value::Here }],
            ),
        ]
    }

    #[test]
    fn both_formats_name_a_family_as_their_readers_expect() {
        let openmetrics = Format::OpenMetrics.write(families());
        for line in [
            "# TYPE freshet_requests counter\n",
            "freshet_requests_total{outcome=\"hit\"} 2\n",
            "freshet_requests_total{outcome=\"mi\\\"s\\\\s\\n\"} 0\n",
            "# TYPE freshet_cache_bytes gauge\n# UNIT freshet_cache_bytes bytes\nfreshet_cache_bytes 1024",
            "# TYPE freshet_process_cpu_seconds counter\n# UNIT freshet_process_cpu_seconds seconds\n\
             freshet_process_cpu_seconds_total 1.5\n",
            "# TYPE freshet_origin_failing gauge\n# HELP",
            "freshet_purge_swept_seconds_count 2\n",
            "freshet_purge_swept_seconds_bucket{le=\"+Inf\"} 2\n",
            "# TYPE freshet_build info\nfreshet_build_info{version=\"1\",commit=\"\"} 1\n# EOF\n",
        ] {
            assert!(openmetrics.contains(line), "{line}\nis not in\n{openmetrics}");
        }
        let text = Format::Text.write(families());
        for line in [
            "# TYPE freshet_requests_total counter\nfreshet_requests_total{outcome=\"hit\"} 2\n",
            "# TYPE freshet_cache_bytes gauge\nfreshet_cache_bytes 1024",
            "# TYPE freshet_process_cpu_seconds_total counter\nfreshet_process_cpu_seconds_total 1.5\n",
            "# HELP freshet_build_info What runs.\n# TYPE freshet_build_info gauge\nfreshet_build_info{",
        ] {
            assert!(text.contains(line), "{line}\nis not in\n{text}");
        }
        assert!(!text.contains("# UNIT") && !text.contains("# EOF"), "{text}");
        let samples = |text: &str| -> Vec<String> {
            text.lines().filter(|line| !line.starts_with('#')).map(str::to_owned).collect()
        };
        assert_eq!(samples(&openmetrics), samples(&text));
    }

    #[test]
    fn the_format_is_what_accept_likes_best() {
        let prometheus = "application/openmetrics-text;version=1.0.0,application/openmetrics-text;version=0.0.1;q=0.75,\
                          text/plain;version=0.0.4;q=0.5,*/*;q=0.1";
        for (accept, expected) in [
            (&[][..], Format::Text),
            (&["*/*"][..], Format::Text),
            (&["text/html"], Format::Text),
            (&[prometheus], Format::OpenMetrics),
            (
                &["text/plain;q=0.5", "Application/OpenMetrics-Text; version=1.0.0; q=0.5"],
                Format::OpenMetrics,
            ),
            (&["text/plain, application/openmetrics-text;q=0.9"], Format::Text),
            (&["application/openmetrics-text;q=0"], Format::Text),
            (&["application/openmetrics-text;q=loud"], Format::Text),
            (&[",;,"], Format::Text),
        ] {
            assert_eq!(Format::accepted(accept.iter().copied()), expected, "{accept:?}");
        }
    }
}
