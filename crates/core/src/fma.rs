//! The fused multiply-add of f32 without an instruction for it: x·a + b, rounded once.
//!
//! The product of two f32 is exact in f64. Their sum with b is rounded to f64 and then to f32; the two roundings give
//! another result than one only if the f64 sum is inexact and lies half-way between two f32. For results in the normal
//! range of f32 that shows in its low 29 bits, which are then 1 followed by zeros: about one sum in 2^29, unless the data
//! has few digits. Those go the exact way: the error of the sum decides to which side it is rounded.

use crate::simd::{Doubles, Lanes};

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
