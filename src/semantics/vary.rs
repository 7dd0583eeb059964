//! Which request fields select a variant, and their values (RFC 9111 §4.1).
//!
//! Invariants: names are sorted and unlike each other, so that the order and case in which an origin lists
//! them don't count; at most `VARY_FIELDS_MAX` names and `SELECTION_BYTES_MAX` bytes of values. Cost of a
//! comparison: O(length of the fields); no allocation where a value is written as it was stored.

use std::borrow::Cow;
use std::hash::{Hash, Hasher};

use http::{HeaderMap, HeaderName, HeaderValue, header};

use super::list;
use super::policy::Policy;
use super::storable::NotStorable;
use crate::limits::{SELECTION_BYTES_MAX, VARY_FIELDS_MAX};

/// The values of the request fields that a response's Vary names, normalised.
#[derive(Clone, Debug, Default, PartialEq, Eq, Hash)]
pub struct Selection(Box<[SelectingField]>);

#[derive(Clone, Debug)]
struct SelectingField {
    name: HeaderName,
    /// Nothing where the request had no such field, which is another value than an empty one.
    value: Option<Box<[u8]>>,
    /// Beside Accept-Language: the one language of the response, in lower case. No part of what is selected by:
    /// responses to one request replace each other whatever their languages.
    language: Option<Box<[u8]>>,
}

impl PartialEq for SelectingField {
    fn eq(&self, other: &SelectingField) -> bool {
        (&self.name, &self.value) == (&other.name, &other.value)
    }
}

impl Eq for SelectingField {}

impl Hash for SelectingField {
    fn hash<H: Hasher>(&self, state: &mut H) {
        (&self.name, &self.value).hash(state);
    }
}

impl Selection {
    /// What `response` is selected by, as the request that fetched it had it.
    pub fn new(response: &HeaderMap, request: &HeaderMap, policy: &Policy) -> Result<Selection, NotStorable> {
        let mut bytes = 0;
        let mut fields = Vec::new();
        for name in selecting_names(response, policy)? {
            let value = normalised(request, &name).map(|value| value.into_owned().into_boxed_slice());
            bytes += name.as_str().len() + value.as_ref().map_or(0, |value| value.len());
            let language = if name == header::ACCEPT_LANGUAGE { language(response) } else { None };
            bytes += language.as_ref().map_or(0, |language| language.len());
            fields.push(SelectingField { name, value, language });
        }
        if bytes > SELECTION_BYTES_MAX {
            return Err(NotStorable::VaryTooLarge);
        }
        Ok(Selection(fields.into()))
    }

    /// Whether a response with this selection answers `request`.
    pub fn matches(&self, request: &HeaderMap) -> bool {
        self.0.iter().all(|field| field.matches(request))
    }

    /// The fields of a request that it matches, and nothing else.
    pub fn fields(&self) -> HeaderMap {
        let named = self.0.iter().filter_map(|field| {
            // Made of a request's own value, less blanks, case or order: it can be sent again.
            Some((field.name.clone(), HeaderValue::from_bytes(field.value.as_ref()?).ok()?))
        });
        named.collect()
    }

    /// Bytes on the heap, for the weight of an entry.
    pub fn heap_bytes(&self) -> usize {
        let values = self.0.iter().flat_map(|field| [&field.value, &field.language]).flatten();
        size_of_val(&*self.0) + values.map(|value| value.len()).sum::<usize>()
    }
}

impl SelectingField {
    fn matches(&self, request: &HeaderMap) -> bool {
        normalised(request, &self.name).as_deref() == self.value.as_deref()
            || self.language.as_ref().is_some_and(|own| liked_best(request).as_deref() == Some(own))
    }
}

/// The language of a response that has one alone.
fn language(response: &HeaderMap) -> Option<Box<[u8]>> {
    let mut members = list::field_members(response, &header::CONTENT_LANGUAGE).filter(|tag| !tag.is_empty());
    let one = members.next().filter(|tag| list::is_token(tag) && tag != b"*")?;
    members.next().is_none().then(|| one.to_ascii_lowercase().into())
}

/// The language that a client ranks above all others. A response in it is what negotiation by this ranking gives,
/// whatever else the field says (RFC 9110 §12.5.4), so it is taken as matching: a step further than RFC 9111 §4.1,
/// which names differences of spelling and order, and asks for the same meaning.
fn liked_best(request: &HeaderMap) -> Option<Vec<u8>> {
    let mut best: Option<(u16, &[u8])> = None;
    let mut alone = false;
    for member in list::field_members(request, &header::ACCEPT_LANGUAGE).filter(|member| !member.is_empty()) {
        let mut parts = list::members(member, b';');
        let range = parts.next()?;
        let weight = parts.next().map_or(Some(1000), weight)?;
        match best {
            Some((most, _)) if weight < most => {}
            Some((most, _)) if weight == most => alone = false,
            _ => (best, alone) = (Some((weight, range)), true),
        }
    }
    best.filter(|(weight, _)| alone && *weight > 0).map(|(_, range)| range.to_ascii_lowercase())
}

/// A weight in thousandths (RFC 9110 §12.4.2).
fn weight(parameter: &[u8]) -> Option<u16> {
    let text = std::str::from_utf8(parameter).ok()?;
    let value = text.strip_prefix(['q', 'Q'])?.trim_start().strip_prefix('=')?.trim_start();
    let (whole, part) = value.split_once('.').unwrap_or((value, ""));
    if !["0", "1"].contains(&whole) || part.len() > 3 || !part.bytes().all(|digit| digit.is_ascii_digit()) {
        return None;
    }
    let weight = format!("{whole}{part:0<3}").parse().ok()?;
    (weight <= 1000).then_some(weight)
}

fn selecting_names(response: &HeaderMap, policy: &Policy) -> Result<Vec<HeaderName>, NotStorable> {
    let mut names = Vec::new();
    for member in list::field_members(response, &header::VARY).filter(|member| !member.is_empty()) {
        if member == b"*" {
            return Err(NotStorable::VaryStar);
        }
        let name = HeaderName::from_bytes(member).map_err(|_| NotStorable::VaryForbidden)?;
        if policy.vary_forbidden.contains(&name) {
            return Err(NotStorable::VaryForbidden);
        }
        names.push(name);
    }
    names.sort_unstable_by(|a, b| a.as_str().cmp(b.as_str()));
    names.dedup();
    if names.len() > VARY_FIELDS_MAX {
        return Err(NotStorable::VaryTooLarge);
    }
    Ok(names)
}

/// All lines of a field as one value without blanks around commas; lists of what a client accepts by their
/// members, in one order (§4.1 allows both: neither changes what the field means).
fn normalised<'a>(request: &'a HeaderMap, name: &HeaderName) -> Option<Cow<'a, [u8]>> {
    let mut lines = request.get_all(name).into_iter();
    let first = lines.next()?.as_bytes();
    let preferences = is_preference_list(name);
    if lines.next().is_none() && is_normal(first, preferences) {
        return Some(Cow::Borrowed(first));
    }
    let members = list::field_members(request, name);
    if !preferences {
        return Some(Cow::Owned(members.collect::<Vec<_>>().join(&b',')));
    }
    let mut members: Vec<_> = members.filter(|member| !member.is_empty()).map(preference).collect();
    members.sort_unstable_by(|a, b| in_order(a, b));
    members.dedup();
    Some(Cow::Owned(members.join(&b',')))
}

fn is_preference_list(name: &HeaderName) -> bool {
    [header::ACCEPT, header::ACCEPT_LANGUAGE, header::ACCEPT_ENCODING, header::ACCEPT_CHARSET].contains(name)
}

/// Whether normalising would change nothing. Exact for what `accept.rs` writes, a cautious no for much else.
fn is_normal(value: &[u8], preferences: bool) -> bool {
    let plain = !value.iter().any(|b| matches!(b, b' ' | b'\t' | b'"'));
    if !preferences {
        return plain;
    }
    let mut last: Option<&[u8]> = None;
    plain
        && !value.iter().any(u8::is_ascii_uppercase)
        && value.split(|b| *b == b',').all(|member| {
            let ordered = last.is_none_or(|last| in_order(last, member).is_lt());
            last = Some(member);
            ordered && !member.is_empty()
        })
}

/// Wildcards last, as clients write them; else by bytes.
fn in_order(a: &[u8], b: &[u8]) -> std::cmp::Ordering {
    (a.contains(&b'*'), a).cmp(&(b.contains(&b'*'), b))
}

/// One member: the range in lower case (RFC 9110 §8.3.1, §8.4.1, §12.5.4), parameters and weight as sent,
/// without blanks around the semicolons.
fn preference(member: &[u8]) -> Vec<u8> {
    let mut parts = list::members(member, b';');
    let mut text = parts.next().unwrap_or_default().to_ascii_lowercase();
    for part in parts {
        text.push(b';');
        text.extend_from_slice(part);
    }
    text
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;
    use crate::semantics::table;

    fn select(vary: &str, request: &str) -> Result<Selection, NotStorable> {
        let response = table::headers(&format!("Vary: {}", vary.replace(" / ", " // Vary: ")));
        Selection::new(&response, &table::headers(request), &Policy::rfc())
    }

    #[test]
    fn requests_are_matched_by_the_meaning_of_the_fields_that_vary_names() {
        for [vary, stored, asked, expected] in table::rows(
            "
            Foo             | Foo: 1                        | Foo: 1                        | match
            Foo             | Foo: 1                        | Foo: 2                        | other
            Foo             | Foo: 1                        |                               | other
            Foo             |                               | Foo: 1                        | other
            Foo             |                               | Bar: 1                        | match
            Foo             | Foo:                          |                               | other
            fOO             | Foo: 1                        | foo: 1                        | match
            Foo             | Foo: 1 // Other: 2            | Foo: 1 // Other: 3            | match
            Foo, Bar        | Foo: 1 // Bar: abc            | Bar: abc // Foo: 1            | match
            Foo, Bar        | Foo: 1 // Bar: abc            | Foo: 2 // Bar: abc            | other
            Foo, Bar        | Foo: 1                        |                               | other
            Foo / Bar       | Foo: 1 // Bar: abc            | Foo: 1 // Bar: x              | other
            Foo, Bar, Baz   | Foo: 1 // Baz: 789            | Foo: 1 // Baz: 789            | match
            Foo, Bar, Baz   | Foo: 1 // Bar: a4 // Baz: 789 | Foo: 1 // Bar: a // Baz: 789  | other
            Foo,,Foo        | Foo: 1                        | Foo: 1                        | match
            Foo             | Foo: 1,2                      | Foo:  1 ,  2                  | match
            Foo             | Foo: 1, 2                     | Foo: 1 // Foo: 2              | match
            Foo             | Foo: 1, 2                     | Foo: 2, 1                     | other
            Foo             | Foo: A                        | Foo: a                        | other
            Foo             | Foo: \"a , b\"                | Foo: \"a,b\"                  | other
            Accept-Language | Accept-Language: en, de       | Accept-Language: de,en        | match
            Accept-Language | Accept-Language: en-GB        | Accept-Language: en-gb        | match
            Accept-Language | Accept-Language: en, de       | Accept-Language: de // Accept-Language: en | match
            Accept-Language | Accept-Language: en;q=0.5, de | Accept-Language: de, en ; q=0.5 | match
            Accept-Language | Accept-Language: en;q=0.5     | Accept-Language: en;q=0.6     | other
            Accept-Encoding | Accept-Encoding: gzip, br     | Accept-Encoding: br,,gzip     | match
            Accept          | Accept: image/avif,image/webp,*/* | Accept: */*, image/webp, image/avif | match
            Accept          | Accept: image/avif,*/*        | Accept: image/webp,*/*        | other
            ",
        ) {
            let selection = select(vary, stored).unwrap();
            let found = if selection.matches(&table::headers(asked)) { "match" } else { "other" };
            assert_eq!(found, expected, "{vary}: {stored} then {asked}");
        }
    }

    #[test]
    fn a_response_in_the_language_that_a_client_likes_best_answers_it() {
        for [language, asked, expected] in table::rows(
            "
            de        | fr;q=0.5, de;q=1.0        | match
            de        | de                        | match
            DE        | fr;q=0.999, dE            | match
            de        | de;q=0.2, fr;q=0.1        | match
            de        | de ; Q = 0.200            | match
            de        | fr, de;q=0.9              | other
            de        | de, fr                    | other
            de        | de;q=0                    | other
            de        | de-AT                     | other
            de        | *                         | other
            de        | de;q=1.1                  | other
            de        | de;q=x, fr;q=0.1          | other
            de        |                           | other
            de, en    | de                        | other
            *         | *                         | other
                      | de                        | other
            ",
        ) {
            let response = table::headers(&format!("Vary: Accept-Language // Content-Language: {language}"));
            let request = table::headers("Accept-Language: en, fr;q=0.1");
            let selection = Selection::new(&response, &request, &Policy::rfc()).unwrap();
            let asked = table::headers(&format!("Accept-Language: {asked}"));
            let found = if selection.matches(&asked) { "match" } else { "other" };
            assert_eq!(found, expected, "{language}: {asked:?}");
            assert_eq!(selection, select("Accept-Language", "Accept-Language: en, fr;q=0.1").unwrap());
        }
        let french = table::headers("Vary: Accept-Language, Foo // Content-Language: fr");
        let selection = Selection::new(&french, &table::headers("Foo: 1"), &Policy::rfc()).unwrap();
        assert!(selection.matches(&table::headers("Foo: 1 // Accept-Language: fr")));
        assert!(!selection.matches(&table::headers("Foo: 2 // Accept-Language: fr")));
    }

    #[test]
    fn err_star_unreadable_and_oversize_vary() {
        for star in ["*", "*, *", "* / *", ", *", ", / *", "*, Foo", "Foo, *", "Foo / *"] {
            assert_eq!(select(star, "Foo: 1"), Err(NotStorable::VaryStar), "{star}");
        }
        assert_eq!(select("a b", ""), Err(NotStorable::VaryForbidden));
        let names: Vec<_> = (0..=VARY_FIELDS_MAX).map(|n| format!("f{n}")).collect();
        assert_eq!(select(&names.join(","), ""), Err(NotStorable::VaryTooLarge));
        assert!(select(&names[1..].join(","), "").is_ok());
        let long = format!("Foo: {}", "x".repeat(SELECTION_BYTES_MAX));
        assert_eq!(select("Foo", &long), Err(NotStorable::VaryTooLarge));
    }

    #[test]
    fn the_names_order_does_not_make_another_selection() {
        assert_eq!(select("b, A", "a: 1 // b: 2"), select("a / B, a", "b: 2 // a: 1"));
        assert!(select("a", "a: 12").unwrap().heap_bytes() >= 2);
    }

    fn accept(members: &[String], blanks: &[u8]) -> HeaderMap {
        let mut text = String::new();
        for (at, member) in members.iter().enumerate() {
            let blank = " ".repeat(usize::from(blanks.get(at).copied().unwrap_or_default() % 3));
            text += &format!("{}{blank}{member}{blank}", if at == 0 { "" } else { "," });
        }
        HeaderMap::from_iter([(header::ACCEPT, HeaderValue::from_str(&text).unwrap())])
    }

    proptest! {
        #[test]
        fn order_and_blanks_never_change_a_selection(
            members in proptest::collection::vec("[a-zA-Z]{1,3}/[a-z*]{1,3}(;q=0\\.[0-9])?", 1..6),
            blanks in proptest::collection::vec(any::<u8>(), 0..6),
            turn in 0_usize..6,
        ) {
            let response = table::headers("Vary: Accept");
            let mut turned = members.clone();
            turned.rotate_left(turn % members.len());
            let (one, other) = (accept(&members, &[]), accept(&turned, &blanks));
            let select = |request| Selection::new(&response, request, &Policy::rfc()).unwrap();
            prop_assert_eq!(select(&one), select(&other));
            prop_assert!(select(&one).matches(&other) && select(&other).matches(&one));
        }

        #[test]
        fn matching_is_the_equality_of_selections(
            lines in proptest::collection::vec("[ -~]{0,12}", 0..3),
            others in proptest::collection::vec("[ -~]{0,12}", 0..3),
            name in prop_oneof![Just("accept"), Just("foo")],
        ) {
            let response = table::headers(&format!("Vary: {name}"));
            let request = |lines: &[String]| -> HeaderMap {
                let value = |line: &String| HeaderValue::from_str(line.trim()).unwrap();
                lines.iter().map(|line| (HeaderName::from_static(name), value(line))).collect()
            };
            let (one, other) = (request(&lines), request(&others));
            let select = |request| Selection::new(&response, request, &Policy::rfc()).unwrap();
            prop_assert!(select(&one).matches(&one));
            prop_assert_eq!(select(&one).matches(&other), select(&one) == select(&other));
            prop_assert_eq!(select(&one).matches(&other), select(&other).matches(&one));
        }
    }
}
