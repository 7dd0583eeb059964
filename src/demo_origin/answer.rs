//! A request to a response: which picture, whether the client has it already, and the work where it has not.
//!
//! Owns the rules of HTTP here; no socket and no task. Blocks for as long as the work takes: `server.rs` calls it
//! off the async threads.

use std::time::{Duration, SystemTime};

use bytes::Bytes;
use http::header::{self, HeaderMap, HeaderValue};
use http::{Method, Request, Response, StatusCode};
use sha2::{Digest, Sha256};

use super::address::Address;
use super::draw::DRAWINGS;
use super::encode::{self, Format};
use super::gallery::{Gallery, Picture};
use super::parameters::{NAMED, Transformation, Wanted};
use super::refusal::Refusal;
use super::transform;

/// Answers requests from a gallery.
pub struct Answerer {
    gallery: Gallery,
    cache_control: HeaderValue,
}

impl Answerer {
    /// Answers say that they are fresh for `max_age`.
    pub fn new(gallery: Gallery, max_age: Duration) -> Answerer {
        let cache_control = HeaderValue::from_str(&format!("public, max-age={}", max_age.as_secs()))
            .expect("letters and digits are a field value");
        Answerer { gallery, cache_control }
    }

    /// The response to a request whose body has arrived. `local` is whether the client is on this machine.
    pub fn answer(&self, req: &Request<Bytes>, local: bool, now: SystemTime) -> Response<Bytes> {
        self.try_answer(req, local, now).unwrap_or_else(|refusal| refuse(&refusal))
    }

    fn try_answer(
        &self,
        req: &Request<Bytes>,
        local: bool,
        now: SystemTime,
    ) -> Result<Response<Bytes>, Refusal> {
        match *req.method() {
            Method::GET | Method::HEAD => {}
            Method::PUT if local => {}
            Method::PUT => return Err(Refusal::NotLocal),
            _ => return Err(Refusal::Method),
        }
        let address = Address::parse(req.uri().path(), req.uri().query())?;
        if req.method() == Method::PUT {
            return self.replace(address, req.body().clone(), now);
        }
        if address.path.is_empty() {
            return Ok(respond(StatusCode::OK, "text/plain; charset=utf-8", list()));
        }
        self.show(&address, req.headers())
    }

    fn replace(&self, address: Address, body: Bytes, now: SystemTime) -> Result<Response<Bytes>, Refusal> {
        if address.transformation != Transformation::default() {
            return Err(Refusal::Target("a replacement takes no transformation"));
        }
        let picture = self.gallery.replace(&address.path, body, now)?;
        let message = format!("`{}` is replaced until the demo origin stops.", address.path);
        let body = serde_json::json!({ "message": message, "format": picture.format.as_str() });
        Ok(respond(StatusCode::OK, "application/json", body.to_string()))
    }

    fn show(
        &self,
        Address { path, transformation }: &Address,
        fields: &HeaderMap,
    ) -> Result<Response<Bytes>, Refusal> {
        let picture = self.gallery.find(path)?;
        let format = match transformation.format {
            None => picture.format,
            Some(Wanted::Format(format)) => format,
            Some(Wanted::Auto) => encode::negotiate(&joined(fields, header::ACCEPT), picture.format),
        };
        let entity_tag = entity_tag(&picture, transformation, format);
        let not_modified = client_has_it(fields, &entity_tag, picture.modified);
        let mut res = if not_modified {
            let mut res = Response::new(Bytes::new());
            *res.status_mut() = StatusCode::NOT_MODIFIED;
            res
        } else {
            respond(StatusCode::OK, format.media_type(), self.render(&picture, transformation, format)?)
        };
        let date = httpdate::fmt_http_date(picture.modified);
        let out = res.headers_mut();
        out.insert(header::ETAG, text_value(&entity_tag));
        out.insert(header::LAST_MODIFIED, text_value(&date));
        out.insert(header::CACHE_CONTROL, self.cache_control.clone());
        if transformation.format == Some(Wanted::Auto) {
            out.insert(header::VARY, HeaderValue::from_static("Accept"));
        }
        Ok(res)
    }

    fn render(&self, picture: &Picture, wanted: &Transformation, format: Format) -> Result<Bytes, Refusal> {
        let source = self.gallery.bytes(picture)?;
        if wanted.steps.is_empty() && wanted.quality.is_none() && format == picture.format {
            return Ok(source);
        }
        let pixels = transform::apply(encode::decode(&source)?, &wanted.steps)?;
        Ok(Bytes::from(encode::encode(pixels, format, wanted.quality.unwrap_or(encode::QUALITY))?))
    }
}

/// A strong validator (RFC 9110 §8.8.3): the same request makes the same bytes, so what makes them is hashed,
/// not the bytes, and a client that has them costs no transformation.
fn entity_tag(picture: &Picture, transformation: &Transformation, format: Format) -> String {
    let Transformation { steps, quality, .. } = transformation;
    let canonical =
        Transformation { steps: steps.clone(), quality: *quality, format: Some(Wanted::Format(format)) };
    let hash = Sha256::digest(format!("{}\n{:?}\n{canonical}", picture.identity, picture.modified));
    let digits: String = hash[..16].iter().map(|byte| format!("{byte:02x}")).collect();
    format!("\"{digits}\"")
}

/// Whether the answer is 304 (RFC 9110 §13.1.2, §13.1.3, §13.2.2): If-Modified-Since counts only where there is
/// no If-None-Match, which compares weakly.
fn client_has_it(fields: &HeaderMap, entity_tag: &str, modified: SystemTime) -> bool {
    if fields.contains_key(header::IF_NONE_MATCH) {
        let known = joined(fields, header::IF_NONE_MATCH);
        let same = |tag: &str| tag == "*" || tag.strip_prefix("W/").unwrap_or(tag) == entity_tag;
        return known.split(',').map(str::trim).any(same);
    }
    let date = fields.get(header::IF_MODIFIED_SINCE).and_then(|value| value.to_str().ok());
    let Some(since) = date.and_then(|date| httpdate::parse_http_date(date).ok()) else { return false };
    // Dates have whole seconds; so the picture's is cut to them, as Last-Modified is.
    modified < since + Duration::from_secs(1)
}

/// All lines of a field as one list (RFC 9110 §5.3).
fn joined(fields: &HeaderMap, name: header::HeaderName) -> String {
    fields.get_all(name).iter().filter_map(|value| value.to_str().ok()).collect::<Vec<_>>().join(",")
}

fn text_value(text: &str) -> HeaderValue {
    HeaderValue::from_str(text).expect("a tag's digits and a date are a field value")
}

fn respond(status: StatusCode, media_type: &'static str, body: impl Into<Bytes>) -> Response<Bytes> {
    let body = body.into();
    let length = body.len();
    let mut res = Response::new(body);
    *res.status_mut() = status;
    res.headers_mut().insert(header::CONTENT_TYPE, HeaderValue::from_static(media_type));
    res.headers_mut().insert(header::CONTENT_LENGTH, HeaderValue::from(length));
    res
}

/// The answer to a request that gets no picture. No cache keeps it.
pub fn refuse(refusal: &Refusal) -> Response<Bytes> {
    let body = serde_json::json!({ "message": refusal.message(), "help": refusal.help() });
    let mut res = respond(refusal.status(), "application/json", body.to_string());
    res.headers_mut().insert(header::CACHE_CONTROL, HeaderValue::from_static("no-store"));
    if matches!(refusal, Refusal::Method) {
        res.headers_mut().insert(header::ALLOW, HeaderValue::from_static("GET, HEAD, PUT"));
    }
    res
}

/// The embedded pictures, one a line, between comments that say what can be done with them.
fn list() -> String {
    let mut text = String::from(
        "# Pictures of Freshet's demo origin. Transform one in its path, /tr:w-400,h-300/photos/2024/harbour.jpg,\n\
         # or in its query, /photos/2024/harbour.jpg?tr=w-400,h-300. PUT a JPEG, PNG or WebP to replace one.\n",
    );
    text.extend(NAMED.map(|(name, steps)| format!("# n-{name} stands for {steps}\n")));
    text.extend(DRAWINGS.iter().map(|drawing| format!("{}\n", drawing.path)));
    text
}

#[cfg(test)]
mod tests;
