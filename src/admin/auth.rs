//! Whose request it is: HTTP Basic with a private key as the user name.
//!
//! Owns the keys, as hashes, and a bounded table of addresses that presented wrong ones; its lock is held for one
//! look or one count. A key is never logged, printed or compared byte by byte: its hash is compared with each
//! one there is, to the end. Cost: one or two SHA-256, and tens of nanoseconds for each key of the config.

use std::collections::HashMap;
use std::net::{IpAddr, Ipv6Addr};

use base64::Engine;
use base64::alphabet::STANDARD;
use base64::engine::{DecodePaddingMode, GeneralPurpose, GeneralPurposeConfig};
use http::{HeaderMap, header};
use parking_lot::Mutex;

use super::AdminError;
use crate::clock::Moment;
use crate::config::{Account, PrivateKey};
use crate::limits;

const BASE64: GeneralPurpose = GeneralPurpose::new(
    &STANDARD,
    GeneralPurposeConfig::new().with_decode_padding_mode(DecodePaddingMode::Indifferent),
);

pub(super) struct Auth {
    /// Each with the place of its account.
    keys: Box<[(PrivateKey, usize)]>,
    failures: Mutex<HashMap<IpAddr, Failures>>,
}

/// Wrong keys of one address in one window.
#[derive(Debug)]
struct Failures {
    since: Moment,
    count: u32,
}

impl Failures {
    fn are_of_this_window(&self, now: Moment) -> bool {
        now.since(self.since) < limits::AUTH_FAILURES_TIME
    }
}

impl Auth {
    pub(super) fn new(accounts: &[Account]) -> Auth {
        let of_account = |(place, account): (usize, &Account)| {
            account.private_keys.clone().into_iter().map(move |key| (key, place))
        };
        Auth { keys: accounts.iter().enumerate().flat_map(of_account).collect(), failures: Mutex::default() }
    }

    /// The account whose key the request carries. An address with too many wrong ones gets no further try until
    /// its window ends, not even with a right one: the answer would tell a guesser that it is right.
    pub(super) fn account(
        &self,
        headers: &HeaderMap,
        peer: IpAddr,
        now: Moment,
    ) -> Result<usize, AdminError> {
        let credentials = basic_credentials(headers).ok_or(AdminError::KeyMissing)?;
        let network = network(peer);
        self.refuse_guessers(network, now)?;
        let decoded = BASE64.decode(credentials).ok().and_then(|bytes| String::from_utf8(bytes).ok());
        let user = decoded.as_deref().map(user_name);
        if user == Some("") {
            return Err(AdminError::KeyMissing);
        }
        // ImageKit documents the key not encoded, too. Such a text may happen to be base64, so it comes second.
        let known = user.and_then(|key| self.find(key)).or_else(|| self.find(user_name(credentials)));
        known.ok_or_else(|| self.count_failure(network, now))
    }

    fn find(&self, secret: &str) -> Option<usize> {
        let presented = PrivateKey::from_secret(secret);
        let mut found = None;
        for (key, account) in &self.keys {
            if key.matches(&presented) {
                found = Some(*account);
            }
        }
        found
    }

    fn refuse_guessers(&self, network: IpAddr, now: Moment) -> Result<(), AdminError> {
        match self.failures.lock().get(&network) {
            Some(failures)
                if failures.count >= limits::AUTH_FAILURES_MAX && failures.are_of_this_window(now) =>
            {
                let wait = limits::AUTH_FAILURES_TIME.saturating_sub(now.since(failures.since));
                Err(AdminError::KeysExhausted(wait))
            }
            _ => Ok(()),
        }
    }

    fn count_failure(&self, network: IpAddr, now: Moment) -> AdminError {
        let mut table = self.failures.lock();
        if table.len() >= limits::AUTH_ADDRESSES_MAX {
            table.retain(|_, failures| failures.are_of_this_window(now));
        }
        if table.len() >= limits::AUTH_ADDRESSES_MAX && !table.contains_key(&network) {
            // So many addresses that guess at once are one guesser.
            return AdminError::KeysExhausted(limits::AUTH_FAILURES_TIME);
        }
        let failures = table.entry(network).or_insert(Failures { since: now, count: 0 });
        if !failures.are_of_this_window(now) {
            *failures = Failures { since: now, count: 0 };
        }
        failures.count += 1;
        AdminError::KeyUnknown
    }
}

/// What follows `Basic` (RFC 7617 §2), where the field stands once.
fn basic_credentials(headers: &HeaderMap) -> Option<&str> {
    let mut values = headers.get_all(header::AUTHORIZATION).iter();
    let (Some(value), None) = (values.next(), values.next()) else { return None };
    let (scheme, credentials) = value.to_str().ok()?.split_once(' ')?;
    let credentials = credentials.trim_matches(' ');
    (scheme.eq_ignore_ascii_case("basic") && !credentials.is_empty()).then_some(credentials)
}

/// RFC 7617 §2: up to the first colon; the password after it is ignored.
fn user_name(credentials: &str) -> &str {
    credentials.split_once(':').map_or(credentials, |(user, _)| user)
}

/// What one client may choose its address from: an IPv6 client has a whole /64.
fn network(peer: IpAddr) -> IpAddr {
    match peer.to_canonical() {
        IpAddr::V6(ip) => {
            let [a, b, c, d, ..] = ip.segments();
            IpAddr::V6(Ipv6Addr::new(a, b, c, d, 0, 0, 0, 0))
        }
        v4 @ IpAddr::V4(_) => v4,
    }
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::*;
    use crate::clock::Clock;
    use crate::purge::tests::account;

    const PEER: IpAddr = IpAddr::V4(std::net::Ipv4Addr::LOCALHOST);

    fn outcome(
        auth: &Auth,
        authorization: &[&str],
        peer: IpAddr,
        now: Moment,
    ) -> Result<usize, &'static str> {
        let mut headers = HeaderMap::new();
        for value in authorization {
            headers.append(header::AUTHORIZATION, value.parse().unwrap());
        }
        auth.account(&headers, peer, now).map_err(|error| error.parts().2)
    }

    fn auth() -> Auth {
        let mut accounts = [account("demo", None), account("other", None)];
        // A key that is base64 of other text, as keys that end in `=` may be.
        accounts[1].private_keys.push(PrivateKey::from_secret("cHJpdmF0ZQ=="));
        Auth::new(&accounts)
    }

    #[test]
    fn a_key_is_taken_encoded_and_plain_with_any_password() {
        let now = Clock::manual(0).now();
        #[rustfmt::skip]
        let table: [(&[&str], Result<usize, &str>); 17] = [
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
            (&["Bearer private_demo"],                                   Err("key_missing")),
            (&["Basic private_demo", "Basic private_demo"],              Err("key_missing")),
            (&["Basic private_dem"],                                     Err("key_unknown")),
            (&["Basic private_demo2"],                                   Err("key_unknown")),
            (&["Basic /////w=="],                                        Err("key_unknown")),  // no UTF-8
        ];
        for (authorization, expected) in table {
            assert_eq!(outcome(&auth(), authorization, PEER, now), expected, "{authorization:?}");
        }
    }

    #[test]
    fn an_address_has_ten_wrong_keys_a_second() {
        let (auth, clock) = (auth(), Clock::manual(0));
        let try_key = |key, peer| outcome(&auth, &[key], peer, clock.now());
        for _ in 0..limits::AUTH_FAILURES_MAX {
            assert_eq!(try_key("Basic wrong", PEER), Err("key_unknown"));
        }
        assert_eq!(try_key("Basic wrong", PEER), Err("keys_exhausted"));
        assert_eq!(try_key("Basic private_demo", PEER), Err("keys_exhausted"));
        assert_eq!(outcome(&auth, &[], PEER, clock.now()), Err("key_missing"));
        assert_eq!(try_key("Basic private_demo", "192.0.2.1".parse().unwrap()), Ok(0));
        clock.advance(limits::AUTH_FAILURES_TIME - Duration::from_millis(1));
        assert_eq!(try_key("Basic private_demo", PEER), Err("keys_exhausted"));
        clock.advance(Duration::from_millis(1));
        assert_eq!(try_key("Basic wrong", PEER), Err("key_unknown"));
        assert_eq!(try_key("Basic private_demo", PEER), Ok(0));
    }

    #[test]
    fn a_client_of_ipv6_is_its_network() {
        let (auth, clock) = (auth(), Clock::manual(0));
        for n in 0..u16::try_from(limits::AUTH_FAILURES_MAX).unwrap() {
            let peer = Ipv6Addr::new(0x2001, 0xdb8, 0, 1, 0, 0, 0, n).into();
            assert_eq!(outcome(&auth, &["Basic wrong"], peer, clock.now()), Err("key_unknown"));
        }
        let [same, other] = ["2001:db8:0:1:ffff::", "2001:db8:0:2::"].map(|peer| peer.parse().unwrap());
        assert_eq!(outcome(&auth, &["Basic wrong"], same, clock.now()), Err("keys_exhausted"));
        assert_eq!(outcome(&auth, &["Basic wrong"], other, clock.now()), Err("key_unknown"));
    }

    #[test]
    fn the_table_of_addresses_is_bounded_and_empties_itself() {
        let (auth, clock) = (auth(), Clock::manual(0));
        let peer = |n: usize| IpAddr::from(u32::try_from(n).unwrap().to_be_bytes());
        for n in 0..limits::AUTH_ADDRESSES_MAX {
            assert_eq!(outcome(&auth, &["Basic wrong"], peer(n), clock.now()), Err("key_unknown"));
        }
        let one_more = peer(limits::AUTH_ADDRESSES_MAX);
        assert_eq!(outcome(&auth, &["Basic wrong"], one_more, clock.now()), Err("keys_exhausted"));
        assert_eq!(outcome(&auth, &["Basic private_demo"], one_more, clock.now()), Ok(0));
        assert_eq!(auth.failures.lock().len(), limits::AUTH_ADDRESSES_MAX);
        clock.advance(limits::AUTH_FAILURES_TIME);
        assert_eq!(outcome(&auth, &["Basic wrong"], one_more, clock.now()), Err("key_unknown"));
        assert_eq!(auth.failures.lock().len(), 1);
    }
}
