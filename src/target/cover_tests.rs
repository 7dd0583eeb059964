//! Each target covers what its definition says, and nothing else: random images, spelled at random, against a matcher
//! that knows nothing of keys. It looks at the pieces of which an image's URL was put together.

use std::cell::RefCell;
use std::collections::BTreeMap;

use proptest::prelude::*;
use proptest::sample::select;
use proptest::test_runner::{Config, TestRunner};

use super::{Tags, Target, Transformation};
use crate::key::Endpoints;
use crate::key::examples::{DEMO, RAW, accounts};
use crate::key::tests::below_endpoint;

/// Steps of a transformation, each of several parameters.
type Steps = Vec<Vec<&'static str>>;

/// An image as someone may ask for it.
#[derive(Clone, Debug)]
struct Image {
    folders: Vec<&'static str>,
    name: &'static str,
    /// Before which of folders and name, or behind all, and what it says.
    in_path: Vec<(usize, Steps)>,
    query: Vec<Parameter>,
}

#[derive(Clone, Debug)]
enum Parameter {
    Transformation(Steps),
    Other(&'static str),
}

/// A part of a URL: separators and what begins a transformation are never escaped.
enum Part<'a> {
    Fixed(&'a str),
    Text(&'a str),
    /// `,` or `:` within a transformation.
    Joint(&'a str),
}

impl Image {
    fn parts(&self) -> Vec<Part<'_>> {
        let mut parts = Vec::new();
        let names: Vec<&str> = self.folders.iter().copied().chain([self.name]).collect();
        for at in 0..=names.len() {
            for (_, steps) in self.in_path.iter().filter(|(place, _)| *place == at) {
                parts.push(Part::Fixed("/tr:"));
                add_steps(steps, &mut parts);
            }
            if let Some(name) = names.get(at) {
                parts.extend([Part::Fixed("/"), Part::Text(name)]);
            }
        }
        for (at, parameter) in self.query.iter().enumerate() {
            parts.push(Part::Fixed(if at == 0 { "?" } else { "&" }));
            match parameter {
                Parameter::Transformation(steps) => {
                    parts.push(Part::Fixed("tr="));
                    add_steps(steps, &mut parts);
                }
                Parameter::Other(text) => parts.push(Part::Text(text)),
            }
        }
        parts
    }

    /// Path and query with nothing escaped: the canonical text.
    fn plain(&self) -> String {
        let text = |part| match part {
            Part::Fixed(text) | Part::Text(text) | Part::Joint(text) => text,
        };
        self.parts().into_iter().map(text).collect()
    }

    /// The same, with what `picks` says escaped.
    fn spelled(&self, picks: &[bool]) -> String {
        let mut picks = picks.iter().cycle();
        let mut text = String::new();
        for part in self.parts() {
            match part {
                Part::Fixed(plain) => text.push_str(plain),
                Part::Text(plain) | Part::Joint(plain) => {
                    let is_joint = matches!(part, Part::Joint(_));
                    for character in plain.chars() {
                        if *picks.next().unwrap() && (is_joint || character.is_ascii_alphanumeric()) {
                            text.push_str(&format!("%{:02x}", u32::from(character)));
                        } else {
                            text.push(character);
                        }
                    }
                }
            }
        }
        text
    }

    fn steps(&self) -> impl Iterator<Item = &Steps> {
        let in_query = self.query.iter().filter_map(|parameter| match parameter {
            Parameter::Transformation(steps) => Some(steps),
            Parameter::Other(_) => None,
        });
        self.in_path.iter().map(|(_, steps)| steps).chain(in_query)
    }
}

fn add_steps(steps: &Steps, parts: &mut Vec<Part<'_>>) {
    for (at, step) in steps.iter().enumerate() {
        if at > 0 {
            parts.push(Part::Joint(":"));
        }
        for (at, parameter) in step.iter().enumerate() {
            if at > 0 {
                parts.push(Part::Joint(","));
            }
            parts.push(Part::Text(parameter));
        }
    }
}

/// What a purge names.
#[derive(Clone, Debug)]
enum Purge {
    Url(Image),
    /// The first bytes of the plain text.
    Prefix(Image, usize),
    Asset(Image),
    /// The first folders, with a slash at the end or without.
    Folder(Image, usize, bool),
    Transformation(&'static str),
    /// The plain text, with what stands at these places left to a `*`.
    Pattern(Image, Vec<(usize, usize)>),
}

impl Purge {
    fn kind(&self) -> &'static str {
        match self {
            Purge::Url(_) => "url",
            Purge::Prefix(..) => "prefix",
            Purge::Asset(_) => "asset",
            Purge::Folder(..) => "folder",
            Purge::Transformation(_) => "transformation",
            Purge::Pattern(..) => "pattern",
        }
    }

    /// What a caller sends, spelled by `picks` where it may be; nothing where it is refused.
    fn target(&self, endpoint: &str, account: usize, picks: &[bool]) -> Option<Target> {
        let endpoints = Endpoints::new(&accounts());
        let url = |below: &str| format!("{endpoint}{below}");
        match self {
            Purge::Url(image) => Target::parse(&url(&image.spelled(picks)), account, &endpoints).ok(),
            Purge::Prefix(image, bytes) => {
                Target::parse(&url(&format!("{}*", cut(image, *bytes))), account, &endpoints).ok()
            }
            Purge::Asset(image) => Target::parse_asset(&url(&image.spelled(picks)), account, &endpoints).ok(),
            Purge::Folder(image, depth, slash) => {
                let mut folder = image.clone();
                folder.query.clear();
                let depth = *depth % (folder.folders.len() + 1);
                folder.in_path.retain(|(place, _)| *place < depth);
                folder.name = folder.folders.get(depth).copied().unwrap_or(folder.name);
                folder.folders.truncate(depth);
                let end = if *slash { "/" } else { "" };
                Target::parse_folder(&url(&(folder.spelled(picks) + end)), account, &endpoints).ok()
            }
            Purge::Transformation(name) => {
                let id = &accounts()[account].id;
                Transformation::new(id, name).ok().map(Target::Transformation)
            }
            Purge::Pattern(image, stars) => {
                Target::parse_pattern(&url(&with_stars(image, stars)), account, &endpoints).ok()
            }
        }
    }

    /// The definitions.
    fn covers(&self, other: &Image) -> bool {
        match self {
            Purge::Url(image) => image.plain() == other.plain(),
            Purge::Prefix(image, bytes) => other.plain().starts_with(&cut(image, *bytes)),
            Purge::Asset(image) => (&image.folders, image.name) == (&other.folders, other.name),
            Purge::Folder(image, depth, _) => {
                let names: Vec<&str> = image.folders.iter().copied().chain([image.name]).collect();
                let depth = depth % (image.folders.len() + 1);
                other.folders.starts_with(&names[..=depth])
            }
            Purge::Transformation(name) => {
                let name = name.strip_prefix("n-").unwrap_or(name);
                other.steps().flatten().flatten().any(|parameter| *parameter == format!("n-{name}"))
            }
            Purge::Pattern(image, stars) => {
                stands_for(with_stars(image, stars).as_bytes(), other.plain().as_bytes())
            }
        }
    }
}

/// A beginning that does not end where the query begins: an empty query is none.
fn cut(image: &Image, bytes: usize) -> String {
    let plain = image.plain();
    plain[..1 + bytes % plain.len()].trim_end_matches('?').to_owned()
}

fn with_stars(image: &Image, stars: &[(usize, usize)]) -> String {
    let mut text = image.plain();
    for (start, bytes) in stars {
        let start = 1 + start % text.len();
        let end = (start + bytes).min(text.len());
        text.replace_range(start..end, "*");
    }
    text
}

/// A `*` is nothing, or one character and a `*`.
fn stands_for(pattern: &[u8], text: &[u8]) -> bool {
    match (pattern, text) {
        ([], []) => true,
        ([b'*', rest @ ..], _) if stands_for(rest, text) => true,
        ([b'*', ..], [_, more @ ..]) => stands_for(pattern, more),
        ([wanted, rest @ ..], [found, more @ ..]) => wanted == found && stands_for(rest, more),
        _ => false,
    }
}

fn steps() -> impl Strategy<Value = Steps> {
    let parameter = select(vec!["w-1", "h-22", "n-hero", "n-her", "n-heroes", "cn-hero", "n-", "rt-90"]);
    prop::collection::vec(prop::collection::vec(parameter, 1..3), 1..3)
}

fn image() -> impl Strategy<Value = Image> {
    let folder = select(vec!["photos", "photo", "a", "b", "n-hero"]);
    let parameter = prop_oneof![
        2 => steps().prop_map(Parameter::Transformation),
        1 => select(vec!["v=1", "ik-s=0af", "ik-t=17", "xtr=n-hero", "n-hero", "tr", "trn-hero"])
            .prop_map(Parameter::Other),
    ];
    (
        prop::collection::vec(folder, 0..3),
        select(vec!["a.jpg", "b.jpg", "photos"]),
        prop::collection::vec((0..4usize, steps()), 0..3),
        prop::collection::vec(parameter, 0..3),
    )
        .prop_map(|(folders, name, mut in_path, query)| {
            in_path.iter_mut().for_each(|(place, _)| *place = (*place).min(folders.len() + 1));
            Image { folders, name, in_path, query }
        })
}

/// A purge, and an image that it may well cover.
fn pair() -> impl Strategy<Value = (Purge, Image)> {
    let others = (image(), image(), any::<[bool; 4]>()).prop_map(|(image, mut other, keep)| {
        if keep[0] {
            (other.folders, other.name) = (image.folders.clone(), image.name);
            let places = other.folders.len() + 1;
            other.in_path.iter_mut().for_each(|(place, _)| *place = (*place).min(places));
        }
        if keep[0] && keep[1] {
            other.in_path = image.in_path.clone();
        }
        if keep[2] {
            other.query = image.query.clone();
        }
        (image, other)
    });
    let stars = prop::collection::vec((any::<usize>(), 0..9usize), 1..4);
    (others, any::<usize>(), stars, any::<bool>(), 0..8u8, select(vec!["hero", "n-her", "heroes"])).prop_map(
        |((image, other), at, stars, slash, kind, name)| {
            let purge = match kind {
                0 => Purge::Url(image),
                1 => Purge::Prefix(image, at),
                2 => Purge::Asset(image),
                3 => Purge::Folder(image, at, slash),
                4 | 5 => Purge::Transformation(name),
                _ => Purge::Pattern(image, stars),
            };
            (purge, other)
        },
    )
}

/// Runs it for many pairs; each kind of purge covers some images and others not, often enough to tell.
fn explore(check: impl Fn(&Purge, &Image, &[bool]) -> Result<Option<bool>, TestCaseError>) {
    let seen: RefCell<BTreeMap<(&str, bool), u32>> = RefCell::default();
    let picks = prop::collection::vec(prop::bool::weighted(0.2), 1..20);
    let mut runner = TestRunner::new(Config { cases: 20_000, ..Config::default() });
    let run = runner.run(&(pair(), picks), |((purge, other), picks)| {
        if let Some(covered) = check(&purge, &other, &picks)? {
            *seen.borrow_mut().entry((purge.kind(), covered)).or_default() += 1;
        }
        Ok(())
    });
    run.unwrap_or_else(|failure| panic!("{failure}"));
    let seen = seen.into_inner();
    println!("{seen:?}");
    for kind in ["url", "prefix", "asset", "folder", "transformation", "pattern"] {
        for covered in [false, true] {
            let times = seen.get(&(kind, covered)).copied().unwrap_or_default();
            assert!(times > 100, "{kind} {covered}: {times} times");
        }
    }
}

#[test]
fn a_target_covers_what_its_definition_says_however_it_is_spelled() {
    let endpoints = Endpoints::new(&accounts());
    explore(|purge, other, picks| {
        let Some(target) = purge.target("https://cdn.test/", DEMO, picks) else { return Ok(None) };
        let mut backwards = picks.to_vec();
        backwards.reverse();
        let url = format!("http://localhost:8080/demo/{}", other.spelled(&backwards));
        let key = endpoints.parse_url(&url).unwrap().key;
        prop_assert_eq!(key.as_str(), format!("demo{}", other.plain()));
        let covered = purge.covers(other);
        prop_assert_eq!(target.covers(&key, Tags::NONE), covered, "{} {}", target, key);
        let elsewhere = format!("http://img.test/demo-2{}", other.plain());
        let elsewhere = endpoints.parse_url(&elsewhere).unwrap().key;
        prop_assert!(!target.covers(&elsewhere, Tags::NONE), "{} {}", target, elsewhere);
        Ok(Some(covered))
    });
}

/// In an opaque account texts are the bytes that were sent; only what a transformation is called is read.
#[test]
fn a_target_of_an_opaque_account_covers_the_same_where_it_is_spelled_the_same() {
    let endpoints = Endpoints::new(&accounts());
    explore(|purge, other, picks| {
        let Some(target) = purge.target("http://raw.test", RAW, &[false]) else { return Ok(None) };
        let covered = purge.covers(other);
        let plain = endpoints.parse_url(&format!("http://raw.test{}", other.plain())).unwrap().key;
        prop_assert_eq!(target.covers(&plain, Tags::NONE), covered, "{} {}", target, plain);
        if let Purge::Transformation(_) = purge {
            let url = format!("http://img.test/raw{}", other.spelled(picks));
            let spelled = endpoints.parse_url(&url).unwrap().key;
            prop_assert_eq!(target.covers(&spelled, Tags::NONE), covered, "{} {}", target, spelled);
        }
        Ok(Some(covered))
    });
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 4000, ..ProptestConfig::default() })]

    /// Whatever a URL holds: a `*` may stand for nothing, and for all that follows it.
    #[test]
    fn a_star_put_anywhere_into_a_url_covers_it(below in below_endpoint(), cut in any::<prop::sample::Index>()) {
        let endpoints = Endpoints::new(&accounts());
        for (account, endpoint) in [(DEMO, "http://cdn.test"), (RAW, "http://raw.test")] {
            let Ok(located) = endpoints.parse_url(&format!("{endpoint}/{below}")) else { continue };
            let url = endpoints.url_of(&located.key).unwrap();
            let cuts: Vec<usize> = url.char_indices().map(|(at, _)| at).chain([url.len()]).collect();
            let cut = cuts[cut.index(cuts.len())];
            for pattern in [format!("{}*{}", &url[..cut], &url[cut..]), format!("{}*", &url[..cut])] {
                if let Ok(target) = Target::parse_pattern(&pattern, account, &endpoints) {
                    prop_assert!(target.covers(&located.key, Tags::NONE), "{} {}", target, located.key);
                }
            }
            if let Ok(target) = Target::parse_folder(&url, account, &endpoints) {
                let below = endpoints.parse_url(&format!("{url}/x")).unwrap().key;
                prop_assert!(target.covers(&below, Tags::NONE), "{} {}", target, below);
            }
        }
    }
}
