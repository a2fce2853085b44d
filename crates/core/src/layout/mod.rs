//! How a batch lies in memory, and how its values are brought to lie otherwise.

mod batch;
mod permute;
mod rows;
mod tile;
mod transpose;

pub use batch::{Format, Layout};
pub(crate) use batch::{LEAF_VALUES, leaf_samples};
pub use permute::permute;
pub(crate) use rows::{GATHERED, LINE, Rows, WIDE, can_be_cut, gather_rows, rows_per_super_row};
pub(crate) use tile::{RUN_VALUES, TILE_VALUES, channel_groups};
pub(crate) use transpose::TILE;
