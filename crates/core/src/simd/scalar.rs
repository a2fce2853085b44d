//! Lanes without vector instructions.

use core::ops::{Add, BitAnd, BitOr, Mul, Sub};

use super::fma::is_half_way;
use super::lanes::{Doubles, Lanes, Mask};

/// Four f32 in an array.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Scalar([f32; 4]);

/// Two f64 in an array.
#[derive(Debug, Clone, Copy)]
pub(crate) struct ScalarDoubles([f64; 2]);

/// Four truths, each of which there is twice where they are of two f64.
#[derive(Debug, Clone, Copy)]
pub(crate) struct ScalarMask([bool; 4]);

macro_rules! operators {
    ($type:ident, $($operator:ident $method:ident),*) => { $(
        impl $operator for $type {
            type Output = Self;

            fn $method(self, other: Self) -> Self {
                Self(core::array::from_fn(|i| self.0[i].$method(other.0[i])))
            }
        }
    )* };
}

operators!(Scalar, Add add, Sub sub, Mul mul);
operators!(ScalarDoubles, Add add, Sub sub, Mul mul);
operators!(ScalarMask, BitAnd bitand, BitOr bitor);

impl Mask for ScalarMask {
    fn all(self) -> bool {
        self.0.into_iter().all(|truth| truth)
    }
}

impl Lanes for Scalar {
    type Doubles = ScalarDoubles;
    type Mask = ScalarMask;

    fn splat(value: f32) -> Self {
        Self([value; 4])
    }

    fn load(values: &[f32; 4]) -> Self {
        Self(*values)
    }

    fn store(self, values: &mut [f32; 4]) {
        *values = self.0;
    }

    fn load_rows(values: &[f32], stride: usize) -> [Self; 4] {
        core::array::from_fn(|row| Self(core::array::from_fn(|i| values[row * stride + i])))
    }

    fn smaller(self, other: Self) -> Self {
        Self(core::array::from_fn(|i| if self.0[i] < other.0[i] { self.0[i] } else { other.0[i] }))
    }

    fn larger(self, other: Self) -> Self {
        Self(core::array::from_fn(|i| if self.0[i] > other.0[i] { self.0[i] } else { other.0[i] }))
    }

    fn transpose(rows: [Self; 4]) -> [Self; 4] {
        core::array::from_fn(|i| Self(rows.map(|row| row.0[i])))
    }

    fn at_most(self, other: Self) -> ScalarMask {
        ScalarMask(core::array::from_fn(|i| self.0[i] <= other.0[i]))
    }

    fn both_zero(self, other: Self) -> ScalarMask {
        ScalarMask(core::array::from_fn(|i| self.0[i] == 0.0 && other.0[i] == 0.0))
    }

    fn widen(self) -> [ScalarDoubles; 2] {
        let [a, b, c, d] = self.0.map(f64::from);
        [ScalarDoubles([a, b]), ScalarDoubles([c, d])]
    }

    #[allow(clippy::cast_possible_truncation, reason = "narrowing rounds")]
    fn narrow(low: ScalarDoubles, high: ScalarDoubles) -> Self {
        Self([low.0[0], low.0[1], high.0[0], high.0[1]].map(|value| value as f32))
    }
}

impl Doubles for ScalarDoubles {
    type Mask = ScalarMask;

    fn splat(value: f64) -> Self {
        Self([value; 2])
    }

    fn load(values: &[f64; 2]) -> Self {
        Self(*values)
    }

    fn store(self, values: &mut [f64; 2]) {
        *values = self.0;
    }

    fn widen(values: &[f32; 2]) -> Self {
        Self(values.map(f64::from))
    }

    fn at_most(self, other: Self) -> ScalarMask {
        ScalarMask(core::array::from_fn(|i| self.0[i / 2] <= other.0[i / 2]))
    }

    fn any_half_way(low: Self, high: Self) -> bool {
        low.0.into_iter().chain(high.0).any(is_half_way)
    }
}
