//! Reduces a client's Accept to the image formats that a route's origin makes (RFC 9110 §12.5.1).
//!
//! Applied before the key's variant is looked up and before a request goes to the origin, so that a
//! thousand browsers' spellings make at most 2ⁿ variants. Invariant: the result is one of the texts of
//! `CLASSES`, whatever the client sent. Cost: one pass, no allocation.

use http::{HeaderMap, HeaderValue, header};

use super::list;
pub use crate::config::Format;

/// Every format, in the order of the bits of `CLASSES`' index, with its media type.
const FORMATS: [(Format, &str); 3] =
    [(Format::Avif, "image/avif"), (Format::Jxl, "image/jxl"), (Format::Webp, "image/webp")];

/// The canonical spelling of each set of formats; a format's place in `FORMATS` is its bit in the index.
const CLASSES: [&str; 8] = [
    "*/*",
    "image/avif,*/*",
    "image/jxl,*/*",
    "image/avif,image/jxl,*/*",
    "image/webp,*/*",
    "image/avif,image/webp,*/*",
    "image/jxl,image/webp,*/*",
    "image/avif,image/jxl,image/webp,*/*",
];

/// The Accept that the origin gets and that selects the variant. Only a format's own name, with a weight
/// other than zero, counts: `*/*` and `image/*` are sent by clients that can show none of these.
pub fn reduce(request: &HeaderMap, formats: &[Format]) -> HeaderValue {
    let mut class = 0;
    for member in list::field_members(request, &header::ACCEPT) {
        let mut parts = list::members(member, b';');
        let range = parts.next().unwrap_or_default();
        let named = |(format, media_type): &(Format, &str)| {
            formats.contains(format) && range.eq_ignore_ascii_case(media_type.as_bytes())
        };
        if let Some(bit) = FORMATS.iter().position(named)
            && !parts.any(is_zero_weight)
        {
            class |= 1 << bit;
        }
    }
    HeaderValue::from_static(CLASSES[class])
}

/// `q=0`, `q=0.`, `q=0.000` (RFC 9110 §12.4.2).
fn is_zero_weight(parameter: &[u8]) -> bool {
    match parameter {
        [b'q' | b'Q', b'=', b'0', fraction @ ..] => match fraction {
            [] => true,
            [b'.', digits @ ..] => digits.iter().all(|digit| *digit == b'0'),
            _ => false,
        },
        _ => false,
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;
    use crate::semantics::table;
    use crate::semantics::{policy::Policy, vary::Selection};

    const ALL: [Format; 3] = [Format::Avif, Format::Jxl, Format::Webp];

    #[test]
    fn accept_is_reduced_to_the_formats_that_the_route_names() {
        for [formats, accept, expected] in table::rows(
            "
            avif webp     | image/avif,image/webp,image/apng,image/*,*/*;q=0.8         | image/avif,image/webp,*/*
            avif webp     | image/webp , IMAGE/AVIF                                    | image/avif,image/webp,*/*
            webp avif     | image/avif,image/webp                                      | image/avif,image/webp,*/*
            avif webp     | image/webp;q=0.1                                           | image/webp,*/*
            avif webp     | image/avif;q=0, image/webp                                 | image/webp,*/*
            avif webp     | image/avif; Q=0.000, image/webp;q=0.001                    | image/webp,*/*
            avif webp     | image/avif // Accept: image/webp                           | image/avif,image/webp,*/*
            avif webp     | image/webp,image/avif,image/jxl,image/heic                 | image/avif,image/webp,*/*
            avif webp jxl | image/webp,image/avif,image/jxl,image/heic                 | image/avif,image/jxl,image/webp,*/*
            jxl           | image/webp,image/avif,image/jxl                            | image/jxl,*/*
            webp          | image/avif                                                 | */*
            avif webp     | image/*                                                    | */*
            avif webp     | */*                                                        | */*
            avif webp     | text/html                                                  | */*
            avif webp     | x=\"image/webp                                             | */*
            avif webp     | image/webpx                                                | */*
            avif webp     |                                                            | */*
                          | image/avif,image/webp                                      | */*
            ",
        ) {
            let named = |media_type: &str| formats.split(' ').any(|name| media_type == format!("image/{name}"));
            let formats: Vec<_> =
                FORMATS.into_iter().filter(|(_, name)| named(name)).map(|(format, _)| format).collect();
            let request = table::headers(&format!("Accept: {accept}"));
            assert_eq!(reduce(&request, &formats), expected, "{accept}");
        }
        assert_eq!(reduce(&HeaderMap::new(), &ALL), "*/*");
    }

    #[test]
    fn each_class_is_spelled_as_its_bits_say_and_reduces_to_itself() {
        for (class, spelling) in CLASSES.iter().enumerate() {
            let named = FORMATS.iter().enumerate().filter(|(bit, _)| class & (1 << bit) != 0);
            let members: Vec<_> = named.map(|(_, (_, media_type))| *media_type).chain(["*/*"]).collect();
            assert_eq!(*spelling, members.join(","));
            let request = table::headers(&format!("Accept: {spelling}"));
            assert_eq!(reduce(&request, &ALL), spelling);
            // What is stored of it is what was sent: the comparison on a hit allocates nothing.
            let selection = Selection::new(&table::headers("Vary: Accept"), &request, &Policy::image());
            assert!(selection.unwrap().matches(&request));
        }
    }

    proptest! {
        #[test]
        fn any_accept_falls_into_one_of_the_classes(
            text in r#"(image/webp|image/avif|,|;q=0|"x| ){0,12}"#
        ) {
            let value = HeaderValue::from_str(&text).unwrap();
            let request = HeaderMap::from_iter([(header::ACCEPT, value)]);
            let reduced = reduce(&request, &[Format::Avif, Format::Webp]);
            prop_assert!([0, 1, 4, 5].iter().any(|class| reduced == CLASSES[*class]));
        }
    }
}
