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
    /// Whether somebody else may use the buffer.
    is_shared: bool,
    /// Whether the platform may have had no room for the buffer: see [`Memory::distrust`].
    is_suspect: bool,
}

/// A buffer without a user.
#[derive(Debug)]
struct Freed {
    buffer: wgpu::Buffer,
    /// How many submits there had been.
    submits: u64,
    /// Its number among all that were ever freed.
    number: u64,
}

/// The buffers of a device.
#[derive(Debug)]
pub(crate) struct Memory {
    slots: Vec<Option<Slot>>,
    free_slots: Vec<usize>,
    pool: HashMap<u64, Vec<Freed>>,
    usage: Usage,
    /// Slots that are shared.
    shared: usize,
    submits: u64,
    /// Buffers freed since the beginning.
    freed: u64,
    /// Whether commands wait for the next submit.
    is_pending: bool,
    /// Whether buffers have gone since somebody asked.
    has_destroyed: bool,
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
            shared: 0,
            submits: 0,
            freed: 0,
            is_pending: false,
            has_destroyed: false,
            limit_bytes: u64::MAX,
            largest_buffer: limits.max_buffer_size.min(limits.max_storage_buffer_binding_size),
        }
    }

    pub(crate) fn usage(&self) -> Usage {
        Usage { buffers: self.slots.len() - self.free_slots.len(), ..self.usage }
    }

    /// Commands have been encoded.
    pub(crate) fn encoded(&mut self) {
        self.is_pending = true;
    }

    /// All commands so far have been submitted.
    pub(crate) fn submitted(&mut self) {
        self.is_pending = false;
        self.submits += 1;
    }

    /// Whether buffers have gone since the last call: destroyed, or given back to their owner.
    pub(crate) fn take_has_destroyed(&mut self) -> bool {
        std::mem::take(&mut self.has_destroyed)
    }

    /// A handle for a buffer that has been taken, of `length` values.
    pub(crate) fn name(&mut self, buffer: wgpu::Buffer, length: usize) -> u32 {
        self.insert(Slot { buffer, length, is_foreign: false, is_shared: false, is_suspect: false })
    }

    /// A handle for a buffer that somebody else owns.
    pub(crate) fn adopt(&mut self, buffer: wgpu::Buffer, length: usize) -> u32 {
        self.shared += 1;
        self.insert(Slot { buffer, length, is_foreign: true, is_shared: true, is_suspect: false })
    }

    /// From now on somebody else may use the buffer.
    pub(crate) fn share(&mut self, handle: u32) -> Result<(), GpuError> {
        let slot = self.slots.get_mut(handle.wrapping_sub(1) as usize).and_then(Option::as_mut);
        let slot = slot.ok_or(GpuError::UnknownBuffer { handle })?;
        self.shared += usize::from(!slot.is_shared);
        slot.is_shared = true;
        Ok(())
    }

    /// Whether somebody else may use any of the buffers.
    pub(crate) fn is_shared(&self) -> bool {
        self.shared > 0
    }

    pub(crate) fn release(&mut self, handle: u32) -> Result<(), GpuError> {
        let index = handle.wrapping_sub(1) as usize;
        let slot = self.slots.get_mut(index).and_then(Option::take).ok_or(GpuError::UnknownBuffer { handle })?;
        self.free_slots.push(index);
        self.shared -= usize::from(slot.is_shared);
        // Whoever was handed a buffer may still hold it, may have destroyed it or write to it: nobody else gets it.
        let is_spent = slot.is_suspect || slot.is_shared;
        self.has_destroyed |= is_spent;
        if slot.is_foreign {
            return Ok(());
        }
        if is_spent {
            self.usage.bytes_in_use -= slot.buffer.size();
            // A pending command may use it; then it goes with its last user.
            if !self.is_pending {
                slot.buffer.destroy();
            }
        } else {
            self.give_back(slot.buffer);
        }
        Ok(())
    }

    /// The platform has had no room for one of the buffers and does not say which: that one is invalid for ever, so none of those
    /// there are is used again. No command is pending.
    pub(crate) fn distrust(&mut self) {
        self.trim();
        self.slots.iter_mut().flatten().for_each(|slot| slot.is_suspect = !slot.is_foreign);
    }

    pub(crate) fn get(&self, handle: u32) -> Result<&wgpu::Buffer, GpuError> {
        self.slot(handle).map(|slot| &slot.buffer)
    }

    /// A buffer that may be written.
    pub(crate) fn get_owned(&self, handle: u32) -> Result<&wgpu::Buffer, GpuError> {
        let slot = self.slot(handle)?;
        if slot.is_foreign { Err(GpuError::NotOwned { handle }) } else { Ok(&slot.buffer) }
    }

    pub(crate) fn length(&self, handle: u32) -> Result<usize, GpuError> {
        self.slot(handle).map(|slot| slot.length)
    }

    /// Whether a buffer can be had only by destroying freed ones, which no pending command may use.
    pub(crate) fn is_tight(&self, bytes: u64) -> bool {
        class_of(bytes, self.largest_buffer).is_some_and(|class| {
            let is_pooled = self.pool.get(&class).is_some_and(|freed| !freed.is_empty());
            !is_pooled && self.usage.bytes_pooled > self.room_in_pool(class)
        })
    }

    /// Bytes that may stay pooled when a fresh buffer of this class is taken. Used and pooled buffers together keep to the limit,
    /// and take at most twice what has ever been in use at once: a network whose sizes repeat finds all of them in the pool, and a
    /// loop whose sizes vary does not take more and more.
    fn room_in_pool(&self, class: u64) -> u64 {
        let wanted = self.usage.bytes_in_use.saturating_add(class);
        let most = self.limit_bytes.min(self.usage.bytes_peak.max(wanted).saturating_mul(2));
        most.saturating_sub(wanted)
    }

    /// A buffer without a handle. For the time of a command: it may be given back as soon as the command is encoded, since
    /// commands take effect in order. An idle one is used by no pending command either, so it may be written at once.
    pub(crate) fn take(&mut self, device: &wgpu::Device, bytes: u64, idle: bool) -> Result<wgpu::Buffer, GpuError> {
        let granted = self.largest_buffer;
        let class = class_of(bytes, granted).ok_or(GpuError::Limit { what: "a buffer", wanted: bytes, granted })?;
        if self.usage.bytes_in_use.saturating_add(class) > self.limit_bytes {
            return Err(GpuError::OutOfMemory { bytes_wanted: bytes, bytes_in_use: self.usage.bytes_in_use });
        }
        let (is_pending, submits) = (self.is_pending, self.submits);
        let is_idle = |freed: &Freed| !idle || !is_pending || freed.submits < submits;
        // The oldest one, so that each step takes the same buffers, and finds the bind groups of the step before.
        let freed = self.pool.get_mut(&class).and_then(|pool| {
            let idle = pool.iter().enumerate().filter(|(_, freed)| is_idle(freed));
            let oldest = idle.min_by(|(_, a), (_, b)| a.buffer.cmp(&b.buffer)).map(|(at, _)| at);
            oldest.map(|at| pool.swap_remove(at))
        });
        if freed.is_some() {
            self.usage.bytes_pooled -= class;
        } else {
            self.shrink_pool(self.room_in_pool(class));
        }
        self.usage.bytes_in_use += class;
        self.usage.bytes_peak = self.usage.bytes_peak.max(self.usage.bytes_in_use);
        Ok(freed.map_or_else(
            || {
                self.usage.allocations += 1;
                device.create_buffer(&wgpu::BufferDescriptor {
                    label: None,
                    size: class,
                    usage: USAGES,
                    mapped_at_creation: false,
                })
            },
            |freed| freed.buffer,
        ))
    }

    pub(crate) fn give_back(&mut self, buffer: wgpu::Buffer) {
        let size = buffer.size();
        self.usage.bytes_in_use -= size;
        self.usage.bytes_pooled += size;
        self.freed += 1;
        self.pool.entry(size).or_default().push(Freed { buffer, submits: self.submits, number: self.freed });
    }

    /// Whether no pending command uses a freed buffer.
    fn is_idle(&self, freed: &Freed) -> bool {
        !self.is_pending || freed.submits < self.submits
    }

    /// Destroys freed buffers, those first that nobody has wanted for longest, until at most so many bytes are left; but none that a
    /// pending command uses.
    fn shrink_pool(&mut self, bytes: u64) {
        while self.usage.bytes_pooled > bytes {
            let idle = self.pool.values().flatten().filter(|freed| self.is_idle(freed));
            let Some((size, number)) =
                idle.min_by_key(|freed| freed.number).map(|freed| (freed.buffer.size(), freed.number))
            else {
                return;
            };
            let pool = self.pool.entry(size).or_default();
            if let Some(at) = pool.iter().position(|freed| freed.number == number) {
                pool.swap_remove(at).buffer.destroy();
            }
            self.usage.bytes_pooled -= size;
            self.has_destroyed = true;
        }
    }

    /// Destroys all freed buffers: dropping one does nothing on the web.
    fn trim(&mut self) {
        self.has_destroyed = true;
        self.pool.drain().flat_map(|(_, pool)| pool).for_each(|freed| freed.buffer.destroy());
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
