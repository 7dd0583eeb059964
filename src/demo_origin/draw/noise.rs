//! Random numbers and fractal textures: the same for the same seed, on every machine and in every run.
//!
//! A texture is grown octave by octave: a coarse grid of random values is enlarged to a grid twice as fine, and
//! finer randomness is added. Enlarging is a dependency's work, so a build without optimisation stays quick.
//! Cost: about 1.4 times the texture's pixels, whatever the octaves.

use fast_image_resize::images::TypedImage;
use fast_image_resize::pixels::F32;
use fast_image_resize::{FilterType, ResizeAlg, ResizeOptions, Resizer};

/// A random number of 0 to 1 for a place in a sequence (the output function of PCG).
pub fn random(seed: u32, place: u32) -> f32 {
    let state =
        (place ^ seed.wrapping_mul(0x9e37_79b9)).wrapping_mul(747_796_405).wrapping_add(2_891_336_453);
    let word = ((state >> ((state >> 28) + 4)) ^ state).wrapping_mul(277_803_737);
    ((word >> 22) ^ word) as f32 / u32::MAX as f32
}

/// A grid of values of 0 to 1.
pub struct Texture {
    width: u32,
    height: u32,
    values: Vec<f32>,
}

impl Texture {
    /// Grows a texture of `width` by `height` from a grid of `cells`. Each octave weighs `gain` of the one before:
    /// 0.4 is smooth, 0.6 is rough. It ends at the octave that has about a cell for each `grain` pixels.
    pub fn fractal(
        seed: u32,
        (width, height): (u32, u32),
        cells: (u32, u32),
        gain: f32,
        grain: u32,
    ) -> Texture {
        let mut grid = Texture { width: cells.0 + 1, height: cells.1 + 1, values: Vec::new() };
        grid.values = (0..grid.width * grid.height).map(|place| random(seed, place)).collect();
        let (mut weight, mut octave) = (gain, 1);
        while grid.width < width / grain {
            grid = grid.enlarged((grid.width * 2).min(width), (grid.height * 2).min(height));
            for (place, value) in (0..).zip(&mut grid.values) {
                *value += (random(seed + octave, place) - 0.5) * weight;
            }
            (weight, octave) = (weight * gain, octave + 1);
        }
        let mut grown = grid.enlarged(width, height);
        let lowest = grown.values.iter().copied().fold(f32::MAX, f32::min);
        let highest = grown.values.iter().copied().fold(f32::MIN, f32::max);
        let scale = 1.0 / (highest - lowest).max(f32::EPSILON);
        for value in &mut grown.values {
            *value = (*value - lowest) * scale;
        }
        grown
    }

    fn enlarged(&self, width: u32, height: u32) -> Texture {
        let pixels = self.values.iter().map(|value| F32::new(*value)).collect();
        let source =
            TypedImage::from_pixels(self.width, self.height, pixels).expect("a value for each pixel");
        let mut target = TypedImage::<F32>::new(width, height);
        let options = ResizeOptions::new().resize_alg(ResizeAlg::Convolution(FilterType::CatmullRom));
        Resizer::new().resize_typed(&source, &mut target, &options).expect("neither grid is empty");
        let values = target.pixels().iter().map(|pixel| pixel.0).collect();
        Texture { width, height, values }
    }

    /// Columns.
    pub fn width(&self) -> i32 {
        self.width as i32
    }

    /// The value at a pixel; beyond the edges, the mirror image's.
    pub fn at(&self, x: i32, y: i32) -> f32 {
        let inside = |place: i32, last: i32| (last - (last - place.abs()).abs()).clamp(0, last);
        let (x, y) = (inside(x, self.width as i32 - 1), inside(y, self.height as i32 - 1));
        self.values[(y * self.width as i32 + x) as usize]
    }
}
