//! Lanes of x86-64, where SSE2 is always there. The library does not run here; its tests do.

#![allow(unsafe_code, reason = "vector loads and stores take pointers")]

use core::arch::x86_64::{
    __m128, __m128d, _mm_add_pd, _mm_add_ps, _mm_and_pd, _mm_and_si128, _mm_castpd_ps, _mm_castps_pd, _mm_castps_si128,
    _mm_castsi128_ps, _mm_cmpeq_epi32, _mm_cmpeq_ps, _mm_cmple_pd, _mm_cmple_ps, _mm_cvtpd_ps, _mm_cvtps_pd,
    _mm_loadl_epi64, _mm_loadu_pd, _mm_loadu_ps, _mm_max_ps, _mm_min_ps, _mm_movehl_ps, _mm_movelh_ps,
    _mm_movemask_epi8, _mm_movemask_ps, _mm_mul_pd, _mm_mul_ps, _mm_or_pd, _mm_or_ps, _mm_set1_epi32, _mm_set1_pd,
    _mm_set1_ps, _mm_setzero_ps, _mm_shuffle_ps, _mm_storeu_pd, _mm_storeu_ps, _mm_sub_pd, _mm_sub_ps, _mm_unpackhi_ps,
    _mm_unpacklo_ps,
};
use core::ops::{Add, BitAnd, BitOr, Mul, Sub};

use super::lanes::{Doubles, Lanes, Mask, has_four_rows};

/// Four f32 in a register.
#[derive(Clone, Copy)]
pub(crate) struct Sse2(__m128);

/// Two f64 in a register.
#[derive(Clone, Copy)]
pub(crate) struct Sse2Doubles(__m128d);

/// Truths of four f32 or two f64, each as all bits of its lane or none.
#[derive(Clone, Copy)]
pub(crate) struct Sse2Mask(__m128d);

macro_rules! operators {
    ($type:ident, $($operator:ident $method:ident $instruction:ident),*) => { $(
        impl $operator for $type {
            type Output = Self;

            #[inline(always)]
            fn $method(self, other: Self) -> Self {
                // SAFETY: SSE2 is part of x86-64.
                Self(unsafe { $instruction(self.0, other.0) })
            }
        }
    )* };
}

operators!(Sse2, Add add _mm_add_ps, Sub sub _mm_sub_ps, Mul mul _mm_mul_ps);
operators!(Sse2Doubles, Add add _mm_add_pd, Sub sub _mm_sub_pd, Mul mul _mm_mul_pd);
operators!(Sse2Mask, BitAnd bitand _mm_and_pd, BitOr bitor _mm_or_pd);

// SAFETY of all that follows: SSE2 is part of x86-64, the pointers come from references to as many values as are read or
// written, and unaligned access is asked for.
impl Lanes for Sse2 {
    type Doubles = Sse2Doubles;
    type Mask = Sse2Mask;

    #[inline(always)]
    fn splat(value: f32) -> Self {
        Self(unsafe { _mm_set1_ps(value) })
    }

    #[inline(always)]
    fn load(values: &[f32; 4]) -> Self {
        Self(unsafe { _mm_loadu_ps(values.as_ptr()) })
    }

    #[inline(always)]
    fn store(self, values: &mut [f32; 4]) {
        unsafe { _mm_storeu_ps(values.as_mut_ptr(), self.0) }
    }

    #[inline(always)]
    fn load_rows(values: &[f32], stride: usize) -> [Self; 4] {
        assert!(has_four_rows(values.len(), stride), "the last of four rows lies beyond the values");
        // The last row ends at 3·stride + 4, which has been compared.
        [0, 1, 2, 3].map(|row| Self(unsafe { _mm_loadu_ps(values.as_ptr().add(row * stride)) }))
    }

    #[inline(always)]
    fn smaller(self, other: Self) -> Self {
        Self(unsafe { _mm_min_ps(self.0, other.0) })
    }

    #[inline(always)]
    fn larger(self, other: Self) -> Self {
        Self(unsafe { _mm_max_ps(self.0, other.0) })
    }

    #[inline(always)]
    fn transpose([a, b, c, d]: [Self; 4]) -> [Self; 4] {
        unsafe {
            let (low_ab, low_cd) = (_mm_unpacklo_ps(a.0, b.0), _mm_unpacklo_ps(c.0, d.0));
            let (high_ab, high_cd) = (_mm_unpackhi_ps(a.0, b.0), _mm_unpackhi_ps(c.0, d.0));
            [
                Self(_mm_movelh_ps(low_ab, low_cd)),
                Self(_mm_movehl_ps(low_cd, low_ab)),
                Self(_mm_movelh_ps(high_ab, high_cd)),
                Self(_mm_movehl_ps(high_cd, high_ab)),
            ]
        }
    }

    #[inline(always)]
    fn at_most(self, other: Self) -> Sse2Mask {
        Sse2Mask(unsafe { _mm_castps_pd(_mm_cmple_ps(self.0, other.0)) })
    }

    #[inline(always)]
    fn both_zero(self, other: Self) -> Sse2Mask {
        Sse2Mask(unsafe { _mm_castps_pd(_mm_cmpeq_ps(_mm_or_ps(self.0, other.0), _mm_setzero_ps())) })
    }

    #[inline(always)]
    fn widen(self) -> [Sse2Doubles; 2] {
        unsafe { [Sse2Doubles(_mm_cvtps_pd(self.0)), Sse2Doubles(_mm_cvtps_pd(_mm_movehl_ps(self.0, self.0)))] }
    }

    #[inline(always)]
    fn narrow(low: Sse2Doubles, high: Sse2Doubles) -> Self {
        Self(unsafe { _mm_movelh_ps(_mm_cvtpd_ps(low.0), _mm_cvtpd_ps(high.0)) })
    }
}

impl Mask for Sse2Mask {
    #[inline(always)]
    fn all(self) -> bool {
        unsafe { _mm_movemask_ps(_mm_castpd_ps(self.0)) == 0b1111 }
    }
}

impl Doubles for Sse2Doubles {
    type Mask = Sse2Mask;

    #[inline(always)]
    fn splat(value: f64) -> Self {
        Self(unsafe { _mm_set1_pd(value) })
    }

    #[inline(always)]
    fn load(values: &[f64; 2]) -> Self {
        Self(unsafe { _mm_loadu_pd(values.as_ptr()) })
    }

    #[inline(always)]
    fn store(self, values: &mut [f64; 2]) {
        unsafe { _mm_storeu_pd(values.as_mut_ptr(), self.0) }
    }

    #[inline(always)]
    fn widen(values: &[f32; 2]) -> Self {
        Self(unsafe { _mm_cvtps_pd(_mm_castsi128_ps(_mm_loadl_epi64(values.as_ptr().cast()))) })
    }

    #[inline(always)]
    fn at_most(self, other: Self) -> Sse2Mask {
        Sse2Mask(unsafe { _mm_cmple_pd(self.0, other.0) })
    }

    #[inline(always)]
    fn any_half_way(low: Self, high: Self) -> bool {
        unsafe {
            // The low words of the four values, of which 29 bits do not fit in a f32.
            let words = _mm_castps_si128(_mm_shuffle_ps(_mm_castpd_ps(low.0), _mm_castpd_ps(high.0), 0b10_00_10_00));
            let rest = _mm_and_si128(words, _mm_set1_epi32(0x1FFF_FFFF));
            _mm_movemask_epi8(_mm_cmpeq_epi32(rest, _mm_set1_epi32(0x1000_0000))) != 0
        }
    }
}
