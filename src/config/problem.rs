//! What is wrong with a config: every problem of a file at once, each with its line, key, value and rule.

use std::fmt;

/// One value that breaks a rule.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Problem {
    /// Line in the file, from 1.
    pub line: usize,
    /// The key with its section, as in `proxy.listen`; empty where the text is no TOML.
    pub key: String,
    /// The value as it stands; a secret's is never shown.
    pub value: String,
    /// What is wrong, and what would be right.
    pub rule: String,
}

impl fmt::Display for Problem {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "line {}: ", self.line)?;
        if !self.key.is_empty() {
            write!(f, "{} = {}: ", self.key, self.value)?;
        }
        f.write_str(&self.rule)
    }
}

/// Why there is no config.
#[derive(Debug)]
pub enum ConfigError {
    /// The file can't be read.
    Unreadable {
        /// Its path.
        path: std::path::PathBuf,
        /// What the system says.
        source: std::io::Error,
    },
    /// The file was read and breaks rules.
    Invalid {
        /// Its path, or what stands for it.
        name: String,
        /// At least one, in the file's order.
        problems: Vec<Problem>,
    },
}

impl fmt::Display for ConfigError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            ConfigError::Unreadable { path, source } => {
                write!(f, "the config {} can't be read: {source}", path.display())
            }
            ConfigError::Invalid { name, problems } => {
                let plural = if problems.len() == 1 { "problem" } else { "problems" };
                write!(f, "{name}: {} {plural}", problems.len())?;
                problems.iter().try_for_each(|problem| write!(f, "\n  {problem}"))
            }
        }
    }
}

impl std::error::Error for ConfigError {
    fn source(&self) -> Option<&(dyn std::error::Error + 'static)> {
        match self {
            ConfigError::Unreadable { source, .. } => Some(source),
            ConfigError::Invalid { .. } => None,
        }
    }
}
