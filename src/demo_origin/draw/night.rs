//! Scenes at night and in a storm.

use super::canvas::{Canvas, Point, ellipse, gradient, mix, rgb, scale, smooth};
use super::lettering;
use super::noise::random;

fn stars(canvas: &mut Canvas, count: u32, bottom: f32) {
    for star in 0..count {
        let at = (canvas.aspect() * random(201, star), bottom * random(202, star));
        let bright = random(203, star).powi(12);
        let colour = mix(rgb(0xbfd4ff), rgb(0xffe8c8), random(204, star));
        canvas.glow(at, 0.0020 + 0.004 * bright, colour, 0.5 + 1.4 * bright);
    }
}

/// Towers with lit windows across a river.
pub fn city(canvas: &mut Canvas) {
    const QUAY: f32 = 0.68;
    let haze = canvas.texture(211, (4, 5), 0.5, 3);
    let sky = [(0.0, 0x070b1e), (0.35, 0x1a1f45), (0.6, 0x4f3a63), (0.7, 0x8a5566)];
    canvas.shade(0.0, QUAY, |_, y, column, row| {
        mix(gradient(&sky, y), rgb(0x6a4a70), haze.at(column, row) * 0.35 * smooth(0.0, 0.5, y))
    });
    stars(canvas, 180, 0.35);
    canvas.glow((0.27, 0.15), 0.16, rgb(0xbcc8e8), 0.35);
    canvas.fill(&ellipse((0.27, 0.15), 0.036, 0.036), rgb(0xf2eedd), 1.0);
    for layer in 0..3_u32 {
        let near = layer as f32 / 2.0;
        let mut x = -0.03;
        let mut tower = 0;
        while x < canvas.aspect() {
            let pick = |what: u32| random(221 + what + 10 * layer, tower);
            let width = 0.05 + 0.05 * pick(0);
            let centre = 1.0 - (x - 0.85).abs() * 0.75;
            let height = (0.10 + 0.42 * pick(1) * pick(1) * centre.max(0.2)) * (1.1 - 0.3 * near);
            let wall = mix(rgb(0x3c345c), rgb(0x0e1020), near * 0.8 + 0.2 * pick(2));
            building(canvas, (x, QUAY - height), (width, height), wall, tower + 40 * layer);
            x += width + 0.012 * pick(3);
            tower += 1;
        }
    }
    let sign = "FRESHET";
    let (left, top, size) = (0.88, 0.555, 0.034);
    let width = lettering::width(sign, size);
    canvas.rectangle((left - 0.02, top - 0.016), width + 0.04, size + 0.032, rgb(0x12081c));
    canvas.glow((left + width / 2.0, top + size / 2.0), 0.2, rgb(0xff3f8e), 0.55);
    lettering::write(canvas, (left, top), size, rgb(0xff7ab4), sign);
    for lamp in 0..24 {
        let at = (0.03 + 0.066 * lamp as f32, QUAY - 0.018);
        canvas.glow(at, 0.035, rgb(0xffb860), 0.8);
        canvas.glow(at, 0.007, rgb(0xfff0d0), 2.0);
    }
    canvas.rectangle((0.0, QUAY - 0.006), canvas.aspect(), 0.006, rgb(0x15121c));
    let waves = canvas.texture(212, (10, 130), 0.6, 2);
    canvas.reflect(QUAY, 1.0, &waves, rgb(0x0b1028), 0.0);
}

fn building(canvas: &mut Canvas, (x, y): Point, (width, height): (f32, f32), wall: [f32; 3], seed: u32) {
    canvas.rectangle((x, y), width, height, wall);
    canvas.rectangle((x, y), width * 0.1, height, scale(wall, 1.35));
    if random(241, seed) > 0.6 {
        canvas.rectangle((x + width * 0.47, y - 0.05), width * 0.05, 0.05, wall);
        canvas.glow((x + width * 0.495, y - 0.05), 0.014, rgb(0xff4030), 1.2);
    }
    const STOREY: f32 = 0.0145;
    let (columns, rows) = ((width / 0.0105) as u32 - 1, (height / STOREY) as u32);
    let lit_share = 0.25 + 0.35 * random(242, seed);
    for window in 0..columns * rows {
        let chance = random(251 + seed, window);
        if chance < lit_share {
            let at = (
                x + 0.008 + 0.0105 * (window % columns) as f32,
                y + 0.006 + STOREY * (window / columns) as f32,
            );
            let colour = mix(rgb(0xffc870), rgb(0xcfe4ff), smooth(0.6, 1.0, random(252, window + seed)));
            canvas.rectangle(at, 0.0062, 0.0078, scale(colour, 0.55 + 0.45 * random(253 + seed, window)));
        }
    }
}

/// Northern lights over a lake.
pub fn aurora(canvas: &mut Canvas) {
    const SHORE: f32 = 0.70;
    canvas.shade(0.0, SHORE, |_, y, _, _| gradient(&[(0.0, 0x050a1c), (0.45, 0x0c2340), (0.7, 0x1c4a58)], y));
    stars(canvas, 700, 0.68);
    let width = canvas.size().0 as i32;
    // Hem of a curtain, how far it swings, how bright it is.
    for (curtain, (hem, swing, strength)) in
        (0..).zip([(0.50, 0.26, 0.9), (0.40, 0.30, 0.65), (0.60, 0.16, 0.5)])
    {
        let fold = canvas.ridge(261 + curtain, 3, 0.42);
        let rays = canvas.ridge(271 + curtain, 50, 0.75);
        for column in 0..width {
            let foot = hem - swing * (fold.at(column, 0) - 0.35);
            let ray = 0.25 + 0.9 * rays.at(column, 0);
            let height = 0.16 + 0.3 * ray * rays.at(column / 3, 0);
            canvas.lighten_column(column as u32, foot - height, foot + 0.02, |y| {
                let up = (foot - y) / height;
                let fade = smooth(-0.06, 0.05, up) * (1.0 - up).max(0.0).powf(1.6);
                let colour =
                    gradient(&[(0.0, 0x9dffb0), (0.3, 0x36e08a), (0.6, 0x3f8fc0), (1.0, 0x9040c0)], up);
                scale(colour, fade * ray * strength)
            });
        }
    }
    for (seed, height, colour) in [(281, 0.20, 0x10303c), (282, 0.13, 0x071820)] {
        let ridge = canvas.ridge(seed, 5, 0.5);
        let rock = rgb(colour);
        canvas.below(
            SHORE,
            |x| SHORE - height * (0.15 + 0.85 * ridge.at(x, 0)),
            |_, y, column, _| {
                mix(
                    rock,
                    rgb(0x2f8a70),
                    0.25 * smooth(0.06, 0.0, y - SHORE + height * (0.15 + 0.85 * ridge.at(column, 0))),
                )
            },
        );
    }
    let waves = canvas.texture(262, (6, 100), 0.55, 2);
    canvas.reflect(SHORE, 1.0, &waves, rgb(0x081c2a), 0.5);
}

/// Lightning over a rough sea.
pub fn storm(canvas: &mut Canvas) {
    const HORIZON: f32 = 0.60;
    let clouds = canvas.texture(291, (4, 6), 0.56, 1);
    let towers = canvas.texture(292, (3, 4), 0.5, 2);
    let flash: Point = (0.95, 0.2);
    canvas.shade(0.0, HORIZON, |x, y, column, row| {
        let billow = (clouds.at(column, row) - 0.5).abs() * 2.0;
        let lit = (1.0 - 1.3 * ((x - flash.0).powi(2) + (y - flash.1).powi(2)).sqrt()).max(0.0);
        let dark = mix(rgb(0x1a2029), rgb(0x5d6a78), billow * 0.8 + towers.at(column, row) * 0.4 - 0.1);
        let cloud = mix(dark, rgb(0xd9d2f2), lit * (0.25 + billow * 0.9));
        mix(cloud, rgb(0xa9b0a4), 0.75 * smooth(0.46, 0.6, y))
    });
    canvas.glow((1.0, HORIZON), 0.4, rgb(0xcfc8ff), 0.45);
    bolt(canvas, (0.95, 0.14), (1.01, HORIZON), 0.0055, 301);
    bolt(canvas, (0.955, 0.27), (0.76, 0.47), 0.0028, 302);
    bolt(canvas, (0.98, 0.38), (1.16, 0.54), 0.0024, 303);
    let waves = canvas.texture(293, (10, 70), 0.66, 1);
    let step = (canvas.size().1 / 150).max(1) as i32;
    canvas.shade(HORIZON, 1.0, |x, y, column, row| {
        let depth = (y - HORIZON) / (1.0 - HORIZON);
        let reach = (1.0 + depth * 5.0) as i32;
        let height = waves.at(column, row);
        let slope = (height - waves.at(column, row - step * reach)) * 2.6;
        let sea = mix(rgb(0x16242e), rgb(0x5b7a80), 0.3 + slope * 0.9 + height * 0.25 - depth * 0.25);
        let glint =
            (0.22 - (x - 1.0).abs() * (1.0 - 0.6 * depth)).max(0.0) * 2.6 * smooth(0.0, 0.35, slope + 0.1);
        let foam = smooth(0.30, 0.5, slope) * smooth(0.55, 0.75, height);
        mix(mix(sea, rgb(0xd9d4f0), glint), rgb(0xe8efef), foam * 0.8)
    });
    for drop in 0..420 {
        let (x, y) = (canvas.aspect() * random(311, drop), random(312, drop));
        let long = 0.02 + 0.05 * random(313, drop);
        canvas.fill(&[(x, y), (x + 0.0016, y), (x - long * 0.28, y + long)], rgb(0xdfe6ee), 0.22);
    }
}

/// A bolt of lightning: a jagged line that bends less the further it has come.
fn bolt(canvas: &mut Canvas, from: Point, to: Point, thickness: f32, seed: u32) {
    const PIECES: u32 = 16;
    let mut last = from;
    for piece in 1..=PIECES {
        let share = piece as f32 / PIECES as f32;
        let jag = if piece == PIECES { 0.0 } else { (random(seed, piece) - 0.5) * 0.05 };
        let next = (from.0 + (to.0 - from.0) * share + jag, from.1 + (to.1 - from.1) * share + jag * 0.3);
        canvas.glow(next, thickness * 14.0, rgb(0xb9a8ff), 0.45);
        canvas.line(last, next, thickness * (1.15 - 0.7 * share), rgb(0xfdfaff));
        last = next;
    }
}
