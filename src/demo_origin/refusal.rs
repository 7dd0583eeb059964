//! Why a request gets no picture: what the person who sent it reads, and the status.

use http::StatusCode;

use super::geometry::Size;
use super::parameters;
use crate::limits;

/// A request that was not answered with a picture.
#[derive(Debug)]
pub enum Refusal {
    /// The request target breaks a rule.
    Target(&'static str),
    /// A transformation parameter that does not exist.
    UnknownParameter(String),
    /// A value that its parameter does not take; what it takes.
    Value { parameter: &'static str, value: String, expected: &'static str },
    /// Parameters that exclude or need each other.
    Combination(&'static str),
    /// The transformation would make a picture beyond the ceiling.
    OutputTooLarge { width: f64, height: f64 },
    /// The picture asked for is itself beyond the ceiling.
    SourceTooLarge(Size),
    /// The file asked for has more bytes than are read.
    FileTooLarge,
    /// The bytes are no picture that can be read; the decoder's reason.
    NotAPicture(String),
    /// There is no such picture.
    NotFound(String),
    /// A replacement for a picture that is not an embedded one.
    NotReplaceable(String),
    /// A replacement from another machine.
    NotLocal,
    /// Neither GET, HEAD nor PUT.
    Method,
    /// A body beyond the ceiling.
    BodyTooLarge,
    /// A body that did not arrive.
    BodyIncomplete,
    /// A picture that could not be read from the disk or written in its format.
    Internal(String),
}

impl Refusal {
    /// The status that says the same (RFC 9110 §15.5, §15.6).
    pub fn status(&self) -> StatusCode {
        match self {
            Refusal::NotLocal => StatusCode::FORBIDDEN,
            Refusal::NotFound(_) | Refusal::NotReplaceable(_) => StatusCode::NOT_FOUND,
            Refusal::Method => StatusCode::METHOD_NOT_ALLOWED,
            Refusal::BodyIncomplete => StatusCode::REQUEST_TIMEOUT,
            Refusal::BodyTooLarge => StatusCode::PAYLOAD_TOO_LARGE,
            Refusal::Internal(_) => StatusCode::INTERNAL_SERVER_ERROR,
            _ => StatusCode::BAD_REQUEST,
        }
    }

    /// What is wrong.
    pub fn message(&self) -> String {
        match self {
            Refusal::Target(rule) => format!("The request target is not valid: {rule}."),
            Refusal::UnknownParameter(text) => format!("`{text}` is not a transformation parameter."),
            Refusal::Value { parameter, value, .. } => {
                format!("The transformation parameter `{parameter}` does not take the value `{value}`.")
            }
            Refusal::Combination(rule) => format!("The transformation is not valid: {rule}."),
            Refusal::OutputTooLarge { width, height } => {
                format!("A picture of {width:.0}x{height:.0} pixels is too large.")
            }
            Refusal::SourceTooLarge(Size { width, height }) => {
                format!("The source picture has {width}x{height} pixels, which is too large.")
            }
            Refusal::FileTooLarge => "The source picture's file is too large.".to_owned(),
            Refusal::NotAPicture(reason) => format!("This is not a picture that can be read: {reason}."),
            Refusal::NotFound(path) => format!("There is no picture `{path}`."),
            Refusal::NotReplaceable(path) => format!("`{path}` is not an embedded picture."),
            Refusal::NotLocal => "Pictures can be replaced from this machine alone.".to_owned(),
            Refusal::Method => "The method is not allowed.".to_owned(),
            Refusal::BodyTooLarge => "The request's body is too large.".to_owned(),
            Refusal::BodyIncomplete => "The request's body did not arrive.".to_owned(),
            Refusal::Internal(reason) => format!("The picture could not be made: {reason}."),
        }
    }

    /// What would be right.
    pub fn help(&self) -> String {
        match self {
            Refusal::Target(_) => {
                "A target is a path such as /tr:w-400,h-300/photos/2024/harbour.jpg, or with the \
                                   transformation as the query ?tr=w-400,h-300."
                    .to_owned()
            }
            Refusal::UnknownParameter(_) => format!("The parameters are {}.", parameters::names()),
            Refusal::Value { parameter, expected, .. } => format!("`{parameter}` takes {expected}."),
            Refusal::Combination(_) => "Steps are divided by `:`, parameters of a step by `,`.".to_owned(),
            Refusal::OutputTooLarge { .. } => format!(
                "A side has at most {} pixels, a picture at most {}.",
                limits::DEMO_SIDE_PIXELS_MAX,
                limits::DEMO_AREA_PIXELS_MAX
            ),
            Refusal::SourceTooLarge(_) => {
                format!("A source picture has at most {} pixels.", limits::DEMO_SOURCE_AREA_PIXELS_MAX)
            }
            Refusal::FileTooLarge => {
                format!("A source picture's file has at most {} bytes.", limits::DEMO_SOURCE_BYTES_MAX)
            }
            Refusal::NotAPicture(_) => "JPEG, PNG and WebP are read.".to_owned(),
            Refusal::NotFound(_) | Refusal::NotReplaceable(_) => {
                "GET / lists the embedded pictures.".to_owned()
            }
            Refusal::NotLocal => "Send the PUT to the loopback address.".to_owned(),
            Refusal::Method => "GET and HEAD read a picture, PUT replaces an embedded one.".to_owned(),
            Refusal::BodyTooLarge => format!("A body has at most {} bytes.", limits::DEMO_BODY_BYTES_MAX),
            Refusal::BodyIncomplete => "Send the request again.".to_owned(),
            Refusal::Internal(_) => {
                "The demo origin's picture or its disk is at fault, not the request.".to_owned()
            }
        }
    }
}
