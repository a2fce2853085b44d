//! Lanes of WebAssembly: what the library runs with.

#![allow(unsafe_code, reason = "vector loads and stores take pointers")]

use core::arch::wasm32::{
    f32x4_add, f32x4_demote_f64x2_zero, f32x4_eq, f32x4_le, f32x4_mul, f32x4_pmax, f32x4_pmin, f32x4_splat, f32x4_sub,
    f64x2_add, f64x2_le, f64x2_mul, f64x2_promote_low_f32x4, f64x2_splat, f64x2_sub, i32x4_all_true, i32x4_eq,
    i32x4_shuffle, i64x2_shuffle, u32x4_splat, v128, v128_and, v128_any_true, v128_load, v128_load64_zero, v128_or,
    v128_store,
};
use core::ops::{Add, BitAnd, BitOr, Mul, Sub};

use super::lanes::{Doubles, Lanes, Mask, has_four_rows};

/// Four f32 in a register.
#[derive(Clone, Copy)]
pub(crate) struct Simd128(v128);

/// Two f64 in a register.
#[derive(Clone, Copy)]
pub(crate) struct Simd128Doubles(v128);

/// Truths of four f32 or two f64, each as all bits of its lane or none.
#[derive(Clone, Copy)]
pub(crate) struct Simd128Mask(v128);

macro_rules! operators {
    ($type:ident, $($operator:ident $method:ident $instruction:ident),*) => { $(
        impl $operator for $type {
            type Output = Self;

            #[inline(always)]
            fn $method(self, other: Self) -> Self {
                Self($instruction(self.0, other.0))
            }
        }
    )* };
}

operators!(Simd128, Add add f32x4_add, Sub sub f32x4_sub, Mul mul f32x4_mul);
operators!(Simd128Doubles, Add add f64x2_add, Sub sub f64x2_sub, Mul mul f64x2_mul);
operators!(Simd128Mask, BitAnd bitand v128_and, BitOr bitor v128_or);

impl Mask for Simd128Mask {
    #[inline(always)]
    fn all(self) -> bool {
        i32x4_all_true(self.0)
    }
}

impl Lanes for Simd128 {
    type Doubles = Simd128Doubles;
    type Mask = Simd128Mask;

    #[inline(always)]
    fn splat(value: f32) -> Self {
        Self(f32x4_splat(value))
    }

    #[inline(always)]
    fn load(values: &[f32; 4]) -> Self {
        // SAFETY: the reference is to four values; the instruction needs no alignment.
        Self(unsafe { v128_load(values.as_ptr().cast()) })
    }

    #[inline(always)]
    fn store(self, values: &mut [f32; 4]) {
        // SAFETY: as above.
        unsafe { v128_store(values.as_mut_ptr().cast(), self.0) }
    }

    #[inline(always)]
    fn load_rows(values: &[f32], stride: usize) -> [Self; 4] {
        assert!(has_four_rows(values.len(), stride), "the last of four rows lies beyond the values");
        // SAFETY: the last row ends at 3·stride + 4, which has been compared; the instruction needs no alignment.
        [0, 1, 2, 3].map(|row| Self(unsafe { v128_load(values.as_ptr().add(row * stride).cast()) }))
    }

    // The instructions return their first operand unless the second is less, or greater.
    #[inline(always)]
    fn smaller(self, other: Self) -> Self {
        Self(f32x4_pmin(other.0, self.0))
    }

    #[inline(always)]
    fn larger(self, other: Self) -> Self {
        Self(f32x4_pmax(other.0, self.0))
    }

    #[inline(always)]
    fn transpose([a, b, c, d]: [Self; 4]) -> [Self; 4] {
        let [low_ab, low_cd] = [(a, b), (c, d)].map(|(x, y)| i32x4_shuffle::<0, 4, 1, 5>(x.0, y.0));
        let [high_ab, high_cd] = [(a, b), (c, d)].map(|(x, y)| i32x4_shuffle::<2, 6, 3, 7>(x.0, y.0));
        [
            Self(i64x2_shuffle::<0, 2>(low_ab, low_cd)),
            Self(i64x2_shuffle::<1, 3>(low_ab, low_cd)),
            Self(i64x2_shuffle::<0, 2>(high_ab, high_cd)),
            Self(i64x2_shuffle::<1, 3>(high_ab, high_cd)),
        ]
    }

    #[inline(always)]
    fn at_most(self, other: Self) -> Simd128Mask {
        Simd128Mask(f32x4_le(self.0, other.0))
    }

    #[inline(always)]
    fn both_zero(self, other: Self) -> Simd128Mask {
        Simd128Mask(f32x4_eq(v128_or(self.0, other.0), f32x4_splat(0.0)))
    }

    #[inline(always)]
    fn widen(self) -> [Simd128Doubles; 2] {
        let high = i64x2_shuffle::<1, 1>(self.0, self.0);
        [Simd128Doubles(f64x2_promote_low_f32x4(self.0)), Simd128Doubles(f64x2_promote_low_f32x4(high))]
    }

    #[inline(always)]
    fn narrow(low: Simd128Doubles, high: Simd128Doubles) -> Self {
        Self(i64x2_shuffle::<0, 2>(f32x4_demote_f64x2_zero(low.0), f32x4_demote_f64x2_zero(high.0)))
    }
}

impl Doubles for Simd128Doubles {
    type Mask = Simd128Mask;

    #[inline(always)]
    fn splat(value: f64) -> Self {
        Self(f64x2_splat(value))
    }

    #[inline(always)]
    fn load(values: &[f64; 2]) -> Self {
        // SAFETY: the reference is to two values; the instruction needs no alignment.
        Self(unsafe { v128_load(values.as_ptr().cast()) })
    }

    #[inline(always)]
    fn store(self, values: &mut [f64; 2]) {
        // SAFETY: as above.
        unsafe { v128_store(values.as_mut_ptr().cast(), self.0) }
    }

    #[inline(always)]
    fn widen(values: &[f32; 2]) -> Self {
        // SAFETY: the reference is to the eight bytes that are read; the instruction needs no alignment.
        Self(f64x2_promote_low_f32x4(unsafe { v128_load64_zero(values.as_ptr().cast()) }))
    }

    #[inline(always)]
    fn at_most(self, other: Self) -> Simd128Mask {
        Simd128Mask(f64x2_le(self.0, other.0))
    }

    #[inline(always)]
    fn any_half_way(low: Self, high: Self) -> bool {
        // The low words of the four values, of which 29 bits do not fit in a f32.
        let words = i32x4_shuffle::<0, 2, 4, 6>(low.0, high.0);
        let rest = v128_and(words, u32x4_splat(0x1FFF_FFFF));
        v128_any_true(i32x4_eq(rest, u32x4_splat(0x1000_0000)))
    }
}
