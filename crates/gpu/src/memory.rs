//! Buffers by handle. Freed ones are kept in size classes: a step in its steady state takes no new memory.

use std::collections::HashMap;

use crate::error::GpuError;

/// WebGPU's smallest useful piece.
const SMALLEST: u64 = 256;
/// Kernels read and write whole vectors.
const VECTOR: u64 = 16;

const USAGES: wgpu::BufferUsages =
    wgpu::BufferUsages::STORAGE.union(wgpu::BufferUsages::COPY_SRC).union(wgpu::BufferUsages::COPY_DST);

/// What a device holds.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Usage {
    /// Bytes of buffers in use, rounded to their size classes.
    pub bytes_in_use: u64,
    /// The most bytes that have been in use.
    pub bytes_peak: u64,
    /// Bytes of freed buffers kept for reuse.
    pub bytes_pooled: u64,
    /// Bytes of mappable buffers, read or kept for reuse; they count for no limit.
    pub bytes_staged: u64,
    /// Buffers in use.
    pub buffers: usize,
    /// Buffers taken from the platform since the beginning.
    pub allocations: usize,
}

#[derive(Debug)]
struct Slot {
    buffer: wgpu::Buffer,
    /// In f32 values.
    length: usize,
    /// Whether somebody else owns the buffer.
    is_foreign: bool,
}

/// The buffers of a device.
#[derive(Debug)]
pub(crate) struct Memory {
    slots: Vec<Option<Slot>>,
    free_slots: Vec<usize>,
    pool: HashMap<u64, Vec<wgpu::Buffer>>,
    usage: Usage,
    pub(crate) limit_bytes: u64,
    largest_buffer: u64,
}

/// The size class of a buffer: at most a quarter larger, and no larger than the adapter's largest if the buffer fits.
fn class_of(bytes: u64, largest: u64) -> Option<u64> {
    let bytes = bytes.max(SMALLEST);
    let step = (bytes.next_power_of_two() / 8).max(SMALLEST);
    let of_vectors = largest / VECTOR * VECTOR;
    (bytes <= of_vectors).then(|| bytes.next_multiple_of(step).min(of_vectors))
}

impl Memory {
    pub(crate) fn new(limits: &wgpu::Limits) -> Self {
        Self {
            slots: Vec::new(),
            free_slots: Vec::new(),
            pool: HashMap::new(),
            usage: Usage::default(),
            limit_bytes: u64::MAX,
            largest_buffer: limits.max_buffer_size.min(limits.max_storage_buffer_binding_size),
        }
    }

    pub(crate) fn usage(&self) -> Usage {
        Usage { buffers: self.slots.len() - self.free_slots.len(), ..self.usage }
    }

    /// A buffer of `length` values, contents undefined.
    pub(crate) fn allocate(&mut self, device: &wgpu::Device, length: usize) -> Result<u32, GpuError> {
        let buffer = self.take(device, 4 * length as u64)?;
        Ok(self.insert(Slot { buffer, length, is_foreign: false }))
    }

    /// A handle for a buffer that somebody else owns.
    pub(crate) fn adopt(&mut self, buffer: wgpu::Buffer, length: usize) -> u32 {
        self.insert(Slot { buffer, length, is_foreign: true })
    }

    pub(crate) fn release(&mut self, handle: u32) -> Result<(), GpuError> {
        let index = handle.wrapping_sub(1) as usize;
        let slot = self.slots.get_mut(index).and_then(Option::take).ok_or(GpuError::UnknownBuffer { handle })?;
        self.free_slots.push(index);
        if !slot.is_foreign {
            self.give_back(slot.buffer);
        }
        Ok(())
    }

    pub(crate) fn get(&self, handle: u32) -> Result<&wgpu::Buffer, GpuError> {
        self.slot(handle).map(|slot| &slot.buffer)
    }

    pub(crate) fn length(&self, handle: u32) -> Result<usize, GpuError> {
        self.slot(handle).map(|slot| slot.length)
    }

    /// A buffer without a handle, for the time of a command: it may be given back as soon as the command is submitted, since
    /// commands take effect in order.
    pub(crate) fn take(&mut self, device: &wgpu::Device, bytes: u64) -> Result<wgpu::Buffer, GpuError> {
        let class = class_of(bytes, self.largest_buffer).ok_or(GpuError::Limit {
            what: "a buffer",
            wanted: bytes,
            granted: self.largest_buffer,
        })?;
        if self.usage.bytes_in_use.saturating_add(class) > self.limit_bytes {
            return Err(GpuError::OutOfMemory { bytes_wanted: bytes, bytes_in_use: self.usage.bytes_in_use });
        }
        let pooled = self.pool.get_mut(&class).and_then(Vec::pop);
        if pooled.is_some() {
            self.usage.bytes_pooled -= class;
        } else if self.usage.bytes_in_use + self.usage.bytes_pooled + class > self.limit_bytes {
            self.trim();
        }
        self.usage.bytes_in_use += class;
        self.usage.bytes_peak = self.usage.bytes_peak.max(self.usage.bytes_in_use);
        Ok(pooled.unwrap_or_else(|| {
            self.usage.allocations += 1;
            device.create_buffer(&wgpu::BufferDescriptor {
                label: None,
                size: class,
                usage: USAGES,
                mapped_at_creation: false,
            })
        }))
    }

    pub(crate) fn give_back(&mut self, buffer: wgpu::Buffer) {
        self.usage.bytes_in_use -= buffer.size();
        self.usage.bytes_pooled += buffer.size();
        self.pool.entry(buffer.size()).or_default().push(buffer);
    }

    /// Destroys all freed buffers: dropping one does nothing on the web.
    pub(crate) fn trim(&mut self) {
        self.pool.drain().flat_map(|(_, buffers)| buffers).for_each(|buffer| buffer.destroy());
        self.usage.bytes_pooled = 0;
    }

    /// Destroys everything but what others own.
    pub(crate) fn destroy(&mut self) {
        self.trim();
        let owned = self.slots.iter().flatten().filter(|slot| !slot.is_foreign);
        owned.for_each(|slot| slot.buffer.destroy());
    }

    fn insert(&mut self, slot: Slot) -> u32 {
        let index = self.free_slots.pop().unwrap_or_else(|| {
            self.slots.push(None);
            self.slots.len() - 1
        });
        self.slots[index] = Some(slot);
        u32::try_from(index + 1).unwrap_or(u32::MAX)
    }

    fn slot(&self, handle: u32) -> Result<&Slot, GpuError> {
        let slot = self.slots.get(handle.wrapping_sub(1) as usize).and_then(Option::as_ref);
        slot.ok_or(GpuError::UnknownBuffer { handle })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_class_is_at_most_a_quarter_larger_and_holds_whole_vectors() {
        for bytes in (1024..100_000_u64).step_by(37) {
            let class = class_of(bytes, u64::MAX).expect("no limit");
            assert!(class >= bytes && class <= bytes + bytes / 4 && class.is_multiple_of(256), "{bytes}: {class}");
            assert_eq!(class_of(class, u64::MAX), Some(class));
        }
        assert_eq!(class_of(0, u64::MAX), Some(256));
    }

    #[test]
    fn what_fits_into_the_largest_buffer_has_a_class() {
        let largest = (1 << 31) - 4;
        assert_eq!(class_of(largest - 12, largest), Some(largest - 12));
        assert_eq!(class_of(largest - 400, largest), Some(largest - 12));
        // Its last vector would not be whole.
        assert_eq!(class_of(largest - 8, largest), None);
        assert_eq!(class_of(1 << 31, largest), None);
    }
}
