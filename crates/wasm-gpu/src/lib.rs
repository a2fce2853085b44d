//! Bindings of WebGPU devices: no arithmetic here.
//!
//! One instance of the module serves all devices. Buffers are named by handles, 0 standing for an absent one. Partials travel
//! as bytes. A call that fails throws an `Error` with a `kind`; a promise rejects with one. What a promise will tell of is
//! decided when the call is made: commands take effect in the order of calls.

#[cfg(target_arch = "wasm32")]
mod adopt;
mod commands;
mod error;
mod kernels;

#[cfg(target_arch = "wasm32")]
pub use adopt::BufferAdopter;
pub use error::CallError;
pub use kernels::GpuKernels;
