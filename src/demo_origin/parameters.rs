//! Transformations, by ImageKit's names: text to values, and values to one canonical text.
//!
//! | name      | value                                                                                |
//! |-----------|--------------------------------------------------------------------------------------|
//! | `w`, `h`  | pixels, or a share of the source below 1; one alone keeps the source's aspect        |
//! | `ar`      | `4-3`: the aspect of the output, with `w` or `h`; with both it says nothing          |
//! | `c`       | `maintain_ratio` (fill the size, cut what is beyond it; so also without `c`), `force` |
//! |           | (stretch), `at_max` (fit inside, never enlarge), `at_least` (cover, cut nothing)     |
//! | `cm`      | `extract` (cut the size out, no scaling), `pad_resize` (fit inside, fill with `bg`)  |
//! | `fo`      | which part stays, or where it stands: `center`, `top`, `bottom_right`, …             |
//! | `bg`      | `RRGGBB`: behind padding, turned corners and transparency                            |
//! | `q`       | 1 to 100, 80 without it; PNG is lossless and ignores it                              |
//! | `f`       | `jpg`, `jpeg`, `png`, `webp`, `avif`, or `auto`: what Accept names, best first       |
//! | `rt`      | degrees clockwise, -360 to 360; beside quarter turns the canvas grows                |
//! | `bl`      | 1 to 100: blur                                                                       |
//! | `e`       | `grayscale`                                                                          |
//! | `dpr`     | 0.1 to 5: multiplies `w` and `h`                                                     |
//! | `n`       | a named transformation, alone in its step: see [`NAMED`]                             |
//!
//! `,` joins parameters, `:` chains steps. In a step the order does not count: resize, pad, turn, blur, grayscale.
//! `q` and `f` hold for the whole output, the last one counts. Pure; cost O(length).

use std::fmt;

use super::encode::Format;
use super::refusal::Refusal;
use crate::limits;

/// Named transformations: what `n-<name>` stands for.
pub const NAMED: [(&str, &str); 3] = [
    ("thumb", "w-160,h-160,fo-center,q-70"),
    ("hero", "w-1200,h-500,c-maintain_ratio"),
    ("placeholder", "w-48:bl-4,q-30,f-webp"),
];

const SIDE: &str = "a whole number of pixels from 1, or a share of the source between 0 and 1 such as 0.5";

/// Every parameter, and what it takes.
const PARAMETERS: [(&str, &str); 14] = [
    ("w", SIDE),
    ("h", SIDE),
    ("ar", "two numbers above 0, such as 4-3"),
    ("c", "maintain_ratio, force, at_max or at_least"),
    ("cm", "extract or pad_resize"),
    ("fo", "center, top, left, bottom, right, top_left, top_right, bottom_left or bottom_right"),
    ("bg", "a colour of six hexadecimal digits, such as F0E0D0"),
    ("q", "a whole number from 1 to 100"),
    ("f", "jpg, jpeg, png, webp, avif or auto"),
    ("rt", "whole degrees from -360 to 360"),
    ("bl", "a whole number from 1 to 100"),
    ("e", "grayscale"),
    ("dpr", "a number from 0.1 to 5"),
    ("n", "thumb, hero or placeholder"),
];

/// The parameters' names, for help.
pub fn names() -> String {
    PARAMETERS.map(|(name, _)| name).join(", ")
}

/// A length of one side.
#[derive(Clone, Copy, Debug, PartialEq)]
pub enum Length {
    /// Pixels, at least 1.
    Pixels(f64),
    /// Between 0 and 1 of the source's side.
    Share(f64),
}

/// How the source meets the size asked for.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Fit {
    /// Fill the size, cut what is beyond it.
    #[default]
    MaintainRatio,
    /// Stretch.
    Force,
    /// Fit inside, never enlarge.
    AtMax,
    /// Cover the size, cut nothing.
    AtLeast,
    /// Cut the size out, no scaling.
    Extract,
    /// Fit inside, and fill the rest.
    PadResize,
}

impl Fit {
    const ALL: [Fit; 6] =
        [Fit::MaintainRatio, Fit::Force, Fit::AtMax, Fit::AtLeast, Fit::Extract, Fit::PadResize];

    /// Parameter and value.
    fn spelling(self) -> (&'static str, &'static str) {
        match self {
            Fit::MaintainRatio => ("c", "maintain_ratio"),
            Fit::Force => ("c", "force"),
            Fit::AtMax => ("c", "at_max"),
            Fit::AtLeast => ("c", "at_least"),
            Fit::Extract => ("cm", "extract"),
            Fit::PadResize => ("cm", "pad_resize"),
        }
    }
}

/// Names of places, with their shares of the free space to the left and above.
const PLACES: [(&str, (f64, f64)); 9] = [
    ("center", (0.5, 0.5)),
    ("top", (0.5, 0.0)),
    ("left", (0.0, 0.5)),
    ("bottom", (0.5, 1.0)),
    ("right", (1.0, 0.5)),
    ("top_left", (0.0, 0.0)),
    ("top_right", (1.0, 0.0)),
    ("bottom_left", (0.0, 1.0)),
    ("bottom_right", (1.0, 1.0)),
];

/// One step of a chain.
#[derive(Clone, Debug, PartialEq)]
pub struct Step {
    /// `w`
    pub width: Option<Length>,
    /// `h`
    pub height: Option<Length>,
    /// `ar`: width and height.
    pub aspect: Option<(f64, f64)>,
    /// `c` and `cm`
    pub fit: Fit,
    /// `fo`: share of the free space to the left and above.
    pub focus: (f64, f64),
    /// `bg`
    pub background: Option<[u8; 3]>,
    /// `rt`: degrees clockwise, 0 to 359.
    pub rotation: u16,
    /// `bl`: 0 is none.
    pub blur: u8,
    /// `e-grayscale`
    pub grayscale: bool,
    /// `dpr`
    pub pixel_ratio: f64,
}

impl Default for Step {
    fn default() -> Step {
        Step {
            width: None,
            height: None,
            aspect: None,
            fit: Fit::default(),
            focus: PLACES[0].1,
            background: None,
            rotation: 0,
            blur: 0,
            grayscale: false,
            pixel_ratio: 1.0,
        }
    }
}

/// What `f` asks for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Wanted {
    /// This one.
    Format(Format),
    /// The best that the request's Accept names.
    Auto,
}

/// A whole transformation. Nothing is left in it that does nothing, so equal ones print alike.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Transformation {
    /// In the order in which they are applied.
    pub steps: Vec<Step>,
    /// `q`
    pub quality: Option<u8>,
    /// `f`
    pub format: Option<Wanted>,
}

impl Transformation {
    /// Reads what stands after `tr:` or `tr=`, escapes decoded. An empty text is no transformation.
    pub fn parse(text: &str) -> Result<Transformation, Refusal> {
        let mut whole = Transformation::default();
        for step in text.split(':').filter(|_| !text.is_empty()) {
            match step.strip_prefix("n-") {
                Some(name) => {
                    let found = NAMED.iter().find(|(known, _)| *known == name);
                    let (_, expansion) = found.ok_or_else(|| refuse_value("n", name))?;
                    for named_step in expansion.split(':') {
                        whole.add_step(named_step)?;
                    }
                }
                None => whole.add_step(step)?,
            }
        }
        Ok(whole)
    }

    fn add_step(&mut self, text: &str) -> Result<(), Refusal> {
        let mut step = Step::default();
        let mut seen: Vec<&str> = Vec::new();
        for parameter in text.split(',') {
            let (name, value) = parameter.split_once('-').unwrap_or((parameter, ""));
            let known = PARAMETERS.iter().find(|(known, _)| *known == name);
            let (name, _) = *known.ok_or_else(|| Refusal::UnknownParameter(parameter.to_owned()))?;
            if seen.contains(&name) {
                return Err(Refusal::Combination("a parameter stands twice in one step"));
            }
            seen.push(name);
            self.read(&mut step, name, value).ok_or_else(|| refuse_value(name, value))?;
        }
        if seen.contains(&"c") && seen.contains(&"cm") {
            return Err(Refusal::Combination("`c` and `cm` exclude each other in one step"));
        }
        if seen.contains(&"n") {
            return Err(Refusal::Combination("`n` stands alone in its step"));
        }
        let sized = step.width.is_some() || step.height.is_some();
        if step.aspect.is_some() && !sized {
            return Err(Refusal::Combination("`ar` needs `w` or `h` beside it"));
        }
        if step.width.is_some() && step.height.is_some() {
            step.aspect = None;
        }
        if !sized {
            (step.fit, step.focus, step.pixel_ratio) = (Fit::default(), PLACES[0].1, 1.0);
        }
        if step != Step::default() {
            self.steps.push(step);
        }
        if self.steps.len() > limits::DEMO_STEPS_MAX {
            return Err(Refusal::Combination("it has too many steps"));
        }
        Ok(())
    }

    /// Nothing, where the parameter does not take the value.
    fn read(&mut self, step: &mut Step, name: &str, value: &str) -> Option<()> {
        match name {
            "w" => step.width = Some(length(value)?),
            "h" => step.height = Some(length(value)?),
            "ar" => {
                let (width, height) = value.split_once('-')?;
                let positive = |text| number(text).filter(|number| *number > 0.0);
                step.aspect = Some((positive(width)?, positive(height)?));
            }
            "c" | "cm" => step.fit = Fit::ALL.into_iter().find(|fit| fit.spelling() == (name, value))?,
            "fo" => step.focus = PLACES.iter().find(|(place, _)| *place == value)?.1,
            "bg" => step.background = Some(colour(value)?),
            "q" => self.quality = Some(percent(value)?),
            "f" if value == "auto" => self.format = Some(Wanted::Auto),
            "f" => self.format = Some(Wanted::Format(Format::from_extension(value)?)),
            "rt" => {
                let degrees: i16 = value.parse().ok().filter(|degrees| (-360..=360).contains(degrees))?;
                step.rotation = degrees.rem_euclid(360).unsigned_abs();
            }
            "bl" => step.blur = percent(value)?,
            "e" if value == "grayscale" => step.grayscale = true,
            "dpr" => step.pixel_ratio = number(value).filter(|ratio| (0.1..=5.0).contains(ratio))?,
            "n" => {}
            _ => return None,
        }
        Some(())
    }
}

fn refuse_value(name: &str, value: &str) -> Refusal {
    let (parameter, expected) = PARAMETERS.into_iter().find(|(known, _)| *known == name).unwrap_or(("", ""));
    Refusal::Value { parameter, value: value.to_owned(), expected }
}

/// Digits, perhaps with a fraction; no sign, no exponent.
fn number(text: &str) -> Option<f64> {
    let plain = text.len() <= 8 && text.bytes().all(|byte| byte.is_ascii_digit() || byte == b'.');
    text.parse().ok().filter(|_| plain)
}

fn length(text: &str) -> Option<Length> {
    let length = number(text)?;
    if length > 0.0 && length < 1.0 {
        return Some(Length::Share(length));
    }
    (length >= 1.0 && length.fract() == 0.0).then_some(Length::Pixels(length))
}

fn percent(text: &str) -> Option<u8> {
    let digits = text.bytes().all(|byte| byte.is_ascii_digit());
    text.parse().ok().filter(|value| digits && (1..=100).contains(value))
}

fn colour(text: &str) -> Option<[u8; 3]> {
    let digits = text.len() == 6 && text.bytes().all(|byte| byte.is_ascii_hexdigit());
    let [_, red, green, blue] = u32::from_str_radix(text, 16).ok().filter(|_| digits)?.to_be_bytes();
    Some([red, green, blue])
}

impl fmt::Display for Length {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let (Length::Pixels(value) | Length::Share(value)) = self;
        write!(f, "{value}")
    }
}

impl fmt::Display for Step {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let mut parts = Vec::new();
        parts.extend(self.width.map(|width| format!("w-{width}")));
        parts.extend(self.height.map(|height| format!("h-{height}")));
        parts.extend(self.aspect.map(|(width, height)| format!("ar-{width}-{height}")));
        let (name, value) = self.fit.spelling();
        parts.extend((self.fit != Fit::default()).then(|| format!("{name}-{value}")));
        let place = PLACES[1..].iter().find(|(_, focus)| *focus == self.focus);
        parts.extend(place.map(|(place, _)| format!("fo-{place}")));
        parts.extend(self.background.map(|[r, g, b]| format!("bg-{r:02X}{g:02X}{b:02X}")));
        parts.extend((self.rotation != 0).then(|| format!("rt-{}", self.rotation)));
        parts.extend((self.blur != 0).then(|| format!("bl-{}", self.blur)));
        parts.extend(self.grayscale.then(|| "e-grayscale".to_owned()));
        parts.extend((self.pixel_ratio != 1.0).then(|| format!("dpr-{}", self.pixel_ratio)));
        f.write_str(&parts.join(","))
    }
}

impl fmt::Display for Transformation {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let mut steps: Vec<String> = self.steps.iter().map(Step::to_string).collect();
        steps.extend(self.quality.map(|quality| format!("q-{quality}")));
        steps.extend(self.format.map(|wanted| match wanted {
            Wanted::Auto => "f-auto".to_owned(),
            Wanted::Format(format) => format!("f-{}", format.as_str()),
        }));
        f.write_str(&steps.join(":"))
    }
}

#[cfg(test)]
mod tests;
