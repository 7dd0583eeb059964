//! Pictures that are no photographs.

use super::canvas::{Canvas, curve, ellipse, gradient, mix, rgb, scale, smooth};
use super::lettering;
use super::noise::random;

/// Polished marble with veins of gold.
pub fn marble(canvas: &mut Canvas) {
    let base = canvas.texture(501, (4, 3), 0.55, 1);
    let warp = canvas.texture(502, (5, 4), 0.58, 1);
    let vein = canvas.texture(503, (3, 2), 0.52, 1);
    let reach = canvas.size().1 as f32 * 0.22;
    canvas.shade(0.0, 1.0, |x, y, column, row| {
        let (dx, dy) = ((warp.at(column, row) - 0.5) * reach, (base.at(column, row) - 0.5) * reach);
        let (left, top) = (column + dx as i32, row + dy as i32);
        let deep = gradient(
            &[(0.0, 0x0c2b2e), (0.35, 0x14504f), (0.6, 0x2f8079), (0.85, 0x9cc9bd), (1.0, 0xe9f3ec)],
            base.at(left, top),
        );
        let line = |offset: f32, thin: f32| 1.0 - smooth(0.0, thin, (vein.at(left, top) - offset).abs());
        let white = line(0.38, 0.035) * 0.55 + line(0.70, 0.02) * 0.7;
        let gold = line(0.52 + 0.05 * (x - y), 0.010 + 0.012 * warp.at(column, row));
        let metal = mix(rgb(0x8a5f1c), rgb(0xffe29a), warp.at(top, left));
        mix(mix(deep, rgb(0xf3f6f0), white), metal, gold)
    });
}

/// A travel poster: flat shapes on grained paper.
pub fn poster(canvas: &mut Canvas) {
    let paper = canvas.texture(511, (220, 300), 0.8, 1);
    let right = canvas.aspect();
    canvas.shade(0.0, 1.0, |_, _, column, row| scale(rgb(0xf3e6cc), 0.94 + 0.1 * paper.at(column, row)));
    let sky = [(0.05, 0x1f4e79), (0.25, 0x2f7d95), (0.42, 0xf0b35a), (0.56, 0xf07f4a)];
    let frame = [(0.04, 0.04), (right - 0.04, 0.04), (right - 0.04, 0.80), (0.04, 0.80)];
    canvas.fill_with(&frame, |_, y| (gradient(&sky, (y * 24.0).floor() / 24.0), 1.0));
    for ring in (0..5).rev() {
        let size = 0.10 + 0.035 * ring as f32;
        canvas.fill(&ellipse((0.40, 0.40), size, size), rgb(0xffe9b0), if ring == 0 { 1.0 } else { 0.16 });
    }
    for (layer, (top, colour)) in (0..).zip([(0.47, 0x8a4a5f), (0.53, 0x5c3557), (0.59, 0x33284a)]) {
        let mut peaks = vec![(right - 0.04, 0.80), (0.04, 0.80)];
        for step in 0..=9 {
            let high = if step % 2 == 0 { 0.02 } else { 0.11 * random(521 + layer, step) + 0.02 };
            peaks.push((0.04 + (right - 0.08) * step as f32 / 9.0, top + 0.06 - high));
        }
        canvas.fill(&peaks, rgb(colour), 1.0);
    }
    let river = curve(&[
        (0.37, 0.655),
        (0.42, 0.652),
        (0.36, 0.69),
        (0.50, 0.73),
        (0.38, 0.805),
        (0.12, 0.805),
        (0.30, 0.74),
        (0.26, 0.69),
    ]);
    canvas.fill_with(&river, |_, y| {
        (gradient(&[(0.65, 0xf7b267), (0.72, 0x5fb0b7), (0.8, 0x9fd8d2)], (y * 60.0).floor() / 60.0), 1.0)
    });
    canvas.rectangle((0.04, 0.80), right - 0.08, 0.02, rgb(0xf3e6cc));
    for tree in 0..15_u32 {
        let x = 0.06 + (right - 0.12) * tree as f32 / 14.0;
        let edge = (x - right * 0.42).abs();
        let (foot, height) = (0.80, 0.05 + 0.28 * edge * edge + 0.04 * random(531, tree));
        canvas.fill(
            &[(x, foot - height), (x + height * 0.2, foot), (x - height * 0.2, foot)],
            rgb(0x16263a),
            f32::from(u8::from(edge > 0.13)),
        );
    }
    let centre = |text: &str, height: f32| right / 2.0 - lettering::width(text, height) / 2.0;
    lettering::write(canvas, (centre("FRESHET", 0.075), 0.835), 0.075, rgb(0x1f3350), "FRESHET");
    let line = "WHERE OLD WATER NEVER RETURNS";
    lettering::write(canvas, (centre(line, 0.020), 0.93), 0.020, rgb(0xc85a34), line);
}

/// A ringed planet and its moon.
pub fn planet(canvas: &mut Canvas) {
    let gas = canvas.texture(541, (5, 4), 0.58, 2);
    canvas.shade(0.0, 1.0, |x, y, column, row| {
        let cloud = smooth(0.35, 1.0, gas.at(column, row));
        let tint = mix(rgb(0x2a1a5c), rgb(0x8a2f6a), smooth(0.2, 0.9, x * 0.6 + y * 0.4));
        mix(rgb(0x05060f), tint, cloud * 0.75)
    });
    for star in 0..420 {
        let bright = random(553, star).powi(12);
        canvas.glow(
            (random(551, star), random(552, star)),
            0.0020 + 0.0055 * bright,
            rgb(0xeaf0ff),
            0.5 + 1.5 * bright,
        );
    }
    let bands = canvas.texture(542, (3, 26), 0.5, 1);
    let unit = canvas.size().1 as f32;
    let (x0, y0, radius, tilt) = (0.5, 0.52, 0.26, 0.42_f32);
    canvas.glow((x0, y0), 0.45, rgb(0xf0a860), 0.18);
    ring(canvas, (x0, y0), radius, tilt, true);
    canvas.fill_with(&ellipse((x0, y0), radius, radius), |x, y| {
        let (dx, dy) = ((x - x0) / radius, (y - y0) / radius);
        let along = dx * tilt.cos() + dy * tilt.sin();
        let across = dy * tilt.cos() - dx * tilt.sin();
        let swirl = bands.at(
            ((x0 + along * 0.25) * unit) as i32,
            ((0.5 + across * 0.45 + along * along * 0.05) * unit) as i32,
        );
        let surface = gradient(
            &[(0.0, 0x7a3b22), (0.3, 0xb8713c), (0.5, 0xe6b27a), (0.7, 0xf5dcb0), (1.0, 0xc98a5c)],
            swirl,
        );
        let depth = (1.0 - dx * dx - dy * dy).max(0.0).sqrt();
        let light = (0.75 * depth - 0.52 * dx - 0.42 * dy).clamp(0.02, 1.15);
        (scale(surface, light), 1.0)
    });
    ring(canvas, (x0, y0), radius, tilt, false);
    canvas.fill_with(&ellipse((0.83, 0.24), 0.045, 0.045), |x, y| {
        let light = (0.55 - 9.0 * (x - 0.83) - 7.0 * (y - 0.24)).clamp(0.03, 1.0);
        (
            scale(
                mix(rgb(0xb9b4ac), rgb(0x8a8580), gas.at((x * unit * 4.0) as i32 % 900, (y * unit) as i32)),
                light,
            ),
            1.0,
        )
    });
}

/// Half of the ring: the far one is drawn before the planet, the near one after it.
fn ring(canvas: &mut Canvas, (x0, y0): (f32, f32), radius: f32, tilt: f32, far: bool) {
    const FLAT: f32 = 0.26;
    let turn = |across: f32, down: f32| {
        (x0 + across * tilt.cos() - down * tilt.sin(), y0 + across * tilt.sin() + down * tilt.cos())
    };
    let half = |size: f32| {
        (0..=60).map(move |step| {
            let angle = std::f32::consts::PI * step as f32 / 60.0;
            let down = size * FLAT * angle.sin();
            turn(size * angle.cos(), if far { -down } else { down })
        })
    };
    let mut outline: Vec<_> = half(radius * 1.9).collect();
    outline.extend(half(radius * 1.25).collect::<Vec<_>>().into_iter().rev());
    canvas.fill_with(&outline, |x, y| {
        let (dx, dy) = (x - x0, y - y0);
        let (across, down) = (dx * tilt.cos() + dy * tilt.sin(), dy * tilt.cos() - dx * tilt.sin());
        let distance = (across * across + (down / FLAT).powi(2)).sqrt() / radius;
        let grooves = random(561, (distance * 70.0) as u32);
        let gap = smooth(0.0, 0.02, (distance - 1.62).abs() - 0.025);
        let in_shadow = far && across > 0.0 && across < radius && down > -radius * 0.5;
        let light = if in_shadow { 0.25 } else { 0.9 };
        (scale(mix(rgb(0xb08a62), rgb(0xf6e6c8), grooves), light), gap * (0.45 + 0.5 * grooves))
    });
}
