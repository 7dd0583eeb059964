//! A bitmap font of five by seven dots: capitals, digits and a little punctuation.

use super::canvas::{Canvas, Colour, Point};

/// A glyph's rows from the top, each of five bits, the highest on the left.
#[rustfmt::skip]
const GLYPHS: [(char, [u8; 7]); 38] = [
    ('A', [14, 17, 17, 31, 17, 17, 17]), ('B', [30, 17, 17, 30, 17, 17, 30]), ('C', [14, 17, 16, 16, 16, 17, 14]),
    ('D', [30, 17, 17, 17, 17, 17, 30]), ('E', [31, 16, 16, 30, 16, 16, 31]), ('F', [31, 16, 16, 30, 16, 16, 16]),
    ('G', [14, 17, 16, 23, 17, 17, 15]), ('H', [17, 17, 17, 31, 17, 17, 17]), ('I', [14, 4, 4, 4, 4, 4, 14]),
    ('J', [7, 2, 2, 2, 2, 18, 12]),      ('K', [17, 18, 20, 24, 20, 18, 17]), ('L', [16, 16, 16, 16, 16, 16, 31]),
    ('M', [17, 27, 21, 21, 17, 17, 17]), ('N', [17, 17, 25, 21, 19, 17, 17]), ('O', [14, 17, 17, 17, 17, 17, 14]),
    ('P', [30, 17, 17, 30, 16, 16, 16]), ('Q', [14, 17, 17, 17, 21, 18, 13]), ('R', [30, 17, 17, 30, 20, 18, 17]),
    ('S', [15, 16, 16, 14, 1, 1, 30]),   ('T', [31, 4, 4, 4, 4, 4, 4]),       ('U', [17, 17, 17, 17, 17, 17, 14]),
    ('V', [17, 17, 17, 17, 17, 10, 4]),  ('W', [17, 17, 17, 21, 21, 27, 17]), ('X', [17, 17, 10, 4, 10, 17, 17]),
    ('Y', [17, 17, 10, 4, 4, 4, 4]),     ('Z', [31, 1, 2, 4, 8, 16, 31]),     ('0', [14, 17, 19, 21, 25, 17, 14]),
    ('1', [4, 12, 4, 4, 4, 4, 14]),      ('2', [14, 17, 1, 6, 8, 16, 31]),    ('3', [31, 2, 4, 2, 1, 17, 14]),
    ('4', [2, 6, 10, 18, 31, 2, 2]),     ('5', [31, 16, 30, 1, 1, 17, 14]),   ('6', [6, 8, 16, 30, 17, 17, 14]),
    ('7', [31, 1, 2, 4, 8, 8, 8]),       ('8', [14, 17, 17, 14, 17, 17, 14]), ('9', [14, 17, 17, 15, 1, 2, 12]),
    ('.', [0, 0, 0, 0, 0, 12, 12]),      ('-', [0, 0, 0, 31, 0, 0, 0]),
];

/// Writes `text` from its top left; `height` is a capital's. A character without a glyph leaves a gap.
pub fn write(canvas: &mut Canvas, (x, y): Point, height: f32, colour: Colour, text: &str) {
    let dot = height / 7.0;
    for (place, letter) in text.chars().enumerate() {
        let Some((_, rows)) = GLYPHS.iter().find(|(glyph, _)| *glyph == letter) else { continue };
        for (row, bits) in rows.iter().enumerate() {
            for column in (0..5).filter(|column| bits >> (4 - column) & 1 == 1) {
                let left = x + (place * 6 + column) as f32 * dot;
                // Dots overlap a little: between edges that only meet, the ground would shine through.
                canvas.rectangle((left, y + row as f32 * dot), dot * 1.1, dot * 1.1, colour);
            }
        }
    }
}

/// How wide `text` is when a capital is `height` high.
pub fn width(text: &str, height: f32) -> f32 {
    (text.chars().count() * 6).saturating_sub(1) as f32 * height / 7.0
}
