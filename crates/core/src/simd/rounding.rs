//! The functions of one f64 that Rust has only in std, which WebAssembly goes without: there they are an instruction each.

#[cfg(all(target_arch = "wasm32", target_feature = "simd128"))]
use core::arch::wasm32::{f64x2_extract_lane, f64x2_nearest, f64x2_splat, f64x2_sqrt};

/// √value, correctly rounded.
#[cfg(all(target_arch = "wasm32", target_feature = "simd128"))]
pub(crate) fn sqrt(value: f64) -> f64 {
    f64x2_extract_lane::<0>(f64x2_sqrt(f64x2_splat(value)))
}

/// √value, correctly rounded.
#[cfg(not(all(target_arch = "wasm32", target_feature = "simd128")))]
pub(crate) fn sqrt(value: f64) -> f64 {
    value.sqrt()
}

/// The nearest integer, the even one of two.
#[cfg(all(target_arch = "wasm32", target_feature = "simd128"))]
pub(crate) fn round_ties_even(value: f64) -> f64 {
    f64x2_extract_lane::<0>(f64x2_nearest(f64x2_splat(value)))
}

/// The nearest integer, the even one of two.
#[cfg(not(all(target_arch = "wasm32", target_feature = "simd128")))]
pub(crate) fn round_ties_even(value: f64) -> f64 {
    value.round_ties_even()
}
