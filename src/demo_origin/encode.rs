//! Formats: bytes to pixels, pixels to bytes, and which format a request gets. Pure.
//!
//! AVIF is written and not read. Cost: the picture's pixels; AVIF is by far the slowest.

use std::io::Cursor;

use image::codecs::avif::AvifEncoder;
use image::codecs::jpeg::JpegEncoder;
use image::codecs::png::PngEncoder;
use image::{DynamicImage, ImageDecoder, ImageFormat, ImageReader};
use webp::PixelLayout;

use super::geometry::Size;
use super::refusal::Refusal;
use super::transform;
use crate::limits;

/// Quality where `q` says nothing.
pub const QUALITY: u8 = 80;
/// Of 1 to 10: what a first run waits for counts more than the last bytes saved.
const AVIF_SPEED: u8 = 10;
const WHITE: [u8; 3] = [255; 3];

/// A picture format.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Format {
    /// No transparency; `q` counts.
    Jpeg,
    /// Lossless.
    Png,
    /// Lossy here; `q` counts.
    WebP,
    /// `q` counts.
    Avif,
}

impl Format {
    /// As `f` spells it.
    pub fn as_str(self) -> &'static str {
        match self {
            Format::Jpeg => "jpg",
            Format::Png => "png",
            Format::WebP => "webp",
            Format::Avif => "avif",
        }
    }

    /// As Content-Type and Accept spell it.
    pub fn media_type(self) -> &'static str {
        match self {
            Format::Jpeg => "image/jpeg",
            Format::Png => "image/png",
            Format::WebP => "image/webp",
            Format::Avif => "image/avif",
        }
    }

    /// From a file name's extension or the value of `f`.
    pub fn from_extension(text: &str) -> Option<Format> {
        match text {
            "jpg" | "jpeg" => Some(Format::Jpeg),
            "png" => Some(Format::Png),
            "webp" => Some(Format::WebP),
            "avif" => Some(Format::Avif),
            _ => None,
        }
    }

    /// From a file's first bytes: those that can be read.
    pub fn of(bytes: &[u8]) -> Result<Format, Refusal> {
        match image::guess_format(bytes) {
            Ok(ImageFormat::Jpeg) => Ok(Format::Jpeg),
            Ok(ImageFormat::Png) => Ok(Format::Png),
            Ok(ImageFormat::WebP) => Ok(Format::WebP),
            _ => Err(Refusal::NotAPicture("its first bytes are those of another kind of file".to_owned())),
        }
    }
}

/// What `f-auto` chooses: the best format that Accept names with a weight above 0 (RFC 9110 §12.5.1). Wildcards
/// do not count, since a client that knows a new format names it.
pub fn negotiate(accept: &str, source: Format) -> Format {
    let named = |format: &Format| {
        accept.split(',').any(|range| {
            let mut parts = range.split(';').map(str::trim);
            let media_type = parts.next().unwrap_or("");
            let weight = parts.find_map(|part| part.strip_prefix("q=").or(part.strip_prefix("Q=")));
            let refused = weight.is_some_and(|weight| weight.trim_matches(['0', '.']).is_empty());
            media_type.eq_ignore_ascii_case(format.media_type()) && !refused
        })
    };
    [Format::Avif, Format::WebP].into_iter().find(named).unwrap_or(source)
}

/// Reads a picture and sets it upright as its camera says.
pub fn decode(bytes: &[u8]) -> Result<DynamicImage, Refusal> {
    let unreadable = |error: image::ImageError| Refusal::NotAPicture(error.to_string());
    let format = match Format::of(bytes)? {
        Format::Png => ImageFormat::Png,
        Format::WebP => ImageFormat::WebP,
        Format::Jpeg | Format::Avif => ImageFormat::Jpeg,
    };
    let mut decoder =
        ImageReader::with_format(Cursor::new(bytes), format).into_decoder().map_err(unreadable)?;
    let (width, height) = decoder.dimensions();
    if u64::from(width) * u64::from(height) > limits::DEMO_SOURCE_AREA_PIXELS_MAX {
        return Err(Refusal::SourceTooLarge(Size { width, height }));
    }
    let orientation = decoder.orientation().map_err(unreadable)?;
    let mut picture = transform::normal(DynamicImage::from_decoder(decoder).map_err(unreadable)?);
    picture.apply_orientation(orientation);
    Ok(picture)
}

/// Writes a picture.
pub fn encode(picture: DynamicImage, format: Format, quality: u8) -> Result<Vec<u8>, Refusal> {
    let mut bytes = Vec::new();
    let written = match format {
        Format::Jpeg => transform::flatten(picture, WHITE)
            .write_with_encoder(JpegEncoder::new_with_quality(&mut bytes, quality)),
        Format::Png => picture.write_with_encoder(PngEncoder::new(&mut bytes)),
        Format::WebP => return encode_webp(&picture, quality),
        // One thread: requests already run one to a core, and the bytes, which a strong validator names, would
        // depend on the number.
        Format::Avif => picture.write_with_encoder(
            AvifEncoder::new_with_speed_quality(&mut bytes, AVIF_SPEED, quality).with_num_threads(Some(1)),
        ),
    };
    written.map(|()| bytes).map_err(|error| Refusal::Internal(error.to_string()))
}

fn encode_webp(picture: &DynamicImage, quality: u8) -> Result<Vec<u8>, Refusal> {
    let layout = if picture.color().has_alpha() { PixelLayout::Rgba } else { PixelLayout::Rgb };
    let encoder = webp::Encoder::new(picture.as_bytes(), layout, picture.width(), picture.height());
    let encoded = encoder.encode_simple(false, f32::from(quality));
    encoded.map(|memory| memory.to_vec()).map_err(|error| Refusal::Internal(format!("{error:?}")))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn auto_takes_the_best_format_that_accept_names() {
        #[rustfmt::skip]
        let table = [
            ("",                                      Format::Png),
            ("*/*",                                   Format::Png),
            ("image/*",                               Format::Png),
            ("image/webp",                            Format::WebP),
            ("image/avif,image/webp,*/*;q=0.8",       Format::Avif),
            ("image/webp, image/avif;q=0.5",          Format::Avif),
            ("image/avif;q=0, IMAGE/WebP;q=0.1",      Format::WebP),
            ("image/avif; q=0.000, text/html",        Format::Png),
            ("image/avif2",                           Format::Png),
        ];
        for (accept, expected) in table {
            assert_eq!(negotiate(accept, Format::Png), expected, "{accept}");
        }
    }

    #[test]
    fn quality_makes_lossy_formats_smaller_and_leaves_png() {
        let noisy = image::RgbImage::from_fn(96, 64, |x, y| {
            image::Rgb([((x * 7) ^ (y * 13)) as u8, (x * y) as u8, x as u8])
        });
        let length = |format, quality| encode(noisy.clone().into(), format, quality).unwrap().len();
        for format in [Format::Jpeg, Format::WebP, Format::Avif] {
            assert!(length(format, 20) < length(format, 90), "{format:?}");
        }
        assert_eq!(length(Format::Png, 20), length(Format::Png, 90));
    }

    #[test]
    fn err_what_is_no_picture_or_too_large_is_refused() {
        assert!(matches!(decode(b"hello"), Err(Refusal::NotAPicture(_))));
        assert!(matches!(decode(b"GIF89a\x01\0\x01\0"), Err(Refusal::NotAPicture(_))));
        let mut cut = encode(DynamicImage::new_rgb8(64, 64), Format::Jpeg, 80).unwrap();
        cut.truncate(100);
        assert!(matches!(decode(&cut), Err(Refusal::NotAPicture(_))));
        let mut huge = encode(DynamicImage::new_rgb8(8, 8), Format::Jpeg, 80).unwrap();
        let frame = huge.windows(2).position(|pair| pair == [0xff, 0xc0]).unwrap();
        huge[frame + 5..frame + 9].copy_from_slice(&[0xff, 0xff, 0xff, 0xff]);
        assert!(matches!(decode(&huge), Err(Refusal::SourceTooLarge(_))), "{:?}", decode(&huge));
    }

    #[test]
    fn transparency_turns_white_in_jpeg_alone() {
        let clear = DynamicImage::new_rgba8(8, 8);
        let jpeg = decode(&encode(clear.clone(), Format::Jpeg, 90).unwrap()).unwrap();
        assert!(jpeg.as_bytes().iter().all(|byte| *byte > 250));
        for format in [Format::Png, Format::WebP] {
            let back = decode(&encode(clear.clone(), format, 90).unwrap()).unwrap();
            assert!(back.into_rgba8().pixels().all(|pixel| pixel[3] == 0), "{format:?}");
        }
    }
}
