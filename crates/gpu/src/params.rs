//! Parameters of kernels: each set of words has a slot of its own, written once. In its steady state a step writes none.

use std::collections::HashMap;

/// Bytes from one slot to the next: what WebGPU guarantees as an offset.
pub(crate) const STRIDE: usize = 256;
/// Slots, more than a submit has kernels.
const SLOTS: usize = 256;

#[derive(Debug)]
pub(crate) struct Params {
    buffer: wgpu::Buffer,
    slots: HashMap<Vec<u32>, usize>,
    /// The last slots, which are not in the buffer yet.
    unwritten: Vec<u8>,
}

impl Params {
    pub(crate) fn new(device: &wgpu::Device) -> Self {
        let usage = wgpu::BufferUsages::UNIFORM | wgpu::BufferUsages::COPY_DST;
        let size = (STRIDE * SLOTS) as u64;
        let descriptor = wgpu::BufferDescriptor { label: None, size, usage, mapped_at_creation: false };
        Self { buffer: device.create_buffer(&descriptor), slots: HashMap::new(), unwritten: Vec::new() }
    }

    /// Whether so many sets may need more slots than are left.
    pub(crate) fn is_short_of(&self, sets: usize) -> bool {
        self.slots.len() + sets > SLOTS
    }

    /// Frees all slots, whose users have been submitted.
    pub(crate) fn forget(&mut self) {
        self.slots.clear();
    }

    pub(crate) fn slot_of(&mut self, words: &[u32]) -> usize {
        if let Some(slot) = self.slots.get(words) {
            return *slot;
        }
        let slot = self.slots.len();
        self.slots.insert(words.to_vec(), slot);
        self.unwritten.extend(words.iter().flat_map(|word| word.to_le_bytes()));
        self.unwritten.resize(self.unwritten.len().next_multiple_of(STRIDE), 0);
        slot
    }

    /// Before a submit; takes effect between the submits before and this one, as everything in the queue.
    pub(crate) fn write(&mut self, queue: &wgpu::Queue) {
        if !self.unwritten.is_empty() {
            let begin = STRIDE * self.slots.len() - self.unwritten.len();
            queue.write_buffer(&self.buffer, begin as u64, &self.unwritten);
            self.unwritten.clear();
        }
    }

    /// So many words of a slot.
    pub(crate) fn binding(&self, slot: usize, words: usize) -> wgpu::BufferBinding<'_> {
        let size = wgpu::BufferSize::new(4 * words.next_multiple_of(4) as u64);
        wgpu::BufferBinding { buffer: &self.buffer, offset: (STRIDE * slot) as u64, size }
    }

    pub(crate) fn destroy(&self) {
        self.buffer.destroy();
    }
}

/// A number of a kernel's parameters. A buffer has fewer than 2^32 values.
pub(crate) fn word(number: usize) -> u32 {
    u32::try_from(number).unwrap_or(u32::MAX)
}
