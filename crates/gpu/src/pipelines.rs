//! Pipelines, compiled once each, and the bind groups made for them: a platform takes longer to make one than to start a kernel.

use std::collections::HashMap;

use crate::commands::Binding;
use crate::shaders::Shader;

/// Bind groups that are kept. A step in its steady state uses the same ones each time, a few for each of its layers.
const MOST_BIND_GROUPS: usize = 4096;

/// Which variant of which kernel.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub(crate) struct Kernel {
    pub(crate) shader: Shader,
    pub(crate) entry: &'static str,
    /// Override constants.
    pub(crate) constants: Vec<(&'static str, u32)>,
}

impl Kernel {
    pub(crate) fn new(shader: Shader, entry: &'static str, constants: &[(&'static str, u32)]) -> Self {
        Self { shader, entry, constants: constants.to_vec() }
    }
}

/// A pipeline and its bind groups, by the slot of their parameters and what they bind.
#[derive(Debug)]
pub(crate) struct Compiled {
    pub(crate) pipeline: wgpu::ComputePipeline,
    pub(crate) layout: wgpu::BindGroupLayout,
    pub(crate) bind_groups: HashMap<(usize, Vec<Binding>), wgpu::BindGroup>,
}

#[derive(Debug, Default)]
pub(crate) struct Pipelines {
    modules: HashMap<Shader, wgpu::ShaderModule>,
    compiled: HashMap<Kernel, Compiled>,
}

impl Pipelines {
    pub(crate) fn count(&self) -> usize {
        self.compiled.len()
    }

    /// Bind groups that are kept.
    pub(crate) fn bind_groups(&self) -> usize {
        self.compiled.values().map(|compiled| compiled.bind_groups.len()).sum()
    }

    /// Drops all bind groups: buffers that they bind are gone, or there are too many.
    pub(crate) fn forget_bind_groups(&mut self) {
        self.compiled.values_mut().for_each(|compiled| compiled.bind_groups.clear());
    }

    pub(crate) fn forget_bind_groups_if_many(&mut self) {
        if self.bind_groups() > MOST_BIND_GROUPS {
            self.forget_bind_groups();
        }
    }

    pub(crate) fn get(&mut self, device: &wgpu::Device, kernel: &Kernel) -> &mut Compiled {
        self.compiled.entry(kernel.clone()).or_insert_with(|| {
            let module = self.modules.entry(kernel.shader).or_insert_with(|| {
                device.create_shader_module(wgpu::ShaderModuleDescriptor {
                    label: None,
                    source: wgpu::ShaderSource::Wgsl(kernel.shader.source().into()),
                })
            });
            let constants: Vec<_> = kernel.constants.iter().map(|(name, value)| (*name, f64::from(*value))).collect();
            let pipeline = device.create_compute_pipeline(&wgpu::ComputePipelineDescriptor {
                label: None,
                layout: None,
                module,
                entry_point: Some(kernel.entry),
                compilation_options: wgpu::PipelineCompilationOptions {
                    constants: &constants,
                    ..wgpu::PipelineCompilationOptions::default()
                },
                cache: None,
            });
            let layout = pipeline.get_bind_group_layout(0);
            Compiled { pipeline, layout, bind_groups: HashMap::new() }
        })
    }
}
