//! Claims about keys: tables of spellings, every byte against the `http` crate, and properties.

use http::uri::PathAndQuery;
use proptest::prelude::*;

use super::examples::{DEMO, RAW, accounts};
use super::{Endpoints, Key, KeyError, Located};
use crate::config::{Authority, AuthorityError, Urls};
use crate::limits::{KEY_BYTES_MAX, TARGET_BYTES_MAX};

fn endpoints() -> Endpoints {
    Endpoints::new(&accounts())
}

fn key(url: &str) -> Key {
    endpoints().parse_url(url).unwrap_or_else(|error| panic!("{url:?}: {error:?}")).key
}

fn locate(endpoints: &Endpoints, authority: &str, target: &str) -> Result<Located, KeyError> {
    let (path, query) = super::split_query(target);
    endpoints.locate(Authority::parse(authority).unwrap().as_str(), path, query)
}

#[test]
fn ok_urls_have_their_canonical_key() {
    #[rustfmt::skip]
    let table = [
        // Endpoint, scheme, host.
        ("http://img.test/demo/a.jpg",                     "demo/a.jpg"),
        ("https://img.test/demo/a.jpg",                    "demo/a.jpg"),
        ("HTTPS://IMG.Test.:443/demo/a.jpg",               "demo/a.jpg"),
        ("http://img.test:/demo/a.jpg",                    "demo/a.jpg"),
        ("http://localhost:8080/demo/a.jpg",               "demo/a.jpg"),
        ("https://cdn.test/a.jpg",                         "demo/a.jpg"),
        ("https://cdn.test/demo/a.jpg",                    "demo/demo/a.jpg"),
        ("http://img.test/demo",                           "demo/"),
        ("http://img.test/demo/",                          "demo/"),
        ("http://img.test/demo?v=2",                       "demo/?v=2"),
        ("https://cdn.test",                               "demo/"),
        ("https://cdn.test?v=2",                           "demo/?v=2"),
        ("http://img.test/%64em%6F/a.jpg",                 "demo/a.jpg"),
        ("http://img.test/demo-2/a.jpg",                   "demo-2/a.jpg"),
        ("http://img.test/raw/a.jpg",                      "raw/a.jpg"),
        ("http://img.test/r%61w/%61.jpg",                  "raw/%61.jpg"),
        // The longest endpoint, also once the slashes after a shorter one are collapsed.
        ("http://whole.test/demolition/x",                 "whole/demolition/x"),
        ("http://whole.test/demo/x",                       "inner/x"),
        ("http://whole.test/%64emo/x",                     "inner/x"),
        ("http://whole.test//demo/x",                      "inner/x"),
        ("http://whole.test/demo//a/b/x",                  "deep/x"),
        ("http://whole.test//demo//a/b//x",                "deep/x"),
        ("http://whole.test/demo/a//b/x",                  "inner/a//b/x"),
        ("http://whole.test/raw//demo/x",                  "deepraw//demo/x"),
        // Slashes and fragments.
        ("http://img.test/demo//a//b.jpg",                 "demo/a//b.jpg"),
        ("http://img.test/demo////",                       "demo/"),
        ("http://img.test/demo/a.jpg/",                    "demo/a.jpg/"),
        ("http://img.test/demo/plain/https://x.test/a",    "demo/plain/https://x.test/a"),
        ("http://img.test/demo/a.jpg#b?c",                 "demo/a.jpg"),
        // Escapes.
        ("http://img.test/demo/%41%7e%2D%2e%5f%30z",       "demo/A~-._0z"),
        ("http://img.test/demo/a%2fb%3a%40%25%2541",       "demo/a%2Fb%3A%40%25%2541"),
        ("http://img.test/demo/%21%24%27%28%29%3b%3d",     "demo/%21%24%27%28%29%3B%3D"),
        ("http://img.test/demo/%c3%a9%C3%A9é",             "demo/%C3%A9%C3%A9%C3%A9"),
        ("http://img.test/demo/a b<c>`\"{|}^[]",           "demo/a%20b%3Cc%3E%60\"{|}^[]"),
        ("http://img.test/demo/a?b c<d>`\"{|}^[]",         "demo/a?b%20c%3Cd%3E`%22{|}^[]"),
        ("http://img.test/demo/a*%2a*?*",                  "demo/a%2A%2A%2A?%2A"),
        ("http://img.test/demo/%01%0a%7f",                 "demo/%01%0A%7F"),
        ("http://img.test/demo/.../..a/.b/a./c..",         "demo/.../..a/.b/a./c.."),
        // Transformations.
        ("http://img.test/demo/tr:w-1%2Ch-2%3Art-3/a%2Cb", "demo/tr:w-1,h-2:rt-3/a%2Cb"),
        ("http://img.test/demo/t%72:w-1%2ch-2%2f",         "demo/tr:w-1,h-2%2F"),
        ("http://img.test/demo/tr%3Aw-1%2Ch-2",            "demo/tr%3Aw-1%2Ch-2"),
        ("http://img.test/demo/xtr:w-1%2Ch-2",             "demo/xtr:w-1%2Ch-2"),
        ("http://img.test/demo/a%2Ctr:%2C",                "demo/a%2Ctr:%2C"),
        ("http://img.test/demo/a?tr=w-1%2Ch-2%3art-3%26",  "demo/a?tr=w-1,h-2:rt-3%26"),
        ("http://img.test/demo/a?b=%2C&%74r=%2C=%2C&c=%3A", "demo/a?b=%2C&tr=,=,&c=%3A"),
        ("http://img.test/demo/a?xtr=%2C&tr%3D%2C&tr%2C",  "demo/a?xtr=%2C&tr%3D%2C&tr%2C"),
        ("http://img.test/demo/a?tr:%2C",                  "demo/a?tr:%2C"),
        ("http://img.test/demo/tr=%2C",                    "demo/tr=%2C"),
        // Queries: opaque but for escapes, in their order (a cloaked parameter stays what it is).
        ("http://img.test/demo/a?",                        "demo/a"),
        ("http://img.test/demo/a??",                       "demo/a??"),
        ("http://img.test/demo/a?&",                       "demo/a?&"),
        ("http://img.test/demo/a?b=1&a=1&a=2",             "demo/a?b=1&a=1&a=2"),
        ("http://img.test/demo/a?a=1;b=2",                 "demo/a?a=1;b=2"),
        ("http://img.test/demo/a?utm=x%26a=9+%2b",         "demo/a?utm=x%26a=9+%2B"),
        ("http://img.test/demo/a?/../..",                  "demo/a?/../.."),
        // Opaque.
        ("http://raw.test//a//%2c%41*?",                   "raw//a//%2c%41*?"),
        ("http://raw.test/100%/%4/%zz?%",                  "raw/100%/%4/%zz?%"),
        ("http://raw.test/tr:a%2Cb é?tr=a%2cb é`",         "raw/tr:a%2Cb%20%C3%A9?tr=a%2cb%20%C3%A9`"),
    ];
    for (url, text) in table {
        assert_eq!(key(url).as_str(), text, "{url}");
    }
}

#[test]
fn err_each_names_its_rule() {
    use KeyError::*;
    #[rustfmt::skip]
    let table = [
        ("",                                   Scheme),
        ("/demo/a.jpg",                        Scheme),
        ("//img.test/demo/a.jpg",              Scheme),
        ("img.test/demo/a.jpg",                Scheme),
        (" http://img.test/demo/a.jpg",        Scheme),
        ("ftp://img.test/demo/a.jpg",          Scheme),
        ("http:/img.test/demo/a.jpg",          Scheme),
        ("http:///demo/a.jpg",                 Authority(AuthorityError::Empty)),
        ("http://user@img.test/demo/a.jpg",    Authority(AuthorityError::UserInfo)),
        ("http://img.test\\demo/a.jpg",        Authority(AuthorityError::Host)),
        ("http://img.test:x/demo/a.jpg",       Authority(AuthorityError::Port)),
        ("http://else.test/demo/a.jpg",        UnknownHost),
        ("http://img.test:8080/demo/a.jpg",    UnknownHost),
        ("http://169.254.169.254/demo/a.jpg",  UnknownHost),
        ("http://img.test",                    UnknownPath),
        ("http://img.test/Demo/a.jpg",         UnknownPath),
        ("http://img.test/demolition/a.jpg",   UnknownPath),
        ("http://img.test//demo/a.jpg",        UnknownPath),
        ("http://img.test/demo%2Fa.jpg",       UnknownPath),
        ("http://img.test/x/..",               DotSegment),
        ("http://img.test/demo/../raw/a.jpg",  DotSegment),
        ("http://img.test/demo/a/%2e%2E/b",    DotSegment),
        ("http://img.test/demo/a/.%2e",        DotSegment),
        ("http://img.test/demo/./a",           DotSegment),
        ("http://img.test/demo/%2e",           DotSegment),
        ("http://raw.test/a/%2e./b",           DotSegment),
        ("http://raw.test/a/%2e%2E",           DotSegment),
        ("http://raw.test/a/..?b",             DotSegment),
        ("http://img.test/demo/a\\b",          Backslash),
        ("http://img.test/demo/a?b\\c",        Backslash),
        ("http://raw.test/a\\b",               Backslash),
        ("http://img.test/demo/a\nb",          ControlCharacter),
        ("http://img.test/demo/a?\x7f",        ControlCharacter),
        ("http://raw.test/a\0",                ControlCharacter),
        ("http://img.test/demo/a%00",          EscapedNul),
        ("http://img.test/demo/a?b=%00",       EscapedNul),
        ("http://raw.test/%%00",               EscapedNul),
        ("http://img.test/demo/100%",          BrokenEscape),
        ("http://img.test/demo/a%4",           BrokenEscape),
        ("http://img.test/demo/a%g0/b",        BrokenEscape),
        ("http://img.test/demo/a%é",           BrokenEscape),
        ("http://img.test/demo/a?b=%+1",       BrokenEscape),
    ];
    for (url, error) in table {
        assert_eq!(endpoints().parse_url(url), Err(error), "{url:?}");
    }
    for target in ["demo/a.jpg", "*", ""] {
        assert_eq!(locate(&endpoints(), "cdn.test", target), Err(PathStart), "{target:?}");
    }
}

#[test]
fn the_spellings_of_one_variant_share_its_key_or_its_asset() {
    let in_path = key("https://img.test/demo/tr:w-400,h-300:rt-90/a/b.jpg");
    let escaped = key("https://img.test/demo//a/b.jpg?tr=w-400%2Ch-300%3Art-90");
    let plain = key("https://img.test/demo/a/b.jpg?tr=w-400,h-300:rt-90");
    assert_eq!(escaped, plain);
    assert_ne!(in_path, plain);
    assert_eq!((in_path.asset(), plain.asset()), ("demo/a/b.jpg".into(), "demo/a/b.jpg".into()));
}

#[test]
fn spellings_of_one_path_are_refused_or_reach_the_origin_as_their_key() {
    #[rustfmt::skip]
    let table = [
        ("/demo/a/b.jpg",         Ok("/a/b.jpg")),
        ("/demo//a/b.jpg",        Ok("/a/b.jpg")),
        ("/demo/a//b.jpg",        Ok("/a//b.jpg")),
        ("/demo/%61/b%2ejpg",     Ok("/a/b.jpg")),
        ("/%64emo/a/b.jpg",       Ok("/a/b.jpg")),
        ("/demo/a%2Fb.jpg",       Ok("/a%2Fb.jpg")),
        ("/demo/a%2fb.jpg",       Ok("/a%2Fb.jpg")),
        ("/demo/a/b.jpg?",        Ok("/a/b.jpg")),
        ("/demo/a/B.jpg",         Ok("/a/B.jpg")),
        ("/demo/a/%25%36%32.jpg", Ok("/a/%2562.jpg")),
        ("/demo/a/b.jpg/",        Ok("/a/b.jpg/")),
        ("/demo/a/b.jpg;x",       Ok("/a/b.jpg;x")),
        ("/demo/./a/b.jpg",       Err(KeyError::DotSegment)),
        ("/demo/x/../a/b.jpg",    Err(KeyError::DotSegment)),
        ("/demo/x/%2E%2e/a",      Err(KeyError::DotSegment)),
        ("/demo/a\\b.jpg",        Err(KeyError::Backslash)),
        ("/demo/a/b.jpg%00",      Err(KeyError::EscapedNul)),
        ("/demo/a/b%.jpg",        Err(KeyError::BrokenEscape)),
    ];
    for (target, expected) in table {
        let located = locate(&endpoints(), "img.test", target);
        let at_origin = located.as_ref().map(|located| located.key.path_and_query());
        assert_eq!(at_origin, expected.as_ref().copied(), "{target}");
    }
}

#[test]
fn a_key_tells_its_parts() {
    let located = endpoints().parse_url("http://img.test/demo/a/b?c?d").unwrap();
    assert_eq!((located.account, located.key.account()), (DEMO, "demo"));
    assert_eq!((located.key.path(), located.key.query()), ("/a/b", Some("c?d")));
    assert_eq!(located.key.path_and_query(), "/a/b?c?d");
    assert_eq!(key("http://img.test/demo/a/b").query(), None);
    assert_eq!(key("http://raw.test/a?").query(), Some(""));
    assert_eq!(endpoints().parse_url("http://raw.test").unwrap().account, RAW);
}

#[test]
fn an_asset_has_no_transformation_and_no_query() {
    #[rustfmt::skip]
    let table = [
        ("/demo/a/b.jpg",               "demo/a/b.jpg"),
        ("/demo/a/b.jpg?tr=w-1&v=2",    "demo/a/b.jpg"),
        ("/demo/a/b.jpg?x=/tr:w-1/c",   "demo/a/b.jpg"),
        ("/demo/tr:w-1/a/b.jpg?v=2",    "demo/a/b.jpg"),
        ("/demo/a/tr:w-1/tr:h-1/b.jpg", "demo/a/b.jpg"),
        ("/demo/a/b.jpg/tr:w-1",        "demo/a/b.jpg"),
        ("/demo/a/tr:w-1/",             "demo/a/"),
        ("/demo/a//tr:w-1/b",           "demo/a//b"),
        ("/demo/tr:w-1",                "demo/"),
        ("/demo/tr:w-1/",               "demo/"),
        ("/demo/tr:",                   "demo/"),
        ("/demo/tr/a",                  "demo/tr/a"),
        ("/demo/atr:/b",                "demo/atr:/b"),
        ("/demo/TR:w-1/b",              "demo/TR:w-1/b"),
        ("/demo",                       "demo/"),
    ];
    for (target, asset) in table {
        assert_eq!(locate(&endpoints(), "img.test", target).unwrap().key.asset(), asset, "{target}");
    }
}

/// What the `http` crate takes in a request target stays as it is, what it refuses is escaped: so a client's
/// bytes reach the origin, and every key can.
#[test]
fn characters_are_escaped_where_no_request_line_can_carry_them() {
    for character in ('\u{21}'..'\u{7f}').filter(|character| !"#%*?\\".contains(*character)) {
        for target in [format!("/a{character}b"), format!("/a?b{character}c")] {
            for endpoint in ["http://cdn.test", "http://raw.test"] {
                let key = key(&format!("{endpoint}{target}"));
                let kept = key.path_and_query() == target;
                assert_eq!(kept, target.parse::<PathAndQuery>().is_ok(), "{target}: {key}");
            }
        }
    }
}

#[test]
fn delimiters_within_a_part_are_escaped() {
    let host = Authority::parse("img.test").unwrap();
    let located = endpoints().locate(host.as_str(), "/demo/a?b#c", Some("d#e?f")).unwrap();
    assert_eq!(located.key.as_str(), "demo/a%3Fb%23c?d%23e?f");
}

#[test]
fn a_target_is_bounded_and_the_longest_key_can_be_named() {
    let endpoints = endpoints();
    let longest = format!("/{}?{}", "é".repeat(TARGET_BYTES_MAX / 4), "x".repeat(TARGET_BYTES_MAX / 2 - 2));
    assert_eq!(longest.len(), TARGET_BYTES_MAX);
    let located = locate(&endpoints, "cdn.test", &longest).unwrap();
    assert_eq!(locate(&endpoints, "cdn.test", &format!("{longest}x")), Err(KeyError::TooLong));
    let url = endpoints.url_of(&located.key).unwrap();
    assert!(url.len() > TARGET_BYTES_MAX);
    assert_eq!(endpoints.parse_url(&url), Ok(located));

    let within = format!("https://cdn.test/{}", "x".repeat(KEY_BYTES_MAX - "demo/".len()));
    assert!(endpoints.parse_url(&within).is_ok());
    assert_eq!(endpoints.parse_url(&(within + "x")), Err(KeyError::TooLong));
}

#[test]
fn a_key_is_printed_below_the_first_endpoint_that_leads_back_to_it() {
    #[rustfmt::skip]
    let table = [
        ("https://cdn.test//a%62?c",     Some("http://img.test/demo/ab?c")),
        ("http://raw.test//a*",          Some("http://img.test/raw//a*")),
        ("http://alias.test/demo/x",     Some("http://alias.test/demo/x")), // whole.test/demo is another's.
        ("http://alias.test/x",          Some("http://whole.test/x")),
    ];
    for (url, printed) in table {
        assert_eq!(endpoints().url_of(&key(url)).as_deref(), printed, "{url}");
    }
    let nobody = Endpoints::new(&[]);
    assert_eq!(nobody.url_of(&key("https://cdn.test/a")), None);
}

/// Texts of pieces that the rules are about; most of them break no rule.
pub(crate) fn below_endpoint() -> impl Strategy<Value = String> {
    let piece = prop_oneof![
        30 => prop::sample::select(vec![
            "/", "//", ".", "..", "a", "B", "0", "f", "tr:", "tr=", "t", "tr", ",", ":", "?", "&", "=", "*",
            "/tr:", "?tr=", "&tr=", "demo", "demo/a/b", "raw", "~", "é", "日", " ", "<", "`", "\"", "|", ";", "+",
        ]).prop_map(str::to_owned),
        10 => prop::sample::select(vec![
            "%2C", "%2c", "%3A", "%3a", "%2F", "%2f", "%2E", "%2e", "%2A", "%25", "%74", "%72", "%61", "%7E",
            "%7e", "%C3%A9", "%c3%a9", "%26", "%3D", "%3F", "%5C", "%01", "%20", "%FF", "%23",
        ]).prop_map(str::to_owned),
        2 => "%[0-9a-fA-F]{2}",
        1 => prop::sample::select(vec!["%", "%2", "%zz", "\\", "\n", "#", "%00"]).prop_map(str::to_owned),
    ];
    prop::collection::vec(piece, 0..14).prop_map(|pieces| pieces.concat())
}

/// Any host of the examples, and a target below one of its endpoints as a rule.
fn host_and_target() -> impl Strategy<Value = (&'static str, String)> {
    let endpoint = prop::sample::select(vec![
        ("img.test", "/demo"),
        ("img.test", "/raw"),
        ("img.test", "/%64emo"),
        ("cdn.test", ""),
        ("raw.test", ""),
        ("whole.test", ""),
        ("whole.test", "/"),
        ("whole.test", "/demo"),
        ("whole.test", "/demo/"),
        ("whole.test", "/raw"),
        ("alias.test", "/demo"),
        ("localhost:8080", "/demo"),
    ]);
    (endpoint, below_endpoint()).prop_map(|((host, path), below)| (host, format!("{path}/{below}")))
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 4000, ..ProptestConfig::default() })]

    #[test]
    fn printing_a_key_and_reading_it_again_is_the_identity((host, target) in host_and_target()) {
        let endpoints = endpoints();
        if let Ok(located) = endpoints.parse_url(&format!("http://{host}{target}")) {
            let url = endpoints.url_of(&located.key).expect("one of its endpoints leads back");
            prop_assert_eq!(endpoints.parse_url(&url), Ok(located), "{}", url);
        }
    }

    #[test]
    fn a_request_and_its_url_have_one_key((host, target) in host_and_target(), fragment in "(#[a?/*%]{0,3})?") {
        let endpoints = endpoints();
        let sent = super::split_query(target.split('#').next().unwrap());
        let requested = endpoints.locate(Authority::parse(host).unwrap().as_str(), sent.0, sent.1);
        prop_assert_eq!(endpoints.parse_url(&format!("https://{host}{target}{fragment}")), requested);
        // And what hyper makes of the target is what was sent.
        if let Ok(parsed) = target.parse::<PathAndQuery>() {
            prop_assert_eq!((parsed.path(), parsed.query()), sent);
        }
    }

    #[test]
    fn keys_are_distinct_where_account_path_or_query_are(
        (host_a, target_a) in host_and_target(),
        (host_b, target_b) in host_and_target(),
    ) {
        let endpoints = endpoints();
        let a = endpoints.parse_url(&format!("http://{host_a}{target_a}"));
        let b = endpoints.parse_url(&format!("http://{host_b}{target_b}"));
        if let (Ok(a), Ok(b)) = (a, b) {
            let parts = |located: &Located| {
                let key = &located.key;
                (located.account, key.path().to_owned(), key.query().map(str::to_owned))
            };
            prop_assert_eq!(a.key == b.key, parts(&a) == parts(&b));
            prop_assert_eq!(a.key.account() == b.key.account(), a.account == b.account);
        }
    }

    /// RFC 3986 §6.2.2: what is canonical differs from what was sent in its escapes alone.
    #[test]
    fn a_key_decodes_to_what_its_url_decodes_to(below in below_endpoint()) {
        let below = below.split('#').next().unwrap();
        let sent = format!("/{}", below.trim_start_matches('/'));
        let endpoints = endpoints();
        for endpoint in ["http://cdn.test", "http://raw.test"] {
            if let Ok(located) = endpoints.parse_url(&format!("{endpoint}{sent}")) {
                let is_dropped = located.key.query().is_none() && sent.ends_with('?');
                let sent = if is_dropped { &sent[..sent.len() - 1] } else { &sent };
                prop_assert_eq!(super::decoded(located.key.path_and_query()), super::decoded(sent));
            }
        }
    }

    #[test]
    fn every_key_is_a_request_target((host, target) in host_and_target()) {
        if let Ok(located) = endpoints().parse_url(&format!("http://{host}{target}")) {
            let sent = located.key.path_and_query();
            let parsed: PathAndQuery = sent.parse().unwrap();
            prop_assert_eq!(parsed.as_str(), sent);
            prop_assert_eq!((parsed.path(), parsed.query()), (located.key.path(), located.key.query()));
            let has_wildcard = sent.contains('*') && accounts()[located.account].urls == Urls::Canonical;
            prop_assert!(sent.is_ascii() && !has_wildcard, "{}", sent);
        }
    }

    /// The law of prefixes. No endpoint of the examples lies inside another one of its own account.
    #[test]
    fn a_url_that_begins_with_a_prefix_has_a_key_that_begins_with_its_key(
        (host, target) in host_and_target(),
        more in below_endpoint(),
        cut in any::<prop::sample::Index>(),
    ) {
        let endpoints = endpoints();
        let url = format!("http://{host}{target}{more}");
        let cuts: Vec<usize> = url.char_indices().map(|(at, _)| at).collect();
        let text = &url[..cuts[cut.index(cuts.len())]];
        if let (Ok((owner, prefix)), Ok(located)) = (endpoints.parse_prefix(text), endpoints.parse_url(&url)) {
            if owner == located.account {
                prop_assert!(prefix.covers(&located.key), "{} of {} but not {}", prefix.as_str(), text, located.key);
            }
            prop_assert_eq!(prefix.account() == located.key.account(), owner == located.account);
        }
    }

    #[test]
    fn printing_a_prefix_and_reading_it_again_is_the_identity((host, target) in host_and_target()) {
        let endpoints = endpoints();
        if let Ok((owner, prefix)) = endpoints.parse_prefix(&format!("http://{host}{target}")) {
            let url = endpoints.url_of_prefix(&prefix).expect("one of its endpoints leads back");
            prop_assert_eq!(endpoints.parse_prefix(&url), Ok((owner, prefix)));
        }
    }
}
