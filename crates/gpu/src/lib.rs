//! Batch normalization as compute pipelines on a WebGPU device, natively and in wasm.
//!
//! Each shader of `shaders/` is the twin of a file of `syncbn-core`. Commands return at once and take effect in the order they
//! were given; what is read back is a future. Buffers are named by handles, 0 standing for an absent one. Arguments have been
//! checked by the caller, as with every device.

mod batch_norm;
mod bind_groups;
pub mod boundaries;
mod context;
mod counters;
mod dispatch;
mod elementwise;
mod error;
mod forest;
mod gpu;
mod memory;
mod merge;
mod merged;
mod params;
mod partials;
mod pending;
mod pipelines;
mod queue;
mod read_back;
mod reduce;
mod runs;
mod scopes;
mod shaders;
mod shared;
mod tiles;
mod warm_up;

pub use batch_norm::{BatchNorm, BatchNormBackward};
pub use context::{Description, Options, instance};
pub use counters::Counters;
pub use elementwise::{BackwardInput, Normalize, Rows};
pub use error::GpuError;
pub use gpu::Gpu;
pub use memory::Usage;
pub use merge::{Guard, Running};
pub use merged::check_partials;
pub use shaders::{SHADERS, Shader};
pub use tiles::Family;
