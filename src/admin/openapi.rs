//! The description of all calls, OpenAPI 3.1, made from the handlers themselves and served at `/openapi.json`.
//!
//! A handler's own text, parameters, bodies and errors stand beside it; what every call has in common is added here:
//! the keys, and the answers of what a request passes before its handler (`routes::guard`, `auth`). A router that is
//! made of described handlers alone (`routes.rs`) can't have a call that is not here.

use axum::extract::Extension;
use axum::response::Response;
use bytes::Bytes;
use http::StatusCode;
use utoipa::OpenApi;
use utoipa::openapi::header::HeaderBuilder;
use utoipa::openapi::path::{Operation, PathItem};
use utoipa::openapi::security::{ApiKey, ApiKeyValue, HttpAuthScheme, HttpBuilder, SecurityScheme};
use utoipa::openapi::{self, ContentBuilder, Object, Ref, RefOr, ResponseBuilder};

use super::access::COOKIE;
use super::{ErrorBody, json};

/// What is described beside the calls.
#[derive(OpenApi)]
#[openapi(
    info(
        title = "Freshet",
        description = "Purges of an image cache, and what it has stored. Every error is a JSON object with `message`, \
                       `help` (what would be right), `reason` (the rule's code), and others beside them.",
        license(name = "MIT", identifier = "MIT"),
    ),
    servers((url = "/", description = "The admin listener.")),
    security(("basic" = []), ("bearer" = []), ("session" = [])),
    components(schemas(ErrorBody)),
    tags(
        (name = "imagekit", description = "ImageKit's purge calls, to the letter."),
        (name = "purges", description = "Purges: asked for, tried, looked back at."),
        (name = "invalidation", description = "The IETF draft \"An HTTP Cache Invalidation API\"."),
        (name = "allowance", description = "What an account may purge in a month."),
        (name = "cache", description = "What is stored."),
        (name = "keys", description = "Who may call, and for what."),
        (name = "session", description = "Browsers sign in by a key and keep a cookie."),
        (name = "server", description = "The process itself."),
    ),
)]
struct Described;

/// The description without its calls.
pub(super) fn base() -> openapi::OpenApi {
    let mut api = Described::openapi();
    "1".clone_into(&mut api.info.version);
    let components = api.components.get_or_insert_default();
    let key = "A key as the user name, and any password.";
    let basic = HttpBuilder::new().scheme(HttpAuthScheme::Basic).description(Some(key)).build();
    let bearer = HttpBuilder::new().scheme(HttpAuthScheme::Bearer).description(Some("A key.")).build();
    let session = "What POST /v1/session sets. A change needs JSON, and Origin or Sec-Fetch-Site to be this listener's.";
    let session = ApiKey::Cookie(ApiKeyValue::with_description(COOKIE, session));
    components.add_security_scheme("basic", SecurityScheme::Http(basic));
    components.add_security_scheme("bearer", SecurityScheme::Http(bearer));
    components.add_security_scheme("session", SecurityScheme::ApiKey(session));
    for common in &COMMON {
        components.responses.insert(common.name.into(), common.response().into());
    }
    api
}

/// The description with what all calls have in common.
pub(super) fn finished(mut api: openapi::OpenApi) -> openapi::OpenApi {
    for item in api.paths.paths.values_mut() {
        let PathItem { get, put, post, delete, .. } = item;
        let reads = get.iter_mut().map(|operation| (operation, false));
        let changes = [put, post, delete].into_iter().flatten().map(|operation| (operation, true));
        for (operation, changes) in reads.chain(changes) {
            add_common(operation, changes);
        }
    }
    api
}

/// `GET /openapi.json`
#[derive(Clone)]
pub(super) struct Description(pub Bytes);

/// The description of all calls
///
/// OpenAPI 3.1.
#[utoipa::path(
    get, path = "/openapi.json", tag = "server", operation_id = "describe", security(()),
    responses((status = 200, description = "This description.", body = Object)),
)]
pub(super) async fn describe(Extension(description): Extension<Description>) -> Response {
    json(StatusCode::OK, description.0)
}

/// An error that many calls have.
struct Common {
    status: StatusCode,
    name: &'static str,
    description: &'static str,
    /// Message, reason and help, as `AdminError` says them.
    example: [&'static str; 3],
    /// A field that comes with it.
    field: Option<(&'static str, &'static str)>,
    /// Which calls have it.
    had_by: HadBy,
}

#[derive(Clone, Copy, PartialEq, Eq)]
enum HadBy {
    All,
    /// Those that need a key.
    Secured,
    /// Those that need a key, and those that change something.
    SecuredOrChanging,
    /// Those with a body.
    WithBody,
}

const COMMON: [Common; 8] = [
    Common {
        status: StatusCode::BAD_REQUEST,
        name: "BadRequest",
        description: "Without a valid Host.",
        example: [
            "Your request is missing a valid Host.",
            "host_invalid",
            "Send the Host field once, with a name or an address.",
        ],
        field: None,
        had_by: HadBy::All,
    },
    Common {
        status: StatusCode::MISDIRECTED_REQUEST,
        name: "Misdirected",
        description: "The Host is not this listener's.",
        example: [
            "This host is not served here.",
            "host_unknown",
            "Call the address that the admin listener has, or add the name to admin.hosts in the config.",
        ],
        field: None,
        had_by: HadBy::All,
    },
    Common {
        status: StatusCode::SERVICE_UNAVAILABLE,
        name: "Unavailable",
        description: "Not now.",
        example: [
            "The answer took too long.",
            "late",
            "A purge that was sent may have taken place; sent again, it does no harm.",
        ],
        field: Some(("Retry-After", "Seconds.")),
        had_by: HadBy::All,
    },
    Common {
        status: StatusCode::UNAUTHORIZED,
        name: "Unauthorized",
        description: "Without a key.",
        example: [
            "Your request does not contain private API key.",
            "key_missing",
            "Use HTTP Basic authentication with the private key as the user name and any password.",
        ],
        field: Some(("WWW-Authenticate", "Basic.")),
        had_by: HadBy::Secured,
    },
    Common {
        status: StatusCode::FORBIDDEN,
        name: "Forbidden",
        description: "With a key that nobody has, or from another site's page.",
        example: [
            "Your account cannot be authenticated.",
            "key_unknown",
            "No account of the config has this private key.",
        ],
        field: None,
        had_by: HadBy::SecuredOrChanging,
    },
    Common {
        status: StatusCode::TOO_MANY_REQUESTS,
        name: "TooManyRequests",
        description: "After too many wrong keys from one address.",
        example: [
            "Too many requests with a wrong private API key.",
            "keys_exhausted",
            "Wait as long as Retry-After says, then use a key from the config.",
        ],
        field: Some(("Retry-After", "Seconds.")),
        had_by: HadBy::Secured,
    },
    Common {
        status: StatusCode::REQUEST_TIMEOUT,
        name: "BodyLate",
        description: "The body did not come in time.",
        example: [
            "The body of your request did not come in time.",
            "body_late",
            "Nothing is wrong with the request: send it again in a moment.",
        ],
        field: None,
        had_by: HadBy::WithBody,
    },
    Common {
        status: StatusCode::PAYLOAD_TOO_LARGE,
        name: "BodyTooLarge",
        description: "The body is over 1 MiB.",
        example: ["The body of your request is too large.", "body_too_large", "Send 1 MiB at most."],
        field: None,
        had_by: HadBy::WithBody,
    },
];

impl Common {
    fn response(&self) -> openapi::Response {
        let [message, reason, help] = self.example;
        let example = serde_json::json!({ "message": message, "help": help, "reason": reason });
        let body = Ref::from_schema_name("ErrorBody");
        let content = ContentBuilder::new().schema(Some(body)).example(Some(example)).build();
        let response =
            ResponseBuilder::new().description(self.description).content("application/json", content);
        let Some((name, meaning)) = self.field else { return response.build() };
        let text = Object::with_type(openapi::Type::String);
        response
            .header(name, HeaderBuilder::new().schema(Some(text)).description(Some(meaning)).build())
            .build()
    }
}

fn add_common(operation: &mut Operation, changes: bool) {
    // Said of its own: none is needed.
    let is_secured = operation.security.is_none();
    let has_body = operation.request_body.is_some();
    for common in &COMMON {
        let has = match common.had_by {
            HadBy::All => true,
            HadBy::Secured => is_secured,
            HadBy::SecuredOrChanging => is_secured || changes,
            HadBy::WithBody => has_body,
        };
        // A call's own text for a status says more.
        if has {
            let status = common.status.as_str().to_owned();
            let common = || RefOr::Ref(Ref::from_response_name(common.name));
            operation.responses.responses.entry(status).or_insert_with(common);
        }
    }
}
