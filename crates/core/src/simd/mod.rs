//! Four f32 at a time.
//!
//! Kernels are written once, generic over [`Lanes`], and run with [`Native`]. [`Scalar`] does the same operations in the
//! same order without vector instructions: it is what every other implementation is tested against, to the bit, and what
//! runs where there is none.

mod fma;
mod lanes;
mod rounding;
#[cfg(any(test, not(any(target_arch = "x86_64", all(target_arch = "wasm32", target_feature = "simd128")))))]
mod scalar;
#[cfg(all(target_arch = "wasm32", target_feature = "simd128"))]
mod simd128;
#[cfg(target_arch = "x86_64")]
mod sse2;
mod targets;

pub(crate) use fma::{fma, fma_vectors, is_addend_of_vectors};
pub(crate) use lanes::{Arithmetic, Doubles, Lanes, Mask};
pub(crate) use rounding::{round_ties_even, sqrt};
#[cfg(any(test, not(any(target_arch = "x86_64", all(target_arch = "wasm32", target_feature = "simd128")))))]
pub(crate) use scalar::Scalar;
pub(crate) use targets::Targets;

/// The vector type of this machine.
#[cfg(target_arch = "x86_64")]
pub(crate) type Native = sse2::Sse2;
/// The vector type of this machine.
#[cfg(all(target_arch = "wasm32", target_feature = "simd128"))]
pub(crate) type Native = simd128::Simd128;
/// The vector type of this machine.
#[cfg(not(any(target_arch = "x86_64", all(target_arch = "wasm32", target_feature = "simd128"))))]
pub(crate) type Native = Scalar;

#[cfg(test)]
mod tests {
    use super::*;
    use alloc::vec::Vec;
    use proptest::prelude::*;

    use crate::twins::config;

    /// The bits of everything that lanes can do with eight values.
    fn everything<V: Lanes>(a: &[f32; 4], b: &[f32; 4]) -> Vec<u64> {
        let (x, y) = (V::load(a), V::load(b));
        let rows = [*a, *b, [a[1], b[2], a[0], b[3]]];
        let rows = V::load_rows(rows.as_flattened(), 2);
        let transposed = V::transpose(rows).map(V::to_array);
        let singles = [x + y, x - y, x * y, x.smaller(y), x.larger(y), V::splat(a[0]), V::zero()].map(V::to_array);
        let wide = [x.widen(), y.widen()];
        let [products, sums] = [[wide[0][0] * wide[1][0], wide[0][1] * wide[1][1]], [wide[0][0] + wide[1][0]; 2]];
        let narrowed = V::narrow(products[0], products[1] - sums[0]).to_array();
        let widened = V::Doubles::widen(&[a[1], b[2]]);
        let doubles = [products[0], products[1], sums[0], V::Doubles::splat(2.0), widened].map(Doubles::sum);
        let truths = [
            V::Doubles::any_half_way(products[0], products[1]),
            products[0].at_most(products[1]).all(),
            products[0].at_most(products[0]).all(),
            (products[0].at_most(products[1]) & products[1].at_most(sums[0])).all(),
            (products[0].at_most(products[1]) | products[1].at_most(sums[0])).all(),
            x.at_most(y).all(),
            (x.at_most(y) | y.at_most(x)).all(),
            (x.at_most(y) & x.at_most(x) & y.at_most(y)).all(),
            x.both_zero(y).all(),
            (x.both_zero(y) | x.at_most(y)).all(),
        ];
        let singles = singles.into_iter().chain(transposed).flatten().chain(narrowed);
        let bits = |value: f32| if value.is_nan() { 0 } else { u64::from(value.to_bits()) };
        let doubles = doubles.map(|value| if value.is_nan() { 0 } else { value.to_bits() });
        singles.map(bits).chain(doubles).chain(truths.map(u64::from)).collect()
    }

    proptest! {
        #![proptest_config(config(1000))]

        #[test]
        fn native_lanes_do_what_scalar_lanes_do(a: [u32; 4], b: [u32; 4]) {
            let (a, b) = (a.map(f32::from_bits), b.map(f32::from_bits));
            prop_assert_eq!(everything::<Native>(&a, &b), everything::<Scalar>(&a, &b));
        }

        #[test]
        fn both_compare_lanes_of_few_values(a in proptest::array::uniform4(0_usize..5), b in proptest::array::uniform4(0_usize..5)) {
            let values = [0.0, -0.0, 1.0, f32::NAN, f32::INFINITY];
            let (a, b) = (a.map(|i| values[i]), b.map(|i| values[i]));
            prop_assert_eq!(everything::<Native>(&a, &b), everything::<Scalar>(&a, &b));
        }

        #[test]
        fn both_see_what_is_half_way(x in -8i16..8, a in 0u32..16, lane in 0usize..4) {
            let half_way = f64::from(1.0 + f32::EPSILON / 2.0) + f64::from(f32::EPSILON / 2.0);
            let mut values = [f64::from(x), f64::from(a), 1.0, 0.0];
            let see = |values: [f64; 4]| {
                let [low, high] = [[values[0], values[1]], [values[2], values[3]]];
                let native = <Native as Lanes>::Doubles::any_half_way(Doubles::load(&low), Doubles::load(&high));
                let scalar = <Scalar as Lanes>::Doubles::any_half_way(Doubles::load(&low), Doubles::load(&high));
                (native, scalar)
            };
            prop_assert_eq!(see(values), (false, false));
            values[lane] = half_way;
            prop_assert_eq!(see(values), (true, true));
        }
    }
}
