//! PURGE by the images' port (`proxy/purge_method.rs`): the URL of the request is the target, fields say the rest.
//!
//! | field | says |
//! |---|---|
//! | `Authorization` | the key, by Basic or Bearer; a cookie counts for nothing here |
//! | `Freshet-Target` | `url` (default; a `*` at the end makes it a prefix), `prefix`, `asset`, `folder`, `pattern`, `tag` or `transformation` |
//! | `Freshet-Name` | the name of the tag or of the transformation |
//! | `Freshet-Mode` | `delete` (default) or `stale` |
//!
//! A tag and a transformation are those of the account that the URL belongs to, whatever its path.

use std::net::IpAddr;

use axum::response::IntoResponse;
use bytes::Bytes;
use http::{HeaderMap, HeaderName, Response, StatusCode};
use http_body_util::BodyExt;
use serde::Serialize;

use super::input::InputError;
use super::{Admin, AdminError, reply};
use crate::purge::{Attempt, Door, Named, Wish};
use crate::target::Mode;

const TARGET: HeaderName = HeaderName::from_static("freshet-target");
const NAME: HeaderName = HeaderName::from_static("freshet-name");
const MODE: HeaderName = HeaderName::from_static("freshet-mode");

impl Admin {
    /// Answers a PURGE for `url`, which is one of `account`'s.
    pub async fn purge_by_method(
        &self,
        url: String,
        account: &str,
        fields: &HeaderMap,
        peer: IpAddr,
    ) -> Response<Bytes> {
        let purged = self.purge_named(url, account, fields, peer);
        let answer = match tokio::time::timeout(self.times.request, purged).await {
            Ok(Ok(answer)) => answer,
            Ok(Err(error)) => error.into_response(),
            Err(_) => AdminError::Late.into_response(),
        };
        let (parts, body) = answer.into_parts();
        let body = body.collect().await.map(|body| body.to_bytes()).unwrap_or_default();
        Response::from_parts(parts, body)
    }

    async fn purge_named(
        &self,
        url: String,
        account: &str,
        fields: &HeaderMap,
        peer: IpAddr,
    ) -> Result<axum::response::Response, AdminError> {
        #[derive(Serialize)]
        struct Accepted {
            id: String,
        }
        let principal = self.access.identify_by_key(fields, peer, self.clock.now())?;
        let account = principal.account(Some(account))?;
        let wishes = [wish(url, fields)?];
        self.permit(&principal, account, &wishes)?;
        let id = self.submit(&principal, Door::PurgeMethod, account, &wishes, Attempt::First).await?;
        Ok(reply(StatusCode::OK, &Accepted { id: id.to_string() }))
    }
}

/// What the fields make of the URL.
fn wish(url: String, fields: &HeaderMap) -> Result<Wish, AdminError> {
    let name = || {
        let help = "Name the tag or the transformation in this field, once.";
        let missing = || InputError::new("Freshet-Name", "name_missing", help);
        only(fields, &NAME).map(str::to_owned).ok_or_else(missing)
    };
    let target = if fields.contains_key(TARGET) { only(fields, &TARGET) } else { Some("url") };
    let named = match target {
        Some("url") => Named::Url(url),
        Some("prefix") => Named::Prefix(url),
        Some("asset") => Named::Asset(url),
        Some("folder") => Named::Folder(url),
        Some("pattern") => Named::Pattern(url),
        Some("tag") => Named::Tag(name()?),
        Some("transformation") => Named::Transformation(name()?),
        _ => {
            let help =
                "It is url (what happens without it), prefix, asset, folder, pattern, tag or transformation.";
            return Err(InputError::new("Freshet-Target", "target_unknown", help).into());
        }
    };
    let mode = if fields.contains_key(MODE) { only(fields, &MODE) } else { Some("delete") };
    let mode = match mode {
        Some("delete") => Mode::Delete,
        Some("stale" | "soft") => Mode::Stale,
        _ => {
            let help = "It is delete (what happens without it) or stale.";
            return Err(InputError::new("Freshet-Mode", "mode_unknown", help).into());
        }
    };
    Ok(Wish { named, mode })
}

/// The value of a field that stands once.
fn only<'a>(fields: &'a HeaderMap, name: &HeaderName) -> Option<&'a str> {
    let mut values = fields.get_all(name).iter();
    let (Some(value), None) = (values.next(), values.next()) else { return None };
    value.to_str().ok().map(str::trim)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn fields_say_what_is_purged_and_how() {
        type Outcome = Result<(&'static str, &'static str, Mode), &'static str>;
        let (url, gone, stale) = ("http://h/a", Mode::Delete, Mode::Stale);
        #[rustfmt::skip]
        let table: [(&[(&HeaderName, &str)], Outcome); 17] = [
            // fields                                            outcome
            (&[],                                                Ok(("url", url, gone))),
            (&[(&MODE, "stale")],                                Ok(("url", url, stale))),
            (&[(&MODE, "soft")],                                 Ok(("url", url, stale))),
            (&[(&TARGET, "url"), (&MODE, "delete")],             Ok(("url", url, gone))),
            (&[(&TARGET, "prefix")],                             Ok(("prefix", url, gone))),
            (&[(&TARGET, "asset"), (&MODE, "stale")],            Ok(("asset", url, stale))),
            (&[(&TARGET, "folder")],                             Ok(("folder", url, gone))),
            (&[(&TARGET, "pattern")],                            Ok(("pattern", url, gone))),
            (&[(&TARGET, "tag"), (&NAME, "news")],               Ok(("tag", "news", gone))),
            (&[(&TARGET, "transformation"), (&NAME, "n-hero")],  Ok(("transformation", "n-hero", gone))),
            (&[(&TARGET, "tag")],                                Err("name_missing")),
            (&[(&TARGET, "tag"), (&NAME, "a"), (&NAME, "b")],    Err("name_missing")),
            (&[(&TARGET, "everything")],                         Err("target_unknown")),
            (&[(&TARGET, "host")],                               Err("target_unknown")),
            (&[(&TARGET, "")],                                   Err("target_unknown")),
            (&[(&TARGET, "url"), (&TARGET, "asset")],            Err("target_unknown")),
            (&[(&MODE, "now")],                                  Err("mode_unknown")),
        ];
        for (given, expected) in table {
            let mut fields = HeaderMap::new();
            for (name, value) in given {
                fields.append(*name, value.parse().unwrap());
            }
            let wish = wish(url.to_owned(), &fields).map_err(|error| error.parts().2);
            let outcome = wish.as_ref().map(|wish| (wish.named.kind(), wish.text(), wish.mode));
            assert_eq!(outcome.map_err(|reason| *reason), expected, "{given:?}");
        }
    }
}
