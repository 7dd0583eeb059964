//! The named transformations of a key: its steps `n-NAME`.
//!
//! A transformation stands in a segment `tr:…` of the path and in the value of a parameter `tr` of the query; `:`
//! parts its steps, and `,` their parameters. Names are read decoded, so that they are found in opaque URLs too,
//! and however they are spelled. No locks; O(length), and no allocation where nothing is escaped; one look at the
//! text where it has no name.

use super::{TRANSFORMATION, decoded, split_query};

/// What a step begins with that names a transformation.
pub(crate) const NAME: &str = "n-";

/// Shows each name in a key's text, as often as it stands there; ends with the first that `found` says is enough.
pub(crate) fn any_name(key: &str, mut found: impl FnMut(&str) -> bool) -> bool {
    if !key.contains(NAME) && !key.contains('%') {
        return false;
    }
    let (path, query) = split_query(key);
    let in_path = path.split('/').skip(1).any(|segment| {
        decoded(segment).strip_prefix(TRANSFORMATION).is_some_and(|steps| any_in(steps, &mut found))
    });
    in_path
        || query.into_iter().flat_map(|query| query.split('&')).any(|parameter| {
            parameter
                .split_once('=')
                .is_some_and(|(name, value)| decoded(name) == "tr" && any_in(&decoded(value), &mut found))
        })
}

fn any_in(steps: &str, found: &mut impl FnMut(&str) -> bool) -> bool {
    steps.split([':', ',']).filter_map(|step| step.strip_prefix(NAME)).any(found)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_stand_in_the_path_and_in_the_query() {
        #[rustfmt::skip]
        let table = [
            // key                                      names
            ("a/tr:n-hero/b.jpg",                       "hero"),
            ("a/b.jpg?tr=n-hero",                       "hero"),
            ("a/b.jpg?v=1&tr=w-3,n-hero:rt-90,n-x&s=1", "hero x"),
            ("a/tr:w-3:n-a/x/tr:n-b/c.jpg?tr=n-c&tr=n-d", "a b c d"),
            ("a/tr:w-3%2Cn-hero%3An-b/b.jpg",           "hero b"),
            ("a/tr%3An-hero/b.jpg?%74r=n-%78",          "hero x"),
            ("a/tr:n-my%20hero/b.jpg",                  "my hero"),
            ("a/tr:w-3,cn-hero/n-x/b.jpg?xtr=n-a&tr2=n-b&n-c", ""),
            ("a/str:n-hero/tr/n-b:n-c?v=tr=n-d",        ""),
            ("a/b%2Ftr:n-hero/c.jpg",                   ""),
            ("tr:n-a/b.jpg",                            ""),
            ("a/tr:N-hero/TR:n-hero/b.jpg?TR=n-hero",   ""),
        ];
        for (key, expected) in table {
            let mut names = Vec::new();
            assert!(!any_name(key, |name| {
                names.push(name.to_owned());
                false
            }));
            assert_eq!(names.join(" "), expected, "{key}");
        }
    }
}
