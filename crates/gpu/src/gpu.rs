//! One WebGPU device: its memory, its pipelines and its queue.

use std::future::Future;

use syncbn_core::Layout;

use crate::bind_groups::BindGroups;
use crate::context::{Context, Description, Options};
use crate::counters::Counters;
use crate::dispatch::{Binding, Piece};
use crate::error::GpuError;
use crate::memory::{Memory, Usage};
use crate::pending::Pending;
use crate::pipelines::Pipelines;
use crate::read_back::{ReadBack, Staging, floats};
use crate::runs::Runs;
use crate::shared::Shared;
use crate::tiles::{Family, Tiles};

/// One WebGPU device.
#[derive(Debug)]
pub struct Gpu {
    pub(crate) context: Context,
    pub(crate) memory: Memory,
    pub(crate) pipelines: Pipelines,
    pub(crate) staging: Staging,
    pub(crate) shared: Shared,
    pub(crate) bind_groups: BindGroups,
    pub(crate) pending: Pending,
    pub(crate) counters: Counters,
    family: Family,
}

impl Gpu {
    /// A device of an adapter of its own.
    ///
    /// # Errors
    /// [`GpuError::NoAdapter`], [`GpuError::NoDevice`], [`GpuError::Limit`].
    pub async fn request(instance: &wgpu::Instance, options: &Options) -> Result<Self, GpuError> {
        let context = Context::request(instance, options).await?;
        Ok(Self {
            memory: Memory::new(&context.device.limits()),
            shared: Shared::new(&context.device),
            pipelines: Pipelines::default(),
            staging: Staging::default(),
            bind_groups: BindGroups::default(),
            pending: Pending::default(),
            counters: Counters::default(),
            family: Family::of(context.description.is_software),
            context,
        })
    }

    /// What is known of the adapter.
    #[must_use]
    pub fn description(&self) -> &Description {
        &self.context.description
    }

    /// The device of wgpu, for those who hand it out or poll it.
    #[must_use]
    pub fn device(&self) -> &wgpu::Device {
        &self.context.device
    }

    /// The queue of wgpu, for those who give commands of their own.
    #[must_use]
    pub fn queue(&self) -> &wgpu::Queue {
        &self.context.queue
    }

    /// The family of its kernels, the same on all devices of an adapter: partials of different families have different bits.
    #[must_use]
    pub fn family(&self) -> Family {
        self.family
    }

    /// Chooses the family, instead of the one that suits the adapter.
    pub fn set_family(&mut self, family: Family) {
        self.family = family;
    }

    /// What the commands have cost.
    #[must_use]
    pub fn counters(&self) -> Counters {
        self.counters
    }

    /// Sets all counters to 0.
    pub fn reset_counters(&mut self) {
        self.counters = Counters::default();
    }

    /// Pipelines compiled so far.
    #[must_use]
    pub fn pipelines(&self) -> usize {
        self.pipelines.count()
    }

    /// Bind groups made so far.
    #[must_use]
    pub fn bind_groups(&self) -> usize {
        self.bind_groups.made()
    }

    /// What the device holds.
    #[must_use]
    pub fn usage(&self) -> Usage {
        let usage = self.memory.usage();
        let allocations = usage.allocations + self.staging.allocations();
        Usage { allocations, bytes_staged: self.staging.bytes(), ..usage }
    }

    /// Largest number of bytes in use.
    #[must_use]
    pub fn memory_limit(&self) -> u64 {
        self.memory.limit_bytes
    }

    /// Sets the largest number of bytes in use.
    pub fn set_memory_limit(&mut self, bytes: u64) {
        self.memory.limit_bytes = bytes;
    }

    /// A buffer of `length` values, contents undefined.
    ///
    /// # Errors
    /// [`GpuError::OutOfMemory`] beyond the limit set, [`GpuError::Limit`] beyond that of the adapter; what the platform
    /// itself lacks is told of later.
    pub fn allocate(&mut self, length: usize) -> Result<u32, GpuError> {
        self.context.failures.check()?;
        let buffer = self.take(4 * length as u64)?;
        Ok(self.memory.name(buffer, length))
    }

    /// Names a buffer of wgpu that somebody else owns: `release` forgets it and destroys nothing.
    pub fn adopt_buffer(&mut self, buffer: wgpu::Buffer, length: usize) -> u32 {
        self.submit_encoded();
        self.memory.adopt(buffer, length)
    }

    /// Gives a buffer back.
    ///
    /// # Errors
    /// [`GpuError::UnknownBuffer`].
    pub fn release(&mut self, handle: u32) -> Result<(), GpuError> {
        self.forget_spoiled();
        self.memory.release(handle)?;
        self.forget_bind_groups();
        Ok(())
    }

    /// The buffer behind a handle, at least as long as was asked for, for one who writes to it at once.
    ///
    /// # Errors
    /// [`GpuError::UnknownBuffer`], [`GpuError::NotOwned`].
    pub fn buffer_to_write(&mut self, handle: u32) -> Result<&wgpu::Buffer, GpuError> {
        self.submit();
        self.memory.get_owned(handle)
    }

    /// The buffer behind a handle for somebody else, who may use it from now on until it is released.
    ///
    /// # Errors
    /// [`GpuError::UnknownBuffer`].
    pub fn share(&mut self, handle: u32) -> Result<&wgpu::Buffer, GpuError> {
        self.memory.share(handle)?;
        self.submit();
        self.memory.get(handle)
    }

    /// Writes to a buffer.
    ///
    /// # Errors
    /// [`GpuError::UnknownBuffer`], and what has failed before.
    pub fn write(&mut self, handle: u32, data: &[f32]) -> Result<(), GpuError> {
        self.context.failures.check()?;
        let bytes: Vec<u8> = data.iter().flat_map(|value| value.to_le_bytes()).collect();
        let buffer = self.memory.get_owned(handle)?.clone();
        self.write_in_order(buffer, bytes);
        Ok(())
    }

    /// Reads a buffer. What it holds now is read, whenever the future is awaited.
    ///
    /// # Errors
    /// [`GpuError::UnknownBuffer`], and what has failed before or fails meanwhile.
    pub fn read(&mut self, handle: u32) -> Result<impl Future<Output = Result<Vec<f32>, GpuError>> + use<>, GpuError> {
        let buffer = self.memory.get(handle)?.clone();
        let bytes = 4 * self.memory.length(handle)? as u64;
        let reading = self.run_and_read(&[], &[Piece { buffer, begin: 0, bytes }])?;
        Ok(async move { Ok(floats(&reading.await?)) })
    }

    /// Resolves when all commands given so far are done.
    ///
    /// # Errors
    /// What has failed before or fails meanwhile.
    pub fn settled(&mut self) -> Result<impl Future<Output = Result<(), GpuError>> + use<>, GpuError> {
        let reading = self.read_marker()?;
        Ok(async move { reading.await.map(drop) })
    }

    /// Destroys the device and all it holds. Pending reads fail, and so does every later command.
    pub fn destroy(&mut self) {
        self.release_all();
        self.context.device.destroy();
        self.context.failures.destroyed();
    }

    /// Destroys all that this library has taken from the device, but not the device: for one that somebody else owns.
    pub fn release_all(&mut self) {
        self.pending = Pending::default();
        self.bind_groups.clear();
        self.memory.destroy();
        self.staging.destroy();
        self.shared.destroy();
        self.context.failures.destroyed();
    }

    fn read_marker(&mut self) -> Result<ReadBack, GpuError> {
        let buffer = self.take(4)?;
        let reading = self.run_and_read(&[], &[Piece { buffer: buffer.clone(), begin: 0, bytes: 4 }]);
        self.memory.give_back(buffer);
        reading
    }

    /// What is kept must keep no buffer that has gone.
    pub(crate) fn forget_bind_groups(&mut self) {
        if self.memory.take_has_destroyed() {
            self.bind_groups.clear();
        }
    }

    /// Keeps no buffer for reuse that the platform may have had no room for.
    fn forget_spoiled(&mut self) {
        if self.context.failures.take_lacked_memory() {
            self.submit();
            self.memory.distrust();
        }
    }

    /// Sees to it that no held command stands in the way of a buffer.
    fn make_room(&mut self, bytes: u64) {
        self.forget_spoiled();
        if self.memory.is_tight(bytes) {
            self.submit();
        }
    }

    /// A buffer without a handle.
    pub(crate) fn take(&mut self, bytes: u64) -> Result<wgpu::Buffer, GpuError> {
        self.make_room(bytes);
        self.memory.take(&self.context.device, bytes, false)
    }

    /// A buffer without a handle that may be written before what is held is submitted.
    pub(crate) fn take_idle(&mut self, bytes: u64) -> Result<wgpu::Buffer, GpuError> {
        self.make_room(bytes);
        self.memory.take(&self.context.device, bytes, true)
    }

    pub(crate) fn optional(&self, handle: u32) -> Result<Option<wgpu::Buffer>, GpuError> {
        if handle == 0 { Ok(None) } else { self.memory.get(handle).cloned().map(Some) }
    }

    pub(crate) fn binding(&self, handle: u32) -> Result<Binding, GpuError> {
        self.memory.get(handle).cloned().map(Binding::Buffer)
    }

    /// What a kernel writes, which is never what somebody else owns.
    pub(crate) fn writable(&self, handle: u32) -> Result<Binding, GpuError> {
        self.memory.get_owned(handle).cloned().map(Binding::Buffer)
    }

    pub(crate) fn tiles(&self, layout: Layout) -> Tiles {
        Tiles::of(layout, self.family)
    }

    pub(crate) fn runs(&self, layout: Layout) -> Runs {
        Runs::of(layout, self.family)
    }

    /// Runs `command` with a buffer of its own, which is free again as soon as the command is submitted.
    pub(crate) fn with_scratch<T>(
        &mut self,
        bytes: u64,
        command: impl FnOnce(&mut Self, &wgpu::Buffer) -> Result<T, GpuError>,
    ) -> Result<T, GpuError> {
        let buffer = self.take(bytes)?;
        let result = command(self, &buffer);
        self.memory.give_back(buffer);
        result
    }
}
