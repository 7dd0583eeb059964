//! `[[routes]]`: each key typed, and what it may be.

use std::fmt::Display;

use http::{HeaderName, HeaderValue, Method};
use regex::Regex;

use super::read::Reading;
use super::section::Section;
use super::types::*;
use crate::limits::{IGNORED_PARAMETERS_MAX, TARGETED_FIELDS_MAX};

impl<'a> Reading<'a> {
    pub(super) fn routes(&mut self, root: &mut Section<'a>, accounts: &[Account]) -> Vec<Route> {
        let mut routes = Vec::new();
        for mut section in root.sections("routes", &mut self.problems) {
            routes.push(self.route(&mut section, accounts));
            section.finish(&mut self.problems);
        }
        routes
    }

    fn route(&mut self, section: &mut Section<'a>, accounts: &[Account]) -> Route {
        let problems = &mut self.problems;
        let pattern = section.parsed("match", problems, |text| {
            Regex::new(text).map_err(|error| format!("is no regular expression: {error}").replace('\n', " "))
        });
        let account = section.parsed("account", problems, |text| {
            let known = accounts.iter().any(|account| account.id == text);
            if known { Ok(text.to_owned()) } else { Err("names no account of this config") }
        });
        let http = section.parsed("http", problems, |text| match text {
            "image" => Ok(HttpMode::Image),
            "rfc" => Ok(HttpMode::Rfc),
            _ => Err("must be \"image\" or \"rfc\""),
        });
        let grace = section.optional_duration("grace", "0s"..="365d", problems);
        let request_directives = section.optional_boolean("request_directives", problems);
        let set_cookie = section.parsed("set_cookie", problems, |text| match text {
            "bypass" => Ok(SetCookie::Bypass),
            "strip" => Ok(SetCookie::Strip),
            "store" => Ok(SetCookie::Store),
            _ => Err("must be \"bypass\", \"strip\" or \"store\""),
        });
        let browser = section.parsed("browser", problems, browser).flatten();
        Route {
            pattern,
            account,
            http: http.unwrap_or_default(),
            methods: self.list(section, "methods", usize::MAX, method),
            lifetimes: self.lifetimes(section),
            grace,
            request_directives,
            ignore_query: self
                .list(section, "ignore_query", IGNORED_PARAMETERS_MAX, parameter)
                .unwrap_or_default(),
            set_cookie,
            targeted_fields: self.list(section, "targeted_fields", TARGETED_FIELDS_MAX, field_name),
            formats: self.list(section, "formats", usize::MAX, format),
            hints: self.list(section, "hints", usize::MAX, hint).unwrap_or_default(),
            vary_forbidden: self.list(section, "vary_forbidden", usize::MAX, field_name),
            browser,
        }
    }

    fn lifetimes(&mut self, section: &mut Section<'a>) -> Lifetimes {
        let mut section = section.section("lifetimes", &mut self.problems);
        let problems = &mut self.problems;
        let lifetimes = Lifetimes {
            default: section.optional_duration("default", "0s"..="3650d", problems),
            minimum: section.optional_duration("minimum", "0s"..="3650d", problems),
            maximum: section.optional_duration("maximum", "0s"..="3650d", problems),
            negative: section.optional_duration("negative", "0s"..="1d", problems),
        };
        if let (Some(minimum), Some(maximum)) = (lifetimes.minimum, lifetimes.maximum)
            && minimum > maximum
        {
            let rule = "must not be less than minimum";
            problems.add(section.offset, &section.key("maximum"), &format!("{maximum:?}"), rule);
        }
        section.finish(problems);
        lifetimes
    }

    /// An array of strings, each parsed; nothing where the key is left out.
    pub(super) fn list<T, E: Display>(
        &mut self,
        section: &mut Section<'a>,
        name: &'static str,
        most: usize,
        parse: impl Fn(&str) -> Result<T, E>,
    ) -> Option<Vec<T>> {
        let key = section.key(name);
        let given = section.take(name)?;
        let mut parsed = Vec::new();
        for value in self.array(Some(given), &key) {
            match value.get_ref().as_str().map(&parse) {
                Some(Ok(item)) => parsed.push(item),
                Some(Err(rule)) => self.problems.of(value, &key, rule),
                None => self.problems.of(value, &key, "must hold strings"),
            }
        }
        if parsed.len() > most {
            self.problems.of(given, &key, format!("must hold at most {most}"));
        }
        Some(parsed)
    }
}

fn method(text: &str) -> Result<Method, &'static str> {
    match text.parse() {
        Ok(method) if method != Method::CONNECT && method != Method::TRACE => Ok(method),
        _ => Err("must be a method, as in \"POST\"; never CONNECT or TRACE"),
    }
}

fn field_name(text: &str) -> Result<HeaderName, &'static str> {
    text.parse().map_err(|_| "must be the name of a header field")
}

fn format(text: &str) -> Result<Format, &'static str> {
    match text {
        "avif" => Ok(Format::Avif),
        "jxl" => Ok(Format::Jxl),
        "webp" => Ok(Format::Webp),
        _ => Err("must be \"avif\", \"webp\" or \"jxl\""),
    }
}

fn hint(text: &str) -> Result<Hint, &'static str> {
    match text.to_ascii_lowercase().as_str() {
        "dpr" => Ok(Hint::Dpr),
        "width" => Ok(Hint::Width),
        "save-data" => Ok(Hint::SaveData),
        _ => Err("must be \"dpr\", \"width\" or \"save-data\""),
    }
}

/// A name of bytes that a canonical query has, `*` at its end alone.
fn parameter(text: &str) -> Result<Parameter, &'static str> {
    let (name, wildcard) = match text.strip_suffix('*') {
        Some(beginning) => (beginning, true),
        None => (text, false),
    };
    let allowed = |byte: u8| byte.is_ascii_graphic() && !b"&=#*\"<>\\%".contains(&byte);
    if name.is_empty() || !name.bytes().all(allowed) {
        return Err("must be a parameter's name, as in \"fbclid\", or its beginning, as in \"utm_*\"");
    }
    Ok(Parameter { name: name.into(), wildcard })
}

/// Cache-Control as browsers read it (RFC 9111 §5.2.2, RFC 5861, RFC 8246), or nothing for `origin`.
fn browser(text: &str) -> Result<Option<HeaderValue>, &'static str> {
    const PLAIN: [&str; 7] =
        ["no-cache", "no-store", "private", "public", "must-revalidate", "no-transform", "immutable"];
    const TIMED: [&str; 3] = ["max-age", "stale-while-revalidate", "stale-if-error"];
    const RULE: &str =
        "must be \"origin\", or a Cache-Control for browsers, as in \"no-cache\" or \"max-age=60\"";
    if text == "origin" {
        return Ok(None);
    }
    let known = |directive: &str| match directive.split_once('=') {
        None => PLAIN.contains(&directive),
        Some((name, seconds)) => {
            let digits = !seconds.is_empty() && seconds.bytes().all(|digit| digit.is_ascii_digit());
            TIMED.contains(&name) && digits
        }
    };
    if !text.split(',').all(|directive| known(directive.trim())) {
        return Err(RULE);
    }
    HeaderValue::from_str(text).map(Some).map_err(|_| RULE)
}
