//! The canonical tree: how two neighbours become one, in which order, and what comes out.

mod forest;
mod merge;
mod merged;

pub(crate) use forest::Forest;
pub use forest::{Node, subtrees};
pub(crate) use merge::Chan;
pub use merged::Merged;
