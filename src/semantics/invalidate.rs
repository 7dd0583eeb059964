//! What an unsafe request's success makes invalid (RFC 9111 §4.4).
//!
//! Pure; the caller raises fences for the URLs that are given here. Invariants: at most two URLs beside the
//! target, both of the request's own origin, so no one's answer can empty another's cache. Cost: O(length).

use http::{HeaderMap, HeaderName, Method, StatusCode, header};

use crate::limits::TARGET_BYTES_MAX;

/// Whether an answer to `method` invalidates its target: every method but the safe ones of RFC 9110 §9.2.1
/// counts, known or not, if it was no error.
pub fn invalidates(method: &Method, status: StatusCode) -> bool {
    let safe = matches!(*method, Method::GET | Method::HEAD | Method::OPTIONS | Method::TRACE);
    !safe && (status.is_success() || status.is_redirection())
}

/// The URL that was asked for.
#[derive(Clone, Copy, Debug)]
pub struct Asked<'a> {
    /// `http` or `https`.
    pub scheme: &'a str,
    /// Host and port as the client named them.
    pub authority: &'a str,
    /// Path and query, starting with `/`.
    pub path_and_query: &'a str,
}

/// The URLs in Location and Content-Location that are of the asked URL's origin, which `is_own` tells by
/// the authority. Absolute, with the authority that they name, without fragments and dot segments, not otherwise
/// canonical.
pub fn named_urls(
    asked: Asked<'_>,
    response: &HeaderMap,
    is_own: impl Fn(&str) -> bool,
) -> impl Iterator<Item = String> {
    [header::LOCATION, header::CONTENT_LOCATION]
        .into_iter()
        .filter_map(move |name| named_url(asked, response, &name, &is_own))
}

/// The URL in one of these fields, by the same rules.
pub fn named_url(
    asked: Asked<'_>,
    response: &HeaderMap,
    name: &HeaderName,
    is_own: impl Fn(&str) -> bool,
) -> Option<String> {
    let reference = std::str::from_utf8(response.get(name)?.as_bytes()).ok()?;
    resolved(asked, reference.trim(), is_own)
}

/// Reference resolution of RFC 3986 §5.2.2.
fn resolved(asked: Asked<'_>, reference: &str, is_own: impl Fn(&str) -> bool) -> Option<String> {
    if reference.len() > TARGET_BYTES_MAX {
        return None;
    }
    let reference = reference.split('#').next()?;
    let relative = match scheme(reference) {
        Some(("http" | "HTTP" | "https" | "HTTPS", rest)) => rest.strip_prefix("//").map(|_| rest)?,
        Some(_) => return None,
        None => reference,
    };
    let (authority, path_and_query) = match relative.strip_prefix("//") {
        Some(rest) => {
            let (authority, path) = rest.split_at(rest.find(['/', '?']).unwrap_or(rest.len()));
            if !is_own(authority) {
                return None;
            }
            (authority, path.to_owned())
        }
        None => (asked.authority, beside(asked.path_and_query, relative)),
    };
    let (path, query) = path_and_query.split_at(path_and_query.find('?').unwrap_or(path_and_query.len()));
    Some(format!("{}://{authority}{}{query}", asked.scheme, without_dot_segments(path)))
}

/// A scheme and what follows its colon; a colon after the first `/` or `?` ends none.
fn scheme(reference: &str) -> Option<(&str, &str)> {
    let (scheme, rest) = reference.split_once(':')?;
    (!scheme.contains(['/', '?'])).then_some((scheme, rest))
}

/// A relative reference without an authority, put beside `base`.
fn beside(base: &str, relative: &str) -> String {
    let base_path = base.split('?').next().unwrap_or_default();
    match relative.as_bytes().first() {
        None => base.to_owned(),
        Some(b'/') => relative.to_owned(),
        Some(b'?') => format!("{base_path}{relative}"),
        Some(_) => {
            let folder = &base_path[..base_path.rfind('/').map_or(0, |slash| slash + 1)];
            format!("{folder}{relative}")
        }
    }
}

/// RFC 3986 §5.2.4, and the slash that an absolute path starts with.
fn without_dot_segments(path: &str) -> String {
    let mut kept: Vec<&str> = Vec::new();
    let mut folder = true;
    for segment in path.strip_prefix('/').unwrap_or(path).split('/') {
        folder = matches!(segment, "." | "..");
        match segment {
            "." => {}
            ".." => {
                kept.pop();
            }
            segment => kept.push(segment),
        }
    }
    let end = if folder && !kept.is_empty() { "/" } else { "" };
    format!("/{}{end}", kept.join("/"))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::semantics::table;

    #[test]
    fn unsafe_methods_that_succeed_invalidate() {
        for [method, status, expected] in table::rows(
            "
            POST     | 200 | yes
            PUT      | 204 | yes
            DELETE   | 200 | yes
            PATCH    | 303 | yes
            M-SEARCH | 200 | yes
            get      | 200 | yes
            POST     | 199 | no
            POST     | 400 | no
            POST     | 500 | no
            M-SEARCH | 599 | no
            GET      | 200 | no
            HEAD     | 200 | no
            OPTIONS  | 200 | no
            TRACE    | 200 | no
            ",
        ) {
            let method = Method::from_bytes(method.as_bytes()).unwrap();
            let found = invalidates(&method, StatusCode::from_bytes(status.as_bytes()).unwrap());
            assert_eq!(if found { "yes" } else { "no" }, expected, "{method} {status}");
        }
    }

    #[test]
    fn urls_of_the_same_origin_are_resolved_and_others_left_alone() {
        let asked = Asked { scheme: "https", authority: "img.test", path_and_query: "/a/b/c?d" };
        for [headers, expected] in table::rows(
            "
            Location: /x?y                                 | https://img.test/x?y
            Location: http://img.test/x                    | https://img.test/x
            Location: HTTPS://IMG.test/x#f                 | https://IMG.test/x
            Location: //img.test/x                         | https://img.test/x
            Location: https://img.test                     | https://img.test/
            Location: https://img.test?q=/                 | https://img.test/?q=/
            Location: x                                    | https://img.test/a/b/x
            Location: ./x/                                 | https://img.test/a/b/x/
            Location: ../x?a:b                             | https://img.test/a/x?a:b
            Location: ../../../../x                        | https://img.test/x
            Location: ..                                   | https://img.test/a/
            Location: ../..                                | https://img.test/
            Location: ?z                                   | https://img.test/a/b/c?z
            Location: #f                                   | https://img.test/a/b/c?d
            Location: /plain/http://other.test/x           | https://img.test/plain/http://other.test/x
            Location: /x//y                                | https://img.test/x//y
            Location: /x // Content-Location: /y           | https://img.test/x https://img.test/y
            Content-Location: y                            | https://img.test/a/b/y
            Location: https://other.test/x                 |
            Location: //other.test/x                       |
            Location: https://img.test@other.test/x        |
            Location: https://img.test:444/x               |
            Location: ftp://img.test/x                     |
            Location: https:x                              |
            Location: mailto:a                             |
            A: 1                                           |
            ",
        ) {
            let own = |authority: &str| authority.eq_ignore_ascii_case("img.test");
            let found: Vec<_> = named_urls(asked, &table::headers(headers), own).collect();
            assert_eq!(found.join(" "), expected, "{headers}");
        }
        let long = format!("Location: /{}", "x".repeat(TARGET_BYTES_MAX));
        assert_eq!(named_urls(asked, &table::headers(&long), |_| true).count(), 0);
    }
}
