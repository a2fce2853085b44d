//! Pipelines before they are needed.

use syncbn_core::Layout;

use crate::gpu::Gpu;
use crate::merge::{Until, merge_kernel};
use crate::shaders::Shader;

impl Gpu {
    /// Compiles the pipelines that the steps of such a batch use, whatever its number of samples, or has [`Gpu::compile_next`] do so.
    /// Others are compiled when they are used for the first time.
    pub fn warm_up(&mut self, layout: &Layout) {
        let tiles = self.tiles(*layout);
        let mut kernels = vec![tiles.kernel(Shader::Moments), tiles.kernel(Shader::BackwardReduce)];
        for shader in [Shader::MergeMoments, Shader::MergeSums] {
            let of_atoms = Some(tiles.family);
            let merges = [(Until::Root, None), (Until::Root, of_atoms), (Until::Subtrees, of_atoms)];
            kernels.extend(merges.map(|(until, family)| merge_kernel(shader, until, family)));
        }
        for in_place in [false, true] {
            kernels.push(self.runs(*layout).kernel(Shader::Normalize, in_place));
            kernels.push(self.runs(*layout).kernel(Shader::BackwardInput, in_place));
        }
        self.compile(kernels);
    }
}
