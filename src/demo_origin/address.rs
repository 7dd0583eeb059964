//! A request target: which picture, and which transformation. Pure; cost O(length).
//!
//! A path that comes out of here is one or more plain names joined by `/`: no empty one, no dot segment, no
//! separator or control character inside one. `gallery.rs` relies on that.

use std::borrow::Cow;

use super::parameters::Transformation;
use super::refusal::Refusal;

/// What a request target names.
#[derive(Debug, PartialEq)]
pub struct Address {
    /// Names joined by `/`, escapes decoded; empty for the list of pictures.
    pub path: String,
    /// From the path or from the query.
    pub transformation: Transformation,
}

impl Address {
    /// Reads a path and a query as they stand in the request. Of the query, `tr` alone counts.
    pub fn parse(path: &str, query: Option<&str>) -> Result<Address, Refusal> {
        let mut names: Vec<Cow<'_, str>> = Vec::new();
        let mut transformations = Vec::new();
        for segment in path.split('/').filter(|segment| !segment.is_empty()) {
            let name = decode(segment)?;
            match name.strip_prefix("tr:") {
                Some(text) => transformations.push(text.to_owned()),
                None if is_plain(&name) => names.push(name),
                None => return Err(Refusal::Target("a segment of the path is not a plain name")),
            }
        }
        let ends_in_transformation = path
            .rsplit('/')
            .next()
            .is_some_and(|last| decode(last).is_ok_and(|last| last.starts_with("tr:")));
        if ends_in_transformation {
            return Err(Refusal::Target("`tr:` stands before the file name, not after it"));
        }
        for pair in query.unwrap_or("").split('&') {
            if let Some(text) = pair.strip_prefix("tr=") {
                transformations.push(decode(text)?.into_owned());
            }
        }
        if transformations.len() > 1 {
            return Err(Refusal::Target("it holds more than one transformation; chain steps with `:`"));
        }
        let text = transformations.pop().unwrap_or_default();
        Ok(Address { path: names.join("/"), transformation: Transformation::parse(&text)? })
    }
}

fn is_plain(name: &str) -> bool {
    let separates = |letter: char| letter == '/' || letter == '\\' || letter.is_control();
    name != "." && name != ".." && !name.contains(separates)
}

/// Decodes percent escapes (RFC 3986 §2.1).
fn decode(text: &str) -> Result<Cow<'_, str>, Refusal> {
    if !text.contains('%') {
        return Ok(Cow::Borrowed(text));
    }
    const BROKEN: Refusal = Refusal::Target("an escape is broken, or its bytes are not UTF-8");
    let mut bytes = Vec::with_capacity(text.len());
    let mut rest = text.bytes();
    while let Some(byte) = rest.next() {
        if byte != b'%' {
            bytes.push(byte);
            continue;
        }
        let mut digit = || rest.next().and_then(|digit| char::from(digit).to_digit(16));
        let (Some(high), Some(low)) = (digit(), digit()) else { return Err(BROKEN) };
        bytes.push((high * 16 + low) as u8);
    }
    String::from_utf8(bytes).map(Cow::Owned).map_err(|_| BROKEN)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn parse(target: &str) -> Result<(String, String), Refusal> {
        let (path, query) =
            target.split_once('?').map_or((target, None), |(path, query)| (path, Some(query)));
        Address::parse(path, query).map(|address| (address.path, address.transformation.to_string()))
    }

    #[test]
    fn ok_every_spelling_names_picture_and_transformation() {
        #[rustfmt::skip]
        let table = [
            ("/",                                               "",           ""),
            ("/a/b.jpg",                                        "a/b.jpg",    ""),
            ("//a//b.jpg",                                      "a/b.jpg",    ""),
            ("/tr:w-4,h-3:rt-90/a/b.jpg",                       "a/b.jpg",    "w-4,h-3:rt-90"),
            ("/a/tr:w-4,h-3:rt-90/b.jpg",                       "a/b.jpg",    "w-4,h-3:rt-90"),
            ("/tr%3Aw-4%2Ch-3%3art-90/a/b.jpg",                 "a/b.jpg",    "w-4,h-3:rt-90"),
            ("/a/b.jpg?tr=w-4,h-3:rt-90",                       "a/b.jpg",    "w-4,h-3:rt-90"),
            ("//a/b.jpg?v=2&tr=w-4%2Ch-3%3Art-90&x",            "a/b.jpg",    "w-4,h-3:rt-90"),
            ("/a/b.jpg?tr=&updatedAt=1",                        "a/b.jpg",    ""),
            ("/a%20b/%C3%A9.jpg",                               "a b/é.jpg",  ""),
            ("/a/..b/.c.jpg",                                   "a/..b/.c.jpg", ""),
        ];
        for (target, path, transformation) in table {
            let read = parse(target).unwrap_or_else(|refusal| panic!("{target}: {refusal:?}"));
            assert_eq!(read, (path.to_owned(), transformation.to_owned()), "{target}");
        }
    }

    #[test]
    fn err_what_could_leave_the_folder_or_mean_two_things() {
        for target in [
            "/..",
            "/a/../b.jpg",
            "/a/./b.jpg",
            "/%2e%2e/b.jpg",
            "/.%2E/b.jpg",
            "/a%2Fb.jpg",
            "/a%2f..%2fb.jpg",
            "/a\\b.jpg",
            "/a%5cb.jpg",
            "/a%00.jpg",
            "/a%0a.jpg",
            "/a%7f.jpg",
            "/a%.jpg",
            "/a%2",
            "/a%zz.jpg",
            "/a%+1.jpg",
            "/%ff.jpg",
            "/a/tr:w-4",
            "/tr:w-4/tr:h-4/a.jpg",
            "/tr:w-4/a.jpg?tr=h-4",
            "/a.jpg?tr=w-4&tr=w-4",
            "/a.jpg?tr=%",
        ] {
            assert!(matches!(parse(target), Err(Refusal::Target(_))), "{target}: {:?}", parse(target));
        }
    }
}
