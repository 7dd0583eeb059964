//! The dashboard's files: what a browser is given, and what it may do with it.
//!
//! Owns the files of `dashboard/`, embedded: no build step, nothing from elsewhere. They tell nothing of what is
//! stored, so they need no key; the page calls the API as its user, by the session's cookie. The policy lets it load
//! and call its own origin alone, and run no script that stands in markup. A file is asked about each time, by its
//! entity tag: a newer binary's page is never an older one's. Pure; the tags are computed once.

use std::sync::LazyLock;

use axum::body::Body;
use axum::extract::Request;
use axum::response::Response;
use base64::Engine;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use bytes::Bytes;
use http::{HeaderMap, HeaderName, HeaderValue, StatusCode, header};
use sha2::{Digest, Sha256};

use super::AdminError;

/// Where the path of a file begins; its name follows, without a folder.
const ASSETS_PATH: &str = "/assets/";

const HTML: &str = "text/html; charset=utf-8";
const CSS: &str = "text/css; charset=utf-8";
const SCRIPT: &str = "text/javascript; charset=utf-8";
const SVG: &str = "image/svg+xml";

const POLICY: &str = "default-src 'none'; script-src 'self'; style-src 'self'; img-src 'self'; connect-src 'self'; \
                      base-uri 'none'; form-action 'none'; frame-ancestors 'none'";

macro_rules! file {
    ($name:literal, $kind:ident) => {
        ($name, $kind, include_bytes!(concat!("dashboard/", $name)))
    };
}

/// Each file's name, type and bytes.
const FILES: [(&str, &str, &[u8]); 33] = [
    file!("index.html", HTML),
    file!("base.css", CSS),
    file!("parts.css", CSS),
    file!("shell.css", CSS),
    file!("views.css", CSS),
    file!("icons.svg", SVG),
    file!("theme.js", SCRIPT),
    file!("main.js", SCRIPT),
    file!("allowance-meter.js", SCRIPT),
    file!("allowance.js", SCRIPT),
    file!("api.js", SCRIPT),
    file!("dom.js", SCRIPT),
    file!("feedback.js", SCRIPT),
    file!("format.js", SCRIPT),
    file!("history.js", SCRIPT),
    file!("inspect.js", SCRIPT),
    file!("judge.js", SCRIPT),
    file!("keys.js", SCRIPT),
    file!("lines.js", SCRIPT),
    file!("new-request.js", SCRIPT),
    file!("overlays.js", SCRIPT),
    file!("overview.js", SCRIPT),
    file!("parts.js", SCRIPT),
    file!("plot.js", SCRIPT),
    file!("purges.js", SCRIPT),
    file!("request.js", SCRIPT),
    file!("requests.js", SCRIPT),
    file!("router.js", SCRIPT),
    file!("series.js", SCRIPT),
    file!("session.js", SCRIPT),
    file!("shell.js", SCRIPT),
    file!("sign-in.js", SCRIPT),
    file!("targets.js", SCRIPT),
];

struct File {
    name: &'static str,
    content_type: HeaderValue,
    bytes: Bytes,
    tag: HeaderValue,
}

static SERVED: LazyLock<Vec<File>> = LazyLock::new(|| {
    let served = FILES.iter().map(|(name, content_type, bytes)| {
        let tag = format!("\"{}\"", URL_SAFE_NO_PAD.encode(&Sha256::digest(bytes)[..12]));
        File {
            name,
            content_type: HeaderValue::from_static(content_type),
            bytes: Bytes::from_static(bytes),
            tag: HeaderValue::try_from(tag).expect("base64 and quotes are visible ASCII"),
        }
    });
    served.collect()
});

/// `GET /`: the page, signed in or not.
pub(super) async fn page(req: Request) -> Result<Response, AdminError> {
    answer("index.html", req.headers())
}

/// `GET /assets/{name}`
pub(super) async fn asset(req: Request) -> Result<Response, AdminError> {
    // As the bytes that it is: an escaped name leads nowhere, as everywhere on this listener.
    let name = req.uri().path().strip_prefix(ASSETS_PATH).filter(|name| *name != "index.html");
    answer(name.ok_or(AdminError::PathUnknown)?, req.headers())
}

fn answer(name: &str, asked: &HeaderMap) -> Result<Response, AdminError> {
    let file = SERVED.iter().find(|file| file.name == name).ok_or(AdminError::PathUnknown)?;
    let is_known = is_known(asked, &file.tag);
    let mut res = Response::new(if is_known { Body::empty() } else { Body::from(file.bytes.clone()) });
    *res.status_mut() = if is_known { StatusCode::NOT_MODIFIED } else { StatusCode::OK };
    let fields = res.headers_mut();
    fields.insert(header::ETAG, file.tag.clone());
    fields.insert(header::CONTENT_TYPE, file.content_type.clone());
    for (name, value) in [
        (header::CACHE_CONTROL, "no-cache"),
        (header::CONTENT_SECURITY_POLICY, POLICY),
        (header::X_CONTENT_TYPE_OPTIONS, "nosniff"),
        (header::REFERRER_POLICY, "no-referrer"),
        (HeaderName::from_static("cross-origin-opener-policy"), "same-origin"),
        (HeaderName::from_static("cross-origin-resource-policy"), "same-origin"),
    ] {
        fields.insert(name, HeaderValue::from_static(value));
    }
    Ok(res)
}

/// RFC 9110 §13.1.2: whether If-None-Match names the file's tag, or any.
fn is_known(asked: &HeaderMap, tag: &HeaderValue) -> bool {
    let lists = asked.get_all(header::IF_NONE_MATCH).iter().filter_map(|value| value.to_str().ok());
    let mut tags = lists.flat_map(|list| list.split(',')).map(str::trim);
    tags.any(|known| known == "*" || known.trim_start_matches("W/").as_bytes() == tag.as_bytes())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn text(name: &str) -> &'static str {
        let (_, _, bytes) = FILES.iter().find(|(file, ..)| *file == name).unwrap();
        std::str::from_utf8(bytes).unwrap()
    }

    #[test]
    fn every_file_of_the_folder_is_served_and_every_file_served_is_named_by_another() {
        let folder = concat!(env!("CARGO_MANIFEST_DIR"), "/src/admin/dashboard");
        for entry in std::fs::read_dir(folder).unwrap() {
            let name = entry.unwrap().file_name().into_string().unwrap();
            assert!(FILES.iter().any(|(file, ..)| *file == name), "{name} is not served");
        }
        for (name, ..) in FILES.iter().filter(|(name, ..)| *name != "index.html") {
            let named = [format!("/assets/{name}"), format!("'./{name}'")];
            let names_it = |file: &&str| named.iter().any(|named| text(file).contains(named.as_str()));
            assert!(FILES.iter().map(|(file, ..)| file).any(names_it), "{name} is used nowhere");
        }
    }

    #[test]
    fn no_file_names_another_origin_or_makes_markup_of_text() {
        for (name, ..) in FILES {
            let text = text(name);
            for forbidden in
                ["innerHTML", "outerHTML", "insertAdjacentHTML", "document.write", "eval(", "new Function"]
            {
                assert!(!text.contains(forbidden), "{name} has {forbidden}");
            }
            for (at, _) in text.match_indices("://") {
                let rest = &text[at + 3..];
                let is_words =
                    ["www.w3.org/2000/svg", "images.example/"].iter().any(|known| rest.starts_with(known));
                let host = rest.chars().next().is_some_and(|c| c.is_ascii_alphanumeric());
                assert!(is_words || !host, "{name} names another origin: {}", &rest[..rest.len().min(40)]);
            }
        }
        let page = text("index.html");
        assert!(
            !page.contains("style=") && !page.contains("<style") && !page.contains(" on"),
            "inline in the page"
        );
        for script in page.split("<script").skip(1) {
            assert!(script.contains("src=\"/assets/") && script.contains("></script>"), "an inline script");
        }
    }

    #[test]
    fn a_file_that_is_known_is_not_sent_again() {
        let ask = |tags: &[&str]| {
            let fields = tags.iter().map(|tag| (header::IF_NONE_MATCH, HeaderValue::from_str(tag).unwrap()));
            let res = answer("main.js", &fields.collect()).unwrap();
            (res.status(), res.headers()[header::ETAG].to_str().unwrap().to_owned())
        };
        let (status, tag) = ask(&[]);
        assert_eq!(status, StatusCode::OK);
        for known in [&[&*tag] as &[&str], &["*"], &["\"other\"", &tag], &[&format!("\"other\", W/{tag}")]] {
            assert_eq!(ask(known).0, StatusCode::NOT_MODIFIED, "{known:?}");
        }
        for other in ["\"other\"", "", tag.trim_matches('"')] {
            assert_eq!(ask(&[other]).0, StatusCode::OK, "{other}");
        }
    }

    #[test]
    fn err_other_names_lead_nowhere() {
        for name in ["", "nothing.js", "../dashboard.rs", "main.js/", "MAIN.JS", "%6dain.js"] {
            assert!(matches!(answer(name, &HeaderMap::new()), Err(AdminError::PathUnknown)), "{name}");
        }
    }
}
