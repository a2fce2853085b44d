//! Numbers that look random and are the same bits in every language.
//!
//! Twins: `golden/formula.py` and `tests/support/random.ts`. Golden cases store seeds, not inputs, so the three must agree to
//! the bit: every step is an integer operation or one correctly rounded f32 operation.

use serde::Deserialize;

/// A random array, described instead of stored.
#[derive(Debug, Clone, Deserialize)]
pub(crate) struct Spec {
    seed: u32,
    #[serde(default)]
    distribution: Distribution,
    #[serde(default = "one")]
    scale: f64,
    #[serde(default)]
    offset: f64,
    #[serde(default)]
    edits: Vec<Edit>,
}

#[derive(Debug, Clone, Copy, Default, Deserialize)]
#[serde(rename_all = "lowercase")]
enum Distribution {
    /// Mean 0 and deviation 1, before scale and offset.
    #[default]
    Normal,
    /// [0, 1), before scale and offset.
    Uniform,
}

/// Overwrites `count` elements, the first at `start` and then every `stride`-th, with a constant.
#[derive(Debug, Clone, Deserialize)]
struct Edit {
    start: usize,
    count: usize,
    stride: usize,
    value: Value,
}

/// JSON has no NaN and no infinities; they are written as text.
#[derive(Debug, Clone, Deserialize)]
#[serde(untagged)]
enum Value {
    Number(f64),
    Text(String),
}

/// The golden ratio in 32 bits: consecutive element numbers become states far apart.
const WEYL: u32 = 0x9e37_79b9;

impl Spec {
    /// `count` numbers: f32(f32(number · scale) + offset), then the edits.
    #[allow(
        clippy::cast_possible_truncation,
        reason = "the formula is in f32 and its elements are numbered in 32 bits"
    )]
    pub(crate) fn array(&self, count: usize) -> Vec<f32> {
        let (scale, offset) = (self.scale as f32, self.offset as f32);
        let draw = match self.distribution {
            Distribution::Normal => random_normal,
            Distribution::Uniform => random_uniform,
        };
        let mut values: Vec<f32> = (0..count).map(|i| draw(self.seed, i as u32) * scale + offset).collect();
        for edit in &self.edits {
            for i in 0..edit.count {
                values[edit.start + i * edit.stride] = edit.value.number();
            }
        }
        values
    }
}

impl Value {
    #[allow(clippy::cast_possible_truncation, reason = "the arrays are f32")]
    fn number(&self) -> f32 {
        match self {
            Self::Number(number) => *number as f32,
            Self::Text(text) => text.parse().expect("NaN or an infinity"),
        }
    }
}

/// A number in [0, 1) with 24 random bits, which f32 holds exactly.
#[allow(clippy::cast_precision_loss, reason = "24 bits fit")]
fn random_uniform(seed: u32, index: u32) -> f32 {
    (random_bits(seed, index) >> 8) as f32 / 16_777_216.0
}

/// Roughly normal: the sum of four uniform numbers of 21 bits, times √3.
#[allow(clippy::cast_precision_loss, reason = "23 bits fit")]
fn random_normal(seed: u32, index: u32) -> f32 {
    let drawn = (0..4).map(|part| i64::from(random_bits(seed, index.wrapping_mul(4).wrapping_add(part)) >> 11));
    (drawn.sum::<i64>() - (1 << 22)) as f32 / 2_097_152.0 * 3f32.sqrt()
}

/// 32 random bits: number `index` of the sequence `seed`.
fn random_bits(seed: u32, index: u32) -> u32 {
    mix(mix(seed).wrapping_add(index.wrapping_mul(WEYL)))
}

/// A bijection of 32 bits in which every input bit moves every output bit (C. Wellons, hash-prospector).
fn mix(value: u32) -> u32 {
    let bits = (value ^ (value >> 16)).wrapping_mul(0x21f0_aaad);
    let bits = (bits ^ (bits >> 15)).wrapping_mul(0x735a_2d97);
    bits ^ (bits >> 15)
}

fn one() -> f64 {
    1.0
}

/// The same three numbers stand in the tests of `tests/support/random.ts`.
#[test]
fn the_formula_gives_the_bits_that_the_golden_data_was_made_from() {
    assert_eq!(random_bits(1, 2), 2_788_919_815);
    assert_eq!(f64::from(random_uniform(1, 2)), 0.649_345_993_995_666_5);
    assert_eq!(f64::from(random_normal(1, 2)), -1.117_593_050_003_051_8);
}
