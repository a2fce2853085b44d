//! Buffers that every command shares: numbers for kernels, and stand-ins for what is absent.

use crate::dispatch::{Binding, Dispatch};
use crate::params::{Params, STRIDE};

/// Outputs of one kernel that may be absent; each has a place of its own, since outputs must not overlap.
const MOST_BINDINGS: usize = 8;

/// Buffers that every command shares.
#[derive(Debug)]
pub(crate) struct Shared {
    pub(crate) params: Params,
    absent_input: wgpu::Buffer,
    absent_output: wgpu::Buffer,
}

impl Shared {
    pub(crate) fn new(device: &wgpu::Device) -> Self {
        let buffer = |size: usize| {
            let (size, usage) = (size as u64, wgpu::BufferUsages::STORAGE);
            device.create_buffer(&wgpu::BufferDescriptor { label: None, size, usage, mapped_at_creation: false })
        };
        Self {
            params: Params::new(device),
            absent_input: buffer(STRIDE),
            absent_output: buffer(STRIDE * MOST_BINDINGS),
        }
    }

    pub(crate) fn destroy(&self) {
        self.params.destroy();
        [&self.absent_input, &self.absent_output].into_iter().for_each(wgpu::Buffer::destroy);
    }

    fn resource<'a>(&'a self, binding: &'a Binding, place: usize) -> wgpu::BufferBinding<'a> {
        match binding {
            Binding::Buffer(buffer) => buffer.as_entire_buffer_binding(),
            Binding::AbsentInput => self.absent_input.as_entire_buffer_binding(),
            Binding::AbsentOutput => wgpu::BufferBinding {
                buffer: &self.absent_output,
                offset: (place * STRIDE) as u64,
                size: wgpu::BufferSize::new(STRIDE as u64),
            },
        }
    }

    pub(crate) fn bind_group(
        &self,
        device: &wgpu::Device,
        pipeline: &wgpu::ComputePipeline,
        dispatch: &Dispatch,
        slot: usize,
    ) -> wgpu::BindGroup {
        let params = wgpu::BindingResource::Buffer(self.params.binding(slot, dispatch.params.len()));
        let mut entries = vec![wgpu::BindGroupEntry { binding: 0, resource: params }];
        for ((place, binding), number) in dispatch.bindings.iter().enumerate().zip(1..) {
            let resource = wgpu::BindingResource::Buffer(self.resource(binding, place));
            entries.push(wgpu::BindGroupEntry { binding: number, resource });
        }
        let layout = &pipeline.get_bind_group_layout(0);
        device.create_bind_group(&wgpu::BindGroupDescriptor { label: None, layout, entries: &entries })
    }
}
