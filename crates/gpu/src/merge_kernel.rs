//! The kernels that merge nodes, by family.

use crate::pipelines::Kernel;
use crate::shaders::Shader;
use crate::tiles::Family;

/// How far nodes are merged.
#[derive(Debug, Clone, Copy)]
pub(crate) enum Until {
    Subtrees,
    Root,
}

/// The variant of a kernel that merges the atoms of a family, or the few nodes that partials have.
pub(crate) fn merge_kernel(shader: Shader, until: Until, family: Option<Family>) -> Kernel {
    let entry = match (family, until) {
        (Some(Family::Coalesced), Until::Subtrees) => "coalesced_subtrees",
        (Some(Family::Coalesced), Until::Root) => "coalesced_root",
        (_, Until::Subtrees) => "chunked_subtrees",
        (_, Until::Root) => "chunked_root",
    };
    Kernel::new(shader, entry, &[("FROM_TABLE", u32::from(family.is_none()))])
}
