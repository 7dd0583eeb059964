//! Groups of responses: which ones a response is in, and which ones an unsafe request's success makes invalid.
//!
//! Pure; the one place that reads Cache-Groups and Cache-Group-Invalidation (RFC 9875), and the fields that origins
//! wrote before these: Cache-Tag, names between commas, and Surrogate-Key, names between blanks. A group is of one
//! origin, so of one account here: the caller's to keep. Invariants: a Cache-Groups field counts whole or not at all
//! (it is a Structured Field, a List of Strings; parameters are ignored); names are compared as they are written (§2).
//! Cost: O(length of the fields).

use http::{HeaderMap, HeaderName, Method, StatusCode};
use sfv::{List, ListEntry, Parser};

use super::{invalidate, list};

const CACHE_GROUPS: HeaderName = HeaderName::from_static("cache-groups");
const CACHE_GROUP_INVALIDATION: HeaderName = HeaderName::from_static("cache-group-invalidation");

const CACHE_TAG: HeaderName = HeaderName::from_static("cache-tag");
const SURROGATE_KEY: HeaderName = HeaderName::from_static("surrogate-key");

/// The groups that a response is in, by any of the fields; a name may stand there twice. One that is not of visible
/// ASCII and blanks names none: no purge could.
pub fn of_response(headers: &HeaderMap) -> Vec<Box<str>> {
    let mut groups = read(headers, &CACHE_GROUPS);
    let tags = list::field_members(headers, &CACHE_TAG);
    let keys = headers
        .get_all(&SURROGATE_KEY)
        .into_iter()
        .flat_map(|line| line.as_bytes().split(u8::is_ascii_whitespace));
    for name in tags.chain(keys).filter(|name| !name.is_empty()) {
        if let Ok(name) = std::str::from_utf8(name)
            && name.bytes().all(|byte| matches!(byte, b' '..=b'~'))
        {
            groups.push(name.into());
        }
    }
    groups
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
    groups.unwrap_or_default()
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
            Cache-Tag: a,b , c d,,                          | a.b.c d
            Cache-Tag: a // Cache-Tag: b                    | a.b
            Surrogate-Key: a  b,c                           | a.b,c
            Cache-Groups: "a" // Cache-Tag: b // Surrogate-Key: c | a.b.c
            Cache-Groups: a // Cache-Tag: b                 | b
            Cache-Tag: ü, b                                 | b
            "#,
        ) {
            let groups = of_response(&table::headers(headers));
            assert_eq!(groups.join("."), expected, "{headers}");
        }
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
