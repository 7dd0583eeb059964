//! Which patterns are eligible.
//!
//! Judged as a wildcard is: on decoded segments, of which those count that are not empty and hold no transformation.
//! Pure; O(length).

use std::borrow::Cow;

use super::{Refusal, wildcard};
use crate::key::{KeyPattern, decoded};

/// A pattern with this many characters beside its `*` is narrow enough.
pub(super) const LITERALS_MIN: usize = 15;

/// Where a URL has its first `*`, if it is a place for one: not before its path, and no fragment is there.
///
/// What an endpoint takes of the path is not known here: see [`is_below`].
pub(super) fn place(url: &str) -> Result<(), Refusal> {
    let star = url.find('*').ok_or(Refusal::PatternWildcard)?;
    let is_in_authority = url[..star].split_once("://").is_some_and(|(_, rest)| !rest.contains(['/', '?']));
    if is_in_authority || url.contains('#') { Err(misplaced(url)) } else { Ok(()) }
}

/// The `*` directly behind an endpoint's path would go on with the endpoint's last segment, not with the path below.
pub(super) fn is_below(url: &str, pattern: &KeyPattern) -> Result<(), Refusal> {
    let before = url.split('*').next().unwrap_or_default();
    if pattern.path().starts_with("/*") && !before.ends_with('/') { Err(misplaced(url)) } else { Ok(()) }
}

fn misplaced(url: &str) -> Refusal {
    let before = url.split('*').next().unwrap_or_default();
    Refusal::PatternPlace { character: before.chars().count() + 1 }
}

/// Judges a pattern's path: eligible where a whole level stands before its first `*`, or where the levels have enough
/// characters beside their `*`, with one slash between them.
pub(super) fn judge(pattern: &KeyPattern) -> Result<(), Refusal> {
    let path = pattern.path();
    let fixed = &path[..path.find('*').unwrap_or(path.len())];
    // What follows the last slash may go on: it is no whole level, but where the path ends there.
    let whole = if fixed.len() < path.len() { &fixed[..=fixed.rfind('/').unwrap_or(0)] } else { fixed };
    let literals = path.replace('*', "");
    let literals = levels(&literals);
    if levels(fixed) == literals
        && let Some(folder) = wildcard::folder_of(&literals)
    {
        return Err(Refusal::WildcardFolder { folder });
    }
    let slashes = literals.len().saturating_sub(1);
    let characters = literals.iter().map(|level| level.chars().count()).sum::<usize>() + slashes;
    if !levels(whole).is_empty() || characters >= LITERALS_MIN {
        return Ok(());
    }
    Err(Refusal::PatternWide { path: path.into(), characters })
}

fn levels(path: &str) -> Vec<Cow<'_, str>> {
    path.split('/').map(decoded).filter(|segment| wildcard::is_level(segment)).collect()
}
