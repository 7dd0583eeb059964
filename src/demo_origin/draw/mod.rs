//! The embedded pictures: scenes that are drawn, not photographed, yet rich enough to judge a transformation by.
//!
//! Pure: a scene and a size give the same pixels always. Cost at full size: about 0.1 s optimised, ten times
//! that in a build without optimisation; so each is drawn once, at its first request.

mod art;
mod canvas;
mod land;
mod lettering;
mod night;
mod noise;
mod products;
mod water;

use canvas::Canvas;

/// What a scene is drawn with.
pub type Scene = fn(&mut Canvas);

/// A picture of the gallery: its path, its size in pixels and what it shows.
pub struct Drawing {
    /// Where it is served; the extension is the format that it is kept in.
    pub path: &'static str,
    /// Width and height in pixels.
    pub size: (u32, u32),
    /// Draws it.
    pub scene: Scene,
}

const LANDSCAPE: (u32, u32) = (1600, 1067);
const SQUARE: (u32, u32) = (1200, 1200);
const PORTRAIT: (u32, u32) = (1000, 1400);

/// Every embedded picture.
#[rustfmt::skip]
pub const DRAWINGS: [Drawing; 15] = [
    Drawing { path: "photos/2024/harbour.jpg",        size: LANDSCAPE, scene: water::harbour },
    Drawing { path: "photos/2024/mountains.jpg",      size: LANDSCAPE, scene: water::mountains },
    Drawing { path: "photos/2024/forest.jpg",         size: LANDSCAPE, scene: land::forest },
    Drawing { path: "photos/2024/night/city.jpg",     size: LANDSCAPE, scene: night::city },
    Drawing { path: "photos/2024/night/aurora.jpg",   size: LANDSCAPE, scene: night::aurora },
    Drawing { path: "photos/2023/dunes.jpg",          size: LANDSCAPE, scene: land::dunes },
    Drawing { path: "photos/2023/beach.jpg",          size: LANDSCAPE, scene: water::beach },
    Drawing { path: "photos/2023/storm.jpg",          size: LANDSCAPE, scene: night::storm },
    Drawing { path: "photos/2023/meadow.jpg",         size: LANDSCAPE, scene: land::meadow },
    Drawing { path: "products/shoes/runner.png",      size: SQUARE,    scene: products::runner },
    Drawing { path: "products/shoes/boot.png",        size: SQUARE,    scene: products::boot },
    Drawing { path: "products/kitchen/mug.png",       size: SQUARE,    scene: products::mug },
    Drawing { path: "art/marble.jpg",                 size: LANDSCAPE, scene: art::marble },
    Drawing { path: "art/poster.png",                 size: PORTRAIT,  scene: art::poster },
    Drawing { path: "art/planet.webp",                size: SQUARE,    scene: art::planet },
];

/// Draws `scene` at a size in pixels.
pub fn draw(scene: Scene, size: (u32, u32)) -> image::DynamicImage {
    let mut canvas = Canvas::new(size);
    scene(&mut canvas);
    canvas.finish()
}
