//! What kernels ask of vectors.

use core::ops::{Add, BitAnd, BitOr, Mul, Sub};

/// What vectors and single values have in common.
pub(crate) trait Arithmetic: Copy + Add<Output = Self> + Sub<Output = Self> + Mul<Output = Self> {}

impl<T: Copy + Add<Output = T> + Sub<Output = T> + Mul<Output = T>> Arithmetic for T {}

/// Four f32. Each operation acts on the lanes one by one and rounds as f32 does: nothing is fused or reordered.
pub(crate) trait Lanes: Copy + Add<Output = Self> + Sub<Output = Self> + Mul<Output = Self> {
    /// Two f64.
    type Doubles: Doubles<Mask = Self::Mask>;
    /// Four truths.
    type Mask: Mask;

    fn splat(value: f32) -> Self;
    fn load(values: &[f32; 4]) -> Self;
    fn store(self, values: &mut [f32; 4]);
    /// The first four values of four rows, `stride` values apart.
    ///
    /// # Panics
    /// If `values` ends before the last of them.
    fn load_rows(values: &[f32], stride: usize) -> [Self; 4];
    /// Where it is less than what stands beside it the lane, else the other: of a NaN and a number, the second.
    fn smaller(self, other: Self) -> Self;
    /// The same with greater.
    fn larger(self, other: Self) -> Self;
    /// Where the value is at most what stands beside it; not where one is NaN.
    fn at_most(self, other: Self) -> Self::Mask;
    /// Where both values are 0, of either sign.
    fn both_zero(self, other: Self) -> Self::Mask;
    /// Lanes 0 and 1, lanes 2 and 3, exactly.
    fn widen(self) -> [Self::Doubles; 2];
    /// The inverse of [`Lanes::widen`], rounding.
    fn narrow(low: Self::Doubles, high: Self::Doubles) -> Self;

    /// Vector i of the result has lane i of each.
    fn transpose(rows: [Self; 4]) -> [Self; 4];

    fn zero() -> Self {
        Self::splat(0.0)
    }

    fn to_array(self) -> [f32; 4] {
        let mut values = [0.0; 4];
        self.store(&mut values);
        values
    }
}

/// Two f64, with the same promise.
pub(crate) trait Doubles: Copy + Add<Output = Self> + Sub<Output = Self> + Mul<Output = Self> {
    /// Two truths.
    type Mask: Mask;

    fn splat(value: f64) -> Self;
    fn load(values: &[f64; 2]) -> Self;
    fn store(self, values: &mut [f64; 2]);
    /// Two f32, exactly.
    fn widen(values: &[f32; 2]) -> Self;
    /// Where the value is at most what stands beside it; not where one is NaN.
    fn at_most(self, other: Self) -> Self::Mask;
    /// Whether one of four values is half-way between two f32 of normal size, so that rounding it to f32 may round what
    /// had been rounded before (see `fma.rs`).
    fn any_half_way(low: Self, high: Self) -> bool;

    fn zero() -> Self {
        Self::splat(0.0)
    }

    fn sum(self) -> f64 {
        let mut values = [0.0; 2];
        self.store(&mut values);
        values[0] + values[1]
    }
}

/// A truth per lane.
pub(crate) trait Mask: Copy + BitAnd<Output = Self> + BitOr<Output = Self> {
    fn all(self) -> bool;
}

/// Whether four rows of four values, `stride` values apart, end within so many values.
#[cfg(any(target_arch = "x86_64", all(target_arch = "wasm32", target_feature = "simd128")))]
#[inline(always)]
pub(crate) fn has_four_rows(values: usize, stride: usize) -> bool {
    // Compared one by one, a stride that is too large cannot make the product wrap.
    values >= 4 && stride <= (values - 4) / 3
}
