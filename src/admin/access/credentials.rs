//! What an Authorization field presents. Pure.

use base64::Engine;
use base64::alphabet::STANDARD;
use base64::engine::{DecodePaddingMode, GeneralPurpose, GeneralPurposeConfig};
use http::{HeaderMap, header};

const BASE64: GeneralPurpose = GeneralPurpose::new(
    &STANDARD,
    GeneralPurposeConfig::new().with_decode_padding_mode(DecodePaddingMode::Indifferent),
);

/// The texts that may be the key, in the order in which they are tried; nothing where none is presented.
pub(super) fn presented(headers: &HeaderMap) -> Option<Vec<String>> {
    let mut values = headers.get_all(header::AUTHORIZATION).iter();
    let (Some(value), None) = (values.next(), values.next()) else { return None };
    let (scheme, credentials) = value.to_str().ok()?.split_once(' ')?;
    let credentials = credentials.trim_matches(' ');
    if credentials.is_empty() {
        return None;
    }
    if scheme.eq_ignore_ascii_case("bearer") {
        return Some(vec![credentials.to_owned()]); // RFC 6750 §2.1
    }
    scheme.eq_ignore_ascii_case("basic").then(|| of_basic(credentials)).flatten()
}

/// The private key as user name (RFC 7617 §2).
fn of_basic(credentials: &str) -> Option<Vec<String>> {
    let decoded = BASE64.decode(credentials).ok().and_then(|bytes| String::from_utf8(bytes).ok());
    let user = decoded.as_deref().map(user_name);
    if user == Some("") {
        return None;
    }
    // ImageKit documents the key not encoded, too. Such a text may happen to be base64, so it comes second.
    Some(user.into_iter().chain([user_name(credentials)]).map(str::to_owned).collect())
}

/// Up to the first colon; the password after it is ignored.
fn user_name(credentials: &str) -> &str {
    credentials.split_once(':').map_or(credentials, |(user, _)| user)
}
