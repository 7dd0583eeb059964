//! Scenes on land, in daylight.

use super::canvas::{Canvas, Colour, Point, ellipse, gradient, mix, rgb, scale, smooth};
use super::lettering;
use super::noise::{Texture, random};

/// Clouds over a sky: how much cloud there is at a pixel, 0 to 1; flat far away, at the horizon.
pub fn cloud(clouds: &Texture, (x, y): (i32, i32), cover: f32) -> f32 {
    smooth(1.0 - cover, 1.25 - cover, clouds.at(x, y))
}

/// A fir from its foot.
pub fn fir(canvas: &mut Canvas, (x, foot): Point, height: f32, colour: Colour, seed: u32) {
    const TIERS: u32 = 14;
    let mut left = Vec::new();
    let mut right = vec![(x, foot - height)];
    for tier in 1..=TIERS {
        let down = foot - height * (1.0 - tier as f32 / TIERS as f32 * 0.93);
        let reach = height * (0.03 + 0.19 * tier as f32 / TIERS as f32);
        let ragged = |side| reach * (0.75 + 0.5 * random(seed * 2 + side, tier));
        right.extend([(x + ragged(0), down), (x + reach * 0.45, down - height * 0.02)]);
        left.extend([(x - ragged(1), down), (x - reach * 0.45, down - height * 0.02)]);
    }
    right.extend([(x + height * 0.012, foot), (x - height * 0.012, foot)]);
    right.extend(left.into_iter().rev());
    canvas.fill(&right, colour, 1.0);
}

/// Firs in morning mist, the sun behind them.
pub fn forest(canvas: &mut Canvas) {
    let sun: Point = (0.62, 0.20);
    let mist = canvas.texture(51, (4, 5), 0.5, 3);
    canvas.shade(0.0, 1.0, |x, y, column, row| {
        let away = ((x - sun.0).powi(2) + (y - sun.1).powi(2)).sqrt();
        let air = gradient(&[(0.0, 0xfff6da), (0.35, 0xf3dfb4), (0.8, 0xa9bfb0), (1.2, 0x7c9ba0)], away);
        mix(air, rgb(0xeef0e2), mist.at(column, row) * 0.3)
    });
    canvas.glow(sun, 0.10, rgb(0xfffbe8), 1.5);
    for layer in 0..6_u32 {
        let near = layer as f32 / 5.0;
        let ground = canvas.ridge(61 + layer, 3, 0.5);
        let foot = |height: f32| 0.47 + 0.46 * near * near - (0.16 - 0.08 * near) * (height - 0.5);
        let dark = gradient(&[(0.0, 0xb9c9b6), (0.3, 0x7f9f92), (0.6, 0x3f6660), (1.0, 0x0e211d)], near);
        let pixels = canvas.size().1 as f32;
        for tree in 0..(90 - 15 * layer) {
            let x = canvas.aspect() * random(71 + layer, tree);
            // A clearing around the sun: the nearer, the wider.
            let clearing = ((x - sun.0).abs() * 2.2).min(1.0) * near + 1.0 - near;
            let height =
                (0.09 + 0.62 * near * near) * (0.5 + 0.7 * random(81 + layer, tree)) * clearing.max(0.25);
            let place = (x, foot(ground.at((x * pixels) as i32, 0)) + 0.01);
            fir(canvas, place, height, scale(dark, 0.85 + 0.3 * random(91, tree)), tree + 100 * layer);
        }
        canvas.below(
            1.0,
            |x| foot(ground.at(x, 0)),
            |_, y, column, row| {
                let below = y - foot(ground.at(column, 0));
                let veil = mist.at(column, row + 40 * layer as i32) * (1.1 - 0.9 * near);
                mix(dark, rgb(0xe9ead8), (0.25 + below * 5.0).min(1.0) * veil)
            },
        );
        if layer == 3 {
            sunbeams(canvas, sun);
        }
    }
}

fn sunbeams(canvas: &mut Canvas, sun: Point) {
    for beam in 0..11 {
        let angle = 0.2 + 0.26 * beam as f32 + 0.1 * random(98, beam);
        let end = |turn: f32| (sun.0 + 1.6 * (angle + turn).cos(), sun.1 + 1.6 * (angle + turn).sin());
        // Three fans, one in another, so that the edges are soft.
        for fan in 1..=3 {
            let half = (0.02 + 0.05 * random(99, beam)) * fan as f32 / 3.0;
            canvas.fill_with(&[sun, end(-half), end(half)], |x, y| {
                let away = ((x - sun.0).powi(2) + (y - sun.1).powi(2)).sqrt();
                (rgb(0xfff3cf), 0.10 * (1.0 - away / 0.9).max(0.0) * smooth(0.0, 0.12, away))
            });
        }
    }
}

/// Sand dunes, lit from the left.
pub fn dunes(canvas: &mut Canvas) {
    let sky = [(0.0, 0x2f6cae), (0.3, 0x8dbbe0), (0.46, 0xf3e3c8)];
    let clouds = canvas.texture(101, (3, 16), 0.5, 2);
    canvas.shade(0.0, 0.6, |_, y, column, row| {
        mix(gradient(&sky, y), rgb(0xffffff), cloud(&clouds, (column, row), 0.42) * 0.6)
    });
    let grain = canvas.texture(102, (200, 140), 0.8, 1);
    let flow = canvas.texture(103, (5, 4), 0.45, 2);
    for layer in 0..5_u32 {
        let near = layer as f32 / 4.0;
        let crest = canvas.ridge(113 + layer * 2, 2 + (4 - layer) / 2, 0.25);
        let top = move |height: f32| 0.40 + 0.44 * near * near.sqrt() - (0.05 + 0.17 * near) * (height - 0.3);
        let step = (canvas.size().0 / 60) as i32;
        canvas.below(
            1.0,
            |x| top(crest.at(x, 0)),
            |x, y, column, row| {
                let depth = y - top(crest.at(column, 0));
                // The lee side's edge wanders down from the crest; the windward side is rippled.
                let steep = (crest.at(column + step, 0) - crest.at(column - step, 0)) * 4.0;
                let bend = flow.at(column, row);
                let light = (0.62 + steep * (1.0 - depth * 3.0).max(0.1)).clamp(0.1, 1.0);
                let ripple = ((y * (160.0 - 90.0 * near) + x * 26.0 + bend * 34.0).sin() * 0.5 + 0.5)
                    * (0.05 + 0.09 * near);
                let sand = gradient(
                    &[(0.0, 0x6e3a22), (0.35, 0xb96f3c), (0.7, 0xe8ae68), (1.0, 0xffdca0)],
                    light - ripple + (bend - 0.5) * 0.3,
                );
                let grained = scale(sand, 0.94 + 0.12 * grain.at(column, row));
                mix(grained, rgb(0xf0d9bd), (0.62 - 0.8 * near).max(0.0))
            },
        );
    }
}

/// A flowering meadow under summer clouds, a signpost in it.
pub fn meadow(canvas: &mut Canvas) {
    let clouds = canvas.texture(141, (4, 6), 0.52, 1);
    let sky = [(0.0, 0x2f74c4), (0.3, 0x74aee8), (0.5, 0xd5ebf7)];
    let lift = (canvas.size().1 / 40) as i32;
    canvas.shade(0.0, 0.55, |_, y, column, row| {
        let thick = cloud(&clouds, (column, row), 0.56);
        let shade = smooth(-0.2, 0.25, clouds.at(column, row) - clouds.at(column - lift, row - lift));
        mix(gradient(&sky, y), mix(rgb(0xffffff), rgb(0xa9bccf), shade), thick * 0.95)
    });
    let grass = canvas.texture(142, (160, 60), 0.75, 1);
    let patches = canvas.texture(143, (5, 12), 0.5, 2);
    let hills =
        [(0.47, 0.12, 0x7fa9b8), (0.51, 0.10, 0x6f9f6c), (0.56, 0.09, 0x5f9440), (0.64, 0.08, 0x4f8a2c)];
    for (layer, (base, rise, colour)) in (0..).zip(hills) {
        let ridge = canvas.ridge(151 + layer, 3, 0.38);
        canvas.below(
            1.0,
            |x| base - rise * ridge.at(x, 0),
            |_, _, column, row| {
                let sunny = mix(
                    scale(rgb(colour), 0.68),
                    mix(rgb(colour), rgb(0xe0d860), 0.35),
                    patches.at(column, row),
                );
                scale(sunny, 0.8 + 0.4 * grass.at(column, row))
            },
        );
        for tree in 0..26 * u32::from(layer == 1 || layer == 2) {
            let x = canvas.aspect() * random(161 + layer, tree);
            let ground = base - rise * ridge.at((x * canvas.size().1 as f32) as i32, 0);
            let size = (0.010 + 0.012 * random(171, tree)) * (1.0 + 0.5 * (layer - 1) as f32);
            canvas.fill(
                &ellipse((x + size * 0.3, ground + size * 0.2), size * 1.2, size * 0.3),
                rgb(0x1d3a1c),
                0.5,
            );
            canvas.fill(
                &ellipse((x, ground - size * 0.6), size, size),
                mix(rgb(0x1f4a22), rgb(0x3f7030), random(172, tree)),
                1.0,
            );
            canvas.fill(
                &ellipse((x - size * 0.3, ground - size * 0.9), size * 0.5, size * 0.5),
                rgb(0x6f9a44),
                0.5,
            );
        }
    }
    signpost(canvas, (1.08, 0.86));
    let petals = [0xd9342b, 0xf4f0e6, 0xf2c230, 0x8a5fc0, 0xe8609a];
    for flower in 0..1500_u32 {
        let near = (flower as f32 / 1500.0).powf(1.6);
        let (x, y) = (canvas.aspect() * random(181, flower), 0.64 + 0.38 * near + 0.02 * random(182, flower));
        let size = 0.0014 + 0.009 * near * near;
        let colour = rgb(petals[(random(183, flower) * 4.99) as usize]);
        canvas.line((x, y), (x + size * 0.5, y + size * 5.0), size * 0.3, rgb(0x2f5a1c));
        canvas.fill(
            &ellipse((x, y), size, size * 0.75),
            scale(colour, 0.75 + 0.3 * random(184, flower)),
            1.0,
        );
        canvas.fill(&ellipse((x, y - size * 0.1), size * 0.35, size * 0.28), rgb(0x4a3212), 1.0);
    }
}

fn signpost(canvas: &mut Canvas, (x, foot): Point) {
    canvas.rectangle((x, foot - 0.26), 0.016, 0.26, rgb(0x6b4a2e));
    canvas.rectangle((x + 0.011, foot - 0.26), 0.005, 0.26, rgb(0x4a3220));
    for (down, text, to_left) in [(0.245, "HARBOUR", true), (0.175, "DUNES", false)] {
        let (half, top) = (lettering::width(text, 0.026) + 0.05, foot - down);
        let (left, right) = if to_left { (x + 0.03 - half, x + 0.03) } else { (x - 0.015, x - 0.015 + half) };
        let (tip_left, tip_right) = if to_left { (left - 0.03, right) } else { (left, right + 0.03) };
        let board = [
            (left, top),
            (right, top),
            (tip_right, top + 0.025),
            (right, top + 0.05),
            (left, top + 0.05),
            (tip_left, top + 0.025),
        ];
        canvas.fill(&board, rgb(0xb98a56), 1.0);
        canvas.rectangle((left, top + 0.043), right - left, 0.007, rgb(0x8a6238));
        lettering::write(canvas, (left + 0.022, top + 0.012), 0.026, rgb(0x3a2414), text);
    }
}
