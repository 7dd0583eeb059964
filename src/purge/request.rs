//! What a request is called, who made it, how far it is and what it removed. Values alone.

use std::fmt;

use serde::{Deserialize, Deserializer, Serialize, Serializer, de};

use crate::cache::Swept;

/// The name of a purge request: 96 random bits, printed as 24 hex digits in lower case.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct RequestId([u8; RequestId::BYTES]);

impl RequestId {
    /// Bytes of an id; half of its digits.
    pub const BYTES: usize = 12;

    /// A new one; two of 2^32 are the same with a probability of 2^-33.
    pub fn random() -> Result<RequestId, getrandom::Error> {
        let mut bytes = [0; RequestId::BYTES];
        getrandom::fill(&mut bytes)?;
        Ok(RequestId(bytes))
    }

    /// Reads the one spelling that is printed.
    pub fn parse(text: &str) -> Option<RequestId> {
        let digits = text.as_bytes();
        if digits.len() != 2 * RequestId::BYTES {
            return None;
        }
        let mut bytes = [0; RequestId::BYTES];
        for (byte, pair) in bytes.iter_mut().zip(digits.chunks_exact(2)) {
            *byte = nibble(pair[0])? << 4 | nibble(pair[1])?;
        }
        Some(RequestId(bytes))
    }

    pub(super) fn from_bytes(bytes: [u8; RequestId::BYTES]) -> RequestId {
        RequestId(bytes)
    }

    pub(super) fn as_bytes(&self) -> &[u8; RequestId::BYTES] {
        &self.0
    }
}

fn nibble(digit: u8) -> Option<u8> {
    match digit {
        b'0'..=b'9' => Some(digit - b'0'),
        b'a'..=b'f' => Some(digit - b'a' + 10),
        _ => None,
    }
}

impl fmt::Display for RequestId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.iter().try_for_each(|byte| write!(f, "{byte:02x}"))
    }
}

/// As it is printed.
impl Serialize for RequestId {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_str(self)
    }
}

impl<'de> Deserialize<'de> for RequestId {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<RequestId, D::Error> {
        let text = <&str>::deserialize(deserializer)?;
        RequestId::parse(text).ok_or_else(|| de::Error::custom("an id has 24 hex digits"))
    }
}

/// How far a purge is. Its fence stands since before the acknowledgement, so both mean that nobody is served
/// what was purged.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub enum Status {
    /// What it covers is still being removed from memory.
    Pending,
    /// The first sweep has ended.
    Completed,
}

impl Status {
    /// The word that ImageKit's clients know.
    pub fn as_str(self) -> &'static str {
        match self {
            Status::Pending => "Pending",
            Status::Completed => "Completed",
        }
    }
}

/// Whether a client sends a purge for the first time.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Attempt {
    /// Nothing says otherwise.
    First,
    /// The client marked it as the repetition of one that it got no good answer to.
    Retry,
}

/// What a purge removed, as far as its sweeps have ended.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default)]
pub struct Counts {
    /// Variants.
    pub entries: u64,
    /// Their bytes.
    pub bytes: u64,
    /// Whether a wider purge counted them together with its own.
    pub shared: bool,
}

impl Counts {
    /// Both together.
    pub fn plus(self, other: Counts) -> Counts {
        Counts {
            entries: self.entries.saturating_add(other.entries),
            bytes: self.bytes.saturating_add(other.bytes),
            shared: self.shared || other.shared,
        }
    }
}

impl From<Swept> for Counts {
    fn from(swept: Swept) -> Counts {
        Counts { entries: swept.entries, bytes: swept.bytes, shared: swept.shared }
    }
}

/// Who asks for a change, and through which door.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct By {
    /// The name of the key that was presented, never the key.
    pub key: Box<str>,
    /// The way in.
    pub door: Door,
}

/// A way in for changes.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Door {
    /// ImageKit's calls.
    Imagekit,
    /// Freshet's own.
    Api,
    /// The pages of the admin listener.
    Dashboard,
    /// The method PURGE on the data plane.
    PurgeMethod,
    /// The call of the IETF draft "An HTTP Cache Invalidation API".
    Ietf,
}

impl Door {
    /// The word for it, in calls and logs; records have the same.
    pub fn as_str(self) -> &'static str {
        match self {
            Door::Imagekit => "imagekit",
            Door::Api => "api",
            Door::Dashboard => "dashboard",
            Door::PurgeMethod => "purge_method",
            Door::Ietf => "ietf",
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn ok_an_id_is_read_back_from_its_24_digits() {
        for _ in 0..100 {
            let id = RequestId::random().unwrap();
            let text = id.to_string();
            assert_eq!(text.len(), 24, "{text}");
            assert_eq!(RequestId::parse(&text), Some(id));
        }
        assert_ne!(RequestId::random().unwrap(), RequestId::random().unwrap());
        let text = "00ff0123456789abcdef7f80";
        assert_eq!(RequestId::parse(text).map(|id| id.to_string()).as_deref(), Some(text));
    }

    #[test]
    fn err_an_id_has_one_spelling() {
        let table =
            ["", "00ff", "00FF0123456789abcdef7f80", "00ff0123456789abcdef7f8g", "+0ff0123456789abcdef7f80"];
        for text in table {
            assert_eq!(RequestId::parse(text), None, "{text}");
        }
        assert_eq!(RequestId::parse(&"é".repeat(12)), None);
    }
}
