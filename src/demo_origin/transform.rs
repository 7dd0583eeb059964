//! Steps applied to pixels. Every size is planned and checked before the first pixel is touched.
//!
//! A picture in here is RGB or RGBA of 8 bits a channel. Cost: the pixels of each step's source and output.

use fast_image_resize::{ResizeOptions, Resizer};
use image::{DynamicImage, RgbImage, Rgba, RgbaImage};

use super::geometry::{self, Plan, Size};
use super::parameters::Step;
use super::refusal::Refusal;

/// Blur's deviation in pixels, for each point of `bl`.
const BLUR_PIXELS: f32 = 0.5;

/// Applies the steps in their order.
pub fn apply(mut picture: DynamicImage, steps: &[Step]) -> Result<DynamicImage, Refusal> {
    let mut size = Size { width: picture.width(), height: picture.height() };
    let mut plans = Vec::with_capacity(steps.len());
    for step in steps {
        let plan = geometry::plan(size, step)?;
        size = plan.output;
        plans.push(plan);
    }
    // Without a step, the source is the output.
    geometry::bounded(f64::from(size.width), f64::from(size.height))?;
    for (step, plan) in steps.iter().zip(plans) {
        if let Some(background) = step.background {
            picture = flatten(picture, background);
        }
        picture = scale(picture, &plan)?;
        let ground = ground(&picture, step.background);
        picture = turn(pad(picture, &plan, ground), step.rotation, plan.output, ground);
        if step.blur > 0 {
            picture = picture.fast_blur(f32::from(step.blur) * BLUR_PIXELS);
        }
        if step.grayscale {
            picture = normal(picture.grayscale());
        }
    }
    Ok(picture)
}

/// A picture of any kind as RGB, or as RGBA where it has an alpha channel.
pub fn normal(picture: DynamicImage) -> DynamicImage {
    if picture.color().has_alpha() { picture.into_rgba8().into() } else { picture.into_rgb8().into() }
}

/// Puts a colour behind a picture's transparency.
pub fn flatten(picture: DynamicImage, behind: [u8; 3]) -> DynamicImage {
    let DynamicImage::ImageRgba8(picture) = picture else { return picture };
    let mut opaque = RgbImage::new(picture.width(), picture.height());
    for (target, source) in opaque.chunks_exact_mut(3).zip(picture.chunks_exact(4)) {
        let alpha = u32::from(source[3]);
        for channel in 0..3 {
            let mixed = u32::from(source[channel]) * alpha + u32::from(behind[channel]) * (255 - alpha);
            target[channel] = ((mixed + 127) / 255) as u8;
        }
    }
    opaque.into()
}

/// What stands where no picture is: the colour asked for, else nothing or white.
fn ground(picture: &DynamicImage, background: Option<[u8; 3]>) -> [u8; 4] {
    match background {
        Some([red, green, blue]) => [red, green, blue, 255],
        None if picture.color().has_alpha() => [255, 255, 255, 0],
        None => [255; 4],
    }
}

fn scale(picture: DynamicImage, plan: &Plan) -> Result<DynamicImage, Refusal> {
    let Plan { crop, scaled, .. } = plan;
    let whole = crop.width == f64::from(picture.width()) && crop.height == f64::from(picture.height());
    if whole && (scaled.width, scaled.height) == (picture.width(), picture.height()) {
        return Ok(picture);
    }
    let mut target = DynamicImage::new(scaled.width, scaled.height, picture.color());
    let options = ResizeOptions::new().crop(crop.left, crop.top, crop.width, crop.height);
    let resized = Resizer::new().resize(&picture, &mut target, &options);
    resized.map(|()| target).map_err(|error| Refusal::Internal(error.to_string()))
}

fn pad(picture: DynamicImage, plan: &Plan, ground: [u8; 4]) -> DynamicImage {
    if plan.canvas == plan.scaled {
        return picture;
    }
    let channels = usize::from(picture.color().channel_count());
    let (width, height) = (plan.canvas.width as usize, plan.canvas.height as usize);
    let mut canvas = ground[..channels].repeat(width * height);
    let row_bytes = picture.width() as usize * channels;
    for (row, source) in picture.as_bytes().chunks_exact(row_bytes).enumerate() {
        let start = ((plan.place.1 as usize + row) * width + plan.place.0 as usize) * channels;
        canvas[start..start + row_bytes].copy_from_slice(source);
    }
    from_bytes(plan.canvas, channels, canvas)
}

fn from_bytes(size: Size, channels: usize, bytes: Vec<u8>) -> DynamicImage {
    const WHOLE: &str = "a canvas has a byte for each channel of each pixel";
    if channels == 4 {
        RgbaImage::from_raw(size.width, size.height, bytes).expect(WHOLE).into()
    } else {
        RgbImage::from_raw(size.width, size.height, bytes).expect(WHOLE).into()
    }
}

/// Turns clockwise: quarter turns move pixels, other angles mix each from its four neighbours.
fn turn(picture: DynamicImage, degrees: u16, output: Size, ground: [u8; 4]) -> DynamicImage {
    match degrees {
        0 => return picture,
        90 => return picture.rotate90(),
        180 => return picture.rotate180(),
        270 => return picture.rotate270(),
        _ => {}
    }
    let opaque = !picture.color().has_alpha();
    let source = picture.into_rgba8();
    let (sine, cosine) = f32::from(degrees).to_radians().sin_cos();
    let middle = |side: u32| (side as f32 - 1.0) / 2.0;
    let mut turned = RgbaImage::new(output.width, output.height);
    for (column, row, pixel) in turned.enumerate_pixels_mut() {
        let (dx, dy) = (column as f32 - middle(output.width), row as f32 - middle(output.height));
        let x = dx * cosine + dy * sine + middle(source.width());
        let y = dy * cosine - dx * sine + middle(source.height());
        *pixel = between(&source, x, y);
    }
    let turned = DynamicImage::from(turned);
    if opaque { flatten(turned, [ground[0], ground[1], ground[2]]) } else { turned }
}

/// A pixel mixed from its four neighbours by nearness and alpha; outside the picture there is nothing.
fn between(source: &RgbaImage, x: f32, y: f32) -> Rgba<u8> {
    let (left, top) = (x.floor(), y.floor());
    let mut sum = [0.0_f32; 4];
    for (dx, dy) in [(0.0, 0.0), (1.0, 0.0), (0.0, 1.0), (1.0, 1.0)] {
        let (column, row) = (left + dx, top + dy);
        let inside = column >= 0.0 && row >= 0.0;
        let Some(pixel) = source.get_pixel_checked(column as u32, row as u32).filter(|_| inside) else {
            continue;
        };
        let weight = (1.0 - (x - column).abs()) * (1.0 - (y - row).abs()) * f32::from(pixel[3]);
        for channel in 0..3 {
            sum[channel] += f32::from(pixel[channel]) * weight;
        }
        sum[3] += weight;
    }
    let colour = |channel: usize| (sum[channel] / sum[3].max(1e-6) + 0.5) as u8;
    Rgba([colour(0), colour(1), colour(2), (sum[3] + 0.5) as u8])
}

#[cfg(test)]
mod tests {
    use super::super::parameters::Transformation;
    use super::*;

    /// Red on the left, blue on the right.
    fn halves(width: u32, height: u32) -> DynamicImage {
        RgbImage::from_fn(width, height, |x, _| {
            image::Rgb(if x < width / 2 { [255, 0, 0] } else { [0, 0, 255] })
        })
        .into()
    }

    fn transformed(picture: DynamicImage, text: &str) -> DynamicImage {
        apply(picture, &Transformation::parse(text).unwrap().steps).unwrap()
    }

    fn pixel(picture: &DynamicImage, x: u32, y: u32) -> [u8; 4] {
        image::GenericImageView::get_pixel(picture, x, y).0
    }

    #[test]
    fn order_of_steps_counts() {
        let first = transformed(halves(40, 20), "w-20,h-20,fo-left:rt-90");
        let second = transformed(halves(40, 20), "rt-90:w-20,h-20,fo-left");
        assert_eq!(pixel(&first, 10, 18), [255, 0, 0, 255]);
        assert_eq!(pixel(&second, 10, 18), [0, 0, 255, 255]);
    }

    #[test]
    fn focus_chooses_the_side_that_stays() {
        assert_eq!(pixel(&transformed(halves(40, 20), "w-10,h-10,fo-left"), 5, 5), [255, 0, 0, 255]);
        assert_eq!(pixel(&transformed(halves(40, 20), "w-10,h-10,fo-right"), 5, 5), [0, 0, 255, 255]);
        assert_eq!(
            pixel(&transformed(halves(40, 20), "w-4,h-4,cm-extract,fo-top_right"), 0, 0),
            [0, 0, 255, 255]
        );
    }

    #[test]
    fn rotation_is_clockwise_and_corners_take_the_background() {
        let quarter = transformed(halves(40, 20), "rt-90");
        assert_eq!((pixel(&quarter, 10, 5), pixel(&quarter, 10, 35)), ([255, 0, 0, 255], [0, 0, 255, 255]));
        let slant = transformed(halves(40, 20), "rt-30,bg-00FF00");
        assert_eq!(pixel(&slant, 0, 0), [0, 255, 0, 255]);
        assert!(pixel(&slant, slant.width() / 2 - 9, slant.height() / 2 - 5)[0] > 250);
        let transparent = transformed(halves(40, 20).into_rgba8().into(), "rt-30");
        assert_eq!(pixel(&transparent, 0, 0)[3], 0);
    }

    #[test]
    fn padding_is_white_or_the_background_or_nothing() {
        let corner = |picture, text| pixel(&transformed(picture, text), 0, 0);
        assert_eq!(corner(halves(40, 20), "w-20,h-20,cm-pad_resize"), [255; 4]);
        assert_eq!(corner(halves(40, 20), "w-20,h-20,cm-pad_resize,bg-0A0B0C"), [10, 11, 12, 255]);
        assert_eq!(corner(halves(40, 20).into_rgba8().into(), "w-20,h-20,cm-pad_resize"), [255, 255, 255, 0]);
    }

    #[test]
    fn a_resize_does_not_bleed_the_colour_of_transparent_pixels() {
        let hidden_green =
            RgbaImage::from_fn(64, 64, |x, _| Rgba(if x < 32 { [0, 255, 0, 0] } else { [200, 0, 0, 255] }));
        let small = transformed(hidden_green.into(), "w-9");
        assert!((0..9).all(|x| pixel(&small, x, 4)[1] == 0 || pixel(&small, x, 4)[3] == 0));
    }

    #[test]
    fn blur_and_grayscale_change_pixels_and_not_the_size() {
        let blurred = transformed(halves(40, 20), "bl-8");
        let middle = pixel(&blurred, 20, 10);
        assert!(middle[0] > 60 && middle[2] > 60 && blurred.width() == 40, "{middle:?}");
        let grey = pixel(&transformed(halves(40, 20), "e-grayscale"), 3, 3);
        assert!(grey[0] == grey[1] && grey[1] == grey[2]);
    }
}
