//! The table's text → cases. The form is described in `mod.rs`; a line that has another one panics.

/// What a case counts as.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Kind {
    /// HTTP demands it.
    Required,
    /// HTTP allows it, and a good cache does it.
    Optional,
    /// HTTP leaves it open: this is what Freshet does.
    Choice,
}

/// One line of the table's claims, and its steps.
#[derive(Clone, Debug)]
pub struct Case {
    pub family: &'static str,
    pub kind: Kind,
    pub claim: String,
    /// Why Freshet does otherwise, where it does: then the steps say what.
    pub declined: Option<String>,
    pub steps: Vec<Step>,
}

/// A request, what the origin answers if it is asked, and what must come of it.
#[derive(Clone, Debug)]
pub struct Step {
    /// Seconds that pass before it.
    pub after: u64,
    pub method: String,
    /// Appended to the case's path.
    pub suffix: String,
    pub request: Vec<Field>,
    pub script: Script,
    pub expected: Expected,
}

/// A field as the table has it: dates and the path are filled in when it is sent or compared.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Field {
    pub name: String,
    pub value: String,
    /// Whether it must reach the client as it is.
    pub kept: bool,
}

/// What the origin answers.
#[derive(Clone, Debug, Default)]
pub struct Script {
    /// 304 stands for "304 if the request is conditional on what the step before said, else a failure".
    pub status: u16,
    pub fields: Vec<Field>,
    pub body: Option<String>,
    pub closes: bool,
    pub early: Vec<Early>,
}

/// An interim response.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Early {
    pub status: u16,
    pub fields: Vec<Field>,
}

/// Where the answer came from.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Verdict {
    /// From the origin, asked once.
    Miss,
    /// From the store, and the origin was not asked; from what this step (counted from 1) had stored.
    Hit(usize),
    /// From the store, after the origin had said 304.
    Renewed,
    /// Freshet's own answer with this status.
    Own(u16),
    /// Wherever it came from.
    Any,
}

/// What must come of a step.
#[derive(Clone, Debug)]
pub struct Expected {
    pub verdict: Verdict,
    pub wanted: Vec<Wanted>,
}

/// One thing beside the verdict.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Wanted {
    Status(u16),
    Body(String),
    Field(Field),
    NoField(String),
    MoreThan(String, u64),
    /// All interim responses that the client got.
    Early(Vec<Early>),
    /// The origin is asked behind the answer.
    Refreshed,
    SawMethod(String),
    SawField(Field),
    SawNoField(String),
}

/// All cases of a family's text.
pub fn cases(family: &'static str, text: &str) -> Vec<Case> {
    let mut cases: Vec<Case> = Vec::new();
    let mut lines = text.lines().filter(|line| !line.trim().is_empty() && !line.starts_with('#')).peekable();
    while let Some(line) = lines.next() {
        let (items, head) = match line.strip_prefix("for ") {
            Some(items) => (items.split(";;").map(str::trim).collect(), lines.next().expect("a claim")),
            None => (vec![""], line),
        };
        let mut steps = Vec::new();
        while let Some(step) = lines.next_if(|line| line.starts_with(' ')) {
            steps.push(step);
        }
        assert!(!steps.is_empty(), "{family}: {head}: a case has steps");
        for item in items {
            let values: Vec<&str> = item.split("::").map(str::trim).collect();
            let filled = |text: &str| {
                let numbered = values.iter().enumerate();
                numbered
                    .fold(text.to_owned(), |text, (at, value)| text.replace(&format!("${}", at + 1), value))
            };
            let steps = steps.iter().map(|line| step(&filled(line))).collect();
            cases.push(case(family, &filled(head), steps));
        }
    }
    cases
}

fn case(family: &'static str, head: &str, steps: Vec<Step>) -> Case {
    let (mark, claim) = head.split_once(' ').unwrap_or_else(|| panic!("no claim: {head}"));
    let kind = match mark.chars().next() {
        Some('!') => Kind::Required,
        Some('?') => Kind::Optional,
        Some('.') => Kind::Choice,
        _ => panic!("no claim: {head}"),
    };
    let (claim, declined) = match mark.ends_with('~') {
        true => {
            let (claim, why) = claim.split_once(" -- ").unwrap_or_else(|| panic!("no reason: {head}"));
            (claim, Some(why.to_owned()))
        }
        false => (claim, None),
    };
    Case { family, kind, claim: claim.to_owned(), declined, steps }
}

fn step(line: &str) -> Step {
    let cells: Vec<&str> = line.split(" |").map(str::trim).collect();
    let [request, script, expected] = cells[..] else { panic!("a step has three cells: {line}") };
    let mut rest = request;
    let mut after = 0;
    if let Some(seconds) = rest.strip_prefix('+') {
        let (seconds, request) = seconds.split_once(' ').unwrap_or_else(|| panic!("no method: {line}"));
        (after, rest) = (seconds.parse().unwrap(), request.trim_start());
    }
    let (method, rest) = rest.split_once(' ').unwrap_or((rest, ""));
    let rest = rest.trim_start();
    let (suffix, fields) = match rest.starts_with(['/', '?']) {
        true => rest.split_once(' ').unwrap_or((rest, "")),
        false => ("", rest),
    };
    Step {
        after,
        method: method.to_owned(),
        suffix: suffix.to_owned(),
        request: items(fields).map(field).collect(),
        script: self::script(script),
        expected: self::expected(expected),
    }
}

fn items(text: &str) -> impl Iterator<Item = &str> {
    text.split("//").map(str::trim).filter(|item| !item.is_empty())
}

fn field(text: &str) -> Field {
    let (name, value) = text.split_once(':').unwrap_or_else(|| panic!("no field: {text}"));
    let (kept, name) = name.strip_prefix('~').map_or((true, name), |name| (false, name));
    Field { name: name.trim().to_ascii_lowercase(), value: value.trim().to_owned(), kept }
}

fn script(text: &str) -> Script {
    let (status, rest) = match text.get(..3).and_then(|status| status.parse().ok()) {
        Some(status) => (status, &text[3..]),
        None => (200, text),
    };
    let mut script = Script { status, ..Script::default() };
    for item in items(rest) {
        if item == "*close" {
            script.closes = true;
        } else if let Some(body) = item.strip_prefix("*body ") {
            script.body = Some(body.to_owned());
        } else if let Some(text) = item.strip_prefix("*early ") {
            early(&mut script.early, text);
        } else {
            script.fields.push(field(item));
        }
    }
    script
}

/// `103 name: value`: fields of one status are of one response.
fn early(all: &mut Vec<Early>, text: &str) {
    let (status, rest) = text.split_once(' ').unwrap_or((text, ""));
    let status = status.parse().unwrap_or_else(|_| panic!("no interim response: {text}"));
    if all.last().is_none_or(|last| last.status != status) {
        all.push(Early { status, fields: Vec::new() });
    }
    all.last_mut().expect("it was pushed").fields.extend((!rest.is_empty()).then(|| field(rest)));
}

fn expected(text: &str) -> Expected {
    let mut items = items(text);
    let words: Vec<&str> = items.next().expect("a verdict").split(' ').collect();
    let verdict = match words[..] {
        ["miss"] => Verdict::Miss,
        ["hit"] => Verdict::Hit(1),
        ["hit", step] => Verdict::Hit(step.parse().unwrap()),
        ["renewed"] => Verdict::Renewed,
        ["own", status] => Verdict::Own(status.parse().unwrap()),
        ["any"] => Verdict::Any,
        _ => panic!("no verdict: {text}"),
    };
    let mut wanted = Vec::new();
    let mut interim = None;
    for item in items {
        match item.strip_prefix("early ") {
            Some("none") => interim = Some(Vec::new()),
            Some(text) => early(interim.get_or_insert_default(), text),
            None => wanted.push(self::wanted(item)),
        }
    }
    wanted.extend(interim.map(Wanted::Early));
    Expected { verdict, wanted }
}

fn wanted(item: &str) -> Wanted {
    if item == "refreshed" {
        return Wanted::Refreshed;
    }
    if let Ok(status) = item.parse() {
        return Wanted::Status(status);
    }
    if let Some(body) = item.strip_prefix("*body ") {
        return Wanted::Body(body.to_owned());
    }
    if let Some(name) = item.strip_prefix('!') {
        return Wanted::NoField(name.to_ascii_lowercase());
    }
    if let Some((name, least)) = item.split_once(" > ") {
        return Wanted::MoreThan(name.to_ascii_lowercase(), least.parse().unwrap());
    }
    match item.strip_prefix("saw ") {
        Some(seen) => match seen.strip_prefix('!') {
            Some(name) => Wanted::SawNoField(name.to_ascii_lowercase()),
            None if seen.contains(':') => Wanted::SawField(field(seen)),
            None => Wanted::SawMethod(seen.to_owned()),
        },
        None => Wanted::Field(field(item)),
    }
}

#[test]
fn a_line_says_all_of_a_step() {
    let text = "for a :: b ;; c :: d\n?~ claims $1 -- why $2\n +3 GET /x Foo: $1 // If-Modified-Since: @-3 | 206 ~A: 1 // *body x y // *early 103 link: z | hit 2 // 206 // !A // Age > 2 // saw !B // saw PUT // early none\n";
    let found = cases("family", text);
    assert_eq!(found.len(), 2);
    let case = &found[1];
    assert_eq!(
        (case.kind, &*case.claim, case.declined.as_deref()),
        (Kind::Optional, "claims c", Some("why d"))
    );
    let step = &case.steps[0];
    assert_eq!((step.after, &*step.method, &*step.suffix, step.request.len()), (3, "GET", "/x", 2));
    assert_eq!(step.request[0], Field { name: "foo".into(), value: "c".into(), kept: true });
    let script = &step.script;
    assert_eq!((script.status, script.fields[0].kept, script.body.as_deref()), (206, false, Some("x y")));
    assert_eq!((script.early[0].status, &*script.early[0].fields[0].name), (103, "link"));
    assert_eq!(step.expected.verdict, Verdict::Hit(2));
    let wanted = [
        Wanted::Status(206),
        Wanted::NoField("a".into()),
        Wanted::MoreThan("age".into(), 2),
        Wanted::SawNoField("b".into()),
        Wanted::SawMethod("PUT".into()),
        Wanted::Early(Vec::new()),
    ];
    assert_eq!(step.expected.wanted, wanted);
}
