//! `docs/configuration.md` is made here: of the words of `config.toml`, and of what the reader itself knows. A key that
//! only one of the two has fails the test, and so does a page that is not what they make.
//!
//! The reader is asked through its refusals. An unknown key is told which ones are known; a wrong value, what would be
//! right; a table without a key, that it must be set. So nothing here has to be told of a new key.
//!
//! `FRESHET_WRITE_DOCS=1 cargo test --test suite reference` writes the page anew.

use std::collections::BTreeMap;
use std::fmt::Write;
use std::fs;
use std::path::{Path, PathBuf};

use freshet::config::{ConfigError, DEFAULT_TEXT, Problem, Sources, parse};

/// A key that no config has.
const UNKNOWN: &str = "no_such_key";
/// Values that few keys take: neither name, address, number, time nor pattern; nothing; another type.
const WRONG: [&str; 4] = ["\"\\u0001(\"", "\"\"", "[\"\\u0001(\"]", "[7]"];
/// Tables in tables; more would be a mistake of this search.
const DEPTH_MAX: usize = 4;

/// A table's name with those that it lies in, and whether each is an array of tables.
type Place = Vec<(String, bool)>;

/// What the reader knows of a key.
#[derive(Debug, Default, PartialEq)]
pub struct Known {
    /// Whether the key is a table of keys, and nothing else.
    pub is_table: bool,
    /// Whether a table without it is refused.
    must_be_set: bool,
    /// What the reader says of wrong values.
    rules: Vec<String>,
}

/// A key as `config.toml` tells of it.
#[derive(Debug, PartialEq)]
struct Told {
    key: String,
    value: String,
    is_example: bool,
    words: String,
}

/// A table as `config.toml` tells of it.
#[derive(Debug, PartialEq)]
struct Section {
    name: String,
    is_array: bool,
    /// Whether it is not in force in the file.
    is_example: bool,
    words: String,
    keys: Vec<Told>,
}

fn problems(text: &str) -> Vec<Problem> {
    let sources = Sources { variable: &|_| None, folder: Path::new("/nowhere"), cores: 1 };
    match parse(text, "config.toml", &sources) {
        Err(ConfigError::Invalid { problems, .. }) => problems,
        Err(error) => panic!("{error}"),
        Ok(_) => Vec::new(),
    }
}

/// A key's full name without the numbers of tables in arrays: `accounts[0].id` is `accounts.id`.
fn plain(key: &str) -> String {
    let mut outside = true;
    let keep = |c: &char| {
        let was = outside;
        outside = if *c == '[' { false } else { outside || *c == ']' };
        was && outside
    };
    key.chars().filter(keep).collect()
}

fn full(place: &Place, key: &str) -> String {
    place.iter().map(|(name, _)| name.as_str()).chain([key]).collect::<Vec<_>>().join(".")
}

/// A config that has `lines` in the table at `place`, and nothing else.
fn config(place: &Place, lines: &str) -> String {
    let mut text = String::new();
    for depth in 1..=place.len() {
        let name = place[..depth].iter().map(|(name, _)| name.as_str()).collect::<Vec<_>>().join(".");
        match place[depth - 1].1 {
            true => writeln!(text, "[[{name}]]").unwrap(),
            false if depth == place.len() => writeln!(text, "[{name}]").unwrap(),
            false => {}
        }
    }
    text + lines
}

/// The keys that the reader knows at `place`; nothing where it takes no table there.
fn known_at(place: &Place) -> Option<Vec<String>> {
    let mut known: Option<Vec<String>> = None;
    // Some keys are asked for only where another one is there: so all that are known are set, until no more appear.
    loop {
        let mut lines = format!("{UNKNOWN} = 1\n");
        for key in known.iter().flatten() {
            writeln!(lines, "{key} = \"http://example.test\"").unwrap();
        }
        let told = problems(&config(place, &lines));
        let told = told.iter().find(|problem| plain(&problem.key) == full(place, UNKNOWN))?;
        let list = told.rule.strip_prefix("unknown key; known here: ")?;
        let list: Vec<_> = list.split(", ").filter(|name| !name.is_empty()).map(str::to_owned).collect();
        if known.as_ref().is_some_and(|known| known.len() >= list.len()) {
            return known;
        }
        known = Some(list);
    }
}

/// What the reader says of wrong values of a key: of the value, and where it is an array, of what that holds.
fn rules(place: &Place, key: &str, neighbours: &[String]) -> Vec<String> {
    let others = neighbours.iter().filter(|other| *other != key);
    let others: String = others.map(|other| format!("{other} = \"http://example.test\"\n")).collect();
    // Alone, if the reader knows the key without the others.
    for others in ["", &others] {
        let mut rules: Vec<String> = Vec::new();
        for value in WRONG {
            let told = problems(&config(place, &format!("{key} = {value}\n{others}")));
            let is_of_it = |problem: &&Problem| {
                let is_refusal = problem.value != "(none)" && !problem.rule.starts_with("unknown key");
                is_refusal && plain(&problem.key) == full(place, key)
            };
            let Some(rule) = told.iter().find(is_of_it).map(|problem| short(&problem.rule)) else { continue };
            let is_array = rules.first().is_some_and(|first| first.starts_with("must be an array"));
            if rules.is_empty() || (is_array && value.starts_with('[')) {
                rules.push(rule);
            }
            if rules.len() == 2 || rules.first().is_some_and(|first| !first.starts_with("must be an array")) {
                break;
            }
        }
        if !rules.is_empty() {
            return rules;
        }
    }
    Vec::new()
}

/// A rule without its examples and without what it says of the one wrong value.
fn short(rule: &str) -> String {
    // It names the file that it looked for, and what the system said.
    if rule.starts_with("the file ") && rule.contains("can't be read") {
        return "the file can't be read".to_owned();
    }
    let ranges = ["must be a time from", "must be a size from"];
    let end = match ranges.iter().any(|range| rule.starts_with(range)) {
        true => rule.find(", as in"),
        false => rule.find(';').or_else(|| rule.find(": regex")),
    };
    let rule = &rule[..end.unwrap_or(rule.len())];
    if !rule.starts_with("must be a size from") {
        return rule.replace("[0]", "");
    }
    let sizes = rule.trim_end_matches(" bytes").split(' ');
    sizes.map(|word| word.parse().map_or(word.to_owned(), size)).collect::<Vec<_>>().join(" ")
}

/// A number as it stands, or as a size where it is one of whole KiB.
fn size(number: u64) -> String {
    let units = ["KiB", "MiB", "GiB", "TiB"];
    let whole =
        (1..=units.len()).rev().find(|power| number >= 1024 && number.is_multiple_of(1 << (10 * power)));
    whole.map_or(number.to_string(), |power| format!("{} {}", number >> (10 * power), units[power - 1]))
}

/// Every key that the reader knows below `place`, by its full name.
fn known_below(place: &Place, all: &mut BTreeMap<String, Known>) {
    assert!(place.len() <= DEPTH_MAX, "{place:?}");
    let bare = problems(&config(place, ""));
    let known = known_at(place).unwrap();
    for key in &known {
        let name = full(place, key);
        let inside = |is_array| place.iter().cloned().chain([(key.clone(), is_array)]).collect::<Place>();
        let table = [inside(false), inside(true)].into_iter().find(|place| known_at(place).is_some());
        let rules = rules(place, key, &known);
        let is_table = rules.iter().all(|rule| rule.contains("a table: [") || rule.contains("of tables: ["));
        let missing = |problem: &Problem| problem.value == "(none)" && plain(&problem.key) == name;
        let must_be_set = bare.iter().any(missing);
        all.insert(name, Known { is_table: table.is_some() && is_table, must_be_set, rules });
        if let Some(table) = table {
            known_below(&table, all);
        }
    }
}

/// Where a comment begins: at a `#` outside of strings.
fn comment(line: &str) -> Option<usize> {
    let mut quoted = false;
    line.char_indices().find_map(|(at, c)| {
        quoted ^= c == '"';
        (c == '#' && !quoted).then_some(at)
    })
}

/// The tables and keys that a text in the form of `config.toml` tells of; what stands behind `# ` is an example.
fn told(text: &str) -> Vec<Section> {
    let mut sections: Vec<Section> = Vec::new();
    for line in text.lines() {
        let (is_example, line) = match line.strip_prefix("# ").or_else(|| line.strip_prefix('#')) {
            Some(rest) => (true, rest),
            None => (false, line),
        };
        let (code, words) = line.split_at(comment(line).unwrap_or(line.len()));
        let words = words.trim_start_matches('#').trim();
        let code = code.trim_end();
        if let Some(name) = code.strip_prefix('[') {
            let name = name.split(']').next().unwrap().trim_start_matches('[').to_owned();
            let is_array = code.starts_with("[[");
            sections.push(Section { name, is_array, is_example, words: words.into(), keys: Vec::new() });
        } else if let Some((key, value)) = code.split_once(" = ")
            && let Some(section) = sections.last_mut()
            && key.bytes().all(|byte| byte.is_ascii_lowercase() || byte.is_ascii_digit() || byte == b'_')
        {
            let (key, value) = (key.to_owned(), value.to_owned());
            section.keys.push(Told { key, value, is_example, words: words.into() });
        } else if let Some(section) = sections.last_mut()
            && code.is_empty()
            && !words.is_empty()
        {
            let last = section.keys.last_mut().map_or(&mut section.words, |told| &mut told.words);
            if !last.is_empty() {
                last.push(' ');
            }
            last.push_str(words);
        }
    }
    sections
}

/// Whether a text has a word as it stands.
fn names(text: &str, word: &str) -> bool {
    let is_part = |c: char| c.is_ascii_alphanumeric() || c == '_';
    text.match_indices(word)
        .any(|(at, _)| !text[..at].ends_with(is_part) && !text[at + word.len()..].starts_with(is_part))
}

/// Whether a key lies in the value of a told one, and is named beside it: several keys may take like tables, so it
/// may be named beside any key of the section.
fn is_part(sections: &[Section], name: &str) -> bool {
    let key = name.rsplit('.').next().unwrap();
    sections.iter().any(|section| {
        let inside = |told: &Told| name.starts_with(&format!("{}.{}.", section.name, told.key));
        let named = |told: &Told| names(&told.value, key) || names(&told.words, key);
        section.keys.iter().any(inside) && section.keys.iter().any(named)
    })
}

/// What only one side has: the reader, or the words.
fn differences(known: &BTreeMap<String, Known>, sections: &[Section]) -> Vec<String> {
    let mut differences = Vec::new();
    for section in sections {
        let told = section.keys.iter().map(|told| format!("{}.{}", section.name, told.key));
        for name in told.filter(|name| !known.contains_key(name)) {
            differences.push(format!("config.toml tells of {name}, which the reader doesn't know"));
        }
    }
    for (name, known) in known {
        let (table, key) = name.rsplit_once('.').unwrap_or(("", name));
        let is_told = match known.is_table {
            true => sections
                .iter()
                .any(|section| section.name == *name || section.name.starts_with(&format!("{name}."))),
            false => sections.iter().any(|s| s.name == table && s.keys.iter().any(|told| told.key == key)),
        };
        let is_row = known.is_table && is_row(sections, name);
        if !(is_told || is_row || is_part(sections, name)) {
            differences.push(format!("the reader knows {name}, of which config.toml tells nothing"));
        }
    }
    differences
}

fn is_row(sections: &[Section], name: &str) -> bool {
    sections.iter().any(|s| s.keys.iter().any(|told| format!("{}.{}", s.name, told.key) == name))
}

fn cell(text: &str) -> String {
    text.replace('|', "\\|")
}

fn row(key: &str, value: &str, words: &str, rules: &[String]) -> String {
    format!("| `{key}` | {} | {} | {} |\n", cell(value), cell(words), cell(&rules.join("; in it: ")))
}

/// The whole page.
fn page(known: &BTreeMap<String, Known>, sections: &[Section]) -> String {
    let mut page = String::from(
        "# Configuration\n\n\
         Made from the code and from `config.toml`, the config that is built in, by `cargo test --test suite reference`; \
         change those.\n\n\
         Freshet reads the file that `--config` names, else `config.toml` in the working directory, else the text that is \
         built in. `freshet check` reads one and says everything that is wrong with it, with line, key and value, and \
         starts nothing. An unknown key is refused.\n\n\
         Sizes are a number with B, KiB, MiB, GiB, TiB, kB, MB, GB or TB, or a number of bytes; times a number with ms, s, \
         m, h or d. Paths are relative to the file. A secret may stand outside of it: `{ env = \"NAME\" }`, \
         `{ file = \"PATH\" }`. The last column is what the reader says of a wrong value.\n",
    );
    for section in sections {
        let (open, close) = if section.is_array { ("[[", "]]") } else { ("[", "]") };
        write!(page, "\n## `{open}{}{close}`\n\n", section.name).unwrap();
        if !section.words.is_empty() {
            write!(page, "{}.\n\n", capital(&section.words)).unwrap();
        }
        let is_example = section.is_array || section.is_example;
        let head = if is_example { "example" } else { "default" };
        write!(page, "| key | {head} | what it is | a wrong value |\n|---|---|---|---|\n").unwrap();
        for told in &section.keys {
            let name = format!("{}.{}", section.name, told.key);
            let Some(reader) = known.get(&name) else { continue };
            let value = match (reader.must_be_set, is_example, told.is_example) {
                (true, ..) => format!("must be set, as in `{}`", told.value),
                (_, true, _) => format!("`{}`", told.value),
                (_, false, true) => format!("none; as in `{}`", told.value),
                (_, false, false) => format!("`{}`", told.value),
            };
            page.push_str(&row(&told.key, &value, &told.words, &reader.rules));
            for (below, reader) in known.iter().filter(|(below, _)| below.starts_with(&format!("{name}."))) {
                let key = &below[section.name.len() + 1..];
                let value = if reader.must_be_set { "must be set in it" } else { "" };
                page.push_str(&row(key, value, &format!("part of `{}`", told.key), &reader.rules));
            }
        }
    }
    page
}

fn capital(text: &str) -> String {
    let mut letters = text.chars();
    letters.next().into_iter().flat_map(char::to_uppercase).chain(letters).collect()
}

pub fn everything_known() -> BTreeMap<String, Known> {
    let mut known = BTreeMap::new();
    known_below(&Place::new(), &mut known);
    known
}

#[test]
fn reference_has_every_key_that_the_reader_knows_and_no_other() {
    let (known, sections) = (everything_known(), told(DEFAULT_TEXT));
    assert!(known.len() > 60 && sections.len() > 9, "{} keys, {} tables", known.len(), sections.len());
    let differences = differences(&known, &sections);
    assert!(differences.is_empty(), "{differences:#?}");
    let made = page(&known, &sections);
    let path = PathBuf::from(env!("CARGO_MANIFEST_DIR")).join("docs/configuration.md");
    if std::env::var_os("FRESHET_WRITE_DOCS").is_some() {
        fs::write(&path, &made).unwrap();
    }
    let stands = fs::read_to_string(&path).unwrap();
    let first = made.lines().zip(stands.lines()).find(|(made, stands)| made != stands);
    assert!(
        made == stands,
        "docs/configuration.md is not what the code makes: {first:?}\n\
         FRESHET_WRITE_DOCS=1 cargo test --test suite reference writes it"
    );
}

#[test]
fn reader_is_asked_for_tables_in_tables_and_keys_that_need_others() {
    let known = everything_known();
    for name in ["proxy.listen", "routes.lifetimes.negative", "accounts.private_keys", "log.level"] {
        assert!(known.contains_key(name), "{name}: {:?}", known.keys());
    }
    assert!(known["proxy"].is_table && known["routes"].is_table && !known["accounts.id"].is_table);
    assert!(known["accounts.id"].must_be_set && !known["accounts.urls"].must_be_set);
    assert_eq!(known["proxy.threads"].rules, ["must be a whole number from 0 to 1024"]);
    assert_eq!(known["cache.object_max_bytes"].rules, ["must be a size from 1 KiB to 1 GiB"]);
    assert_eq!(known["routes.formats"].rules.len(), 2, "{:?}", known["routes.formats"]);
}

#[test]
fn words_are_read_as_they_stand_in_the_file() {
    let text = "# Head.\n\n[a]  # the first\nb = \"x # y\"   # one\n              # two\n# c = 3  # three\n#        # four\n\
                # [[d]]\n# e = { f = 1 }  # f, and h\n";
    let sections = told(text);
    let told = |key: &str, value: &str, is_example, words: &str| Told {
        key: key.into(),
        value: value.into(),
        is_example,
        words: words.into(),
    };
    let [a, d] = &sections[..] else { panic!("{sections:?}") };
    assert_eq!((&*a.name, a.is_array, &*a.words), ("a", false, "the first"));
    assert_eq!(a.keys, [told("b", "\"x # y\"", false, "one two"), told("c", "3", true, "three four")]);
    assert_eq!((&*d.name, d.is_array), ("d", true));
    let known = |names: &[&str]| -> BTreeMap<String, Known> {
        names.iter().map(|name| (name.to_string(), Known::default())).collect()
    };
    assert!(differences(&known(&["a.b", "a.c", "d.e", "d.e.f", "d.e.h"]), &sections).is_empty());
    assert_eq!(differences(&known(&["a.b", "d.e"]), &sections).len(), 1, "c is told of and unknown");
    assert_eq!(differences(&known(&["a.b", "a.c", "d.e", "d.e.g"]), &sections).len(), 1, "g is not told of");
    assert_eq!(differences(&known(&["a.b", "a.c", "d.e", "d.i"]), &sections).len(), 1, "i is not told of");
}
