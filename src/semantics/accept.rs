//! Reduces a client's Accept to the image formats that a route's origin makes (RFC 9110 §12.5.1).
//!
//! Applied before the key's variant is looked up and before a request goes to the origin, so that a
//! thousand browsers' spellings make at most 2ⁿ variants. Invariant: the result is one of the texts of
//! `CLASSES`, whatever the client sent. Cost: one pass, no allocation.

use http::{HeaderMap, HeaderValue, header};

use super::list;

/// An image format that clients must name before they may be sent it.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Format {
    /// AVIF.
    Avif = 0b001,
    /// JPEG XL.
    Jxl = 0b010,
    /// WebP.
    Webp = 0b100,
}

impl Format {
    /// Every format.
    pub const ALL: [Format; 3] = [Format::Avif, Format::Jxl, Format::Webp];

    /// Its media type.
    pub fn as_str(self) -> &'static str {
        match self {
            Format::Avif => "image/avif",
            Format::Jxl => "image/jxl",
            Format::Webp => "image/webp",
        }
    }
}

/// The canonical spelling of each set of formats; a format's discriminant is its bit in the index.
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
        let named = formats.iter().find(|format| range.eq_ignore_ascii_case(format.as_str().as_bytes()));
        if let Some(format) = named
            && !parts.any(is_zero_weight)
        {
            class |= *format as usize;
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
            let named = |format: &Format| formats.split(' ').any(|name| format.as_str().ends_with(name));
            let formats: Vec<_> =
                Format::ALL.into_iter().filter(|format| !formats.is_empty() && named(format)).collect();
            let request = table::headers(&format!("Accept: {accept}"));
            assert_eq!(reduce(&request, &formats), expected, "{accept}");
        }
        assert_eq!(reduce(&HeaderMap::new(), &Format::ALL), "*/*");
    }

    #[test]
    fn each_class_is_spelled_as_its_bits_say_and_reduces_to_itself() {
        for (class, spelling) in CLASSES.iter().enumerate() {
            let formats = Format::ALL.iter().filter(|format| class & **format as usize != 0);
            let members: Vec<_> = formats.map(|format| format.as_str()).chain(["*/*"]).collect();
            assert_eq!(*spelling, members.join(","));
            let request = table::headers(&format!("Accept: {spelling}"));
            assert_eq!(reduce(&request, &Format::ALL), spelling);
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
