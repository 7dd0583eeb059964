//! Cases over real sockets: an origin that answers by the table, one Freshet before it, and a judge.

use std::sync::Arc;
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use freshet::app::App;
use freshet::clock::Clock;

use super::table::{Case, Early, Expected, Field, Script, Step, Verdict, Wanted};
use crate::support::client::Answer;
use crate::support::origin::{self, Origin, Seen};
use crate::support::{Freshet, HOST, account, config, wait_until};

/// Names its step in requests; the origin finds by it what to answer.
const ASKED: &str = "conformance-asked";
/// Names the step that the origin answered, in its responses.
const ANSWERED: &str = "conformance-answered";

/// Every request field passes, and every method of the table.
const ROUTE: &str = "[[routes]]\nhttp = \"rfc\"\nmethods = [\"POST\", \"PUT\", \"DELETE\", \"M-SEARCH\"]\n";

/// All cases, and what they run against.
pub struct Bench {
    pub cases: Arc<Vec<Case>>,
    origin: Origin,
    freshet: Freshet,
}

/// What is filled into fields at one moment.
#[derive(Clone)]
struct Context {
    now: u64,
    path: String,
}

impl Bench {
    pub fn new(cases: Vec<Case>) -> Bench {
        let cases = Arc::new(cases);
        let clock = Clock::manual(1_700_000_000);
        let (table, time) = (cases.clone(), clock.clone());
        let origin = Origin::new(move |seen| answer(&table, seconds(&time), seen));
        let sections = format!("{ROUTE}\n{}", account(&format!("http://{}", origin.address)));
        let app = App::start(config(&sections), clock.clone()).unwrap_or_else(|error| panic!("{error}"));
        Bench { cases, origin, freshet: Freshet { app: Some(app), clock } }
    }

    /// Runs one case; says what is wrong at the first step that does not hold.
    pub fn run(&self, number: usize) -> Result<(), String> {
        let case = &self.cases[number];
        for (at, step) in case.steps.iter().enumerate() {
            self.step(number, case, at)
                .map_err(|wrong| format!("step {}, {} {}: {wrong}", at + 1, step.method, step.suffix))?;
        }
        Ok(())
    }

    fn step(&self, number: usize, case: &Case, at: usize) -> Result<(), String> {
        let step = &case.steps[at];
        self.freshet.clock.advance(Duration::from_secs(step.after));
        let context = Context { now: seconds(&self.freshet.clock), path: path(number) };
        let (before, stored) = (self.origin.count(), self.freshet.app().metrics().stored.get());
        let answer = self.request(step, at, &context);
        if step.expected.wanted.contains(&Wanted::Refreshed) {
            // Later steps find what it brought.
            wait_until("the response behind the answer is stored", || {
                self.freshet.app().metrics().stored.get() > stored
            });
        }
        let seen = self.origin.seen().split_off(before);
        Judge { case, number, at, context, answer: &answer, seen: &seen }.judge(&step.expected)
    }

    fn request(&self, step: &Step, at: usize, context: &Context) -> Answer {
        let body = if matches!(&*step.method, "GET" | "HEAD") { "" } else { "abc" };
        let mut text =
            format!("{} {}{} HTTP/1.1\r\nHost: {HOST}\r\n", step.method, context.path, step.suffix);
        for field in &step.request {
            text += &format!("{}: {}\r\n", field.name, context.fill(&field.value));
        }
        if !body.is_empty() {
            text += &format!("Content-Length: {}\r\n", body.len());
        }
        let mut client = self.freshet.client();
        client.send(format!("{text}{ASKED}: {}\r\n\r\n{body}", at + 1));
        client.answer(step.method == "HEAD").expect("every request is answered")
    }
}

fn path(number: usize) -> String {
    format!("/cases/{number}")
}

fn body(number: usize, at: usize, script: &Script) -> String {
    let body = script.body.clone().unwrap_or_else(|| format!("body of case {number}, step {}", at + 1));
    if matches!(script.status, 204 | 304) { String::new() } else { body }
}

fn seconds(clock: &Clock) -> u64 {
    clock.wall().duration_since(UNIX_EPOCH).unwrap().as_secs()
}

impl Context {
    /// `@5` is the date in five seconds, `@@5` the same in the form of RFC 850, `%path` the case's path.
    fn fill(&self, value: &str) -> String {
        let old_form = value.starts_with("@@");
        let Some(offset) = value.strip_prefix('@') else { return value.replace("%path", &self.path) };
        let seconds = self.now.checked_add_signed(offset.trim_start_matches('@').parse().unwrap()).unwrap();
        let date = httpdate::fmt_http_date(SystemTime::UNIX_EPOCH + Duration::from_secs(seconds));
        if old_form { rfc_850(&date) } else { date }
    }
}

/// `Sun, 06 Nov 1994 08:49:37 GMT` as `Sunday, 06-Nov-94 08:49:37 GMT`.
fn rfc_850(date: &str) -> String {
    let days = ["Sunday", "Monday", "Tuesday", "Wednesday", "Thursday", "Friday", "Saturday"];
    let day = days.iter().find(|day| day.starts_with(&date[..3])).unwrap();
    format!("{day}, {}-{}-{} {}", &date[5..7], &date[8..11], &date[14..16], &date[17..])
}

/// The origin: what the table says for the step that the request names.
fn answer(cases: &[Case], now: u64, seen: &Seen) -> Vec<origin::Step> {
    let place = || {
        let rest = seen.target.strip_prefix("/cases/")?;
        let number: usize = rest.split(['/', '?']).next()?.parse().ok()?;
        let at = seen.field(ASKED)?.parse::<usize>().ok()?.checked_sub(1)?;
        Some((number, at, &cases.get(number)?.steps.get(at)?.script))
    };
    let Some((number, at, script)) = place() else {
        return vec![origin::Step::Send(origin::answer("599 No Such Step", &[], ""))];
    };
    if script.closes {
        return vec![origin::Step::Close];
    }
    let context = Context { now, path: path(number) };
    let mut text = String::new();
    for early in &script.early {
        text += &format!("HTTP/1.1 {} Early\r\n{}\r\n", early.status, lines(&early.fields, &context));
    }
    let confirmed = script.status != 304 || is_confirmed(&cases[number], at, seen, &context);
    let status = if confirmed { script.status } else { 599 };
    text += &format!("HTTP/1.1 {status} Scripted\r\n{ANSWERED}: {}\r\n", at + 1);
    text += &lines(&script.fields, &context);
    let has = |name: &str| script.fields.iter().any(|field| field.name == name);
    if !has("date") {
        text += &format!("date: {}\r\n", context.fill("@0"));
    }
    if !has("content-type") {
        text += "content-type: text/plain\r\n";
    }
    let body = body(number, at, script);
    if !matches!(status, 204 | 304) && !has("content-length") && !has("transfer-encoding") {
        text += &format!("content-length: {}\r\n", body.len());
    }
    text += "\r\n";
    if seen.method != "HEAD" {
        text += &body;
    }
    vec![origin::Step::Send(text.into_bytes())]
}

fn lines(fields: &[Field], context: &Context) -> String {
    fields.iter().map(|field| format!("{}: {}\r\n", field.name, context.fill(&field.value))).collect()
}

/// Whether a request asks about what the origin said a step before: its ETag, or its Last-Modified.
fn is_confirmed(case: &Case, at: usize, seen: &Seen, context: &Context) -> bool {
    let step = &case.steps[at];
    let before = Context { now: context.now - step.after, path: context.path.clone() };
    let said = |name: &str| {
        let fields = &case.steps[at - 1].script.fields;
        fields.iter().find(|field| field.name == name).map(|field| before.fill(&field.value))
    };
    [("etag", "if-none-match"), ("last-modified", "if-modified-since")].iter().any(
        |(validator, condition)| said(validator).is_some_and(|value| seen.field(condition) == Some(&value)),
    )
}

/// One step after it was made.
struct Judge<'a> {
    case: &'a Case,
    number: usize,
    at: usize,
    context: Context,
    answer: &'a Answer,
    /// What the origin saw meanwhile.
    seen: &'a [Seen],
}

fn holds(holds: bool, wrong: impl FnOnce() -> String) -> Result<(), String> {
    if holds { Ok(()) } else { Err(wrong()) }
}

impl Judge<'_> {
    fn judge(&self, expected: &Expected) -> Result<(), String> {
        let refreshed = expected.wanted.contains(&Wanted::Refreshed);
        let script = &self.case.steps[self.at].script;
        let asks = self.seen.len();
        let times = || format!("the origin was asked {asks} times; {}", self.shown());
        match expected.verdict {
            Verdict::Miss => {
                holds(asks == 1, times)?;
                self.comes_from(self.at + 1, expected)?;
                self.has_all(script)?;
            }
            Verdict::Hit(step) => {
                // An error that it stands in for is asked for first.
                let asked = script.closes || refreshed || expected.wanted.iter().any(is_about_origin);
                holds((asks > 0) == asked, times)?;
                self.comes_from(step, expected)?;
            }
            Verdict::Renewed => {
                holds(asks == 1, times)?;
                self.comes_from(1, expected)?;
                self.has_all(script)?;
            }
            Verdict::Own(status) => {
                holds(self.answer.status == status, || format!("not {status}; {}", self.shown()))?;
                holds(self.answer.field(ANSWERED).is_none(), || format!("the origin's; {}", self.shown()))?;
            }
            Verdict::Any => {}
        }
        expected.wanted.iter().try_for_each(|wanted| self.has(wanted))
    }

    /// The answer is that of `step`, counted from 1: its number, its status and its body.
    fn comes_from(&self, step: usize, expected: &Expected) -> Result<(), String> {
        let renewed = expected.verdict == Verdict::Renewed;
        let named = if renewed { self.at + 1 } else { step };
        let answered = self.answer.field(ANSWERED);
        // A 304 of ours leaves fields out.
        let named = answered == Some(&named.to_string()) || (self.answer.status == 304 && answered.is_none());
        // A stored response that a 304 or a HEAD renewed has the renewal's number and the first one's body.
        let renews = |step: &Step| step.script.status == 304 || step.method == "HEAD";
        let renewed_before = self.case.steps[..self.at].iter().any(renews);
        holds(named || renewed_before, || format!("step {answered:?} answered; {}", self.shown()))?;
        let script = &self.case.steps[step - 1].script;
        let stated = |wanted: &dyn Fn(&Wanted) -> bool| expected.wanted.iter().any(wanted);
        if !stated(&|wanted| matches!(wanted, Wanted::Status(_))) {
            let status = script.status;
            holds(self.answer.status == status, || format!("not {status}; {}", self.shown()))?;
        }
        let bodiless = self.answer.status == 304 || self.case.steps[self.at].method == "HEAD";
        if !bodiless && !stated(&|wanted| matches!(wanted, Wanted::Body(_))) {
            let mut body = body(self.number, step - 1, script);
            let length = script.fields.iter().find(|field| field.name == "content-length");
            body.truncate(length.map_or(body.len(), |length| length.value.parse().unwrap()));
            holds(self.answer.text() == body, || format!("not \"{body}\"; {}", self.shown()))?;
        }
        holds(self.answer.complete, || format!("cut; {}", self.shown()))
    }

    /// What the origin said reached the client, but for what the table marks.
    fn has_all(&self, script: &Script) -> Result<(), String> {
        for field in script.fields.iter().filter(|field| field.kept && field.name != "date") {
            let lines = script.fields.iter().filter(|other| other.name == field.name);
            let all: Vec<String> = lines.map(|line| self.context.fill(&line.value)).collect();
            self.has_value(&field.name, &all.join(", "))?;
        }
        Ok(())
    }

    fn has_value(&self, name: &str, value: &str) -> Result<(), String> {
        let found = joined(&self.answer.fields, name);
        holds(found.as_deref() == Some(value), || format!("{name} is not {value}; {}", self.shown()))
    }

    fn has(&self, wanted: &Wanted) -> Result<(), String> {
        let fails = || format!("not {wanted:?}; {}", self.shown());
        match wanted {
            Wanted::Refreshed => Ok(()), // It was waited for.
            Wanted::Status(status) => holds(self.answer.status == *status, fails),
            Wanted::Body(body) => holds(self.answer.text() == *body, fails),
            Wanted::Field(field) => self.has_value(&field.name, &self.context.fill(&field.value)),
            Wanted::NoField(name) => holds(self.answer.field(name).is_none(), fails),
            Wanted::MoreThan(name, least) => {
                let number = self.answer.field(name).and_then(|value| value.parse::<u64>().ok());
                holds(number.is_some_and(|number| number > *least), fails)
            }
            Wanted::Early(early) => {
                let found: Vec<Early> = self.answer.interim.iter().map(shown_early).collect();
                let alike = found.len() == early.len()
                    && found.iter().zip(early).all(|(found, wanted)| {
                        found.status == wanted.status
                            && wanted.fields.iter().all(|field| found.fields.contains(field))
                    });
                holds(alike, fails)
            }
            Wanted::SawMethod(method) => holds(self.seen.iter().any(|seen| seen.method == *method), fails),
            Wanted::SawField(field) => {
                let value = self.context.fill(&field.value);
                let has = |seen: &Seen| joined(&seen.fields, &field.name).as_deref() == Some(&value);
                holds(self.seen.first().is_some_and(has), fails)
            }
            Wanted::SawNoField(name) => {
                holds(self.seen.first().is_some_and(|seen| seen.field(name).is_none()), fails)
            }
        }
    }

    fn shown(&self) -> String {
        let answer = self.answer;
        let fields: Vec<String> =
            answer.fields.iter().map(|(name, value)| format!("{name}: {value}")).collect();
        let asked: Vec<String> =
            self.seen.iter().map(|seen| format!("{} {:?}", seen.method, seen.fields)).collect();
        format!("got {} [{}] \"{}\"; origin saw {asked:?}", answer.status, fields.join(" // "), answer.text())
    }
}

fn is_about_origin(wanted: &Wanted) -> bool {
    matches!(wanted, Wanted::SawMethod(_) | Wanted::SawField(_) | Wanted::SawNoField(_))
}

fn joined(fields: &[(String, String)], name: &str) -> Option<String> {
    let lines: Vec<&str> =
        fields.iter().filter(|(known, _)| known == name).map(|(_, value)| &**value).collect();
    (!lines.is_empty()).then(|| lines.join(", "))
}

fn shown_early(interim: &Answer) -> Early {
    let field =
        |(name, value): &(String, String)| Field { name: name.clone(), value: value.clone(), kept: true };
    Early { status: interim.status, fields: interim.fields.iter().map(field).collect() }
}
