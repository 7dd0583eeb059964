//! Targeted cache-control fields, such as CDN-Cache-Control (RFC 9213).
//!
//! Owns the reading alone. Invariant: a field is taken whole or not at all; one that is no Structured Field
//! dictionary, is empty, or gives a known directive a value of the wrong type, is ignored and the next
//! field, at last Cache-Control, counts (§2.1). Cost: O(length of the field).

use std::time::Duration;

use http::{HeaderMap, HeaderName};
use sfv::{BareItem, Dictionary, ListEntry, Parser};

use super::cache_control::{DELTA_SECONDS_MAX, ResponseDirectives, Scope};

/// The directives of the first valid field of `fields`; they replace Cache-Control and Expires (§2.2).
pub(super) fn directives(headers: &HeaderMap, fields: &[HeaderName]) -> Option<ResponseDirectives> {
    fields.iter().find_map(|field| read(headers, field))
}

fn read(headers: &HeaderMap, field: &HeaderName) -> Option<ResponseDirectives> {
    let lines: Vec<_> = headers.get_all(field).into_iter().map(|line| line.as_bytes()).collect();
    if lines.is_empty() {
        return None;
    }
    let dictionary: Dictionary = Parser::new(&lines.join(&b", "[..])).parse().ok()?;
    if dictionary.is_empty() {
        return None;
    }
    let mut read = ResponseDirectives::default();
    for (key, entry) in &dictionary {
        let value = match entry {
            ListEntry::Item(item) => Some(&item.bare_item),
            ListEntry::InnerList(_) => None,
        };
        apply(&mut read, key.as_str(), value)?;
    }
    Some(read)
}

/// Nothing where the value is not of the directive's type. An unknown directive may have any.
fn apply(read: &mut ResponseDirectives, key: &str, value: Option<&BareItem>) -> Option<()> {
    let flag = || value?.as_boolean();
    let seconds = || value?.as_integer().map(|seconds| lifetime(seconds.into()));
    match key {
        "no-store" => read.no_store = flag()?,
        "no-cache" => read.no_cache = scope(value?)?,
        "private" => read.private = scope(value?)?,
        "public" => read.public = flag()?,
        "must-revalidate" => read.must_revalidate = flag()?,
        "proxy-revalidate" => read.proxy_revalidate = flag()?,
        "must-understand" => read.must_understand = flag()?,
        "no-transform" => read.no_transform = flag()?,
        "immutable" => read.immutable = flag()?,
        "max-age" => read.max_age = Some(seconds()?),
        "s-maxage" => read.s_maxage = Some(seconds()?),
        "stale-while-revalidate" => read.stale_while_revalidate = Some(seconds()?),
        "stale-if-error" => read.stale_if_error = Some(seconds()?),
        _ => {}
    }
    Some(())
}

/// A negative lifetime is invalid freshness information, so stale (RFC 9111 §4.2.1).
fn lifetime(seconds: i64) -> Duration {
    Duration::from_secs(u64::try_from(seconds).unwrap_or(0).min(DELTA_SECONDS_MAX))
}

fn scope(value: &BareItem) -> Option<Scope> {
    match value {
        BareItem::Boolean(true) => Some(Scope::Whole),
        BareItem::Boolean(false) => Some(Scope::Nothing),
        BareItem::String(names) => Some(Scope::of_fields(names.as_str().as_bytes())),
        _ => None,
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::semantics::table;

    fn shown(read: Option<ResponseDirectives>) -> String {
        let Some(read) = read else { return "ignored".to_owned() };
        let time = |time: Option<Duration>| time.map_or("-".to_owned(), |time| time.as_secs().to_string());
        let mut text = format!("{} {}", time(read.max_age), time(read.s_maxage));
        for (set, name) in [
            (read.no_store, " no-store"),
            (read.private == Scope::Whole, " private"),
            (read.no_cache == Scope::Whole, " no-cache"),
            (!read.no_cache.fields().is_empty(), " no-cache-fields"),
            (read.must_revalidate, " must-revalidate"),
        ] {
            text += if set { name } else { "" };
        }
        text
    }

    #[test]
    fn a_valid_field_counts_whole_and_any_other_not_at_all() {
        let fields = ["surrogate", "cdn-cache-control"].map(HeaderName::from_static);
        for [headers, expected] in table::rows(
            r#"
            CDN-Cache-Control: max-age=3600                                 | 3600 -
            CDN-Cache-Control: max-age=99999999999                          | 2147483648 -
            CDN-Cache-Control: max-age=0                                    | 0 -
            CDN-Cache-Control: max-age=-5                                   | 0 -
            CDN-Cache-Control: max-age=5, max-age=9                         | 9 -
            CDN-Cache-Control: foobar, max-age=7                            | 7 -
            CDN-Cache-Control: max-age=7 // CDN-Cache-Control: s-maxage=8   | 7 8
            CDN-Cache-Control: max-age=7;x=1                                | 7 -
            CDN-Cache-Control: private                                      | - - private
            CDN-Cache-Control: no-cache                                     | - - no-cache
            CDN-Cache-Control: no-cache="a, b"                              | - - no-cache-fields
            CDN-Cache-Control: no-store, must-revalidate                    | - - no-store must-revalidate
            CDN-Cache-Control: no-store=?0                                  | - -
            CDN-Cache-Control: foo                                          | - -
            CDN-Cache-Control: foo=(1 2)                                    | - -
            CDN-Cache-Control: max-age =100                                 | ignored
            CDN-Cache-Control: max-age= 100                                 | ignored
            CDN-Cache-Control: MaX-aGe=3600                                 | ignored
            CDN-Cache-Control: max-age="10000"                              | ignored
            CDN-Cache-Control: max-age=3600.0                               | ignored
            CDN-Cache-Control: max-age                                      | ignored
            CDN-Cache-Control: max-age=(1)                                  | ignored
            CDN-Cache-Control: max-age=10000, &&&&&                         | ignored
            CDN-Cache-Control: no-store=1                                   | ignored
            CDN-Cache-Control:                                              | ignored
            Cache-Control: max-age=5                                        | ignored
            Surrogate: max-age=1 // CDN-Cache-Control: max-age=2            | 1 -
            Surrogate: &         // CDN-Cache-Control: max-age=2            | 2 -
            "#,
        ) {
            assert_eq!(shown(directives(&table::headers(headers), &fields)), expected, "{headers}");
        }
    }
}
