//! Scenes by the water, in daylight.

use super::canvas::{Canvas, Colour, Point, curve, ellipse, gradient, mix, rgb, scale, smooth};
use super::land::{cloud, fir};
use super::noise::random;

/// A harbour town at dusk, a lighthouse and sailing boats.
pub fn harbour(canvas: &mut Canvas) {
    const HORIZON: f32 = 0.56;
    let sun: Point = (1.02, 0.53);
    let sky = [(0.0, 0x1f3a6e), (0.2, 0x4a6aa0), (0.38, 0xc98f8d), (0.48, 0xf2a766), (0.56, 0xffd9a0)];
    let clouds = canvas.texture(11, (4, 14), 0.55, 2);
    canvas.shade(0.0, HORIZON, |x, y, column, row| {
        let air = gradient(&sky, y + 0.05 * (x - sun.0).abs());
        let near_sun = (1.3 - (x - sun.0).abs() - (y - sun.1).abs()).max(0.0);
        let lit = mix(rgb(0x6c5f86), rgb(0xffb98a), near_sun * 0.8);
        mix(air, lit, cloud(&clouds, (column, row), 0.52) * 0.8)
    });
    canvas.glow(sun, 0.55, rgb(0xffc070), 0.7);
    canvas.glow(sun, 0.07, rgb(0xfff3d0), 1.6);
    for (seed, height, colour) in [(3, 0.16, 0x7a7597), (4, 0.10, 0x55577f)] {
        let ridge = canvas.ridge(seed, 4, 0.5);
        let far = rgb(colour);
        canvas.below(
            HORIZON,
            |x| HORIZON - height * (0.2 + 0.8 * ridge.at(x, 0)),
            |x, y, _, _| {
                mix(far, rgb(0xe0a080), (0.35 - (x - sun.0).abs() * 0.4).max(0.0) + (y - 0.45) * 0.8)
            },
        );
    }
    town(canvas, HORIZON);
    lighthouse(canvas, HORIZON);
    let waves = canvas.texture(12, (7, 110), 0.62, 2);
    canvas.reflect(HORIZON, 1.0, &waves, rgb(0x2a3f66), 0.1);
    for (place, x, y, size) in [(0, 0.92, 0.64, 0.10), (1, 0.28, 0.70, 0.16), (2, 1.18, 0.80, 0.25)] {
        boat(canvas, (x, y), size, [0x8c2f2b, 0xe8e2d4, 0x24405c][place]);
    }
}

/// Houses on a quay, some windows lit.
fn town(canvas: &mut Canvas, ground: f32) {
    let walls = [0xb5654a, 0xd9b382, 0x8a9aa8, 0xc7876a, 0xe6d3b3, 0x7f6a5e, 0xa8b08c];
    let mut x = -0.02;
    for house in 0..15 {
        let pick = |what: u32| random(77 + what, house);
        let (width, height) = (0.045 + 0.025 * pick(0), 0.06 + 0.055 * pick(1));
        let wall = scale(rgb(walls[house as usize % walls.len()]), 0.62);
        canvas.rectangle((x, ground - height), width, height, wall);
        canvas.rectangle((x + width * 0.8, ground - height), width * 0.2, height, scale(wall, 0.75));
        let roof = [
            (x - 0.004, ground - height),
            (x + width / 2.0, ground - height - 0.028 - 0.01 * pick(2)),
            (x + width + 0.004, ground - height),
        ];
        canvas.fill(&roof, mix(rgb(0x5a2f2a), rgb(0x3d3440), pick(3)), 1.0);
        for window in 0..9 {
            let at = (
                x + width * (0.14 + 0.27 * (window % 3) as f32),
                ground - height + 0.012 + 0.027 * (window / 3) as f32,
            );
            let lit = random(91 + house, window) > 0.45;
            if at.1 + 0.014 < ground - 0.006 {
                canvas.rectangle(at, width * 0.14, 0.014, rgb(if lit { 0xffdf8f } else { 0x2c3040 }));
                if lit {
                    canvas.glow((at.0 + width * 0.07, at.1 + 0.007), 0.022, rgb(0xffb850), 0.35);
                }
            }
        }
        x += width;
    }
    canvas.rectangle((-0.1, ground - 0.006), x + 0.15, 0.006, rgb(0x3a3540));
}

fn lighthouse(canvas: &mut Canvas, ground: f32) {
    let rock = curve(&[
        (1.26, ground + 0.01),
        (1.30, ground - 0.03),
        (1.37, ground - 0.045),
        (1.45, ground - 0.03),
        (1.56, ground + 0.01),
    ]);
    canvas.fill(&rock, rgb(0x3c3644), 1.0);
    let (x, foot, top) = (1.375, ground - 0.035, ground - 0.27);
    let half = |y: f32| 0.014 + 0.012 * (y - top) / (foot - top);
    let tower = [(x - half(top), top), (x + half(top), top), (x + half(foot), foot), (x - half(foot), foot)];
    canvas.fill_with(&tower, |at, y| {
        let red = ((y - top) / (foot - top) * 5.0) as i32 % 2 == 0;
        let round = 1.0 - 0.55 * smooth(-0.6, 1.1, (at - x) / half(y));
        (scale(rgb(if red { 0xc8402f } else { 0xf3ead8 }), 0.35 + 0.6 * round), 1.0)
    });
    canvas.rectangle((x - 0.019, top - 0.006), 0.038, 0.007, rgb(0x2b2732));
    canvas.rectangle((x - 0.010, top - 0.026), 0.020, 0.020, rgb(0xffefb0));
    canvas.fill(&[(x - 0.014, top - 0.026), (x, top - 0.046), (x + 0.014, top - 0.026)], rgb(0x7c2a24), 1.0);
    canvas.glow((x, top - 0.016), 0.16, rgb(0xffe9a8), 0.9);
}

/// A sailing boat and its image in the water.
fn boat(canvas: &mut Canvas, (x, y): Point, size: f32, hull: u32) {
    for (up, opacity) in [(-0.55, 0.45), (1.0, 1.0)] {
        let at = |dx: f32, dy: f32| (x + dx * size, y - dy * size * up);
        let sail = mix(rgb(0xf6e7cf), rgb(0xe8a878), 0.35);
        canvas.fill(&[at(0.02, 0.22), at(0.02, 1.25), at(0.42, 0.24)], sail, opacity);
        canvas.fill(&[at(-0.03, 0.24), at(-0.03, 1.15), at(-0.40, 0.22)], scale(sail, 0.82), opacity);
        canvas.fill(
            &[at(-0.012, 0.1), at(-0.012, 1.32), at(0.012, 1.32), at(0.012, 0.1)],
            rgb(0x3a2c26),
            opacity,
        );
        canvas.fill(&[at(-0.5, 0.19), at(0.56, 0.22), at(0.40, -0.01), at(-0.40, -0.01)], rgb(hull), opacity);
        canvas.fill(
            &[at(-0.5, 0.19), at(0.56, 0.22), at(0.54, 0.17), at(-0.49, 0.145)],
            rgb(0xf0e6d6),
            opacity,
        );
    }
}

/// Snow peaks at sunrise over a lake.
pub fn mountains(canvas: &mut Canvas) {
    const SHORE: f32 = 0.66;
    let clouds = canvas.texture(21, (3, 9), 0.5, 2);
    let sky = [(0.0, 0x3b6fb5), (0.25, 0x86aede), (0.45, 0xf6d7c3), (0.66, 0xffe9cf)];
    canvas.shade(0.0, SHORE, |_, y, column, row| {
        mix(gradient(&sky, y), rgb(0xfff4ea), cloud(&clouds, (column, row), 0.5) * 0.85)
    });
    let rock = canvas.texture(22, (10, 7), 0.55, 1);
    let slope = (canvas.size().1 / 260).max(1) as i32;
    // Base height, rise, snow line, haze.
    let layers = [(0.50, 0.32, 0.50, 0.42), (0.58, 0.36, 0.46, 0.12), (0.64, 0.17, 0.0, 0.0)];
    for (layer, (base, rise, snow_line, haze)) in (0..).zip(layers) {
        let ridge = canvas.ridge(33 + layer, 5, 0.5);
        let top = |column| base - rise * ridge.at(column, 0);
        let unit = canvas.size().1 as f32;
        canvas.below(SHORE, top, |_, y, column, row| {
            // Ribs run down from the ridge, to the side that its own slope falls to.
            let below = ((y - top(column)) * unit) as i32;
            let falls = top(column + slope * 4) - top(column - slope * 4);
            let flank = top(column + slope * 22) - top(column - slope * 22);
            let lean = column - ((flank * 5.0).clamp(-0.8, 0.8) * below as f32) as i32;
            let relief = rock.at(lean + slope, row / 2 + slope) - rock.at(lean - slope, row / 2 - slope);
            let light = (0.58 - relief * 10.0 - falls * 9.0).clamp(0.0, 1.2);
            let stone = mix(rgb(0x353b54), rgb(0xb89a86), light);
            let snow = mix(rgb(0x6f8fc4), rgb(0xfffaf4), light);
            let patchy = y + (rock.at(lean, row / 2) - 0.5) * 0.30;
            let ground = if layer == 2 {
                mix(
                    rgb(0x10211c),
                    rgb(0x3f5c38),
                    rock.at(column * 3 % rock.width(), row) * (0.4 + 0.6 * light),
                )
            } else {
                mix(snow, stone, smooth(snow_line - 0.02, snow_line + 0.03, patchy))
            };
            mix(ground, rgb(0xcfd9ea), haze + 0.25 * smooth(0.5, 0.66, y) * (1.0 - layer as f32 / 3.0))
        });
    }
    for tree in 0..130 {
        let x = canvas.aspect() * random(41, tree);
        let height = 0.03 + 0.045 * random(42, tree);
        let shade = mix(rgb(0x10201c), rgb(0x2b4632), random(43, tree));
        fir(canvas, (x, SHORE + 0.003), height, shade, tree);
    }
    let waves = canvas.texture(23, (6, 120), 0.5, 2);
    canvas.reflect(SHORE, 1.0, &waves, rgb(0x35567a), 0.78);
}

/// A beach from above: deep water, surf, sand, parasols.
pub fn beach(canvas: &mut Canvas) {
    let coast = canvas.texture(121, (3, 2), 0.42, 2);
    let swell = canvas.texture(122, (40, 14), 0.6, 1);
    let grain = canvas.texture(123, (300, 200), 0.8, 1);
    let sea = [(-0.75, 0x06385f), (-0.45, 0x0b6a93), (-0.2, 0x1fa3b5), (-0.06, 0x7fd6cf), (0.0, 0xc9efe4)];
    let sand = [(0.0, 0xa98a62), (0.05, 0xcbae82), (0.12, 0xe6cfa4), (0.7, 0xf4e4c2)];
    canvas.shade(0.0, 1.0, |x, y, column, row| {
        let height = x * 0.75 - 0.62 + y * 0.16 + (coast.at(column, row) - 0.5) * 0.5;
        let wave = swell.at(column, row);
        if height + (wave - 0.5) * 0.02 > 0.0 {
            return scale(gradient(&sand, height), 0.93 + 0.14 * grain.at(column, row));
        }
        let water = scale(gradient(&sea, height), 0.9 + 0.22 * wave);
        let breakers = (height * 46.0 + wave * 5.0).sin() * 0.5 + 0.5;
        let near_shore = smooth(-0.26, -0.02, height);
        let foam =
            smooth(0.72, 0.95, breakers * (0.55 + wave * 0.75)) * near_shore + smooth(-0.022, -0.004, height);
        mix(water, rgb(0xf8fdfb), foam * 0.9)
    });
    let stripes = [0xd8433b, 0x2878b8, 0xf0b030, 0x3a9a68, 0xe86f9a];
    for place in 0..16_u32 {
        let y = 0.06 + 0.062 * place as f32 - 0.06 * (place % 2) as f32;
        let x = 1.02 - 0.16 * y + 0.32 * random(131, place) + 0.07;
        parasol(canvas, (x, y), 0.032, rgb(stripes[place as usize % stripes.len()]));
    }
}

fn parasol(canvas: &mut Canvas, (x, y): Point, radius: f32, colour: Colour) {
    canvas.fill(&ellipse((x + 0.022, y + 0.018), radius, radius), rgb(0x3a2c1c), 0.38);
    canvas.rectangle((x + radius, y - 0.012), 0.05, 0.024, scale(colour, 0.85));
    canvas.fill_with(&ellipse((x, y), radius, radius), |at, down| {
        let angle = (down - y).atan2(at - x) / std::f32::consts::TAU * 12.0 + 12.0;
        let cloth = if angle as i32 % 2 == 0 { colour } else { rgb(0xfaf5ea) };
        (scale(cloth, 1.0 - 0.22 * angle.fract() - 2.5 * (at - x).max(0.0)), 1.0)
    });
    canvas.fill(&ellipse((x, y), 0.003, 0.003), rgb(0xffffff), 1.0);
}
