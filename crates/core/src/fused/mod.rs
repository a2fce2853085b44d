//! Whole passes of a batch that lies on one device.

mod batch_norm;
mod batch_norm_backward;

pub use batch_norm::{BatchNorm, batch_norm};
pub use batch_norm_backward::{BatchNormBackward, Gradients, batch_norm_backward};
