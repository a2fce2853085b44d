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
    compiled: Vec<wgpu::ComputePipeline>,
    /// Their numbers.
    numbers: HashMap<Kernel, usize>,
}

impl Pipelines {
    pub(crate) fn count(&self) -> usize {
        self.compiled.len()
    }

    pub(crate) fn has(&self, kernel: &Kernel) -> bool {
        self.numbers.contains_key(kernel)
    }

    /// The pipeline of a kernel and its number, by which it is told from others faster than by its kernel.
    pub(crate) fn get(&mut self, device: &wgpu::Device, kernel: &Kernel) -> (usize, &wgpu::ComputePipeline) {
        let number = match self.numbers.get(kernel) {
            Some(number) => *number,
            None => self.compile(device, kernel),
        };
        (number, &self.compiled[number])
    }

    fn compile(&mut self, device: &wgpu::Device, kernel: &Kernel) -> usize {
        let module = self.modules.entry(kernel.shader).or_insert_with(|| {
            device.create_shader_module(wgpu::ShaderModuleDescriptor {
                label: None,
                source: wgpu::ShaderSource::Wgsl(kernel.shader.source().into()),
            })
        });
        let constants: Vec<_> = kernel.constants.iter().map(|(name, value)| (*name, f64::from(*value))).collect();
        self.compiled.push(device.create_compute_pipeline(&wgpu::ComputePipelineDescriptor {
            label: None,
            layout: None,
            module,
            entry_point: Some(kernel.entry),
            compilation_options: wgpu::PipelineCompilationOptions {
                constants: &constants,
                ..wgpu::PipelineCompilationOptions::default()
            },
            cache: None,
        }));
        let number = self.compiled.len() - 1;
        self.numbers.insert(kernel.clone(), number);
        number
    }
}
