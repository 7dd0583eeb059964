//! Sizes: what a step cuts from its source, how large it becomes, where it stands. Pure.

use super::parameters::{Fit, Length, Step};
use super::refusal::Refusal;
use crate::limits;

/// Width and height in pixels, neither 0.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Size {
    /// Pixels across.
    pub width: u32,
    /// Pixels down.
    pub height: u32,
}

/// A part of the source, in its pixels; parts of pixels count.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Crop {
    /// From the left edge.
    pub left: f64,
    /// From the top edge.
    pub top: f64,
    /// Across.
    pub width: f64,
    /// Down.
    pub height: f64,
}

/// What one step does to its source's pixels.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Plan {
    /// This part of the source…
    pub crop: Crop,
    /// … is scaled to this size…
    pub scaled: Size,
    /// … and stands on a canvas of this size…
    pub canvas: Size,
    /// … so far from its left and top…
    pub place: (u32, u32),
    /// … and is turned, which makes this of it.
    pub output: Size,
}

/// Plans a step. No plan holds a size beyond the ceilings.
pub fn plan(source: Size, step: &Step) -> Result<Plan, Refusal> {
    let (source_width, source_height) = (f64::from(source.width), f64::from(source.height));
    let (width, height) = requested(source, step);
    // One side alone asks for the source's aspect: nothing is cut for the sake of rounding.
    let cuts = step.aspect.is_some() || (step.width.is_some() && step.height.is_some());
    let (across, down) = (width / source_width, height / source_height);
    let (cut, scale) = match step.fit {
        Fit::MaintainRatio if cuts => ((width / across.max(down), height / across.max(down)), (across, down)),
        Fit::MaintainRatio | Fit::Force => ((source_width, source_height), (across, down)),
        Fit::AtMax => ((source_width, source_height), both(across.min(down).min(1.0))),
        Fit::AtLeast => ((source_width, source_height), both(across.max(down))),
        Fit::Extract => ((width.min(source_width), height.min(source_height)), both(1.0)),
        Fit::PadResize => ((source_width, source_height), both(across.min(down))),
    };
    let crop = Crop {
        left: (source_width - cut.0) * step.focus.0,
        top: (source_height - cut.1) * step.focus.1,
        width: cut.0,
        height: cut.1,
    };
    let crop = if step.fit == Fit::Extract {
        Crop { left: crop.left.floor(), top: crop.top.floor(), ..crop }
    } else {
        crop
    };
    let scaled = match step.fit {
        Fit::MaintainRatio | Fit::Force => bounded(width, height)?,
        _ => bounded(cut.0 * scale.0, cut.1 * scale.1)?,
    };
    let canvas = if step.fit == Fit::PadResize { bounded(width, height)? } else { scaled };
    let place = (
        (f64::from(canvas.width - scaled.width) * step.focus.0) as u32,
        (f64::from(canvas.height - scaled.height) * step.focus.1) as u32,
    );
    Ok(Plan { crop, scaled, canvas, place, output: turned(canvas, step.rotation)? })
}

fn both(scale: f64) -> (f64, f64) {
    (scale, scale)
}

/// The size that a step asks for; the source's where it asks for none.
fn requested(source: Size, step: &Step) -> (f64, f64) {
    let side = |length: Option<Length>, source_side: u32| {
        let pixels = match length? {
            Length::Pixels(pixels) => pixels,
            Length::Share(share) => share * f64::from(source_side),
        };
        Some((pixels * step.pixel_ratio).round().max(1.0))
    };
    let aspect = match step.aspect {
        Some((width, height)) => width / height,
        None => f64::from(source.width) / f64::from(source.height),
    };
    match (side(step.width, source.width), side(step.height, source.height)) {
        (Some(width), Some(height)) => (width, height),
        (Some(width), None) => (width, (width / aspect).round().max(1.0)),
        (None, Some(height)) => ((height * aspect).round().max(1.0), height),
        (None, None) => (f64::from(source.width), f64::from(source.height)),
    }
}

fn turned(size: Size, degrees: u16) -> Result<Size, Refusal> {
    let (width, height) = (f64::from(size.width), f64::from(size.height));
    match degrees {
        0 | 180 => bounded(width, height),
        90 | 270 => bounded(height, width),
        _ => {
            let (sine, cosine) = f64::from(degrees).to_radians().sin_cos();
            let (sine, cosine) = (sine.abs(), cosine.abs());
            bounded((width * cosine + height * sine).ceil(), (width * sine + height * cosine).ceil())
        }
    }
}

/// A size in whole pixels, within the ceilings.
pub fn bounded(width: f64, height: f64) -> Result<Size, Refusal> {
    let (width, height) = (width.round().max(1.0), height.round().max(1.0));
    let side_max = f64::from(limits::DEMO_SIDE_PIXELS_MAX);
    if width > side_max || height > side_max || width * height > limits::DEMO_AREA_PIXELS_MAX as f64 {
        return Err(Refusal::OutputTooLarge { width, height });
    }
    Ok(Size { width: width as u32, height: height as u32 })
}

#[cfg(test)]
mod tests {
    use super::super::parameters::Transformation;
    use super::*;

    fn show(source: (u32, u32), text: &str) -> String {
        let transformation = Transformation::parse(text).unwrap();
        match plan(Size { width: source.0, height: source.1 }, &transformation.steps[0]) {
            Err(refusal) => format!("{refusal:?}").split(' ').next().unwrap().to_owned(),
            Ok(Plan { crop, scaled, canvas, place, output }) => format!(
                "{:.0}x{:.0}+{:.0}+{:.0} {}x{} {}x{}+{}+{} {}x{}",
                crop.width,
                crop.height,
                crop.left,
                crop.top,
                scaled.width,
                scaled.height,
                canvas.width,
                canvas.height,
                place.0,
                place.1,
                output.width,
                output.height
            ),
        }
    }

    #[test]
    fn each_crop_mode_cuts_scales_and_places() {
        #[rustfmt::skip]
        let table = [
            // source     step                                      crop             scaled   canvas+place  output
            ((800, 400), "w-200",                                   "800x400+0+0     200x100  200x100+0+0   200x100"),
            ((800, 400), "h-200",                                   "800x400+0+0     400x200  400x200+0+0   400x200"),
            ((801, 401), "w-200",                                   "801x401+0+0     200x100  200x100+0+0   200x100"),
            ((800, 400), "w-0.5",                                   "800x400+0+0     400x200  400x200+0+0   400x200"),
            ((800, 400), "w-0.5,h-0.5",                             "800x400+0+0     400x200  400x200+0+0   400x200"),
            ((800, 400), "w-200,dpr-2",                             "800x400+0+0     400x200  400x200+0+0   400x200"),
            ((800, 400), "w-200,ar-1-1",                            "400x400+200+0   200x200  200x200+0+0   200x200"),
            ((800, 400), "h-300,ar-4-3",                            "533x400+133+0   400x300  400x300+0+0   400x300"),
            ((800, 400), "w-200,h-200",                             "400x400+200+0   200x200  200x200+0+0   200x200"),
            ((800, 400), "w-200,h-200,fo-left",                     "400x400+0+0     200x200  200x200+0+0   200x200"),
            ((800, 400), "w-200,h-200,fo-bottom_right",             "400x400+400+0   200x200  200x200+0+0   200x200"),
            ((400, 800), "w-200,h-200,fo-top",                      "400x400+0+0     200x200  200x200+0+0   200x200"),
            ((400, 800), "w-200,h-200,fo-bottom",                   "400x400+0+400   200x200  200x200+0+0   200x200"),
            ((100, 100), "w-400,h-200",                             "100x50+0+25     400x200  400x200+0+0   400x200"),
            ((800, 400), "w-200,h-200,c-force",                     "800x400+0+0     200x200  200x200+0+0   200x200"),
            ((800, 400), "w-200,h-200,c-at_max",                    "800x400+0+0     200x100  200x100+0+0   200x100"),
            ((800, 400), "w-2000,h-2000,c-at_max",                  "800x400+0+0     800x400  800x400+0+0   800x400"),
            ((800, 400), "w-200,h-200,c-at_least",                  "800x400+0+0     400x200  400x200+0+0   400x200"),
            ((800, 400), "w-200,h-200,cm-extract",                  "200x200+300+100 200x200  200x200+0+0   200x200"),
            ((800, 400), "w-200,h-200,cm-extract,fo-top_right",     "200x200+600+0   200x200  200x200+0+0   200x200"),
            ((800, 400), "w-900,h-200,cm-extract",                  "800x200+0+100   800x200  800x200+0+0   800x200"),
            ((800, 400), "w-200,h-200,cm-pad_resize",               "800x400+0+0     200x100  200x200+0+50  200x200"),
            ((800, 400), "w-200,h-200,cm-pad_resize,fo-bottom",     "800x400+0+0     200x100  200x200+0+100 200x200"),
            ((800, 400), "w-900,h-300,cm-pad_resize,fo-right",      "800x400+0+0     600x300  900x300+300+0 900x300"),
            ((800, 400), "rt-90",                                   "800x400+0+0     800x400  800x400+0+0   400x800"),
            ((800, 400), "rt--180",                                 "800x400+0+0     800x400  800x400+0+0   800x400"),
            ((800, 400), "w-200,rt-45",                             "800x400+0+0     200x100  200x100+0+0   213x213"),
            ((800, 1),   "w-100",                                   "800x1+0+0       100x1    100x1+0+0     100x1"),
            ((800, 400), "w-4097",                                  "OutputTooLarge"),
            ((800, 400), "w-3000,dpr-2",                            "OutputTooLarge"),
            ((1, 4000),  "w-4000,h-10,c-at_least",                  "OutputTooLarge"),
            ((800, 400), "w-4096,h-4096,c-force,rt-45",             "OutputTooLarge"),
        ];
        for (source, step, expected) in table {
            let expected = expected.split_whitespace().collect::<Vec<_>>().join(" ");
            assert_eq!(show(source, step), expected, "{step} of {source:?}");
        }
    }
}
