//! Claims about keys, wrong keys, and what their bearers may do.

use std::net::Ipv6Addr;
use std::time::Duration;

use http::header;

use super::*;
use crate::clock::Clock;
use crate::config::{Authority, PrivateKey, Scope};
use crate::limits;
use crate::purge::tests::account;
use crate::target::{Tag, Target, Transformation};

const PEER: IpAddr = IpAddr::V4(std::net::Ipv4Addr::LOCALHOST);

fn outcome(
    access: &Access,
    authorization: &[&str],
    peer: IpAddr,
    now: Moment,
) -> Result<usize, &'static str> {
    let mut headers = HeaderMap::new();
    for value in authorization {
        headers.append(header::AUTHORIZATION, value.parse().unwrap());
    }
    access
        .identify(&Method::GET, &headers, peer, now)
        .map(|who| who.account(None).unwrap())
        .map_err(|error| error.parts().2)
}

fn access() -> Access {
    let mut accounts = [account("demo", None), account("other", None)];
    // A key that is base64 of other text, as keys that end in `=` may be.
    accounts[1].private_keys.push(PrivateKey::from_secret("cHJpdmF0ZQ=="));
    Access::new(&accounts, &[], &Endpoints::new(&accounts))
}

#[test]
fn a_key_is_taken_encoded_and_plain_with_any_password() {
    let now = Clock::manual(0).now();
    #[rustfmt::skip]
    let table: [(&[&str], Result<usize, &str>); 22] = [
        // Authorization                                             outcome
        (&["Basic cHJpdmF0ZV9kZW1vOg=="],                            Ok(0)),  // private_demo:
        (&["Basic cHJpdmF0ZV9kZW1vOmRvX25vdF9zZXQ="],                Ok(0)),  // private_demo:do_not_set
        (&["Basic cHJpdmF0ZV9kZW1vOmE6Yg"],                          Ok(0)),  // private_demo:a:b, no padding
        (&["Basic cHJpdmF0ZV9kZW1v"],                                Ok(0)),  // private_demo, no colon
        (&["bAsIc   cHJpdmF0ZV9vdGhlcjo="],                          Ok(1)),  // private_other:
        (&["Basic private_demo"],                                    Ok(0)),
        (&["Basic private_demo:"],                                   Ok(0)),
        (&["Basic cHJpdmF0ZQ=="],                                    Ok(1)),
        (&[],                                                        Err("key_missing")),
        (&["Basic"],                                                 Err("key_missing")),
        (&["Basic  "],                                               Err("key_missing")),
        (&["Basic Og=="],                                            Err("key_missing")),  // :
        (&["Bearer private_demo"],                                   Ok(0)),
        (&["bearer  private_other "],                                Ok(1)),
        (&["Bearer"],                                                Err("key_missing")),
        (&["Bearer cHJpdmF0ZV9kZW1vOg=="],                           Err("key_unknown")),  // encoded
        (&["Digest private_demo"],                                   Err("key_missing")),
        (&["Bearer private_demo", "Basic private_demo"],             Err("key_missing")),
        (&["Basic private_demo", "Basic private_demo"],              Err("key_missing")),
        (&["Basic private_dem"],                                     Err("key_unknown")),
        (&["Basic private_demo2"],                                   Err("key_unknown")),
        (&["Basic /////w=="],                                        Err("key_unknown")),  // no UTF-8
    ];
    for (authorization, expected) in table {
        assert_eq!(outcome(&access(), authorization, PEER, now), expected, "{authorization:?}");
    }
}

#[test]
fn an_address_has_ten_wrong_keys_a_second() {
    let (access, clock) = (access(), Clock::manual(0));
    let try_key = |key, peer| outcome(&access, &[key], peer, clock.now());
    for _ in 0..limits::AUTH_FAILURES_MAX {
        assert_eq!(try_key("Basic wrong", PEER), Err("key_unknown"));
    }
    assert_eq!(try_key("Basic wrong", PEER), Err("keys_exhausted"));
    assert_eq!(try_key("Basic private_demo", PEER), Err("keys_exhausted"));
    assert_eq!(outcome(&access, &[], PEER, clock.now()), Err("key_missing"));
    assert_eq!(try_key("Basic private_demo", "192.0.2.1".parse().unwrap()), Ok(0));
    clock.advance(limits::AUTH_FAILURES_TIME - Duration::from_millis(1));
    assert_eq!(try_key("Basic private_demo", PEER), Err("keys_exhausted"));
    clock.advance(Duration::from_millis(1));
    assert_eq!(try_key("Basic wrong", PEER), Err("key_unknown"));
    assert_eq!(try_key("Basic private_demo", PEER), Ok(0));
}

#[test]
fn a_client_of_ipv6_is_its_network() {
    let (access, clock) = (access(), Clock::manual(0));
    for n in 0..u16::try_from(limits::AUTH_FAILURES_MAX).unwrap() {
        let peer = Ipv6Addr::new(0x2001, 0xdb8, 0, 1, 0, 0, 0, n).into();
        assert_eq!(outcome(&access, &["Basic wrong"], peer, clock.now()), Err("key_unknown"));
    }
    let [same, other] = ["2001:db8:0:1:ffff::", "2001:db8:0:2::"].map(|peer| peer.parse().unwrap());
    assert_eq!(outcome(&access, &["Basic wrong"], same, clock.now()), Err("keys_exhausted"));
    assert_eq!(outcome(&access, &["Basic wrong"], other, clock.now()), Err("key_unknown"));
}

#[test]
fn the_table_of_addresses_is_bounded_and_empties_itself() {
    let (access, clock) = (access(), Clock::manual(0));
    let peer = |n: usize| IpAddr::from(u32::try_from(n).unwrap().to_be_bytes());
    for n in 0..limits::AUTH_ADDRESSES_MAX {
        assert_eq!(outcome(&access, &["Basic wrong"], peer(n), clock.now()), Err("key_unknown"));
    }
    let one_more = peer(limits::AUTH_ADDRESSES_MAX);
    assert_eq!(outcome(&access, &["Basic wrong"], one_more, clock.now()), Err("keys_exhausted"));
    assert_eq!(outcome(&access, &["Basic private_demo"], one_more, clock.now()), Ok(0));
    assert_eq!(access.guesses.len(), limits::AUTH_ADDRESSES_MAX);
    clock.advance(limits::AUTH_FAILURES_TIME);
    assert_eq!(outcome(&access, &["Basic wrong"], one_more, clock.now()), Err("key_unknown"));
    assert_eq!(access.guesses.len(), 1);
}

fn named(name: &str, account: Option<&str>, scopes: &[Scope], urls: Option<&[&str]>) -> NamedKey {
    let urls = urls.map(|urls| urls.iter().map(|url| (*url).to_owned()).collect());
    let grant =
        Grant { name: name.into(), account: account.map(str::to_owned), scopes: Scopes::of(scopes), urls };
    NamedKey { grant, key: PrivateKey::from_secret(name) }
}

/// The bearers of keys of an operator, of one who only looks, of one who only purges, and of one bound to folders.
fn people() -> (Endpoints, Access) {
    let accounts = [account("demo", None), account("other", None)];
    let folders = ["http://127.0.0.1:8080/demo/photos/", "http://127.0.0.1:8080/demo/b%20c"];
    let keys = [
        named("operator", None, &[Scope::Operator], None),
        named("reader", Some("demo"), &[Scope::Read], None),
        named("purger", Some("demo"), &[Scope::Purge], None),
        named("bound", Some("demo"), &[Scope::Purge], Some(&folders)),
        named("lost", Some("demo"), &[Scope::Purge], Some(&["http://127.0.0.1:8080/other/"])),
        named("gone", Some("gone"), &[Scope::Purge], None),
    ];
    let endpoints = Endpoints::new(&accounts);
    let access = Access::new(&accounts, &keys, &endpoints);
    (endpoints, access)
}

#[test]
fn a_call_is_about_the_account_named_or_the_keys_own_or_the_only_one() {
    type Row<'a> = (&'a str, Option<&'a str>, Result<usize, &'a str>, Result<Option<usize>, &'a str>);
    let (_, access) = people();
    #[rustfmt::skip]
    let table: [Row<'_>; 9] = [
        // key             named           about one                 about all that it may
        ("operator",       None,           Err("account_missing"),   Ok(None)),
        ("operator",       Some("demo"),   Ok(0),                    Ok(Some(0))),
        ("operator",       Some("other"),  Ok(1),                    Ok(Some(1))),
        ("operator",       Some("gone"),   Err("account_unknown"),   Err("account_unknown")),
        ("purger",         None,           Ok(0),                    Ok(Some(0))),
        ("purger",         Some("demo"),   Ok(0),                    Ok(Some(0))),
        ("purger",         Some("other"),  Err("account_unknown"),   Err("account_unknown")),
        ("purger",         Some(""),       Err("account_unknown"),   Err("account_unknown")),
        ("private_other",  None,           Ok(1),                    Ok(Some(1))),
    ];
    for (key, named, one, all) in table {
        let who = access.find(key).unwrap();
        assert_eq!(who.account(named).map_err(|error| error.parts().2), one, "{key} {named:?}");
        assert_eq!(who.accounts(named).map_err(|error| error.parts().2), all, "{key} {named:?}");
    }
    assert!(access.find("gone").is_none(), "its account has left the config");
    let accounts = [account("demo", None)];
    let keys = [named("operator", None, &[Scope::Operator], None)];
    let alone = Access::new(&accounts, &keys, &Endpoints::new(&accounts));
    assert_eq!(alone.find("operator").unwrap().account(None).unwrap(), 0);
}

#[test]
fn each_scope_opens_its_own_doors() {
    let (_, access) = people();
    #[rustfmt::skip]
    let table = [
        // key            read    purge   operator
        ("operator",      [true,  true,   true]),
        ("reader",        [true,  false,  false]),
        ("purger",        [false, true,   false]),
        ("private_demo",  [true,  true,   false]),
    ];
    for (key, expected) in table {
        let who = access.find(key).unwrap();
        for (scope, expected) in Scope::ALL.into_iter().zip(expected) {
            let refusal = who.require(scope).err();
            assert_eq!(refusal.is_none(), expected, "{key} {scope:?}");
            let names_it = |denial: Denial| denial.to_string().contains(scope.as_str());
            assert!(refusal.is_none_or(names_it), "{key} {scope:?}");
        }
    }
}

#[test]
fn a_key_purges_what_lies_in_its_folders_alone() {
    let (endpoints, access) = people();
    let at = |below: &str| format!("http://127.0.0.1:8080/demo{below}");
    let url = |below: &str| Target::parse(&at(below), 0, &endpoints).unwrap();
    let asset = |below: &str| Target::parse_asset(&at(below), 0, &endpoints).unwrap();
    let folder = |below: &str| Target::parse_folder(&at(below), 0, &endpoints).unwrap();
    let pattern = |below: &str| Target::parse_pattern(&at(below), 0, &endpoints).unwrap();
    let made_by = Target::Transformation(Transformation::new("demo", "n-hero").unwrap());
    let tag = Target::Tag(Tag::new("demo", "t").unwrap());
    let host = Target::host(&Authority::parse("127.0.0.1:8080").unwrap(), &endpoints).unwrap();
    const IN: &str = "";
    #[rustfmt::skip]
    let table = [
        // key        target                                        outcome
        ("bound",     url("/photos/a.jpg"),                         IN),
        ("bound",     url("/photos/a.jpg?tr=w-9"),                  IN),
        ("bound",     url("/photos/tr:w-9/a.jpg"),                  IN),
        ("bound",     url("/%70hotos/a.jpg"),                       IN),
        ("bound",     url("/b%20c/x"),                              IN),
        ("bound",     url("/b c/x"),                                IN),
        ("bound",     url("//photos/a.jpg"),                        IN),
        ("bound",     url("/photos/2024/a*"),                       IN),
        ("bound",     url("/photos/a-long-name-indeed*"),           IN),
        ("bound",     asset("/tr:w-9/photos/a.jpg"),                IN),
        ("bound",     url("/tr:w-9/photos/a.jpg"),                  "outside_key"),
        ("bound",     url("/photos"),                               "outside_key"),
        ("bound",     url("/photoshop/a.jpg"),                      "outside_key"),
        ("bound",     url("/Photos/a.jpg"),                         "outside_key"),
        ("bound",     url("/a/photos/a.jpg"),                       "outside_key"),
        ("bound",     url("/photos-of-2024/summer*"),               "outside_key"),
        ("bound",     asset("/photos.jpg"),                         "outside_key"),
        ("bound",     folder("/photos"),                            IN),
        ("bound",     folder("/tr:w-9/photos/2024/"),               IN),
        ("bound",     folder("/photoshop"),                         "outside_key"),
        ("bound",     pattern("/photos/*/a.jpg"),                   IN),
        ("bound",     pattern("/photos/a*.jpg*"),                   IN),
        ("bound",     pattern("/a/*/photos/a.jpg"),                 "outside_key"),
        ("bound",     pattern("/photos*/of-the-summer/a.jpg"),      "outside_key"),
        ("bound",     made_by.clone(),                              "target_unbound"),
        ("purger",    made_by,                                      IN),
        ("bound",     tag.clone(),                                  "target_unbound"),
        ("bound",     host.clone(),                                 "scope_missing"),
        ("bound",     Target::Everything,                           "scope_missing"),
        ("lost",      url("/photos/a.jpg"),                         "outside_key"),
        ("purger",    url("/a.jpg"),                                IN),
        ("purger",    tag.clone(),                                  IN),
        ("purger",    host.clone(),                                 "scope_missing"),
        ("purger",    Target::Everything,                           "scope_missing"),
        ("reader",    url("/a.jpg"),                                "scope_missing"),
        ("operator",  tag,                                          IN),
        ("operator",  host,                                         IN),
        ("operator",  Target::Everything,                           IN),
    ];
    for (key, target, expected) in table {
        let denial = access.find(key).unwrap().may_purge(&target).err();
        assert_eq!(denial.as_ref().map_or(IN, Denial::as_str), expected, "{key} {target}");
    }
}

/// A session of a new bearer of a key.
fn begin(access: &Access, key: &str, now: Moment) -> Token {
    access.sign_in(key, PEER, now).unwrap()
}

#[test]
fn a_session_ends_when_idle_for_twelve_hours_and_after_seven_days_in_any_case() {
    let ((_, access), clock) = (people(), Clock::manual(0));
    let hour = Duration::from_secs(3600);
    let idle = begin(&access, "reader", clock.now());
    let used = begin(&access, "reader", clock.now());
    assert_eq!(access.lasts(&idle, clock.now()), Some(12 * hour));
    for n in 1..=16_u32 {
        clock.advance(11 * hour);
        let left = (168 * hour).saturating_sub(n * 11 * hour);
        let expected = (!left.is_zero()).then_some(left.min(12 * hour));
        assert_eq!(access.lasts(&used, clock.now()), expected, "after {} hours", n * 11);
    }
    assert_eq!(access.lasts(&idle, clock.now()), None, "it was idle");
    assert_eq!(access.sessions.len(), 0, "what has ended is forgotten when it is looked for");

    let edge = begin(&access, "reader", clock.now());
    clock.advance(12 * hour - Duration::from_millis(1));
    assert!(access.lasts(&edge, clock.now()).is_some());
    clock.advance(12 * hour);
    assert!(access.lasts(&edge, clock.now()).is_none());
}

#[test]
fn sessions_are_bounded_and_the_idlest_leaves() {
    let ((_, access), clock) = (people(), Clock::manual(0));
    let tick = || clock.advance(Duration::from_secs(1));
    let other = begin(&access, "operator", clock.now());
    tick();
    let tokens: Vec<Token> = (0..limits::SESSIONS_OF_KEY_MAX)
        .map(|_| {
            tick();
            begin(&access, "reader", clock.now())
        })
        .collect();
    tick();
    assert!(access.lasts(&tokens[0], clock.now()).is_some(), "the oldest is used");
    begin(&access, "reader", clock.now());
    assert_eq!(access.sessions.len(), limits::SESSIONS_OF_KEY_MAX + 1);
    assert!(access.lasts(&tokens[0], clock.now()).is_some());
    assert!(access.lasts(&tokens[1], clock.now()).is_none(), "the idlest of the key has left");
    assert!(access.lasts(&other, clock.now()).is_some(), "another key's is not touched");
}

#[test]
fn all_sessions_together_are_bounded() {
    let keys: Vec<NamedKey> = (0..=limits::SESSIONS_MAX / limits::SESSIONS_OF_KEY_MAX)
        .map(|n| named(&format!("key {n}"), None, &[Scope::Operator], None))
        .collect();
    let access = Access::new(&[], &keys, &Endpoints::new(&[]));
    let clock = Clock::manual(0);
    let first = begin(&access, "key 0", clock.now());
    clock.advance(Duration::from_secs(1));
    for n in 1..=limits::SESSIONS_MAX {
        begin(&access, &format!("key {}", n / limits::SESSIONS_OF_KEY_MAX), clock.now());
    }
    assert_eq!(access.sessions.len(), limits::SESSIONS_MAX);
    assert!(access.lasts(&first, clock.now()).is_none());
}

#[test]
fn a_session_is_found_by_its_one_cookie_alone() {
    let ((_, access), now) = (people(), Clock::manual(0).now());
    let token = begin(&access, "reader", now);
    let own = token.as_str();
    assert_eq!(own.len(), 43, "256 bits");
    #[rustfmt::skip]
    let table: [(&[&str], Option<&str>); 10] = [
        // Cookie                                                                      name
        (&[&format!("freshet_session={own}")],                                        Some("reader")),
        (&[&format!("a=b; freshet_session={own};c=\"d\"")],                           Some("reader")),
        (&["a=b", &format!("freshet_session={own}")],                                 Some("reader")),
        (&[&format!("freshet_session={own}; freshet_session={own}")],                 None),
        (&[&format!("freshet_session={own}"), "freshet_session=x"],                   None),
        (&[&format!("freshet_session=\"{own}\"")],                                    None),
        (&[&format!("freshet_session={}", &own[..42])],                               None),
        (&[&format!("Freshet_Session={own}")],                                        None),
        (&["freshet_session="],                                                       None),
        (&["freshet_session"],                                                        None),
    ];
    for (cookies, expected) in table {
        let mut headers = HeaderMap::new();
        for cookie in cookies {
            headers.append(header::COOKIE, cookie.parse().unwrap());
        }
        let found = access.identify(&Method::GET, &headers, PEER, now).ok();
        assert_eq!(found.as_ref().map(|who| who.name()), expected, "{cookies:?}");
    }
    access.sign_out(&token);
    assert!(access.lasts(&token, now).is_none());
}
