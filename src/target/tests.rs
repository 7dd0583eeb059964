//! Claims about targets: every rule of ImageKit's purges at its boundaries, and the law of prefixes.

use proptest::prelude::*;

use super::{Refusal, Tags, Target};
use crate::key::examples::{DEMO, RAW, accounts};
use crate::key::tests::below_endpoint;
use crate::key::{Endpoints, Key, KeyError};

fn endpoints() -> Endpoints {
    Endpoints::new(&accounts())
}

fn parse(url: &str) -> Result<Target, Refusal> {
    Target::parse(url, DEMO, &endpoints())
}

/// "ok", or the code of the rule that refused.
fn covers(target: &Target, key: &Key) -> bool {
    target.covers(key, &Tags::default())
}

fn verdict(parsed: &Result<Target, Refusal>) -> &'static str {
    match parsed {
        Ok(_) => "ok",
        Err(refusal) => refusal.as_str(),
    }
}

#[test]
fn wildcards_are_judged_by_their_path() {
    #[rustfmt::skip]
    let table = [
        // Two levels.
        ("/images/upload*",                  "ok"),
        ("/a/b*",                            "ok"),
        ("/a/b/*",                           "ok"),
        ("/a/b/c/d*",                        "ok"),
        ("/a//b*",                           "ok"),
        ("//a/b*",                           "ok"),
        ("/a/b?v=1*",                        "ok"),
        ("/a/b?*",                           "ok"),
        ("/images*",                         "wildcard-wide"),
        ("/images/*",                        "wildcard-wide"),
        ("/images//*",                       "wildcard-wide"),
        ("//images*",                        "wildcard-wide"),
        ("/images%2Fa*",                     "wildcard-wide"),
        ("/*",                               "wildcard-wide"),
        ("*",                                "wildcard-wide"),
        ("//*",                              "wildcard-wide"),
        ("?v=1*",                            "wildcard-wide"),
        // Fifteen characters: decoded ones, and no slash at either end.
        ("/abcdefghijklmno*",                "ok"),
        ("/abcdefghijklmno/*",               "ok"),
        ("/abcdefghijklmno?v*",              "ok"),
        ("/abcdefghijklmn*",                 "wildcard-wide"),
        ("/abcdefghijklmn/*",                "wildcard-wide"),
        ("/abcdefghijklmn//////*",           "wildcard-wide"),
        ("//////abcdefghijklmn*",            "wildcard-wide"),
        ("/abcdefghijklmn?v=1*",             "wildcard-wide"),
        ("/%61%62cdefghijklmn*",             "wildcard-wide"),
        ("/%61%62cdefghijklmno*",            "ok"),
        ("/%20%20%20%20%20%20*",             "wildcard-wide"),
        ("/abcdefghijklm%20*",               "wildcard-wide"),
        ("/abcdefghijklm%20%20*",            "ok"),
        ("/éééééééééééééé*",                 "wildcard-wide"),
        ("/ééééééééééééééé*",                "ok"),
        ("/%C3%A9ééééééééééééé*",            "wildcard-wide"),
        ("/abcdefghijklm%2A*",               "wildcard-wide"),
        ("/abcdefghijklmn%2A*",              "ok"),
        // A complete file name.
        ("/sample.jpg*",                     "ok"),
        ("//sample.jpg*",                    "ok"),
        ("/a.b*",                            "ok"),
        ("/a.jpeg2000*",                     "ok"),
        ("/a.7z*",                           "ok"),
        ("/a.JPG*",                          "ok"),
        ("/a%2Ejp%67*",                      "ok"),
        ("/v1.2.jpg*",                       "ok"),
        ("/.hidden.jpg*",                    "ok"),
        ("/%2A.jpg*",                        "ok"),
        ("/%20.jpg*",                        "ok"),
        ("/a.abcdefghij*",                   "ok"),
        ("/a.abcdefghijk*",                  "wildcard-wide"),
        ("/a.123*",                          "wildcard-wide"),
        ("/v1.2*",                           "wildcard-wide"),
        ("/.hidden*",                        "wildcard-wide"),
        ("/.jpg*",                           "wildcard-wide"),
        ("/name.*",                          "wildcard-wide"),
        ("/name..*",                         "wildcard-wide"),
        ("/name*",                           "wildcard-wide"),
        ("/a.jp-g*",                         "wildcard-wide"),
        ("/a.jp%2A*",                        "wildcard-wide"),
        ("/a.jpé*",                          "wildcard-wide"),
        ("/a.jpg/*",                         "wildcard-wide"),
        ("/sample.jpg?*",                    "ok"),
        ("/sample.jpg?tr=w-300*",            "ok"),
        ("/sample.jpg?tr=w-300%2Ch-2*",      "ok"),
        ("/sample?tr=w-300*",                "wildcard-wide"),
        ("/sample?v=a.jpg*",                 "wildcard-wide"),
        ("/sample.jpg/?v=1*",                "wildcard-wide"),
        // A transformation is no level and adds no length.
        ("/tr:w-300/images*",                "wildcard-wide"),
        ("/tr:w-300/images/*",               "wildcard-wide"),
        ("/images/tr:w-300*",                "wildcard-wide"),
        ("/images/tr:w-300/*",               "wildcard-wide"),
        ("/images/tr%3Aw-300/*",             "wildcard-wide"),
        ("/images/%74r:w-300/*",             "wildcard-wide"),
        ("/images/tr:*",                     "wildcard-wide"),
        ("/tr:w-300,h-300,rt-90*",           "wildcard-wide"),
        ("/tr:w-300,h-300,rt-90/*",          "wildcard-wide"),
        ("/tr:n-a/tr:n-b/images*",           "wildcard-wide"),
        ("/tr:n-a.jpg*",                     "wildcard-wide"),
        ("/sample.jpg/tr:w-300*",            "wildcard-wide"),
        ("/tr:w-300/sample.jpg*",            "ok"),
        ("/tr:w-300/sample.jpg?v=1*",        "ok"),
        ("/tr:w-300/images/a*",              "ok"),
        ("/images/tr:w-300/a*",              "ok"),
        ("/images/a/tr:w-300*",              "ok"),
        ("/tr:w-300/abcdefghijklmno*",       "ok"),
        ("/images/tr*",                      "ok"),
        ("/images/TR:w-300*",                "ok"),
        // Two folders are never purged as a whole, and what lies below them is judged as usual.
        ("/media/catalog*",                  "wildcard-folder"),
        ("/media/catalog/*",                 "wildcard-folder"),
        ("/s/files*",                        "wildcard-folder"),
        ("/s/files/*",                       "wildcard-folder"),
        ("//s//files//*",                    "wildcard-folder"),
        ("/tr:w-300/media/catalog/*",        "wildcard-folder"),
        ("/media/tr:w-300/catalog*",         "wildcard-folder"),
        ("/media/catalog/tr:w-300*",         "wildcard-folder"),
        ("/m%65dia/catalo%67/*",             "wildcard-folder"),
        ("/media/catalog/?*",                "wildcard-folder"),
        ("/media/catalog/product*",          "ok"),
        ("/s/files/1/*",                     "ok"),
        ("/s/file*",                         "ok"),
        ("/x/media/catalog/*",               "ok"),
        ("/Media/Catalog/*",                 "ok"),
        // A wildcard is the last character.
        ("/folder/*/sample.jpg",             "wildcard-place"),
        ("/folder/*/sample.jpg*",            "wildcard-place"),
        ("/images/upload**",                 "wildcard-place"),
        ("/images/upload*/",                 "wildcard-place"),
        ("/images/a*b",                      "wildcard-place"),
        ("/images/a.jpg?v=*&b",              "wildcard-place"),
        ("/images/a*?v=1",                   "wildcard-place"),
        ("/images/a*#b",                     "wildcard-place"),
        ("/images/a#b*",                     "wildcard-place"),
        // What a URL must not end in or hold, a prefix must not either.
        ("/images/a%*",                      "broken-escape"),
        ("/images/a%2*",                     "broken-escape"),
        ("/images/a?v=%*",                   "broken-escape"),
        ("/images/.*",                       "dot-segment"),
        ("/images/..*",                      "dot-segment"),
        ("/images/%2e*",                     "dot-segment"),
        ("/images/../a/b*",                  "dot-segment"),
        ("/images/a\\*",                     "backslash"),
        ("/images/a%00*",                    "escaped-nul"),
        ("/images/...*",                     "ok"),
        ("/images/.a*",                      "ok"),
    ];
    for (below, expected) in table {
        // An opaque account is judged alike; it alone knows a path that begins with two slashes.
        for (account, endpoint) in
            [(DEMO, "http://img.test/demo"), (DEMO, "https://cdn.test"), (RAW, "http://raw.test")]
        {
            let url = format!("{endpoint}{below}");
            assert_eq!(verdict(&Target::parse(&url, account, &endpoints())), expected, "{url}");
        }
    }
}

#[test]
fn a_url_names_itself() {
    #[rustfmt::skip]
    let table = [
        ("http://img.test/demo/images",             "demo/images"),
        ("http://img.test/demo/",                   "demo/"),
        ("https://cdn.test//a/b.jpg?tr=w-1%2Ch-2",  "demo/a/b.jpg?tr=w-1,h-2"),
        ("http://img.test/demo/media/catalog/",     "demo/media/catalog/"),
        ("http://img.test/demo/images/upload%2A",   "demo/images/upload%2A"),
        ("http://img.test/demo/images/upload%2a#x", "demo/images/upload%2A"),
    ];
    for (url, text) in table {
        let target = parse(url).unwrap();
        assert!(matches!(target, Target::Url(_)), "{url}");
        assert_eq!(target.to_string(), text, "{url}");
        assert!(covers(&target, &endpoints().parse_url(url).unwrap().key), "{url}");
    }
    let target = parse("http://img.test/demo/a.jpg").unwrap();
    for other in ["http://img.test/demo/a.jpg?v", "http://img.test/demo/a.jp", "http://img.test/demo-2/a.jpg"]
    {
        assert!(!covers(&target, &endpoints().parse_url(other).unwrap().key), "{other}");
    }
}

#[test]
fn a_prefix_knows_no_segment_and_no_other_account() {
    let target = parse("https://cdn.test//photos/2*").unwrap();
    assert_eq!(target.to_string(), "demo/photos/2*");
    assert_eq!(target.url(&endpoints()).as_deref(), Some("http://img.test/demo/photos/2*"));
    #[rustfmt::skip]
    let table = [
        ("http://img.test/demo/photos/2",           true),
        ("http://img.test/demo/photos/2024/a.jpg",  true),
        ("http://localhost:8080/demo/photos/2?v=1", true),
        ("http://img.test/demo/%70hotos/%32",       true),
        ("http://img.test/demo/photos/1",           false),
        ("http://img.test/demo/demo/photos/2",      false),
        ("http://img.test/demo/photos",             false),
        ("http://img.test/demo/tr:w-1/photos/2",    false),
        ("http://img.test/demo-2/photos/2",         false),
        ("http://whole.test/photos/2",              false),
    ];
    for (url, covered) in table {
        assert_eq!(covers(&target, &endpoints().parse_url(url).unwrap().key), covered, "{url}");
    }
}

#[test]
fn err_a_url_outside_the_account_is_told_its_endpoints() {
    #[rustfmt::skip]
    let table = [
        "http://else.test/demo/a.jpg",
        "http://img.test/a.jpg",
        "http://img.test/demolition/a/b*",
        "http://img.test/demo-2/a.jpg",
        "http://img.test/demo-2/a/b*",
        "http://raw.test/a.jpg",
        "http://img.test/dem*",
        "http://img.*",
    ];
    for url in table {
        assert_eq!(verdict(&parse(url)), "outside-account", "{url}");
    }
    let refusal = parse("http://else.test/a").unwrap_err().to_string();
    assert!(
        refusal.ends_with("`http://img.test/demo`, `http://localhost:8080/demo`, `https://cdn.test`"),
        "{refusal}"
    );
}

#[test]
fn a_prefix_that_ends_at_an_endpoint_goes_to_whom_its_longer_urls_belong() {
    #[rustfmt::skip]
    let table = [
        // `/demo/a/b` is deep's, `/demo/a/bc` is inner's; with a query, the path goes no further.
        ("inner", "http://whole.test/demo/a/b*",     Ok("inner/a/b*")),
        ("deep",  "http://whole.test/demo/a/b*",     Err("outside-account")),
        ("deep",  "http://whole.test/demo/a/b/*",    Err("wildcard-wide")),
        ("deep",  "http://whole.test/demo/a/b/c/d*", Ok("deep/c/d*")),
        ("inner", "http://whole.test/demo/a/b?v=*",  Err("outside-account")),
        ("deep",  "http://whole.test/demo/a/b?v=*",  Err("wildcard-wide")),
        ("whole", "http://whole.test/demo/x/y*",     Err("outside-account")),
    ];
    for (id, url, expected) in table {
        let account = accounts().iter().position(|account| account.id == id).unwrap();
        let target = Target::parse(url, account, &endpoints());
        let text = target.as_ref().map(Target::to_string).map_err(Refusal::as_str);
        assert_eq!(text, expected.map(str::to_owned), "{id}: {url}");
    }
}

#[test]
fn err_each_says_which_rule_refused_and_what_would_be_right() {
    #[rustfmt::skip]
    let table = [
        ("", "url-missing", "the URL is empty"),
        ("photos/a.jpg", "scheme", "a URL begins with `http://` or `https://`"),
        ("ftp://img.test/demo/a.jpg", "scheme", "a URL begins with `http://` or `https://`"),
        ("*", "scheme", "a URL begins with `http://` or `https://`"),
        (" ", "scheme", "a URL begins with `http://` or `https://`"),
        ("http://img.test:x/demo/a", "authority", "the port must be a number from 1 to 65535"),
        ("http://img.test/demo/é*/b", "wildcard-place",
            "the `*` at character 23 is out of place: a wildcard is the last character of a URL without a \
             fragment; as a plain character it is `%2A`"),
        ("http://*/demo/a/b", "wildcard-place",
            "the `*` at character 8 is out of place: a wildcard is the last character of a URL without a \
             fragment; as a plain character it is `%2A`"),
        ("http://img.test/demo/images*", "wildcard-wide",
            "the path `/images` has 1 level and 6 characters; a wildcard needs at least 2 levels, 15 characters \
             or a complete file name such as `/name.jpg*`"),
        ("http://img.test/demo/tr:w-1/*", "wildcard-wide",
            "the path `/tr:w-1/` has 0 levels and 0 characters; a wildcard needs at least 2 levels, 15 \
             characters or a complete file name such as `/name.jpg*`"),
        ("http://img.test/demo/a*", "wildcard-wide",
            "the path `/a` has 1 level and 1 character; a wildcard needs at least 2 levels, 15 characters or a \
             complete file name such as `/name.jpg*`"),
        ("http://img.test/demo/s/files/*", "wildcard-folder",
            "a wildcard over the whole folder `/s/files` is never allowed; name something inside it, such as \
             `/s/files/name*`"),
    ];
    for (url, code, message) in table {
        let refusal = parse(url).unwrap_err();
        assert_eq!((refusal.as_str(), refusal.to_string().as_str()), (code, message), "{url}");
    }
}

#[test]
fn opaque_targets_are_the_bytes_that_were_sent() {
    let parse = |url: &str| Target::parse(url, RAW, &endpoints()).map(|target| target.to_string());
    assert_eq!(parse("http://raw.test//%41/b?*").as_deref(), Ok("raw//%41/b?*"));
    assert_eq!(parse("http://raw.test/a%2cb%").as_deref(), Ok("raw/a%2cb%"));
    assert_eq!(parse("http://raw.test/a/b%*"), Err(Refusal::Url(KeyError::BrokenEscape)));
    assert_eq!(
        parse("http://raw.test/%61bcdefghijklm*").map_err(|refusal| refusal.as_str()),
        Err("wildcard-wide")
    );
}

/// One path in another spelling: the letters and digits that `picks` says are escaped.
fn respelled(below: &str, picks: &[bool]) -> String {
    let mut spelled = String::new();
    for (character, escape) in below.chars().zip(picks.iter().cycle()) {
        if *escape && character.is_ascii_alphanumeric() {
            spelled.push_str(&format!("%{:02x}", u32::from(character)));
        } else {
            spelled.push(character);
        }
    }
    spelled
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 4000, ..ProptestConfig::default() })]

    #[test]
    fn a_prefix_covers_the_keys_that_begin_with_its_text(below in below_endpoint(), more in below_endpoint()) {
        let below = below.replace('*', "x");
        for (account, endpoint) in [(DEMO, "http://cdn.test"), (RAW, "http://raw.test")] {
            let url = format!("{endpoint}/{below}*");
            let Ok(target) = Target::parse(&url, account, &endpoints()) else { continue };
            for other in [format!("{endpoint}/{below}{more}"), format!("{endpoint}/{more}")] {
                let Ok(located) = endpoints().parse_url(&other) else { continue };
                let key = &located.key;
                prop_assert_eq!(covers(&target, key), key.as_str().starts_with(target.to_string().trim_end_matches('*')));
                prop_assert!(!other.starts_with(&url[..url.len() - 1]) || covers(&target, key), "{} {}", url, other);
            }
            prop_assert_eq!(target.url(&endpoints()).map(|url| Target::parse(&url, account, &endpoints())), Some(Ok(target)));
        }
    }

    #[test]
    fn spellings_of_a_wildcard_share_its_verdict(
        below in prop_oneof![below_endpoint(), "(tr:)?[a-c.]{0,7}(/(tr:)?[a-c.]{0,8}|[.][a-z0-9]{0,11}|/media/catalog){0,2}"],
        picks in prop::collection::vec(any::<bool>(), 1..8),
    ) {
        let below = below.replace(['*', '%', '#'], "");
        let canonical = parse(&format!("http://img.test/demo/{below}*"));
        let same = parse(&format!("http://localhost:8080/demo//{}*", respelled(&below, &picks)));
        prop_assert_eq!(&same, &canonical);
        // Escapes count decoded for an opaque account too, though its target keeps them.
        let opaque = |below: &str| Target::parse(&format!("http://raw.test/{below}*"), RAW, &endpoints());
        prop_assert_eq!(verdict(&opaque(&respelled(&below, &picks))), verdict(&opaque(&below)));
    }
}
