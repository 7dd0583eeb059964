//! Pages of long lists: how many, and from where on.
//!
//! A cursor is opaque to its holder. It is the name of the last thing on a page, encoded, never a count, so that it
//! stays right while things come and go; and it is checked like any other input, since a holder may change it.

use base64::Engine;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;

use super::input::{InputError, Parameters};

/// The parameter that says where a page begins.
const CURSOR: &str = "cursor";

/// The cursor that names this text.
pub(super) fn cursor_of(text: &str) -> String {
    URL_SAFE_NO_PAD.encode(text)
}

/// The text that the caller's cursor names, if there is one and `is_right` takes it.
pub(super) fn cursor_in(
    parameters: &Parameters,
    is_right: impl FnOnce(&str) -> bool,
) -> Result<Option<String>, InputError> {
    let Some(cursor) = parameters.text(CURSOR)? else { return Ok(None) };
    let decoded = URL_SAFE_NO_PAD.decode(cursor).ok().and_then(|bytes| String::from_utf8(bytes).ok());
    match decoded.filter(|text| is_right(text)) {
        Some(text) => Ok(Some(text)),
        None => Err(cursor_unknown()),
    }
}

/// What a cursor is that was never given, or for another list.
pub(super) fn cursor_unknown() -> InputError {
    let help = "Send what `next` of the last page says, with the other parameters as they were; leave it out for the \
                first page.";
    InputError::new(CURSOR, "cursor_unknown", help)
}

/// The most that one page is to have.
pub(super) fn limit_in(parameters: &Parameters, default: usize, most: usize) -> Result<usize, InputError> {
    parameters.number("limit", 1..=most, default)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_cursor_comes_back_as_it_was_and_no_other_is_taken() {
        let with = |cursor: &str| Parameters::of(&format!("http://h/?cursor={cursor}").parse().unwrap());
        let text = "demo/a/b.jpg?tr=w-1&é=%ff";
        let cursor = cursor_of(text);
        assert!(cursor.bytes().all(|byte| byte.is_ascii_alphanumeric() || b"-_".contains(&byte)), "{cursor}");
        assert_eq!(cursor_in(&with(&cursor), |found| found == text).unwrap().as_deref(), Some(text));
        assert_eq!(cursor_in(&Parameters::of(&"http://h/".parse().unwrap()), |_| false), Ok(None));
        for (cursor, is_right) in [(&*cursor, false), ("=", true), ("_w", true), ("a", true)] {
            let error = cursor_in(&with(cursor), |_| is_right).unwrap_err();
            assert_eq!((&*error.at, error.reason), ("cursor", "cursor_unknown"), "{cursor}");
        }
    }
}
