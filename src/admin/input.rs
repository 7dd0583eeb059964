//! What a caller wrote that can't be taken: where it stands, which rule it breaks, and what would be right. And the
//! reading of a call's parameters, which are as strict as a body is: a name that is known stands once, with a value
//! that means something. Names that are not known are let pass.

use std::borrow::Cow;
use std::ops::RangeInclusive;

use http::Uri;

use super::AdminError;

/// See the module.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct InputError {
    /// The parameter or member: `limit`, `targets[3].mode`.
    pub at: Cow<'static, str>,
    /// The rule's code.
    pub reason: &'static str,
    /// What would be right.
    pub help: Cow<'static, str>,
    /// What is wrong, in a sentence of its own.
    said: Option<&'static str>,
}

impl InputError {
    pub(super) fn new(
        at: impl Into<Cow<'static, str>>,
        reason: &'static str,
        help: impl Into<Cow<'static, str>>,
    ) -> InputError {
        InputError { at: at.into(), reason, help: help.into(), said: None }
    }

    /// The same with another sentence.
    pub(super) fn saying(self, message: &'static str) -> InputError {
        InputError { said: Some(message), ..self }
    }

    /// What is wrong, in a sentence.
    pub(super) fn message(&self) -> Cow<'static, str> {
        match self.said {
            Some(message) => message.into(),
            None if self.at.is_empty() => "The body of your request is no JSON object.".into(),
            None => format!("Your request can't be taken as it is: see `{}`.", self.at).into(),
        }
    }
}

impl From<InputError> for AdminError {
    fn from(error: InputError) -> AdminError {
        AdminError::Input(error)
    }
}

/// The parameters of a call, decoded.
pub(super) struct Parameters(Vec<(String, String)>);

impl Parameters {
    pub(super) fn of(uri: &Uri) -> Parameters {
        let query = uri.query().unwrap_or_default();
        Parameters(form_urlencoded::parse(query.as_bytes()).into_owned().collect())
    }

    /// A parameter's value, where it is there.
    pub(super) fn text(&self, name: &'static str) -> Result<Option<&str>, InputError> {
        let mut values = self.0.iter().filter(|(known, _)| known == name).map(|(_, value)| &**value);
        let Some(value) = values.next() else { return Ok(None) };
        if values.next().is_some() {
            return Err(InputError::new(name, "parameter_twice", "Send the parameter once."));
        }
        // What a decoder puts in the place of bytes that are no text.
        if value.contains('\u{fffd}') {
            let help = "Send text in UTF-8, percent-encoded.";
            return Err(InputError::new(name, "parameter_not_text", help));
        }
        Ok(Some(value))
    }

    /// A parameter's value, which has to be there.
    pub(super) fn required(&self, name: &'static str, help: &'static str) -> Result<&str, InputError> {
        match self.text(name)? {
            None | Some("") => Err(InputError::new(name, "parameter_missing", help)),
            Some(value) => Ok(value),
        }
    }

    /// A whole number, or `default` where it is not there.
    pub(super) fn number(
        &self,
        name: &'static str,
        range: RangeInclusive<usize>,
        default: usize,
    ) -> Result<usize, InputError> {
        let Some(text) = self.text(name)? else { return Ok(default) };
        let digits = text.bytes().all(|byte| byte.is_ascii_digit());
        match text.parse().ok().filter(|number| digits && range.contains(number)) {
            Some(number) => Ok(number),
            None => {
                let help = format!("It is a whole number from {} to {}.", range.start(), range.end());
                Err(InputError::new(name, "parameter_not_in_range", help))
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn parameters(query: &str) -> Parameters {
        Parameters::of(&format!("http://h/x?{query}").parse().unwrap())
    }

    #[test]
    fn a_parameter_stands_once_and_is_text() {
        #[rustfmt::skip]
        let table: [(&str, Result<Option<&str>, &str>); 10] = [
            // query                       url
            ("",                           Ok(None)),
            ("urls=x&Url=y",               Ok(None)),
            ("url=",                       Ok(Some(""))),
            ("url",                        Ok(Some(""))),
            ("a=1&url=x%26y+z%2B",         Ok(Some("x&y z+"))),
            ("url=http://h/a?b=c",         Ok(Some("http://h/a?b=c"))),
            ("url=%C3%A9",                 Ok(Some("é"))),
            ("u%72l=x",                    Ok(Some("x"))),
            ("url=x&url=x",                Err("parameter_twice")),
            ("url=%ff",                    Err("parameter_not_text")),
        ];
        for (query, expected) in table {
            let parameters = parameters(query);
            assert_eq!(parameters.text("url").map_err(|error| error.reason), expected, "{query}");
        }
        for query in ["", "url="] {
            let error = parameters(query).required("url", "help").map(str::to_owned).unwrap_err();
            assert_eq!((&*error.at, error.reason), ("url", "parameter_missing"));
        }
    }

    #[test]
    fn a_number_is_digits_within_its_range() {
        let table = [
            ("", Ok(7)),
            ("limit=1", Ok(1)),
            ("limit=010", Ok(10)),
            ("limit=100", Ok(100)),
            ("limit=0", Err(())),
        ];
        for (query, expected) in table {
            assert_eq!(parameters(query).number("limit", 1..=100, 7).map_err(drop), expected, "{query}");
        }
        for text in ["101", "", "-1", "+1", "1.0", "1e1", "ten", "18446744073709551616"] {
            let query = format!("limit={}", text.replace('+', "%2B"));
            let error = parameters(&query).number("limit", 1..=100, 7).unwrap_err();
            assert_eq!(error.reason, "parameter_not_in_range", "{text}");
            assert_eq!(error.help, "It is a whole number from 1 to 100.");
        }
    }
}
