//! The laws that the kernels keep, on batches that nobody chose.

mod batch;
mod bytes;
mod channel_groups;
mod exactness;
mod gradients;
mod infinities;
mod isolation;
mod magnitudes;
mod merging;
mod refusals;
mod splits;
mod steps;
#[path = "../training_step/mod.rs"]
mod training_step;
