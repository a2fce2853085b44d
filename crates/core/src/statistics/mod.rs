//! Statistics that normalize, and those that are kept from step to step.

mod rows;
mod running;

pub use rows::{Eps, EpsMode, Numerics, STATISTICS_ROWS, evaluation_statistics, finalize, finalize_of};
pub(crate) use rows::{Statistics, from_deviations, from_moments};
pub(crate) use running::Observed;
pub use running::{Running, update_running, update_running_of};
