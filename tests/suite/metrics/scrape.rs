//! A strict reader of what is scraped: whatever breaks a rule of its format is a panic with the line.

use std::collections::{BTreeMap, BTreeSet};

#[derive(Clone, Copy, PartialEq, Eq)]
pub enum Format {
    OpenMetrics,
    Text,
}

/// One scrape.
pub struct Scrape {
    /// Name → kind.
    families: BTreeMap<String, String>,
    /// Name with labels → (kind of its family, value).
    samples: BTreeMap<String, (String, f64)>,
}

impl Scrape {
    pub fn read(text: &str, format: Format) -> Scrape {
        let body = match format {
            Format::Text => text,
            Format::OpenMetrics => text.strip_suffix("# EOF\n").expect("it ends with # EOF"),
        };
        assert!(body.ends_with('\n') && !body.contains("\n\n"), "every line ends, and none is empty");
        let mut scrape = Scrape { families: BTreeMap::new(), samples: BTreeMap::new() };
        let (mut helped, mut current): (&str, Option<(&str, &str)>) = ("", None);
        for line in body.lines() {
            if let Some(rest) = line.strip_prefix("# HELP ") {
                let (name, help) = rest.split_once(' ').unwrap_or_else(|| panic!("no help: {line}"));
                assert!(help.len() > 5, "no help: {line}");
                helped = name;
            } else if let Some(rest) = line.strip_prefix("# TYPE ") {
                let (name, kind) = rest.split_once(' ').unwrap_or_else(|| panic!("no kind: {line}"));
                assert_eq!(name, helped, "help and type stand together");
                let kinds = ["counter", "gauge", "histogram"];
                assert!(kinds.contains(&kind) || (kind == "info" && format == Format::OpenMetrics), "{line}");
                assert_eq!(
                    kind == "counter" && format == Format::Text,
                    name.ends_with("_total"),
                    "the text format names a counter as its samples: {line}"
                );
                let before = scrape.families.insert(name.to_owned(), kind.to_owned());
                assert_eq!(before, None, "a family comes once: {line}");
                current = Some((name, kind));
            } else if let Some(rest) = line.strip_prefix("# UNIT ") {
                let (name, unit) = rest.split_once(' ').unwrap_or_else(|| panic!("no unit: {line}"));
                assert!(format == Format::OpenMetrics && name.ends_with(&format!("_{unit}")), "{line}");
                assert_eq!(current.map(|(name, _)| name), Some(name), "a unit stands in its family");
            } else {
                let (name, kind) = current.unwrap_or_else(|| panic!("a sample before its family: {line}"));
                scrape.sample(line, name, kind, format);
            }
        }
        scrape.check_histograms();
        scrape
    }

    fn sample(&mut self, line: &str, family: &str, kind: &str, format: Format) {
        let (series, value) = line.rsplit_once(' ').unwrap_or_else(|| panic!("no value: {line}"));
        let name = series.split('{').next().unwrap();
        let suffix = name.strip_prefix(family).unwrap_or_else(|| panic!("not of {family}: {line}"));
        let allowed: &[&str] = match (kind, format) {
            ("counter", Format::OpenMetrics) => &["_total"],
            ("info", _) => &["_info"],
            ("histogram", _) => &["_bucket", "_sum", "_count"],
            _ => &[""],
        };
        assert!(allowed.contains(&suffix), "not of {family}: {line}");
        check_labels(&series[name.len()..], line);
        let value: f64 = value.parse().unwrap_or_else(|_| panic!("no number: {line}"));
        assert!(value.is_finite() && value >= 0.0, "{line}");
        let before = self.samples.insert(series.to_owned(), (kind.to_owned(), value));
        assert!(before.is_none(), "a series comes once: {line}");
    }

    /// Buckets grow with their bounds, and the last one holds all.
    fn check_histograms(&self) {
        for (family, _) in self.families.iter().filter(|(_, kind)| *kind == "histogram") {
            let prefix = format!("{family}_bucket{{le=\"");
            let mut buckets: Vec<(f64, f64)> = self
                .samples
                .iter()
                .filter_map(|(series, (_, value))| {
                    let bound = series.strip_prefix(&prefix)?.strip_suffix("\"}")?;
                    let bound = if bound == "+Inf" { f64::INFINITY } else { bound.parse().unwrap() };
                    Some((bound, *value))
                })
                .collect();
            buckets.sort_by(|a, b| a.0.total_cmp(&b.0));
            assert!(buckets.len() > 5, "{family} has no buckets");
            assert!(buckets.is_sorted_by(|a, b| a.0 < b.0 && a.1 <= b.1), "{family}: {buckets:?}");
            let last = buckets[buckets.len() - 1];
            assert_eq!(last, (f64::INFINITY, self.value(&format!("{family}_count"))), "{family}");
            assert!(self.samples.contains_key(&format!("{family}_sum")), "{family} has no sum");
        }
    }

    /// The value of a series that must be there.
    pub fn value(&self, series: &str) -> f64 {
        self.samples.get(series).unwrap_or_else(|| panic!("there is no {series}: {:?}", self.series())).1
    }

    /// The sum over all series of a name.
    pub fn sum(&self, name: &str) -> f64 {
        let is_of = |series: &str| series.split('{').next() == Some(name);
        self.samples.iter().filter(|(series, _)| is_of(series)).map(|(_, (_, value))| value).sum()
    }

    pub fn series(&self) -> BTreeSet<&str> {
        self.samples.keys().map(|series| &**series).collect()
    }

    /// The names of all samples, without labels.
    pub fn names(&self) -> BTreeSet<&str> {
        self.samples.keys().map(|series| series.split('{').next().unwrap()).collect()
    }

    pub fn families(&self) -> impl Iterator<Item = &str> {
        self.families.keys().map(|name| &**name)
    }

    /// What may never fall: counters, and the counts and sums of histograms.
    pub fn growing(&self) -> impl Iterator<Item = (&str, f64)> {
        let grows = |kind: &str| kind == "counter" || kind == "histogram";
        self.samples
            .iter()
            .filter(move |(_, (kind, _))| grows(kind))
            .map(|(series, (_, value))| (&**series, *value))
    }
}

/// `{name="text",…}` or nothing.
fn check_labels(labels: &str, line: &str) {
    if labels.is_empty() {
        return;
    }
    let mut rest = labels.strip_prefix('{').unwrap_or_else(|| panic!("no labels: {line}"));
    loop {
        let (name, text) = rest.split_once("=\"").unwrap_or_else(|| panic!("no label: {line}"));
        let allowed = |byte: u8| byte.is_ascii_lowercase() || byte == b'_';
        assert!(!name.is_empty() && name.bytes().all(allowed), "{line}");
        let mut escaped = false;
        let end = text.find(|c: char| {
            let ends = c == '"' && !escaped;
            escaped = c == '\\' && !escaped;
            ends
        });
        rest = &text[end.unwrap_or_else(|| panic!("a label has no end: {line}")) + 1..];
        match rest.strip_prefix(',') {
            Some(more) => rest = more,
            None => return assert_eq!(rest, "}", "{line}"),
        }
    }
}

#[test]
fn the_reader_refuses_what_is_not_well_formed() {
    let good = "# HELP a_total What.….\n# TYPE a_total counter\na_total{b=\"c\"} 1\n";
    Scrape::read(good, Format::Text);
    for (from, to) in [
        ("# HELP a_total What.….\n", ""),
        ("# TYPE a_total counter\n", ""),
        ("counter", "gauge"),
        ("a_total{b=\"c\"} 1\n", "b_total 1\n"),
        ("a_total{b=\"c\"} 1\n", "a_total{b=\"c} 1\n"),
        ("a_total{b=\"c\"} 1\n", "a_total{b=\"c\"} 1\na_total{b=\"c\"} 1\n"),
        ("} 1\n", "} one\n"),
        ("} 1\n", "} 1"),
    ] {
        let bad = good.replace(from, to);
        assert!(std::panic::catch_unwind(|| Scrape::read(&bad, Format::Text)).is_err(), "{bad}");
    }
    assert!(std::panic::catch_unwind(|| Scrape::read(good, Format::OpenMetrics)).is_err());
}
