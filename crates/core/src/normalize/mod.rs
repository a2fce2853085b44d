//! From statistics to outputs and gradients: functions of single elements, whose parameters depend on the channel.

mod backward_input;
mod elementwise;
mod forward;

pub use backward_input::{BatchSums, backward_input, backward_parameters, backward_parameters_of};
pub(crate) use backward_input::{Sums, input_of_channels, parameters_of_channels};
pub(crate) use elementwise::{BLOCK, COLUMNS_AT_ONCE, MANY, MANY_COLUMNS, SHORT, SHORT_OF_MANY};
pub(crate) use forward::normalize_channels;
pub use forward::{Affine, normalize};
