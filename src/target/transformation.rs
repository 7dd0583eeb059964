//! Names of transformations, by which all images are purged that were made by one recipe. Values alone.

use std::fmt;

use crate::key::{Key, TRANSFORMATION_NAME, any_transformation_name};
use crate::limits::TRANSFORMATION_BYTES_MAX;

/// One named transformation of one account: the account's id, `/`, and the name as it stands behind `n-`, decoded.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct Transformation(Box<str>);

/// Why a text names no transformation.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum TransformationError {
    /// It is empty.
    Empty,
    /// It has more than `TRANSFORMATION_BYTES_MAX` bytes.
    TooLong,
    /// It holds a character that ends a step or a parameter, or a control character.
    Character,
}

impl TransformationError {
    /// The rule's code, for answers, logs and labels.
    pub fn as_str(self) -> &'static str {
        match self {
            TransformationError::Empty => "transformation-empty",
            TransformationError::TooLong => "transformation-too-long",
            TransformationError::Character => "transformation-character",
        }
    }
}

impl fmt::Display for TransformationError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            TransformationError::Empty => {
                f.write_str("the transformation's name is empty; name it as in `n-hero`, or `hero` alone")
            }
            TransformationError::TooLong => {
                write!(f, "the transformation's name is longer than {TRANSFORMATION_BYTES_MAX} bytes")
            }
            TransformationError::Character => f.write_str(
                "one named transformation is meant, as in `n-hero`: its name holds no `,`, `:`, `/` and no control character",
            ),
        }
    }
}

impl std::error::Error for TransformationError {}

impl Transformation {
    /// The transformation `name`, or `n-name`, of the account with this id.
    pub fn new(account: &str, name: &str) -> Result<Transformation, TransformationError> {
        let name = name.strip_prefix(TRANSFORMATION_NAME).unwrap_or(name);
        if name.is_empty() {
            return Err(TransformationError::Empty);
        }
        if name.len() > TRANSFORMATION_BYTES_MAX {
            return Err(TransformationError::TooLong);
        }
        if name.chars().any(|character| matches!(character, ',' | ':' | '/') || character.is_control()) {
            return Err(TransformationError::Character);
        }
        Ok(Transformation([account, "/", name].concat().into()))
    }

    /// The account's id, `/`, and the name.
    pub fn as_str(&self) -> &str {
        &self.0
    }

    /// The account's id.
    pub fn account(&self) -> &str {
        self.parts().0
    }

    /// The name, without `n-`.
    pub fn name(&self) -> &str {
        self.parts().1
    }

    /// Whether the image of `key` is made by it.
    pub fn covers(&self, key: &Key) -> bool {
        let (account, wanted) = self.parts();
        account == key.account() && any_transformation_name(key.as_str(), |name| name == wanted)
    }

    fn parts(&self) -> (&str, &str) {
        self.0.split_once('/').unwrap_or_default()
    }
}
