//! Which wildcards are eligible: ImageKit's rules, and the careful reading where they are silent.
//!
//! Everything is judged on decoded segments, so that the spellings of a URL share one verdict. A segment
//! counts as a level where it is not empty and holds no transformation (`tr:…`). Pure; O(length).

use std::borrow::Cow;

use super::Refusal;
use crate::key::{TRANSFORMATION, decoded};

/// A path with this many levels is narrow enough.
pub(super) const LEVELS_MIN: usize = 2;
/// A path with this many characters is narrow enough.
pub(super) const CHARACTERS_MIN: usize = 15;
/// Longest extension of a file name.
const EXTENSION_CHARACTERS_MAX: usize = 10;
/// Folders that no wildcard names as a whole, level by level.
const FOLDERS: [(&str, [&str; 2]); 2] =
    [("media/catalog", ["media", "catalog"]), ("s/files", ["s", "files"])];

/// What stands before the wildcard of `url`, if it has one.
///
/// The last character alone is a place for it: not within a fragment, which names nothing.
pub(super) fn split(url: &str) -> Result<Option<&str>, Refusal> {
    let Some(star) = url.find('*') else { return Ok(None) };
    if star + 1 < url.len() || url.contains('#') {
        return Err(Refusal::WildcardPlace { character: url[..star].chars().count() + 1 });
    }
    Ok(Some(&url[..star]))
}

/// Judges the path before a wildcard, below the endpoint and without a query.
///
/// The length is that of the levels with one slash between them: empty segments add as little as a slash at
/// either end.
pub(super) fn judge(path: &str) -> Result<(), Refusal> {
    let segments: Vec<Cow<'_, str>> = path.split('/').map(decoded).collect();
    let levels: Vec<Cow<'_, str>> = segments.iter().filter(|segment| is_level(segment)).cloned().collect();
    if let Some(folder) = folder_of(&levels) {
        return Err(Refusal::WildcardFolder { folder });
    }
    let slashes = levels.len().saturating_sub(1);
    let characters = levels.iter().map(|level| level.chars().count()).sum::<usize>() + slashes;
    let last = segments.last().filter(|segment| is_level(segment));
    if levels.len() >= LEVELS_MIN
        || characters >= CHARACTERS_MIN
        || last.is_some_and(|name| is_file_name(name))
    {
        return Ok(());
    }
    Err(Refusal::WildcardWide { path: path.into(), levels: levels.len(), characters })
}

/// Whether a decoded segment counts as a level.
pub(super) fn is_level(segment: &str) -> bool {
    !segment.is_empty() && !segment.starts_with(TRANSFORMATION)
}

/// The folder that no wildcard names as a whole, where these are its levels.
pub(super) fn folder_of(levels: &[Cow<'_, str>]) -> Option<&'static str> {
    FOLDERS.iter().find(|(_, folder)| levels.iter().eq(folder)).map(|(name, _)| *name)
}

/// Whether `name` ends in an extension: a dot after at least one character, then letters and digits, at least
/// one of them a letter.
fn is_file_name(name: &str) -> bool {
    let Some((stem, extension)) = name.rsplit_once('.') else { return false };
    !stem.is_empty()
        && extension.len() <= EXTENSION_CHARACTERS_MAX
        && extension.bytes().all(|byte| byte.is_ascii_alphanumeric())
        && extension.bytes().any(|byte| byte.is_ascii_alphabetic())
}
