//! The one grammar of purges, for every door that takes JSON: what is named, what becomes of it, and how.
//!
//! `POST /v1/purges` takes a list of targets, ImageKit's POST one target among its own members; both have the same
//! members with the same meaning. What is wrong is told with its place (`targets[3].url`), the rule and what would be
//! right. Whether a target can be purged is judged elsewhere, by whom and of which account too. Members that are not
//! known are let pass; one that is known and in the wrong place is not, where to pass it over would purge more than was
//! meant. Values alone.

use std::borrow::Cow;

use serde::Deserialize;
use serde_json::Value;
use utoipa::ToSchema;

use super::input::InputError;
use super::{URL_INVALID, URL_MISSING};
use crate::limits;
use crate::purge::{Named, Warm, Wish};
use crate::target::Mode;

/// A purge, as it was asked for.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct Asked {
    /// The account's id, where it was said.
    pub account: Option<String>,
    /// In the order in which they were given.
    pub wishes: Vec<Wish>,
    /// Whether it is to be counted only.
    pub dry_run: bool,
    /// What is to be fetched again.
    pub warm: Option<Warm>,
    /// A line for the history.
    pub note: Option<Box<str>>,
}

/// A purge of one to 100 targets.
#[derive(Deserialize, ToSchema)]
pub(super) struct PurgeBody {
    /// What to purge. All or nothing: one that can't be purged stops the others.
    #[schema(value_type = Vec<TargetBody>, required, min_items = 1, max_items = 100)]
    targets: Option<Value>,
    #[serde(flatten)]
    options: Options,
    /// Only count what would go; nothing is purged and nothing charged.
    #[schema(value_type = Option<bool>, default = false)]
    dry_run: Option<Value>,
}

/// A purge of one target, in ImageKit's body.
#[derive(Deserialize, ToSchema)]
pub(super) struct ImagekitBody {
    #[serde(flatten)]
    target: TargetMembers,
    #[serde(flatten)]
    options: Options,
    #[schema(ignore)]
    dry_run: Option<Value>,
}

/// What both have beside their targets.
#[derive(Deserialize, ToSchema)]
struct Options {
    /// The account's id, for a key that is not bound to one; may be left out where there is one account alone.
    #[schema(value_type = Option<String>, example = "demo")]
    account: Option<Value>,
    /// What becomes of what is named: `delete` removes it; `stale` (or `soft`) has the origin asked before it is
    /// served again.
    #[schema(value_type = Option<ModeWord>, default = "delete")]
    mode: Option<Value>,
    /// Fetch what was purged again, hottest first.
    #[schema(value_type = Option<WarmBody>)]
    warm: Option<Value>,
    /// A line for the history, 1024 bytes at most.
    #[schema(value_type = Option<String>, max_length = 1024, example = "new logo")]
    note: Option<Value>,
}

/// A target: a URL, or an object.
#[derive(Deserialize, ToSchema)]
#[serde(untagged)]
enum TargetBody {
    /// A URL; a `*` at its end makes it a prefix.
    Url(String),
    Members(Box<TargetMembers>),
}

/// What a target is, and what names it.
#[derive(Default, Deserialize, ToSchema)]
struct TargetMembers {
    /// What is named; without it a URL.
    #[schema(value_type = Option<Kind>, default = "url")]
    target: Option<Value>,
    /// Of a `url` (a `*` at its end makes it a prefix), a `prefix`, an `asset`, a `folder`, a `pattern`.
    #[schema(value_type = Option<String>, example = "http://127.0.0.1:8080/demo/photos/2024/harbour.jpg")]
    url: Option<Value>,
    /// The name of a `tag`, as the origin says it.
    #[schema(value_type = Option<String>, example = "summer")]
    tag: Option<Value>,
    /// The name of a named `transformation`: `hero`, or `n-hero`.
    #[schema(value_type = Option<String>, example = "hero")]
    transformation: Option<Value>,
    /// The `host` whose accounts are purged.
    #[schema(value_type = Option<String>, example = "127.0.0.1:8080")]
    host: Option<Value>,
    /// The host once more, or `everything`: what is wide is named twice.
    #[schema(value_type = Option<String>, example = "everything")]
    confirm: Option<Value>,
}

/// How something is named: see [`Named`].
#[derive(Clone, Copy, Default, Deserialize, ToSchema)]
#[serde(rename_all = "snake_case")]
enum Kind {
    #[default]
    Url,
    Prefix,
    Asset,
    Folder,
    Tag,
    Transformation,
    Pattern,
    Host,
    Everything,
}

/// What becomes of what is named.
#[derive(Clone, Copy, Deserialize, ToSchema)]
#[serde(rename_all = "snake_case")]
enum ModeWord {
    Delete,
    Stale,
    Soft,
}

/// Whether, how much and how fast.
#[derive(Deserialize, ToSchema)]
#[serde(untagged)]
enum WarmBody {
    Whether(bool),
    How {
        /// Images at most; 1000 without it.
        #[schema(minimum = 1, maximum = 1000)]
        max: Option<u64>,
        /// Fetches a second; 50 without it.
        #[schema(minimum = 1, maximum = 1000)]
        per_second: Option<u64>,
    },
}

const BODY_HELP: &str = "Send a JSON object: {\"targets\": [\"https://…\"]}.";
const IMAGEKIT_HELP: &str = "Send a JSON object: {\"url\": \"https://…\"}.";

impl Asked {
    /// Reads the body of `POST /v1/purges`.
    pub(super) fn list(body: &[u8]) -> Result<Asked, InputError> {
        let PurgeBody { targets, options, dry_run } = object(body, BODY_HELP)?;
        let targets = match targets.filter(|value| !value.is_null()) {
            Some(Value::Array(targets)) => targets,
            None => return Err(InputError::new("targets", "targets_missing", BODY_HELP)),
            Some(_) => return Err(InputError::new("targets", "targets_not_list", BODY_HELP)),
        };
        if targets.is_empty() || targets.len() > limits::PURGE_TARGETS_MAX {
            let help = format!("Name 1 to {} targets in one call.", limits::PURGE_TARGETS_MAX);
            return Err(InputError::new("targets", "targets_number", help));
        }
        let mode = options.mode()?;
        let mut wishes = Vec::with_capacity(targets.len());
        for (index, target) in targets.into_iter().enumerate() {
            wishes.push(Wish { named: Place(Some(index)).target(target)?, mode });
        }
        Asked::of(wishes, options, dry_run.as_ref().map_or(Ok(false), |value| flag(value, "dry_run"))?)
    }

    /// Reads the body of ImageKit's POST: one target, whose members stand among its own.
    pub(super) fn one(body: &[u8]) -> Result<Asked, InputError> {
        Asked::one_target(body).map_err(|error| match error.reason {
            "body_not_json" | "url_missing" => error.saying(URL_MISSING),
            "url_not_text" => error.saying(URL_INVALID),
            _ => error,
        })
    }

    fn one_target(body: &[u8]) -> Result<Asked, InputError> {
        let ImagekitBody { target, options, dry_run } = object(body, IMAGEKIT_HELP)?;
        if dry_run.is_some_and(|value| value != Value::Bool(false) && !value.is_null()) {
            let help = "This call purges; POST /v1/purges has dry runs.";
            return Err(InputError::new("dry_run", "dry_run_misplaced", help));
        }
        let mode = options.mode()?;
        let named = Place(None).named(target)?;
        if matches!(&named, Named::Url(url) if url.is_empty()) {
            return Err(InputError::new("url", "url_missing", IMAGEKIT_HELP));
        }
        Asked::of(vec![Wish { named, mode }], options, false)
    }

    fn of(wishes: Vec<Wish>, options: Options, dry_run: bool) -> Result<Asked, InputError> {
        Ok(Asked {
            account: text(options.account, "account", "account_not_text", "account is an account's id.")?,
            note: text(options.note, "note", "note_not_text", "note is a line of text.")?.map(Into::into),
            warm: options.warm.map_or(Ok(None), warm)?,
            wishes,
            dry_run,
        })
    }
}

impl Options {
    fn mode(&self) -> Result<Mode, InputError> {
        let Some(value) = self.mode.as_ref().filter(|value| !value.is_null()) else {
            return Ok(Mode::default());
        };
        match ModeWord::deserialize(value) {
            Ok(ModeWord::Delete) => Ok(Mode::Delete),
            Ok(ModeWord::Stale | ModeWord::Soft) => Ok(Mode::Stale),
            Err(_) => {
                let help = "mode is \"delete\" (what happens without it) or \"stale\".";
                Err(InputError::new("mode", "mode_unknown", help))
            }
        }
    }
}

/// Where a target stands: its place in the list, or among the members of the body.
#[derive(Clone, Copy)]
struct Place(Option<usize>);

impl Place {
    fn of(self, member: &'static str) -> Cow<'static, str> {
        match self.0 {
            None => member.into(),
            Some(index) => format!("targets[{index}].{member}").into(),
        }
    }

    /// An element of the list.
    fn target(self, value: Value) -> Result<Named, InputError> {
        let Place(Some(index)) = self else { unreachable!("an element of a list has a place in it") };
        if value.get("mode").is_some() {
            let help = "mode holds for the whole call: send it beside `targets`.";
            return Err(InputError::new(self.of("mode"), "mode_misplaced", help));
        }
        // serde would take an array of the members in their order, too.
        let read = if value.is_array() { None } else { TargetBody::deserialize(value).ok() };
        match read {
            Some(TargetBody::Url(url)) => Ok(Named::Url(url)),
            Some(TargetBody::Members(members)) => self.named(*members),
            None => {
                let help =
                    "A target is a URL, or an object: {\"target\": \"asset\", \"url\": \"https://…\"}.";
                Err(InputError::new(format!("targets[{index}]"), "target_not_taken", help))
            }
        }
    }

    fn named(self, members: TargetMembers) -> Result<Named, InputError> {
        let TargetMembers { target, url, tag, transformation, host, confirm } = members;
        // Of another kind of target, and wrong all the same.
        for (member, reason, value) in [
            ("url", "url_not_text", &url),
            ("tag", "tag_not_text", &tag),
            ("transformation", "transformation_not_text", &transformation),
            ("host", "host_not_text", &host),
            ("confirm", "confirm_not_text", &confirm),
        ] {
            if value.as_ref().is_some_and(|value| !value.is_string() && !value.is_null()) {
                let help = if member == "url" { IMAGEKIT_HELP } else { "This member is a text." };
                return Err(InputError::new(self.of(member), reason, help));
            }
        }
        let url = |example| self.text(url, "url", "url_missing", example);
        Ok(match self.kind(target)? {
            Kind::Url => Named::Url(url(IMAGEKIT_HELP)?),
            Kind::Prefix => {
                Named::Prefix(url("Send {\"target\": \"prefix\", \"url\": \"https://…/photos/2024/*\"}.")?)
            }
            Kind::Asset => Named::Asset(url("Send {\"target\": \"asset\", \"url\": \"https://…/a.jpg\"}.")?),
            Kind::Folder => {
                Named::Folder(url("Send {\"target\": \"folder\", \"url\": \"https://…/photos/\"}.")?)
            }
            Kind::Pattern => {
                Named::Pattern(url("Send {\"target\": \"pattern\", \"url\": \"https://…/photos/*/a.jpg\"}.")?)
            }
            Kind::Tag => {
                let help = "Name it in the member tag: {\"target\": \"tag\", \"tag\": \"…\"}.";
                Named::Tag(self.text(tag, "tag", "tag_missing", help)?)
            }
            Kind::Transformation => {
                let help = "Name it in the member transformation: {\"target\": \"transformation\", \
                            \"transformation\": \"hero\"}.";
                Named::Transformation(self.text(
                    transformation,
                    "transformation",
                    "transformation_missing",
                    help,
                )?)
            }
            Kind::Host => {
                let help = "Name it twice: {\"target\": \"host\", \"host\": \"…\", \"confirm\": \"…\"}.";
                let host = self.text(host, "host", "host_missing", help)?;
                Named::Host { host, confirm: confirmation(confirm) }
            }
            Kind::Everything => Named::Everything { confirm: confirmation(confirm) },
        })
    }

    fn kind(self, target: Option<Value>) -> Result<Kind, InputError> {
        let Some(value) = target.filter(|value| !value.is_null()) else { return Ok(Kind::default()) };
        Kind::deserialize(value).map_err(|_| {
            let help = "target is \"url\" (what happens without it), \"prefix\", \"asset\", \"folder\", \"tag\", \
                        \"transformation\", \"pattern\", \"host\" or \"everything\".";
            InputError::new(self.of("target"), "target_unknown", help)
        })
    }

    fn text(
        self,
        value: Option<Value>,
        member: &'static str,
        missing: &'static str,
        help: &'static str,
    ) -> Result<String, InputError> {
        match value {
            Some(Value::String(text)) => Ok(text),
            _ => Err(InputError::new(self.of(member), missing, help)),
        }
    }
}

/// That it is missing is told by the target's own rule, which says what it should be.
fn confirmation(value: Option<Value>) -> Option<String> {
    match value {
        Some(Value::String(text)) => Some(text),
        _ => None,
    }
}

/// A JSON object, and nothing after it. serde would take an array of the members in their order, too.
pub(super) fn object<'body, T: Deserialize<'body>>(
    body: &'body [u8],
    help: &'static str,
) -> Result<T, InputError> {
    let read = match body.trim_ascii_start().first() {
        Some(b'{') => serde_json::from_slice(body).ok(),
        _ => None,
    };
    read.ok_or_else(|| InputError::new("", "body_not_json", help))
}

/// A member that is a text where it is there.
pub(super) fn text(
    value: Option<Value>,
    name: &'static str,
    reason: &'static str,
    help: &'static str,
) -> Result<Option<String>, InputError> {
    match value {
        None | Some(Value::Null) => Ok(None),
        Some(Value::String(text)) => Ok(Some(text)),
        Some(_) => Err(InputError::new(name, reason, help)),
    }
}

fn flag(value: &Value, name: &'static str) -> Result<bool, InputError> {
    match value {
        Value::Null => Ok(false),
        Value::Bool(flag) => Ok(*flag),
        _ => Err(InputError::new(name, "dry_run_not_boolean", "dry_run is true or false.")),
    }
}

fn warm(value: Value) -> Result<Option<Warm>, InputError> {
    if value.is_null() {
        return Ok(None);
    }
    let read = if value.is_array() { None } else { WarmBody::deserialize(value).ok() };
    let warm = match read {
        Some(WarmBody::Whether(false)) => return Ok(None),
        Some(WarmBody::Whether(true)) => Some(Warm::default()),
        Some(WarmBody::How { max, per_second }) => {
            let max = max.unwrap_or(limits::WARM_KEYS_DEFAULT as u64);
            let per_second = per_second.unwrap_or(limits::WARM_PER_SECOND_DEFAULT.into());
            let narrowed = usize::try_from(max).ok().zip(u32::try_from(per_second).ok());
            narrowed.and_then(|(max, per_second)| Warm::new(max, per_second))
        }
        None => None,
    };
    let not_taken = || {
        let (max, per_second) = (limits::WARM_KEYS_MAX, limits::WARM_PER_SECOND_MAX);
        let help = format!(
            "warm is true, or an object of whole numbers: {{\"max\": 1 to {max}, \"per_second\": 1 to {per_second}}}."
        );
        InputError::new("warm", "warm_not_taken", help)
    };
    warm.ok_or_else(not_taken).map(Some)
}

#[cfg(test)]
mod tests {
    use super::*;

    /// What a list of one target comes to: its kind, its text, and its mode.
    fn listed(body: &str) -> Result<Asked, (String, &'static str)> {
        Asked::list(body.as_bytes()).map_err(|error| (error.at.into_owned(), error.reason))
    }

    fn one(body: &str) -> Result<Asked, (String, &'static str)> {
        Asked::one(body.as_bytes()).map_err(|error| (error.at.into_owned(), error.reason))
    }

    #[test]
    fn a_target_means_the_same_in_a_list_and_by_itself() {
        let text = String::from;
        let confirm = |confirm: &str| Some(confirm.to_owned());
        #[rustfmt::skip]
        let table = [
            // members                                                          named
            (r#""url": "x""#,                                                    Named::Url(text("x"))),
            (r#""url": "x", "target": "url", "tag": "t", "more": [1]"#,          Named::Url(text("x"))),
            (r#""url": "x", "target": null"#,                                    Named::Url(text("x"))),
            (r#""url": "\u00e9\/""#,                                             Named::Url(text("é/"))),
            (r#""url": "x*", "target": "prefix""#,                               Named::Prefix(text("x*"))),
            (r#""url": "x", "target": "asset""#,                                 Named::Asset(text("x"))),
            (r#""url": "x/", "target": "folder""#,                               Named::Folder(text("x/"))),
            (r#""url": "x/*/y", "target": "pattern""#,                           Named::Pattern(text("x/*/y"))),
            (r#""tag": "t", "target": "tag""#,                                   Named::Tag(text("t"))),
            (r#""tag": "", "target": "tag""#,                                    Named::Tag(text(""))),
            (r#""transformation": "n-hero", "target": "transformation""#,        Named::Transformation(text("n-hero"))),
            (r#""host": "h", "confirm": "h", "target": "host""#,                 Named::Host { host: text("h"), confirm: confirm("h") }),
            (r#""host": "h", "target": "host""#,                                 Named::Host { host: text("h"), confirm: None }),
            (r#""confirm": "everything", "target": "everything""#,               Named::Everything { confirm: confirm("everything") }),
            (r#""target": "everything", "confirm": null"#,                       Named::Everything { confirm: None }),
        ];
        for (members, named) in table {
            let expected = Ok(vec![Wish { named, mode: Mode::Delete }]);
            assert_eq!(one(&format!("{{{members}}}")).map(|asked| asked.wishes), expected, "{members}");
            let list = format!(r#"{{"targets": [{{{members}}}]}}"#);
            assert_eq!(listed(&list).map(|asked| asked.wishes), expected, "{members}");
        }
    }

    #[test]
    fn what_is_wrong_in_a_target_is_told_with_its_place() {
        #[rustfmt::skip]
        let table = [
            // members                                       member            reason
            (r#"{}"#,                                        ".url",            "url_missing"),
            (r#"{"url": null}"#,                             ".url",            "url_missing"),
            (r#"{"URL": "x"}"#,                              ".url",            "url_missing"),
            (r#"{"url": 7}"#,                                ".url",            "url_not_text"),
            (r#"{"url": ["x"]}"#,                            ".url",            "url_not_text"),
            (r#"{"url": {"url": "x"}}"#,                     ".url",            "url_not_text"),
            (r#"{"url": "x", "target": "Url"}"#,             ".target",         "target_unknown"),
            (r#"{"url": "x", "target": "all"}"#,             ".target",         "target_unknown"),
            (r#"{"url": "x", "target": ["asset"]}"#,         ".target",         "target_unknown"),
            (r#"{"target": "asset", "tag": "t"}"#,           ".url",            "url_missing"),
            (r#"{"target": "tag", "url": "x"}"#,             ".tag",            "tag_missing"),
            (r#"{"target": "tag", "tag": 1}"#,               ".tag",            "tag_not_text"),
            (r#"{"target": "transformation"}"#,              ".transformation", "transformation_missing"),
            (r#"{"target": "host", "confirm": "h"}"#,        ".host",           "host_missing"),
            (r#"{"target": "everything", "confirm": true}"#, ".confirm",        "confirm_not_text"),
            (r#"{"url": "x", "transformation": {}}"#,        ".transformation", "transformation_not_text"),
            (r#"{"target": "tag", "tag": "t", "url": 7}"#,   ".url",            "url_not_text"),
        ];
        for (target, member, reason) in table {
            let expected = (format!("targets[1]{member}"), reason);
            assert_eq!(listed(&format!(r#"{{"targets": ["x", {target}]}}"#)), Err(expected), "{target}");
            assert_eq!(one(target), Err((member[1..].to_owned(), reason)), "{target}");
        }
        #[rustfmt::skip]
        let in_lists = [
            (r#"{"url": "x", "mode": "stale"}"#, "targets[0].mode", "mode_misplaced"),
            (r#"["url", "x"]"#,                  "targets[0]",      "target_not_taken"),
            ("7",                                "targets[0]",      "target_not_taken"),
            ("null",                             "targets[0]",      "target_not_taken"),
        ];
        for (target, at, reason) in in_lists {
            assert_eq!(
                listed(&format!(r#"{{"targets": [{target}]}}"#)),
                Err((at.to_owned(), reason)),
                "{target}"
            );
        }
    }

    #[test]
    fn options_are_read_beside_the_targets() {
        type Read = Result<(Mode, Option<Warm>, Option<&'static str>), (&'static str, &'static str)>;
        let usual = Some(Warm::default());
        #[rustfmt::skip]
        let table: [(&str, Read); 23] = [
            // members                                    outcome
            (r#""mode": "delete""#,                       Ok((Mode::Delete, None, None))),
            (r#""mode": null"#,                           Ok((Mode::Delete, None, None))),
            (r#""mode": "stale""#,                        Ok((Mode::Stale, None, None))),
            (r#""mode": "soft""#,                         Ok((Mode::Stale, None, None))),
            (r#""mode": "Stale""#,                        Err(("mode", "mode_unknown"))),
            (r#""mode": 1"#,                              Err(("mode", "mode_unknown"))),
            (r#""warm": true"#,                           Ok((Mode::Delete, usual, None))),
            (r#""warm": false"#,                          Ok((Mode::Delete, None, None))),
            (r#""warm": null"#,                           Ok((Mode::Delete, None, None))),
            (r#""warm": {}"#,                             Ok((Mode::Delete, usual, None))),
            (r#""warm": {"max": 5, "per_second": 2}"#,    Ok((Mode::Delete, Warm::new(5, 2), None))),
            (r#""warm": {"max": 1000}"#,                 Ok((Mode::Delete, Warm::new(1000, limits::WARM_PER_SECOND_DEFAULT), None))),
            (r#""warm": {"max": 1001}"#,                 Err(("warm", "warm_not_taken"))),
            (r#""warm": {"max": 0}"#,                     Err(("warm", "warm_not_taken"))),
            (r#""warm": {"per_second": 4294967297}"#,     Err(("warm", "warm_not_taken"))),
            (r#""warm": {"max": -1}"#,                    Err(("warm", "warm_not_taken"))),
            (r#""warm": {"max": "5"}"#,                   Err(("warm", "warm_not_taken"))),
            (r#""warm": [5, 2]"#,                         Err(("warm", "warm_not_taken"))),
            (r#""warm": 5"#,                              Err(("warm", "warm_not_taken"))),
            (r#""note": "new logo""#,                     Ok((Mode::Delete, None, Some("new logo")))),
            (r#""note": null"#,                           Ok((Mode::Delete, None, None))),
            (r#""note": 7"#,                              Err(("note", "note_not_text"))),
            (r#""account": 7"#,                           Err(("account", "account_not_text"))),
        ];
        for (members, expected) in table {
            let expected = expected.map_err(|(at, reason)| (at.to_owned(), reason));
            for asked in [
                one(&format!(r#"{{"url": "x", {members}}}"#)),
                listed(&format!(r#"{{"targets": ["x"], {members}}}"#)),
            ] {
                let found = asked.map(|asked| (asked.wishes[0].mode, asked.warm, asked.note));
                let found = found.as_ref().map(|(mode, warm, note)| (mode, warm, note.as_deref()));
                assert_eq!(
                    found,
                    expected.as_ref().map(|(mode, warm, note)| (mode, warm, *note)),
                    "{members}"
                );
            }
        }
        assert_eq!(one(r#"{"url": "x", "account": "demo"}"#).unwrap().account.as_deref(), Some("demo"));
    }

    #[test]
    fn a_dry_run_is_asked_for_where_there_is_one() {
        let dry =
            |members: &str| listed(&format!(r#"{{"targets": ["x"], {members}}}"#)).map(|asked| asked.dry_run);
        assert_eq!(dry(r#""dry_run": true"#), Ok(true));
        assert_eq!(dry(r#""dry_run": false"#), Ok(false));
        assert_eq!(dry(r#""dry_run": null"#), Ok(false));
        assert_eq!(dry(r#""dry_run": "yes""#), Err(("dry_run".into(), "dry_run_not_boolean")));
        assert_eq!(one(r#"{"url": "x", "dry_run": true}"#), Err(("dry_run".into(), "dry_run_misplaced")));
        assert!(one(r#"{"url": "x", "dry_run": false}"#).is_ok());
    }

    #[test]
    fn a_list_has_one_to_a_hundred_targets() {
        let many = |count| format!(r#"{{"targets": [{}]}}"#, vec![r#""x""#; count].join(","));
        assert_eq!(listed(&many(100)).unwrap().wishes.len(), 100);
        #[rustfmt::skip]
        let table = [
            (many(0),                       "targets_number"),
            (many(101),                     "targets_number"),
            ("{}".into(),                   "targets_missing"),
            (r#"{"url": "x"}"#.into(),      "targets_missing"),
            (r#"{"targets": null}"#.into(), "targets_missing"),
            (r#"{"targets": "x"}"#.into(),  "targets_not_list"),
        ];
        for (body, reason) in table {
            assert_eq!(listed(&body), Err(("targets".to_owned(), reason)), "{body}");
        }
    }

    #[test]
    fn a_body_is_one_json_object() {
        for body in [
            r#"["x"]"#,
            r#""x""#,
            r#"{"url": "x", "targets": ["x"]} {}"#,
            r#"{"url": "x""#,
            "url=x",
            "",
            "\u{feff}{}",
        ] {
            assert_eq!(one(body).unwrap_err().1, "body_not_json", "{body}");
            assert_eq!(listed(body).unwrap_err().1, "body_not_json", "{body}");
        }
        assert_eq!(one(r#"{"url": "x", "url": "y"}"#).unwrap_err().1, "body_not_json");
        assert_eq!(listed(r#"{"targets": ["x"], "targets": ["y"]}"#).unwrap_err().1, "body_not_json");
        assert_eq!(one(r#"{"url": ""}"#), Err(("url".to_owned(), "url_missing")));
        assert!(Asked::one(&[b"{\"url\":", "[".repeat(100_000).as_bytes()].concat()).is_err());
        assert!(Asked::list(b"{\"targets\": [\"\xff\"]}").is_err());
    }
}
