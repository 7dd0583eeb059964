//! Cache groups (RFC 9875): which groups a response is in, and which ones an unsafe request's success makes invalid.
//!
//! Pure; the one place that reads Cache-Groups and Cache-Group-Invalidation. A group is of one origin, so of one
//! account here: the caller's to keep. Invariants: a field counts whole or not at all (it is a Structured Field, a
//! List of Strings; parameters are ignored); at most `GROUPS_MAX` groups, compared as they are written (§2). Cost:
//! O(length of the field).

use http::{HeaderMap, HeaderName, Method, StatusCode};
use sfv::{List, ListEntry, Parser};

use super::invalidate;
use crate::limits::GROUPS_MAX;

const CACHE_GROUPS: HeaderName = HeaderName::from_static("cache-groups");
const CACHE_GROUP_INVALIDATION: HeaderName = HeaderName::from_static("cache-group-invalidation");

/// The groups that a response is in (§2).
pub fn of_response(headers: &HeaderMap) -> Vec<Box<str>> {
    read(headers, &CACHE_GROUPS)
}

/// The groups that an answer to `method` makes invalid: none where the method is safe, or the answer an error (§3).
pub fn invalidated(method: &Method, status: StatusCode, headers: &HeaderMap) -> Vec<Box<str>> {
    match invalidate::invalidates(method, status) {
        true => read(headers, &CACHE_GROUP_INVALIDATION),
        false => Vec::new(),
    }
}

fn read(headers: &HeaderMap, name: &HeaderName) -> Vec<Box<str>> {
    let lines: Vec<_> = headers.get_all(name).into_iter().map(|line| line.as_bytes()).collect();
    if lines.is_empty() {
        return Vec::new();
    }
    let Ok(list) = Parser::new(&lines.join(&b", "[..])).parse::<List>() else { return Vec::new() };
    let group = |entry: &ListEntry| match entry {
        ListEntry::Item(item) => item.bare_item.as_string().map(|text| text.as_str().into()),
        ListEntry::InnerList(_) => None,
    };
    let groups: Option<Vec<Box<str>>> = list.iter().map(group).collect();
    let mut groups = groups.unwrap_or_default();
    groups.truncate(GROUPS_MAX);
    groups
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::semantics::table;

    #[test]
    fn groups_are_a_list_of_strings_or_nothing() {
        for [headers, expected] in table::rows(
            r#"
            Cache-Groups: "a"                               | a
            Cache-Groups: "a", "b c"                        | a.b c
            Cache-Groups: "a" // Cache-Groups: "b"          | a.b
            Cache-Groups: "a";x=1;y, "b"                    | a.b
            Cache-Groups: "A", "a"                          | A.a
            Cache-Groups: "a\"b\\c"                         | a"b\c
            Cache-Groups: ""                                |
            Cache-Groups: a                                 |
            Cache-Groups: "a", b                            |
            Cache-Groups: "a", 1                            |
            Cache-Groups: "a", ("b")                        |
            Cache-Groups: "a",                              |
            Cache-Groups: "a                                |
            Cache-Groups: "ü"                               |
            Cache-Groups:                                   |
            Cache-Group-Invalidation: "a"                   |
            "#,
        ) {
            let groups = of_response(&table::headers(headers));
            assert_eq!(groups.join("."), expected, "{headers}");
        }
        let many: Vec<_> = (0..GROUPS_MAX + 5).map(|n| format!("\"group-{n}\"")).collect();
        assert_eq!(
            of_response(&table::headers(&format!("Cache-Groups: {}", many.join(", ")))).len(),
            GROUPS_MAX
        );
    }

    #[test]
    fn an_unsafe_success_alone_invalidates_groups() {
        for [method, status, expected] in table::rows(
            "
            POST   | 200 | a.b
            PUT    | 204 | a.b
            DELETE | 303 | a.b
            FOO    | 200 | a.b
            POST   | 400 | 
            POST   | 503 | 
            GET    | 200 | 
            HEAD   | 200 | 
            ",
        ) {
            let headers = table::headers("Cache-Group-Invalidation: \"a\", \"b\" // Cache-Groups: \"c\"");
            let method = Method::from_bytes(method.as_bytes()).unwrap();
            let groups = invalidated(&method, StatusCode::from_bytes(status.as_bytes()).unwrap(), &headers);
            assert_eq!(groups.join("."), expected, "{method} {status}");
        }
    }
}
