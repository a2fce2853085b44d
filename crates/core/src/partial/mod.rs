//! What replicas send to each other.

mod bytes;
mod monoid;
mod parts;
mod steps;

pub use monoid::{Cuts, Partial, cuts};
pub use parts::Parts;
pub use steps::{backward_reduce, centre_of, deviations, moments, total};
