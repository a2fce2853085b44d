//! From the values of a batch to the nodes of the tree: one kernel per kind of partial, for planes and for rows.

mod backward_reduce;
mod count;
mod inputs;
mod leaves;
mod moments;
mod sums;
mod torch_sums;
mod walk;

pub(crate) use inputs::Inputs;
pub(crate) use leaves::LEAVES;
pub(crate) use moments::ROWS_PER_MIDDLE;
pub(crate) use sums::{GROUP, NARROW, PLANE_BLOCK, ROWS_BLOCK, STRIP};
pub(crate) use torch_sums::centre;
pub(crate) use walk::{Reduction, Walk};
