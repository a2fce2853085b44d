//! Pipelines, compiled once each.

use std::collections::HashMap;

use crate::shaders::Shader;

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

#[derive(Debug, Default)]
pub(crate) struct Pipelines {
    modules: HashMap<Shader, wgpu::ShaderModule>,
    compiled: HashMap<Kernel, wgpu::ComputePipeline>,
}

impl Pipelines {
    pub(crate) fn count(&self) -> usize {
        self.compiled.len()
    }

    pub(crate) fn has(&self, kernel: &Kernel) -> bool {
        self.compiled.contains_key(kernel)
    }

    pub(crate) fn get(&mut self, device: &wgpu::Device, kernel: &Kernel) -> &wgpu::ComputePipeline {
        if !self.has(kernel) {
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
            self.compiled.insert(kernel.clone(), pipeline);
        }
        &self.compiled[kernel]
    }
}
