//! The text of the shaders, each with the preludes it needs.

/// A kernel.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Shader {
    /// Sums of tensors.
    Add,
    /// Input gradients.
    BackwardInput,
    /// Backward sums of atoms.
    BackwardReduce,
    /// Rows from buffer to buffer.
    CopyRows,
    /// Statistics from the running ones.
    EvaluationStatistics,
    /// One value everywhere.
    Fill,
    /// Moments of nodes, statistics, running statistics.
    MergeMoments,
    /// Backward sums of nodes, parameter gradients.
    MergeSums,
    /// Moments of atoms.
    Moments,
    /// Outputs.
    Normalize,
    /// The other memory format.
    Permute,
}

/// All kernels.
pub const SHADERS: [Shader; 11] = [
    Shader::Add,
    Shader::BackwardInput,
    Shader::BackwardReduce,
    Shader::CopyRows,
    Shader::EvaluationStatistics,
    Shader::Fill,
    Shader::MergeMoments,
    Shader::MergeSums,
    Shader::Moments,
    Shader::Normalize,
    Shader::Permute,
];

/// A file of `shaders/`, as `build.rs` has stripped it.
macro_rules! shader {
    ($name:literal) => {
        include_str!(concat!(env!("OUT_DIR"), "/", $name, ".wgsl"))
    };
}

const CHANNELS: &str = shader!("channels");
const MERGE: &str = shader!("merge");
const MERGE_LANES: &str = shader!("merge_lanes");
const PAIRS: &str = shader!("pairs");
const REDUCE: &str = shader!("reduce");
const RUNS: &str = shader!("runs");
const SUMS: &str = shader!("sums");
const UNITS: &str = shader!("units");

impl Shader {
    /// The whole text: preludes, then the kernel.
    #[must_use]
    pub fn source(self) -> String {
        match self {
            Self::Add => shader!("add").into(),
            Self::BackwardInput => [CHANNELS, RUNS, shader!("backward_input")].concat(),
            Self::BackwardReduce => [PAIRS, UNITS, SUMS, REDUCE, shader!("backward_reduce")].concat(),
            Self::CopyRows => shader!("copy_rows").into(),
            Self::EvaluationStatistics => shader!("evaluation_statistics").into(),
            Self::Fill => shader!("fill").into(),
            Self::MergeMoments => [PAIRS, MERGE, MERGE_LANES, shader!("merge_moments")].concat(),
            Self::MergeSums => [PAIRS, MERGE, MERGE_LANES, shader!("merge_sums")].concat(),
            Self::Moments => [PAIRS, UNITS, SUMS, REDUCE, shader!("moments")].concat(),
            Self::Normalize => [CHANNELS, RUNS, shader!("normalize")].concat(),
            Self::Permute => shader!("permute").into(),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_shader_is_valid() {
        for shader in SHADERS {
            let module = naga::front::wgsl::parse_str(&shader.source())
                .unwrap_or_else(|error| panic!("{shader:?}: {}", error.emit_to_string(&shader.source())));
            let mut validator =
                naga::valid::Validator::new(naga::valid::ValidationFlags::all(), naga::valid::Capabilities::empty());
            validator
                .validate(&module)
                .unwrap_or_else(|error| panic!("{shader:?}: {}", error.emit_to_string(&shader.source())));
        }
    }
}
