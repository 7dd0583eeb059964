//! Claims about folders, named transformations, patterns and prefixes: what each is read as, and which rule refuses.

use super::{Refusal, Tags, Target, Transformation};
use crate::key::Endpoints;
use crate::key::examples::{DEMO, RAW, accounts};

type Parse = fn(&str, usize, &Endpoints) -> Result<Target, Refusal>;

fn endpoints() -> Endpoints {
    Endpoints::new(&accounts())
}

/// What a text below the endpoint is read as, or the code of the rule that refuses it.
fn check(parse: Parse, account: usize, endpoint: &str, table: &[(&str, &str)]) {
    for (below, expected) in table {
        let url = format!("{endpoint}{below}");
        let read = parse(&url, account, &endpoints());
        let read = read.as_ref().map_or_else(|refusal| refusal.as_str().to_owned(), Target::to_string);
        assert_eq!(read, *expected, "{url}");
    }
}

#[test]
fn a_folder_is_named_by_its_path_without_transformations() {
    #[rustfmt::skip]
    let table = [
        ("/photos/",                    "folder demo/photos/"),
        ("/photos",                     "folder demo/photos/"),
        ("//photos/",                   "folder demo/photos/"),
        ("/photos/2024",                "folder demo/photos/2024/"),
        ("/ph%6ftos/2024/",             "folder demo/photos/2024/"),
        ("/tr:w-1/photos/tr:h-2,w-1/",  "folder demo/photos/"),
        ("/photos/tr:h-2",              "folder demo/photos/"),
        ("/photos//",                   "folder demo/photos//"),
        ("/photos?",                    "folder demo/photos/"),
        ("/photos/#top",                "folder demo/photos/"),
        ("/media/catalog/",             "folder demo/media/catalog/"),
        ("",                            "folder-root"),
        ("/",                           "folder-root"),
        ("//",                          "folder-root"),
        ("/tr:w-1/",                    "folder-root"),
        ("/tr:w-1/tr:h-2",              "folder-root"),
        ("/photos/*",                   "folder-wildcard"),
        ("/*/photos/",                  "folder-wildcard"),
        ("/photos/?v=1",                "folder-query"),
        ("/photos/?tr=n-hero",          "folder-query"),
        ("/photos/../",                 "dot-segment"),
        ("/photos/%",                   "broken-escape"),
        ("x/photos/",                   "outside-account"),
    ];
    check(Target::parse_folder, DEMO, "http://img.test/demo", &table);
    check(Target::parse_folder, DEMO, "http://img.test/demo-2", &[("/photos/", "outside-account")]);
    check(Target::parse_folder, RAW, "http://raw.test", &[("/ph%6ftos/a?", "folder-query")]);
    check(Target::parse_folder, RAW, "http://raw.test", &[("/ph%6ftos/a", "folder raw/ph%6ftos/a/")]);
    assert_eq!(Target::parse_folder("", DEMO, &endpoints()), Err(Refusal::UrlMissing));
}

#[test]
fn a_pattern_begins_in_a_folder_or_has_fifteen_characters() {
    #[rustfmt::skip]
    let table = [
        // A whole level before the first `*`.
        ("/folder/*/sample.jpg",            "pattern demo/folder/*/sample.jpg"),
        ("/folder/*",                       "pattern demo/folder/*"),
        ("//folder/*/a",                    "pattern demo/folder/*/a"),
        ("/f/a*b",                          "pattern demo/f/a*b"),
        ("/folder/tr:*/a.jpg",              "pattern demo/folder/tr:*/a.jpg"),
        ("/tr:w-1/folder/*/a",              "pattern demo/tr:w-1/folder/*/a"),
        ("/a.jpg?tr=*&v=1",                 "pattern demo/a.jpg?tr=*&v=1"),
        ("/folder/***/a**",                 "pattern demo/folder/*/a*"),
        ("/folder/%2A/*",                   "pattern demo/folder/%2A/*"),
        ("/folder*",                        "pattern-wide"),
        ("/fold*er/x",                      "pattern-wide"),
        ("/*/folder/x",                     "pattern-wide"),
        ("/*",                              "pattern-wide"),
        ("//*",                             "pattern-wide"),
        ("/*.jpg",                          "pattern-wide"),
        ("/?v=*",                           "pattern-wide"),
        ("/tr:w-300,h-300,rt-90/*/a.jpg",   "pattern-wide"),
        ("/%2F*",                           "pattern-wide"),
        // Fifteen characters beside the `*`: decoded ones of the path's levels, with one slash between them.
        ("/abcdefghijklmno*",               "pattern demo/abcdefghijklmno*"),
        ("/*abcdefghijklmno",               "pattern demo/*abcdefghijklmno"),
        ("/*/abcdefghijklmno",              "pattern demo/*/abcdefghijklmno"),
        ("/a*bcdefg/h*ijklmn",              "pattern demo/a*bcdefg/h*ijklmn"),
        ("/*abcdefghijklmn",                "pattern-wide"),
        ("/a*bcdefg/h*ijklm",               "pattern-wide"),
        ("/*/abcdefghijklmn",               "pattern-wide"),
        ("/*abcdefghijklm%41",              "pattern-wide"),
        ("/*abcdefghijklmn%41",             "pattern demo/*abcdefghijklmnA"),
        ("/*abcdefghijklmn?tr=w-300",       "pattern-wide"),
        ("/*abcdefghijklmn/tr:w-300/",      "pattern-wide"),
        // Two folders are never purged as a whole by a wildcard.
        ("/media/catalog/*",                "wildcard-folder"),
        ("/media/catalog*",                 "wildcard-folder"),
        ("/tr:w-1/s/files/*/*",             "wildcard-folder"),
        ("/s/files/tr:*/",                  "wildcard-folder"),
        ("/media/catalog/*.jpg",            "pattern demo/media/catalog/*.jpg"),
        ("/media/*/catalog/",               "pattern demo/media/*/catalog/"),
        ("/media/cat*alog/",                "pattern demo/media/cat*alog/"),
        // Where a `*` may stand.
        ("/folder/sample.jpg",              "pattern-wildcard"),
        ("/folder/%2A",                     "pattern-wildcard"),
        ("*/folder/a",                      "pattern-place"),
        ("*",                               "pattern-place"),
        ("/folder/*#a",                     "pattern-place"),
        ("/folder/a#*",                     "pattern-place"),
        // What is written between them, as it would be in a URL.
        ("/f%6Flder/*/s%61mple.jpg?tr=w-1%2Ch-2%3Art-3&a=%2C", "pattern demo/folder/*/sample.jpg?tr=w-1,h-2:rt-3&a=%2C"),
        ("/folder/*/tr:w-1%2Ch-2/a%2Cb",    "pattern demo/folder/*/tr:w-1,h-2/a%2Cb"),
        ("/folder/tr:*%2Ch-2/a",            "pattern demo/folder/tr:*,h-2/a"),
        ("/folder/*/é",                     "pattern demo/folder/*/%C3%A9"),
        ("/folder/*?",                      "pattern demo/folder/*"),
        ("/folder/*?*",                     "pattern demo/folder/*?*"),
        ("/folder/*?a?b",                   "pattern demo/folder/*?a?b"),
        ("/folder/*%2Cx/a",                 "pattern-escape"),
        ("/folder/a*%3Ax",                  "pattern-escape"),
        ("/folder/a?tr*%2C",                "pattern-escape"),
        ("/folder/%*",                      "broken-escape"),
        ("/folder/*/%4",                    "broken-escape"),
        ("/folder/../*",                    "dot-segment"),
        ("/folder/*/..",                    "dot-segment"),
        ("/folder/*/%2e/a",                 "dot-segment"),
        ("/folder/.*",                      "dot-segment"),
        ("/folder/*\\a",                    "backslash"),
        ("/folder/*%00",                    "escaped-nul"),
    ];
    check(Target::parse_pattern, DEMO, "http://img.test/demo", &table);
    #[rustfmt::skip]
    let opaque = [
        ("//f%6flder/*%2c%",                "pattern raw//f%6flder/*%2c%"),
        ("/folder/*?",                      "pattern raw/folder/*?"),
        ("/folder/a?*%2C",                  "pattern raw/folder/a?*%2C"),
        ("/folder/*/..",                    "dot-segment"),
    ];
    check(Target::parse_pattern, RAW, "http://raw.test", &opaque);
    #[rustfmt::skip]
    let hosts = [
        ("http://*/demo/folder/a",          "pattern-place"),
        ("http://img.*/demo/folder/a",      "pattern-place"),
        ("http://img.test*",                "pattern-place"),
        ("http://img.test/de*/folder/a",    "outside-account"),
        ("http://img.test/demo-2/folder/*", "outside-account"),
        ("http://else.test/demo/folder/*",  "outside-account"),
        ("folder/*",                        "scheme"),
        ("http:/*",                         "scheme"),
        ("*",                               "scheme"),
        ("",                                "url-missing"),
    ];
    check(Target::parse_pattern, DEMO, "", &hosts);
    let long = format!("/folder/*/{}", "é".repeat(5000));
    check(Target::parse_pattern, DEMO, "http://img.test/demo", &[(&long, "too-long")]);
}

#[test]
fn a_prefix_is_named_with_its_star() {
    #[rustfmt::skip]
    let table = [
        ("/images/upload*",     "demo/images/upload*"),
        ("/images/upload",      "prefix-wildcard"),
        ("/images*",            "wildcard-wide"),
        ("/images/*/upload*",   "wildcard-place"),
    ];
    check(Target::parse_prefix, DEMO, "http://img.test/demo", &table);
}

#[test]
fn a_transformation_is_its_accounts_and_may_be_named_as_its_step() {
    let name = |text: &str| Transformation::new("demo", text).map(|named| named.as_str().to_owned());
    assert_eq!(name("hero").as_deref(), Ok("demo/hero"));
    assert_eq!(name("n-hero"), name("hero"));
    assert_eq!(name("n-n-hero").as_deref(), Ok("demo/n-hero"));
    assert_eq!(name("my hero & é").as_deref(), Ok("demo/my hero & é"));
    let named = Transformation::new("demo", "n-hero").unwrap();
    assert_eq!((named.account(), named.name()), ("demo", "hero"));
    #[rustfmt::skip]
    let refused = [
        ("",            "transformation-empty"),
        ("n-",          "transformation-empty"),
        ("n-a,n-b",     "transformation-character"),
        ("n-a:n-b",     "transformation-character"),
        ("tr:n-a",      "transformation-character"),
        ("a/b",         "transformation-character"),
        ("a\n",         "transformation-character"),
    ];
    for (text, code) in refused {
        assert_eq!(name(text).map_err(|error| error.as_str()), Err(code), "{text}");
    }
    assert!(name(&"x".repeat(256)).is_ok());
    assert_eq!(name(&"x".repeat(257)).map_err(|error| error.as_str()), Err("transformation-too-long"));
}

#[test]
fn a_transformation_covers_its_own_accounts_images_alone() {
    let target = Target::Transformation(Transformation::new("demo", "hero").unwrap());
    #[rustfmt::skip]
    let table = [
        ("http://img.test/demo/tr:n-hero/a.jpg",            true),
        ("http://cdn.test/p/q/a.jpg?v=1&tr=w-9%2Cn-hero",   true),
        ("http://img.test/demo/tr:w-1:n-h%65ro/a.jpg?tr=x", true),
        ("http://img.test/demo/a.jpg?tr=n-heroes",          false),
        ("http://img.test/demo/n-hero/a.jpg?n-hero",        false),
        ("http://img.test/demo-2/tr:n-hero/a.jpg",          false),
    ];
    for (url, covered) in table {
        let key = endpoints().parse_url(url).unwrap().key;
        assert_eq!(target.covers(&key, Tags::NONE), covered, "{url}");
    }
}

#[test]
fn err_each_says_what_would_be_right() {
    let message = |parse: Parse, below: &str| {
        parse(&format!("http://img.test/demo{below}"), DEMO, &endpoints()).unwrap_err().to_string()
    };
    #[rustfmt::skip]
    let table: [(Parse, &str, &str); 9] = [
        (Target::parse_prefix, "/a/b", "a prefix ends in a `*`; without one, a URL is named as `url`"),
        (Target::parse_folder, "/a/*",
            "a folder is named by its URL, without a wildcard: all that lies below it is meant"),
        (Target::parse_folder, "/a/?b", "a folder is named by its path alone; leave the query out"),
        (Target::parse_folder, "/",
            "the URL is the endpoint itself; name a folder below it, such as `/photos/`"),
        (Target::parse_pattern, "/a/b", "a pattern has a `*` in its path; without one, a URL is named as `url`"),
        (Target::parse_pattern, "*/a",
            "the `*` at character 21 is out of place: in a pattern it stands in the path below the endpoint, or \
             behind it, and no fragment follows"),
        (Target::parse_pattern, "/é*/a",
            "the pattern `/%C3%A9*/a` begins with no whole folder and has 3 characters; it needs a folder before \
             its first `*`, such as `/folder/*`, or 15 characters beside its `*`"),
        (Target::parse_pattern, "/media/catalog/*",
            "a wildcard over the whole folder `/media/catalog` is never allowed; name something inside it, such as \
             `/media/catalog/name*`"),
        (Target::parse_pattern, "/a/*%2C",
            "behind a `*`, nobody can tell whether `%2C` or `%3A` belongs to a transformation; put a `*` in its place"),
    ];
    for (parse, below, expected) in table {
        assert_eq!(message(parse, below), expected, "{below}");
    }
}
