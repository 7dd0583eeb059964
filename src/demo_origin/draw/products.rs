//! Things for sale, cut out: the ground is transparent.

use super::canvas::{Canvas, Colour, Point, curve, ellipse, mix, rgb, scale, smooth};
use super::lettering;

fn shadow(canvas: &mut Canvas, (x, y): Point, across: f32) {
    for ring in 0..10 {
        let grow = 1.0 - ring as f32 * 0.07;
        canvas.fill(&ellipse((x, y), across * grow, across * 0.09 * grow), rgb(0x101418), 0.055);
    }
}

/// Colour of a rounded surface: lighter above, darker below, with a weave.
fn cloth(colour: Colour, weave: f32, (x, y): Point, (top, bottom): (f32, f32)) -> Colour {
    let threads = ((x * 420.0).sin() * (y * 420.0).sin()) * weave;
    scale(colour, 1.18 - 0.5 * smooth(top, bottom, y) + threads)
}

/// A running shoe.
pub fn runner(canvas: &mut Canvas) {
    shadow(canvas, (0.5, 0.755), 0.43);
    let sole = curve(&[
        (0.075, 0.66),
        (0.10, 0.63),
        (0.40, 0.655),
        (0.70, 0.645),
        (0.90, 0.625),
        (0.945, 0.66),
        (0.90, 0.72),
        (0.70, 0.735),
        (0.40, 0.74),
        (0.14, 0.745),
        (0.085, 0.71),
    ]);
    canvas.fill_with(&sole, |x, y| {
        let groove = (x * 95.0).sin() > 0.55 && y > 0.705;
        (scale(rgb(0xf4f1ea), if groove { 0.55 } else { 1.05 - 0.4 * smooth(0.64, 0.75, y) }), 1.0)
    });
    canvas.fill(
        &curve(&[
            (0.09, 0.695),
            (0.12, 0.698),
            (0.3, 0.708),
            (0.5, 0.710),
            (0.7, 0.703),
            (0.89, 0.688),
            (0.928, 0.69),
            (0.905, 0.708),
            (0.7, 0.722),
            (0.5, 0.728),
            (0.3, 0.727),
            (0.12, 0.72),
        ]),
        rgb(0xff6a3d),
        1.0,
    );
    let upper = curve(&[
        (0.09, 0.645),
        (0.085, 0.53),
        (0.12, 0.41),
        (0.155, 0.34),
        (0.20, 0.335),
        (0.235, 0.40),
        (0.31, 0.435),
        (0.39, 0.40),
        (0.45, 0.345),
        (0.50, 0.34),
        (0.60, 0.43),
        (0.72, 0.515),
        (0.85, 0.55),
        (0.915, 0.60),
        (0.905, 0.645),
        (0.70, 0.66),
        (0.40, 0.665),
    ]);
    canvas.fill_with(&upper, |x, y| (cloth(rgb(0x2c7fb8), 0.10, (x, y), (0.36, 0.68)), 1.0));
    let toe =
        curve(&[(0.74, 0.655), (0.76, 0.575), (0.84, 0.556), (0.908, 0.602), (0.903, 0.642), (0.83, 0.655)]);
    canvas.fill_with(&toe, |x, y| (cloth(rgb(0x1c4f7c), 0.0, (x, y), (0.54, 0.66)), 1.0));
    let heel = curve(&[
        (0.092, 0.64),
        (0.088, 0.53),
        (0.125, 0.41),
        (0.165, 0.345),
        (0.20, 0.42),
        (0.19, 0.53),
        (0.23, 0.655),
    ]);
    canvas.fill_with(&heel, |x, y| (cloth(rgb(0x173f66), 0.0, (x, y), (0.34, 0.68)), 1.0));
    let collar = curve(&[
        (0.165, 0.345),
        (0.20, 0.338),
        (0.24, 0.40),
        (0.31, 0.432),
        (0.385, 0.402),
        (0.40, 0.425),
        (0.32, 0.468),
        (0.23, 0.445),
    ]);
    canvas.fill(&collar, rgb(0x0f2c49), 1.0);
    let stripe = curve(&[
        (0.25, 0.60),
        (0.36, 0.625),
        (0.50, 0.585),
        (0.63, 0.485),
        (0.655, 0.495),
        (0.53, 0.625),
        (0.38, 0.665),
        (0.28, 0.65),
    ]);
    canvas.fill_with(&stripe, |_, y| (scale(rgb(0xff7a45), 1.1 - 0.4 * smooth(0.48, 0.66, y)), 1.0));
    let tongue = curve(&[(0.43, 0.36), (0.45, 0.29), (0.50, 0.285), (0.535, 0.365), (0.50, 0.40)]);
    canvas.fill_with(&tongue, |x, y| (cloth(rgb(0x3f95cc), 0.08, (x, y), (0.28, 0.42)), 1.0));
    for lace in 0..6 {
        let step = lace as f32;
        let (x, y) = (0.425 + 0.047 * step, 0.405 + 0.030 * step);
        canvas.line((x, y + 0.042), (x + 0.055, y - 0.024), 0.016, rgb(0xc9c5bb));
        canvas.line((x, y + 0.040), (x + 0.055, y - 0.027), 0.011, rgb(0xffffff));
        canvas.fill(&ellipse((x, y + 0.043), 0.008, 0.008), rgb(0x0f2c49), 1.0);
    }
    lettering::write(canvas, (0.118, 0.575), 0.022, rgb(0xffffff), "F1");
}

/// A leather boot.
pub fn boot(canvas: &mut Canvas) {
    let hide = canvas.texture(401, (30, 30), 0.65, 1);
    let unit = canvas.size().1 as f32;
    shadow(canvas, (0.5, 0.86), 0.38);
    let leather = move |colour: u32, left: f32, right: f32| {
        move |texture: f32, x: f32, y: f32| {
            let round = smooth(left, left + (right - left) * 0.35, x)
                * (1.0 - 0.75 * smooth(left + (right - left) * 0.45, right, x));
            scale(rgb(colour), (0.45 + 0.75 * round) * (0.82 + 0.36 * texture) * (1.08 - 0.25 * y))
        }
    };
    let at = |x: f32, y: f32| hide.at((x * unit) as i32, (y * unit) as i32);
    let sole = curve(&[
        (0.16, 0.79),
        (0.30, 0.775),
        (0.60, 0.785),
        (0.86, 0.775),
        (0.89, 0.80),
        (0.86, 0.835),
        (0.50, 0.84),
        (0.40, 0.81),
        (0.37, 0.86),
        (0.18, 0.86),
    ]);
    canvas.fill_with(&sole, |_, y| (scale(rgb(0x3a2a20), 1.3 - 0.9 * smooth(0.78, 0.86, y)), 1.0));
    let upper = curve(&[
        (0.175, 0.79),
        (0.17, 0.66),
        (0.205, 0.50),
        (0.195, 0.30),
        (0.19, 0.17),
        (0.33, 0.15),
        (0.475, 0.165),
        (0.485, 0.30),
        (0.505, 0.47),
        (0.60, 0.56),
        (0.75, 0.60),
        (0.86, 0.675),
        (0.875, 0.77),
        (0.60, 0.79),
    ]);
    let brown = leather(0xa4622f, 0.10, 0.95);
    canvas.fill_with(&upper, |x, y| (brown(at(x, y), x, y), 1.0));
    let cap = curve(&[(0.69, 0.785), (0.685, 0.68), (0.735, 0.603), (0.86, 0.672), (0.873, 0.765)]);
    let dark = leather(0x84481f, 0.55, 1.0);
    canvas.fill_with(&cap, |x, y| (dark(at(x, y), x, y), 1.0));
    let heel = curve(&[(0.18, 0.785), (0.175, 0.66), (0.20, 0.53), (0.30, 0.60), (0.33, 0.785)]);
    let heel_hide = leather(0x84481f, 0.12, 0.45);
    canvas.fill_with(&heel, |x, y| (heel_hide(at(x, y), x, y), 1.0));
    let rim =
        curve(&[(0.185, 0.17), (0.33, 0.145), (0.48, 0.165), (0.482, 0.205), (0.33, 0.19), (0.19, 0.21)]);
    canvas.fill(&rim, rgb(0x4e2a14), 1.0);
    canvas.fill(
        &curve(&[
            (0.168, 0.785),
            (0.20, 0.783),
            (0.35, 0.778),
            (0.50, 0.778),
            (0.70, 0.775),
            (0.86, 0.766),
            (0.882, 0.772),
            (0.86, 0.786),
            (0.70, 0.793),
            (0.50, 0.795),
            (0.35, 0.795),
            (0.20, 0.80),
        ]),
        rgb(0xd8b98a),
        1.0,
    );
    for lace in 0..8 {
        let share = lace as f32 / 7.0;
        let (x, y) = (0.405 + 0.03 * share + 0.13 * (share - 0.55).max(0.0), 0.235 + 0.31 * share);
        let (right, lower) = (x + 0.062 + 0.02 * share, y + 0.036);
        canvas.line((x, y), (right, lower), 0.012, rgb(0x2a1a10));
        canvas.line((right, y), (x, lower), 0.012, rgb(0x3a2618));
        canvas.fill(&ellipse((x, y), 0.009, 0.009), rgb(0xd9b45a), 1.0);
        canvas.fill(&ellipse((x - 0.002, y - 0.002), 0.004, 0.004), rgb(0xfff0c0), 1.0);
    }
    for stitch in 0..24 {
        let share = stitch as f32 / 23.0;
        let point = |s: f32| (0.305 + 0.028 * (s * 3.1).sin(), 0.605 + 0.17 * s);
        canvas.line(point(share), point(share + 0.022), 0.004, rgb(0xe8c896));
    }
    canvas.line((0.225, 0.20), (0.225, 0.10), 0.016, rgb(0x4e2a14));
    canvas.line((0.225, 0.10), (0.262, 0.19), 0.016, rgb(0x5e341a));
}

/// A glazed mug with a word on it.
pub fn mug(canvas: &mut Canvas) {
    shadow(canvas, (0.47, 0.83), 0.34);
    let glaze = canvas.texture(411, (6, 8), 0.5, 2);
    let unit = canvas.size().1 as f32;
    let round = |x: f32| {
        let across = ((x - 0.43) / 0.27).clamp(-1.0, 1.0);
        let highlight = (1.0 - ((across + 0.45) / 0.2).powi(2)).max(0.0);
        (0.95 - 0.55 * (across - 0.05).abs().powi(2) - 0.15 * across, highlight)
    };
    for (outer, colour) in [(1.0, 0x1d6468), (0.86, 0x3fa0a0)] {
        let ring = 0.03 * outer;
        let mut handle = ellipse((0.71, 0.50), 0.15 + ring, 0.165 + ring);
        let mut hole = ellipse((0.70, 0.50), 0.15 - ring, 0.165 - ring);
        hole.reverse();
        handle.push(handle[0]);
        handle.push(hole[0]);
        handle.extend(hole);
        handle.push(handle[73]);
        canvas.fill(&handle, rgb(colour), 1.0);
    }
    let mut body = vec![(0.16, 0.22)];
    body.extend((0..=40).map(|step| step as f32 / 40.0).map(|share| {
        let angle = std::f32::consts::PI * share;
        (0.43 - 0.245 * angle.cos(), 0.79 + 0.045 * angle.sin())
    }));
    body.push((0.70, 0.22));
    canvas.fill_with(&body, |x, y| {
        let (light, highlight) = round(x);
        let edge = 0.60 + 0.06 * (glaze.at((x * unit) as i32, 0) - 0.5);
        let speckle = glaze.at((x * unit) as i32, (y * unit) as i32);
        let clay = mix(rgb(0xe9dcc6), rgb(0xcdb899), speckle);
        let paint = mix(rgb(0x2f8f92), rgb(0x1f7478), speckle);
        let surface = mix(paint, clay, smooth(edge, edge + 0.008, y));
        (mix(scale(surface, light), rgb(0xffffff), highlight * 0.35), 1.0)
    });
    canvas.fill(&ellipse((0.43, 0.22), 0.27, 0.058), rgb(0xbfe3df), 1.0);
    canvas.fill(&ellipse((0.43, 0.223), 0.252, 0.048), rgb(0x1a5a5e), 1.0);
    canvas.fill_with(&ellipse((0.43, 0.236), 0.235, 0.036), |x, _| {
        (mix(rgb(0x5a3218), rgb(0x2c1509), (x - 0.2) * 2.0), 1.0)
    });
    let size = 0.058;
    let left = 0.43 - lettering::width("FRESH", size) / 2.0;
    lettering::write(canvas, (left, 0.38), size, rgb(0xf7f1e3), "FRESH");
    lettering::write(canvas, (left, 0.47), size * 0.42, rgb(0xbfe3df), "EVERY MORNING");
}
