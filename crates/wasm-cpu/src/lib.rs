//! Bindings of the kernels for one CPU device: no arithmetic here.
//!
//! Buffers are named by handles, 0 standing for an absent one. Partials travel as bytes. A call that fails throws an
//! `Error` with a `kind`, and has changed nothing.
//!
//! There is no std, which every page would load: what formats its panics cannot be left out.

#![cfg_attr(target_arch = "wasm32", no_std)]

extern crate alloc;

mod arena;
mod commands;
mod error;
mod kernels;
mod pool;
#[cfg(target_arch = "wasm32")]
mod runtime;

pub use error::CallError;
pub use kernels::CpuKernels;
