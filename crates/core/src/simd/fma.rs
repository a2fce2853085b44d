//! The fused multiply-add of f32 without an instruction for it: x·a + b, rounded once.
//!
//! The product of two f32 is exact in f64. Their sum with b is rounded to f64 and then to f32; the two roundings give
//! another result than one only if the f64 sum is inexact and lies half-way between two f32. For results in the normal
//! range of f32 that shows in its low 29 bits, which are then 1 followed by zeros: about one sum in 2^29, unless the data
//! has few digits. Those go the exact way: the error of the sum decides to which side it is rounded.

use super::lanes::{Doubles, Lanes};

/// Bits of a f64 that do not fit in a f32.
const LOW_BITS: u64 = (1 << 29) - 1;
/// Those bits of a value half-way between two f32.
const HALF_WAY: u64 = 1 << 28;
/// Below this a result may be subnormal as f32, and half-way shows in other bits.
const SMALL: f64 = 2.0 * f32::MIN_POSITIVE as f64;

/// x·a + b, rounded once.
#[allow(clippy::cast_possible_truncation, reason = "the one rounding")]
pub(crate) fn fma(x: f32, a: f32, b: f32) -> f32 {
    let sum = f64::from(x) * f64::from(a) + f64::from(b);
    if is_half_way(sum) || sum.abs() < SMALL { fma_exact(x, a, b) } else { sum as f32 }
}

/// Four at a time; the addend must be [`is_addend_of_vectors`].
#[inline(always)]
pub(crate) fn fma_vectors<V: Lanes>(x: V, a: V, b: V) -> V {
    let ([x_low, x_high], [a_low, a_high], [b_low, b_high]) = (x.widen(), a.widen(), b.widen());
    let (low, high) = (x_low * a_low + b_low, x_high * a_high + b_high);
    if V::Doubles::any_half_way(low, high) { each(x, a, b) } else { V::narrow(low, high) }
}

#[cold]
fn each<V: Lanes>(x: V, a: V, b: V) -> V {
    let (x, a, b) = (x.to_array(), a.to_array(), b.to_array());
    V::load(&core::array::from_fn(|i| fma(x[i], a[i], b[i])))
}

/// Whether no sum of a product and this addend can be subnormal as f32 and inexact, so that being half-way is all there is
/// to look for. If b = 0 the sum is exact. Else a product that nearly cancels b has its last digit above 2^-49·|b|.
pub(crate) fn is_addend_of_vectors(b: f32) -> bool {
    const LEAST: f32 = 1.0 / (1_u128 << 70) as f32;
    b == 0.0 || b.abs() >= LEAST
}

/// Whether a sum is half-way between two f32 of normal size.
pub(crate) fn is_half_way(sum: f64) -> bool {
    sum.to_bits() & LOW_BITS == HALF_WAY
}

/// The same by a sum rounded to odd, which a second rounding cannot spoil. Boldo, Melquiond: *Emulation of FMA and
/// correctly rounded sums: proved algorithms using rounding to odd* (2008).
#[allow(clippy::cast_possible_truncation, reason = "the one rounding")]
fn fma_exact(x: f32, a: f32, b: f32) -> f32 {
    let (product, addend) = (f64::from(x) * f64::from(a), f64::from(b));
    let sum = product + addend;
    // TwoSum (Knuth): sum + error is product + addend exactly.
    let addend_part = sum - product;
    let error = (product - (sum - addend_part)) + (addend - addend_part);
    let bits = sum.to_bits();
    let odd = if error == 0.0 || !error.is_finite() || bits & 1 == 1 {
        sum
    } else if (error > 0.0) == (sum > 0.0) {
        f64::from_bits(bits + 1)
    } else {
        f64::from_bits(bits - 1)
    };
    odd as f32
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;
    use crate::simd::Native;
    use crate::twins::config;

    /// Both ways against the instruction of the machine, or what Rust has in its place.
    fn check(x: f32, a: f32, b: f32) -> Result<(), TestCaseError> {
        let expected = x.mul_add(a, b);
        let same = |got: f32| got.to_bits() == expected.to_bits() || (got.is_nan() && expected.is_nan());
        prop_assert!(same(fma(x, a, b)), "{x:e} · {a:e} + {b:e}: {:e}, expected {expected:e}", fma(x, a, b));
        prop_assert!(same(fma_exact(x, a, b)), "{x:e} · {a:e} + {b:e} the exact way");
        if is_addend_of_vectors(b) {
            let splat = <Native as Lanes>::splat;
            prop_assert!(
                same(fma_vectors(splat(x), splat(a), splat(b)).to_array()[3]),
                "{x:e} · {a:e} + {b:e} as vectors"
            );
        }
        Ok(())
    }

    proptest! {
        #![proptest_config(config(20_000))]

        #[test]
        fn any_three_numbers(x in any::<u32>(), a in any::<u32>(), b in any::<u32>()) {
            check(f32::from_bits(x), f32::from_bits(a), f32::from_bits(b))?;
        }

        #[test]
        fn numbers_of_few_digits_whose_sums_are_half_way(x in -4096_i16..4096, a in -4096_i16..4096, b: i32, scale in -40_i32..1) {
            let scale = 2.0_f32.powi(scale);
            #[allow(clippy::cast_precision_loss, reason = "rounded on purpose")]
            check(f32::from(x), f32::from(a) * scale, b as f32)?;
        }

        #[test]
        fn products_that_nearly_cancel(x in 1_u32 << 23..1 << 25, a in 1_u32 << 23..1 << 25, exponent in -150_i32..80, ulps in -2_i32..3) {
            let scale = 2.0_f32.powi(exponent.max(-126)) * 2.0_f32.powi(exponent.min(-126) + 126);
            #[allow(clippy::cast_precision_loss, reason = "rounded on purpose")]
            let (x, a) = (x as f32, a as f32 * scale);
            let b = f32::from_bits((-(x * a)).to_bits().wrapping_add_signed(ulps));
            check(x, a, b)?;
        }

        #[test]
        fn results_near_the_subnormal_range(x in any::<u32>(), a in any::<u32>(), b in 0_u32..1 << 25, negative in any::<bool>()) {
            let small = |bits: u32| f32::from_bits((bits & 0x807F_FFFF) | 0x2000_0000);
            check(small(x), small(a), f32::from_bits(b | u32::from(negative) << 31))?;
        }
    }

    #[test]
    #[allow(clippy::cast_possible_truncation, reason = "the second of two roundings")]
    fn a_sum_that_two_roundings_get_wrong() {
        // b + 2^-24 − 2^-70: the f64 sum drops the last term, and what is left is half-way and goes to even, upwards.
        let (x, a, b) = (1.0 + f32::EPSILON, (1.0 - f32::EPSILON) * 2.0_f32.powi(-24), 1.0 + f32::EPSILON);
        let rounded_twice = (f64::from(x) * f64::from(a) + f64::from(b)) as f32;
        assert_eq!((fma(x, a, b), x.mul_add(a, b)), (b, b));
        assert_ne!(rounded_twice.to_bits(), b.to_bits());
    }
}
