//! Arithmetic of batch normalization whose batch is spread over several devices.
//!
//! No wasm, no GPU, no clock, no randomness, no globals: slices go in, slices and small structs come out. Every check of
//! arguments happens in the public functions, which return a [`KernelError`] and have then written nothing.
//!
//! In WebAssembly no std either, which a page would load: its allocator and what formats its panics cannot be left out.

#![no_std]

#[macro_use]
extern crate alloc;
#[cfg(not(all(target_arch = "wasm32", target_feature = "simd128")))]
extern crate std;

mod add;
#[doc(hidden)]
pub mod boundaries;
mod error;
mod fused;
mod kind;
mod layout;
mod normalize;
mod partial;
mod reduce;
mod simd;
mod statistics;
mod tree;
#[cfg(test)]
mod twins;

pub use add::{add, add_in_place, double};
pub use error::KernelError;
pub use fused::{BatchNorm, BatchNormBackward, Gradients, batch_norm, batch_norm_backward};
pub use kind::Kind;
pub use layout::{Format, Layout, permute};
pub use normalize::{Affine, BatchSums, backward_input, backward_parameters, backward_parameters_of, normalize};
pub use partial::{Cuts, Partial, Parts, backward_reduce, centre_of, cuts, deviations, moments, total};
pub use statistics::{
    Eps, EpsMode, Numerics, Running, STATISTICS_ROWS, evaluation_statistics, finalize, finalize_of, update_running,
    update_running_of,
};
pub use tree::{Merged, Node, subtrees};
