//! The value of Cache-Status (RFC 9211): how this cache handled a request.
//!
//! Owns the spelling. Invariants: `hit` stands in hits alone, `fwd` never beside it; every value is a valid
//! Structured Field, since each part is a number or comes from a closed set of tokens. Cost: one short text.

use std::fmt;

use http::{HeaderValue, StatusCode};

/// Why a request went to the origin (§2.2).
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Forwarded {
    /// The route or the response's nature says that the cache is not asked.
    Bypass,
    /// The method is not one that the cache answers.
    Method,
    /// Nothing is stored under the key.
    UriMiss,
    /// What is stored under the key was selected by other request fields.
    VaryMiss,
    /// What is stored is fresh, but the client wanted more than that.
    Request,
    /// What is stored is stale.
    Stale,
    /// What is stored lacks bytes that were asked for.
    Partial,
}

impl Forwarded {
    /// The token of the field, also for logs and metrics.
    pub fn as_str(self) -> &'static str {
        match self {
            Forwarded::Bypass => "bypass",
            Forwarded::Method => "method",
            Forwarded::UriMiss => "uri-miss",
            Forwarded::VaryMiss => "vary-miss",
            Forwarded::Request => "request",
            Forwarded::Stale => "stale",
            Forwarded::Partial => "partial",
        }
    }
}

/// How a request was handled.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Outcome {
    /// Answered from the store without the origin.
    Hit,
    /// The origin was asked.
    Forwarded {
        /// Why.
        reason: Forwarded,
        /// The origin's status, if it answered.
        status: Option<StatusCode>,
        /// Whether its response is stored.
        stored: bool,
        /// Whether the request joined another's fetch.
        collapsed: bool,
    },
    /// Neither: this proxy answered on its own.
    Own,
}

/// One member of the field, this cache's.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct CacheStatus {
    /// How the request was handled.
    pub outcome: Outcome,
    /// Seconds that the response is fresh still, negative once it is stale.
    pub ttl: Option<i64>,
    /// More on it: the `as_str` of a closed enum, such as `NotStorable`'s.
    pub detail: Option<&'static str>,
}

impl CacheStatus {
    /// The value to append after those of caches nearer to the origin.
    ///
    /// # Panics
    /// If the detail is no token; all `as_str` of this crate are.
    pub fn value(&self) -> HeaderValue {
        HeaderValue::try_from(self.to_string()).expect("tokens and numbers are a field value")
    }
}

impl CacheStatus {
    /// Appends the value. A plain hit's costs no formatter.
    pub fn append(&self, out: &mut Vec<u8>) {
        match (self.outcome, self.ttl, self.detail) {
            (Outcome::Hit, Some(ttl), None) => {
                out.extend_from_slice(b"Freshet; hit; ttl=");
                out.extend_from_slice(itoa::Buffer::new().format(told(ttl)).as_bytes());
            }
            _ => out.extend_from_slice(self.to_string().as_bytes()),
        }
    }

    /// Writes the value. A hit's costs no formatter.
    pub fn write(&self, out: &mut impl fmt::Write) -> fmt::Result {
        out.write_str("Freshet")?;
        match self.outcome {
            Outcome::Hit => out.write_str("; hit")?,
            Outcome::Forwarded { reason, status, stored, collapsed } => {
                write!(out, "; fwd={}", reason.as_str())?;
                if let Some(status) = status {
                    write!(out, "; fwd-status={}", status.as_str())?;
                }
                out.write_str(if stored { "; stored" } else { "" })?;
                out.write_str(if collapsed { "; collapsed" } else { "" })?;
            }
            Outcome::Own => {}
        }
        if let Some(ttl) = self.ttl {
            out.write_str("; ttl=")?;
            out.write_str(itoa::Buffer::new().format(told(ttl)))?;
        }
        if let Some(detail) = self.detail {
            assert!(super::list::is_token(detail.as_bytes()), "a detail is a token");
            write!(out, "; detail={detail}")?;
        }
        Ok(())
    }
}

/// Nothing is told apart beyond 2^31 seconds, far inside what a Structured Field can hold.
fn told(ttl: i64) -> i64 {
    ttl.clamp(-(1 << 31), 1 << 31)
}

impl fmt::Display for CacheStatus {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.write(f)
    }
}

#[cfg(test)]
mod tests {
    use sfv::{List, Parser};

    use super::*;

    #[test]
    fn each_outcome_is_spelled_as_rfc_9211_says() {
        let forwarded = |reason, status: Option<u16>, stored, collapsed| Outcome::Forwarded {
            reason,
            status: status.map(|status| StatusCode::from_u16(status).unwrap()),
            stored,
            collapsed,
        };
        for (outcome, ttl, detail, expected) in [
            (Outcome::Hit, Some(376), None, "Freshet; hit; ttl=376"),
            (
                Outcome::Hit,
                Some(-5),
                Some("stale-while-revalidate"),
                "Freshet; hit; ttl=-5; detail=stale-while-revalidate",
            ),
            (Outcome::Hit, Some(i64::MIN), None, "Freshet; hit; ttl=-2147483648"),
            (
                forwarded(Forwarded::UriMiss, Some(200), true, false),
                None,
                None,
                "Freshet; fwd=uri-miss; fwd-status=200; stored",
            ),
            (
                forwarded(Forwarded::VaryMiss, Some(200), true, true),
                Some(60),
                None,
                "Freshet; fwd=vary-miss; fwd-status=200; stored; collapsed; ttl=60",
            ),
            (
                forwarded(Forwarded::Stale, Some(304), false, false),
                None,
                None,
                "Freshet; fwd=stale; fwd-status=304",
            ),
            (
                forwarded(Forwarded::Bypass, Some(200), false, false),
                None,
                Some("set-cookie"),
                "Freshet; fwd=bypass; fwd-status=200; detail=set-cookie",
            ),
            (forwarded(Forwarded::Method, None, false, false), None, None, "Freshet; fwd=method"),
            (forwarded(Forwarded::Request, None, false, false), None, None, "Freshet; fwd=request"),
            (forwarded(Forwarded::Partial, None, false, false), None, None, "Freshet; fwd=partial"),
            (Outcome::Own, None, Some("only-if-cached"), "Freshet; detail=only-if-cached"),
        ] {
            let value = CacheStatus { outcome, ttl, detail }.value();
            assert_eq!(value, expected);
            let mut appended = Vec::new();
            CacheStatus { outcome, ttl, detail }.append(&mut appended);
            assert_eq!(value, String::from_utf8(appended).unwrap());
            assert_eq!(Parser::new(value.as_bytes()).parse::<List>().unwrap().len(), 1);
            assert_eq!(expected.contains("; hit"), outcome == Outcome::Hit);
        }
    }
}
