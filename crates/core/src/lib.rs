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
mod backward_input;
mod backward_reduce;
mod batch_norm;
mod batch_norm_backward;
#[doc(hidden)]
pub mod boundaries;
mod elementwise;
mod error;
mod fma;
mod kind;
mod layout;
mod leaves;
mod moments;
mod normalize;
mod partial;
mod partial_bytes;
mod partial_parts;
mod permute;
mod reduce;
mod rows;
mod running;
mod simd;
mod statistics;
mod sums;
mod tile;
mod torch_sums;
mod transpose;
mod tree;
#[cfg(test)]
mod twins;

pub use add::{add, add_in_place, double};
pub use backward_input::{BatchSums, backward_input, backward_parameters, backward_parameters_of};
pub use backward_reduce::backward_reduce;
pub use batch_norm::{BatchNorm, batch_norm};
pub use batch_norm_backward::{BatchNormBackward, Gradients, batch_norm_backward};
pub use error::KernelError;
pub use kind::Kind;
pub use layout::{Format, Layout};
pub use moments::moments;
pub use normalize::{Affine, normalize};
pub use partial::{Cuts, Merged, Partial, cuts};
pub use partial_parts::Parts;
pub use permute::permute;
pub use running::{Running, update_running, update_running_of};
pub use statistics::{Eps, EpsMode, Numerics, STATISTICS_ROWS, evaluation_statistics, finalize, finalize_of};
pub use torch_sums::{centre_of, deviations, total};
pub use tree::{Node, subtrees};
