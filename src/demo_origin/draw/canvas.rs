//! A canvas and its brushes: shading, filled outlines, glows, reflections.
//!
//! Lengths are in canvas heights, so a scene looks the same at every size; x grows to the right, y down. Colours
//! are red, green and blue of 0 to 1 as they are displayed. Pixels are kept with their colour multiplied by their
//! alpha. Cost: the pixels touched; outlines are sampled on four lines a row.

use std::ops::Range;

use image::{DynamicImage, Rgba, RgbaImage};

use super::noise::Texture;

/// Red, green and blue, 0 to 1.
pub type Colour = [f32; 3];
/// x and y in canvas heights.
pub type Point = (f32, f32);

const LINES_A_ROW: usize = 4;

/// A colour from `0xRRGGBB`.
pub fn rgb(hex: u32) -> Colour {
    [(hex >> 16 & 255) as f32 / 255.0, (hex >> 8 & 255) as f32 / 255.0, (hex & 255) as f32 / 255.0]
}

/// `from` at 0, `to` at 1.
pub fn mix(from: Colour, to: Colour, share: f32) -> Colour {
    let share = share.clamp(0.0, 1.0);
    [
        from[0] + (to[0] - from[0]) * share,
        from[1] + (to[1] - from[1]) * share,
        from[2] + (to[2] - from[2]) * share,
    ]
}

/// Brighter or darker by a factor.
pub fn scale(colour: Colour, factor: f32) -> Colour {
    [colour[0] * factor, colour[1] * factor, colour[2] * factor]
}

/// 0 before `start`, 1 after `end`, without a corner in between.
pub fn smooth(start: f32, end: f32, value: f32) -> f32 {
    let share = ((value - start) / (end - start)).clamp(0.0, 1.0);
    share * share * (3.0 - 2.0 * share)
}

/// The colour at `place` of a row of stops, which are sorted.
pub fn gradient(stops: &[(f32, u32)], place: f32) -> Colour {
    let mut before = stops[0];
    for &stop in stops {
        if place < stop.0 {
            return mix(rgb(before.1), rgb(stop.1), (place - before.0) / (stop.0 - before.0).max(1e-6));
        }
        before = stop;
    }
    rgb(before.1)
}

/// A picture that is being drawn.
pub struct Canvas {
    width: u32,
    height: u32,
    pixels: Vec<[f32; 4]>,
}

impl Canvas {
    /// A transparent canvas.
    pub fn new((width, height): (u32, u32)) -> Canvas {
        Canvas { width, height, pixels: vec![[0.0; 4]; (width * height) as usize] }
    }

    /// Width and height in pixels.
    pub fn size(&self) -> (u32, u32) {
        (self.width, self.height)
    }

    /// Width in canvas heights.
    pub fn aspect(&self) -> f32 {
        self.width as f32 / self.height as f32
    }

    /// A texture of the canvas's size.
    pub fn texture(&self, seed: u32, cells: (u32, u32), gain: f32, grain: u32) -> Texture {
        Texture::fractal(seed, self.size(), cells, gain, grain)
    }

    /// A texture of one row: a skyline's height for each column.
    pub fn ridge(&self, seed: u32, cells: u32, gain: f32) -> Texture {
        Texture::fractal(seed, (self.width, 1), (cells, 0), gain, 1)
    }

    /// Paints rows from `top` to `bottom` whole, each pixel by its x, y and pixel place.
    pub fn shade(&mut self, top: f32, bottom: f32, paint: impl Fn(f32, f32, i32, i32) -> Colour) {
        let unit = 1.0 / self.height as f32;
        for row in self.row(top)..self.row(bottom) {
            let start = row * self.width as usize;
            for (column, pixel) in self.pixels[start..start + self.width as usize].iter_mut().enumerate() {
                let [red, green, blue] =
                    paint(column as f32 * unit, row as f32 * unit, column as i32, row as i32);
                *pixel = [red, green, blue, 1.0];
            }
        }
    }

    /// Paints what lies below a skyline, down to `bottom`. `skyline` is a column's top.
    pub fn below(
        &mut self,
        bottom: f32,
        skyline: impl Fn(i32) -> f32,
        paint: impl Fn(f32, f32, i32, i32) -> Colour,
    ) {
        let (unit, last) = (1.0 / self.height as f32, self.row(bottom));
        for column in 0..self.width as usize {
            let top = skyline(column as i32) * self.height as f32;
            for row in (top.max(0.0) as usize)..last {
                let colour = paint(column as f32 * unit, row as f32 * unit, column as i32, row as i32);
                let coverage = (row as f32 + 1.0 - top).clamp(0.0, 1.0);
                blend(&mut self.pixels[row * self.width as usize + column], colour, coverage);
            }
        }
    }

    /// Fills an outline with one colour.
    pub fn fill(&mut self, outline: &[Point], colour: Colour, opacity: f32) {
        self.fill_with(outline, |_, _| (colour, opacity));
    }

    /// Fills an outline, even where it crosses itself, each pixel by its x and y: colour and opacity.
    pub fn fill_with(&mut self, outline: &[Point], paint: impl Fn(f32, f32) -> (Colour, f32)) {
        let (unit, scale) = (1.0 / self.height as f32, self.height as f32);
        let top = outline.iter().map(|point| point.1).fold(f32::MAX, f32::min);
        let bottom = outline.iter().map(|point| point.1).fold(f32::MIN, f32::max);
        let mut coverage = vec![0.0_f32; self.width as usize];
        for row in self.row(top)..(self.row(bottom) + 1).min(self.height as usize) {
            let touched = cover(&mut coverage, outline, row, scale);
            let pixels = &mut self.pixels[row * self.width as usize..][touched.clone()];
            for ((column, covered), pixel) in touched.clone().zip(&mut coverage[touched]).zip(pixels) {
                let (colour, opacity) = paint(column as f32 * unit, row as f32 * unit);
                blend(pixel, colour, (*covered * opacity).clamp(0.0, 1.0));
                *covered = 0.0;
            }
        }
    }

    /// A rectangle from its top left.
    pub fn rectangle(&mut self, (x, y): Point, width: f32, height: f32, colour: Colour) {
        self.fill(&[(x, y), (x + width, y), (x + width, y + height), (x, y + height)], colour, 1.0);
    }

    /// A line of equal thickness.
    pub fn line(&mut self, from: Point, to: Point, thickness: f32, colour: Colour) {
        let (dx, dy) = (to.0 - from.0, to.1 - from.1);
        let half = thickness / 2.0 / (dx * dx + dy * dy).sqrt().max(1e-6);
        let (ox, oy) = (-dy * half, dx * half);
        let corners = [
            (from.0 + ox, from.1 + oy),
            (to.0 + ox, to.1 + oy),
            (to.0 - ox, to.1 - oy),
            (from.0 - ox, from.1 - oy),
        ];
        self.fill(&corners, colour, 1.0);
    }

    /// Adds light around a centre; `radius` is where it ends.
    pub fn glow(&mut self, (x, y): Point, radius: f32, colour: Colour, strength: f32) {
        let unit = 1.0 / self.height as f32;
        let (left, right) =
            (((x - radius) / unit).max(0.0) as usize, ((x + radius) / unit).max(0.0) as usize);
        for row in self.row(y - radius)..self.row(y + radius) {
            for column in left..right.min(self.width as usize) {
                let (dx, dy) = ((column as f32 * unit - x) / radius, (row as f32 * unit - y) / radius);
                let rest = (1.0 - dx * dx - dy * dy).max(0.0);
                let light = rest * rest * rest * strength;
                let pixel = &mut self.pixels[row * self.width as usize + column];
                for channel in 0..3 {
                    pixel[channel] += (pixel[3] - pixel[channel]).max(0.0) * colour[channel] * light;
                }
            }
        }
    }

    /// Adds light to a column between two heights; `light` gives it by height.
    pub fn lighten_column(&mut self, column: u32, top: f32, bottom: f32, light: impl Fn(f32) -> Colour) {
        for row in self.row(top)..self.row(bottom) {
            let colour = light(row as f32 / self.height as f32);
            let pixel = &mut self.pixels[row * self.width as usize + column as usize];
            for channel in 0..3 {
                pixel[channel] += (1.0 - pixel[channel]).max(0.0) * colour[channel];
            }
        }
    }

    /// Water from `horizon` down to `bottom`: what stands above it upside down, broken by waves that grow
    /// towards the viewer, under a veil of `tint`.
    pub fn reflect(&mut self, horizon: f32, bottom: f32, waves: &Texture, tint: Colour, calm: f32) {
        let (shore, width) = (self.row(horizon), self.width as i32);
        for row in shore..self.row(bottom) {
            let depth = (row - shore) as f32 / self.height as f32;
            let reach = (0.004 + depth * 0.12) * self.height as f32 * (1.0 - calm);
            let veil = 0.22 + 0.45 * smooth(0.0, 0.6, depth);
            for column in 0..width {
                let wave = waves.at(column, row as i32) - 0.5;
                let x = (column + (wave * reach * 0.5) as i32).clamp(0, width - 1);
                let mirrored = shore as f32 - 1.0 - (row - shore) as f32 * 0.92 + wave * reach * 1.6;
                let y = (mirrored as i32).clamp(0, shore as i32 - 1);
                let above = self.pixels[(y * width + x) as usize];
                let water = mix([above[0], above[1], above[2]], tint, veil);
                let [red, green, blue] = scale(water, 1.0 + wave * (0.25 + depth));
                self.pixels[row * width as usize + column as usize] = [red, green, blue, 1.0];
            }
        }
    }

    /// The finished picture: without an alpha channel where every pixel is opaque.
    pub fn finish(self) -> DynamicImage {
        let byte = |value: f32| (value.clamp(0.0, 1.0) * 255.0 + 0.5) as u8;
        let mut picture = RgbaImage::new(self.width, self.height);
        for (target, [red, green, blue, alpha]) in picture.pixels_mut().zip(&self.pixels) {
            let whole = 1.0 / alpha.max(1e-6);
            *target = Rgba([byte(red * whole), byte(green * whole), byte(blue * whole), byte(*alpha)]);
        }
        let opaque = self.pixels.iter().all(|pixel| pixel[3] >= 1.0);
        let picture = DynamicImage::ImageRgba8(picture);
        if opaque { picture.into_rgb8().into() } else { picture }
    }

    fn row(&self, y: f32) -> usize {
        ((y * self.height as f32).max(0.0) as usize).min(self.height as usize)
    }
}

fn blend(pixel: &mut [f32; 4], colour: Colour, share: f32) {
    let rest = 1.0 - share;
    *pixel = [
        colour[0] * share + pixel[0] * rest,
        colour[1] * share + pixel[1] * rest,
        colour[2] * share + pixel[2] * rest,
        share + pixel[3] * rest,
    ];
}

/// Adds to each column of a row the share of its pixel that lies inside an outline; the columns touched.
fn cover(coverage: &mut [f32], outline: &[Point], row: usize, scale: f32) -> Range<usize> {
    let width = coverage.len();
    let mut touched = width..0;
    for line in 0..LINES_A_ROW {
        let y = (row as f32 + (line as f32 + 0.5) / LINES_A_ROW as f32) / scale;
        for pair in crossings(outline, y).chunks_exact(2) {
            let (from, to) = ((pair[0] * scale).max(0.0), (pair[1] * scale).min(width as f32));
            let end = to.max(0.0).ceil() as usize;
            let start = (from as usize).min(end);
            for (column, covered) in (start..end).zip(&mut coverage[start..end]) {
                let inside = (to.min(column as f32 + 1.0) - from.max(column as f32)).max(0.0);
                *covered += inside / LINES_A_ROW as f32;
            }
            touched = touched.start.min(start)..touched.end.max(end);
        }
    }
    touched.start.min(touched.end)..touched.end
}

/// Where a horizontal line meets an outline, from left to right.
fn crossings(outline: &[Point], y: f32) -> Vec<f32> {
    let mut found = Vec::new();
    let mut from = outline[outline.len() - 1];
    for &to in outline {
        if (from.1 <= y) != (to.1 <= y) {
            found.push(from.0 + (y - from.1) / (to.1 - from.1) * (to.0 - from.0));
        }
        from = to;
    }
    found.sort_unstable_by(f32::total_cmp);
    found
}

/// The outline of an ellipse.
pub fn ellipse((x, y): Point, across: f32, down: f32) -> Vec<Point> {
    let angles = (0..72).map(|step| step as f32 * std::f32::consts::TAU / 72.0);
    angles.map(|angle| (x + across * angle.cos(), y + down * angle.sin())).collect()
}

/// A smooth closed outline through points (Catmull-Rom).
pub fn curve(points: &[Point]) -> Vec<Point> {
    const PIECES: usize = 12;
    let count = points.len();
    let mut outline = Vec::with_capacity(count * PIECES);
    for place in 0..count {
        let [p0, p1, p2, p3] = [count - 1, 0, 1, 2].map(|step| points[(place + step) % count]);
        let bend = |t: f32, a: f32, b: f32, c: f32, d: f32| {
            let quadratic = 2.0 * a - 5.0 * b + 4.0 * c - d;
            let cubic = 3.0 * (b - c) + d - a;
            0.5 * (2.0 * b + (c - a) * t + quadratic * t * t + cubic * t * t * t)
        };
        for piece in 0..PIECES {
            let t = piece as f32 / PIECES as f32;
            outline.push((bend(t, p0.0, p1.0, p2.0, p3.0), bend(t, p0.1, p1.1, p2.1, p3.1)));
        }
    }
    outline
}
