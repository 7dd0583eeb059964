//! What a key may do: its scopes, whose it is, and where it may purge. Values, and the rules that they keep; the
//! same for keys of the config and for those made at run time.

use std::fmt;

use super::authority::Authority;
use super::types::{Account, UrlEndpoint};
use crate::limits::{KEY_NAME_BYTES_MAX, KEY_URLS_MAX};

/// One thing that a key may be allowed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Scope {
    /// To look: at purges, at what is stored, at the allowance.
    Read,
    /// To purge, and to ask how far a purge is.
    Purge,
    /// Everything, in all accounts.
    Operator,
}

impl Scope {
    /// All of them, the least first.
    pub const ALL: [Scope; 3] = [Scope::Read, Scope::Purge, Scope::Operator];

    /// The word for it, in the config, in calls and in answers.
    pub fn as_str(self) -> &'static str {
        match self {
            Scope::Read => "read",
            Scope::Purge => "purge",
            Scope::Operator => "operator",
        }
    }

    /// The scope of a word.
    pub fn parse(text: &str) -> Option<Scope> {
        Scope::ALL.into_iter().find(|scope| scope.as_str() == text)
    }

    fn bit(self) -> u8 {
        match self {
            Scope::Read => 1,
            Scope::Purge => 2,
            Scope::Operator => 4,
        }
    }
}

/// A set of scopes; [`Scope::Operator`] brings the others with it.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Scopes(u8);

impl Scopes {
    /// Those given, and those that they imply.
    pub fn of(scopes: &[Scope]) -> Scopes {
        let bits = scopes.iter().fold(0, |bits, scope| bits | scope.bit());
        let all = Scope::ALL.iter().fold(0, |bits, scope| bits | scope.bit());
        Scopes(if bits & Scope::Operator.bit() != 0 { all } else { bits })
    }

    /// Whether the scope is among them.
    pub fn has(self, scope: Scope) -> bool {
        self.0 & scope.bit() != 0
    }

    /// Their words, the least first.
    pub fn words(self) -> Vec<&'static str> {
        Scope::ALL.into_iter().filter(|scope| self.has(*scope)).map(Scope::as_str).collect()
    }
}

/// What a key may do. Whoever has one has passed the rules of [`Grant::new`], but that its account may have left
/// the config since.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Grant {
    /// What the history calls the key.
    pub name: String,
    /// The id of its account; nothing: all accounts, which is the operator's.
    pub account: Option<String>,
    /// What it may do.
    pub scopes: Scopes,
    /// The URLs of the folders that it may purge in; nothing: everywhere in its account.
    pub urls: Option<Vec<String>>,
}

/// Which rule a grant breaks.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum GrantError {
    /// The name is empty, too long, or holds what no line of text should.
    Name,
    /// No scope.
    NoScopes,
    /// No account, and not an operator's.
    AccountMissing,
    /// An operator's, and an account.
    AccountOfOperator,
    /// The account is none of the config's.
    AccountUnknown,
    /// An operator's, and bound to URLs.
    UrlsOfOperator,
    /// Bound to no URL at all, or to too many.
    UrlsCount,
    /// This URL is none of a folder below an endpoint of the account.
    Url(String),
}

impl GrantError {
    /// The member, or the key of the config, that breaks the rule.
    pub fn member(&self) -> &'static str {
        match self {
            GrantError::Name => "name",
            GrantError::NoScopes => "scopes",
            GrantError::AccountMissing | GrantError::AccountOfOperator | GrantError::AccountUnknown => {
                "account"
            }
            GrantError::UrlsOfOperator | GrantError::UrlsCount | GrantError::Url(_) => "urls",
        }
    }
}

impl fmt::Display for GrantError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            GrantError::Name => {
                write!(
                    f,
                    "must be 1 to {KEY_NAME_BYTES_MAX} bytes without control characters, or blanks at an end"
                )
            }
            GrantError::NoScopes => {
                f.write_str("must name at least one of \"read\", \"purge\" and \"operator\"")
            }
            GrantError::AccountMissing => f.write_str(
                "is missing: the id of an account; a key of all accounts has the scope \"operator\"",
            ),
            GrantError::AccountOfOperator => {
                f.write_str("must be left out: the scope \"operator\" is for all accounts")
            }
            GrantError::AccountUnknown => f.write_str("names no account of this config"),
            GrantError::UrlsOfOperator => {
                f.write_str("must be left out: the scope \"operator\" is bound to no URLs")
            }
            GrantError::UrlsCount => write!(f, "must hold 1 to {KEY_URLS_MAX} URLs, or be left out"),
            GrantError::Url(url) => write!(
                f,
                "{url:?} must be the URL of a folder below an endpoint of the account, as in \
                 \"https://img.example.com/photos/\", with neither query, wildcard, dot segments nor broken escapes"
            ),
        }
    }
}

impl std::error::Error for GrantError {}

impl Grant {
    /// A grant that keeps the rules.
    pub fn new(
        name: String,
        account: Option<String>,
        scopes: Scopes,
        urls: Option<Vec<String>>,
        accounts: &[Account],
    ) -> Result<Grant, GrantError> {
        let is_plain = name.trim() == name && !name.chars().any(char::is_control);
        if !is_plain || !(1..=KEY_NAME_BYTES_MAX).contains(&name.len()) {
            return Err(GrantError::Name);
        }
        if scopes == Scopes::default() {
            return Err(GrantError::NoScopes);
        }
        let whose = match (&account, scopes.has(Scope::Operator)) {
            (None, true) => None,
            (None, false) => return Err(GrantError::AccountMissing),
            (Some(_), true) => return Err(GrantError::AccountOfOperator),
            (Some(id), false) => {
                Some(accounts.iter().find(|account| account.id == *id).ok_or(GrantError::AccountUnknown)?)
            }
        };
        match (&urls, whose) {
            (None, _) => {}
            (Some(_), None) => return Err(GrantError::UrlsOfOperator),
            (Some(urls), _) if !(1..=KEY_URLS_MAX).contains(&urls.len()) => {
                return Err(GrantError::UrlsCount);
            }
            (Some(urls), Some(account)) => {
                if let Some(url) = urls.iter().find(|url| !is_folder_of(url, &account.url_endpoints)) {
                    return Err(GrantError::Url(url.clone()));
                }
            }
        }
        Ok(Grant { name, account, scopes, urls })
    }
}

/// Whether `url` names a folder below one of the endpoints, or an endpoint itself. What passes here and has no key
/// all the same binds to nothing (`admin/access/principal.rs`).
fn is_folder_of(url: &str, endpoints: &[UrlEndpoint]) -> bool {
    let Some(rest) = url.strip_prefix("http://").or_else(|| url.strip_prefix("https://")) else {
        return false;
    };
    let (authority, path) = rest.split_at(rest.find('/').unwrap_or(rest.len()));
    let Ok(authority) = Authority::parse(authority) else { return false };
    let is_below = |endpoint: &UrlEndpoint| {
        let below = path.strip_prefix(&*endpoint.path);
        endpoint.authority == authority
            && below.is_some_and(|below| below.is_empty() || below.starts_with('/'))
    };
    is_plain_path(path) && endpoints.iter().any(is_below)
}

fn is_plain_path(path: &str) -> bool {
    let is_refused = |c: char| c.is_control() || ['?', '#', '*', '\\'].contains(&c);
    let escapes_are_whole = path.split('%').skip(1).all(|rest| {
        let digits = rest.as_bytes().get(..2);
        digits.is_some_and(|digits| digits != b"00" && digits.iter().all(u8::is_ascii_hexdigit))
    });
    let is_dots =
        |segment: &str| matches!(segment.replace("%2e", ".").replace("%2E", ".").as_str(), "." | "..");
    !path.contains(is_refused) && escapes_are_whole && !path.split('/').any(is_dots)
}
