//! The memory of one device: buffers of f32 named by number.
//!
//! Freed buffers are pooled by size class and handed out again, so that a training loop in its steady state allocates
//! nothing. Buffers are plain vectors; JavaScript looks at them through their address, which does not change while they
//! are in use.

use alloc::vec::Vec;

use crate::pool::Pool;

/// There is no room for a buffer. Nothing that existed before is lost.
#[derive(Debug, Clone, Copy, PartialEq)]
pub(crate) struct OutOfMemory {
    /// Bytes of the buffer that was asked for.
    pub(crate) bytes_wanted: f64,
    /// Bytes of the buffers in use.
    pub(crate) bytes_in_use: f64,
}

/// A number names no buffer, or one that the same call already writes.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct UnknownBuffer;

/// Buffers from here on are rounded to this many values (64 KiB, a page of wasm memory) ...
const PAGE_VALUES: usize = 16 * 1024;
/// ... if they have at least this many (1 MiB). Smaller ones have 8 classes per doubling.
const LARGE_VALUES: usize = 256 * 1024;
/// The smallest class: one line of cache.
const SMALLEST_VALUES: usize = 16;
/// From this size on (64 KiB) buffers do not begin where their memory does, but some lines of cache later, each after
/// another number of lines. Tensors of one size would otherwise lie at equal distances, often a power of two, and walks over
/// several of them would get in each other's way in caches and memory: a factor of two and more.
const STAGGERED_VALUES: usize = 16 * 1024;
/// Nine lines of cache.
const STAGGER_VALUES: usize = 9 * 16;
/// Different beginnings; together they fill a page of 4 KiB.
const STAGGERS: usize = 8;

#[derive(Debug)]
struct Buffer {
    /// As long as its class.
    values: Vec<f32>,
    /// Where the values of the user begin; see [`STAGGER_VALUES`].
    start: usize,
    length: usize,
}

/// A buffer on loan; `None` where no buffer was named.
type Lent = Option<Buffer>;

impl Buffer {
    /// Classes are never empty, so a buffer without values has been lent.
    fn is_lent(&self) -> bool {
        self.values.is_empty()
    }

    fn values_mut(&mut self) -> Option<&mut [f32]> {
        self.values.get_mut(self.start..self.start + self.length)
    }
}

/// All buffers of a device.
#[derive(Debug)]
pub(crate) struct Arena {
    /// Handle h is slot h − 1; 0 stands for an absent buffer.
    slots: Vec<Option<Buffer>>,
    free_slots: Vec<usize>,
    pool: Pool,
    values_in_use: usize,
    values_peak: usize,
    /// Requests that the pool could not serve.
    allocations: usize,
    /// How far the latest buffer has been moved, in units of [`STAGGER_VALUES`].
    stagger: usize,
    /// Largest number of bytes in use.
    pub(crate) limit_bytes: f64,
}

impl Arena {
    pub(crate) fn new() -> Self {
        Self {
            slots: Vec::new(),
            free_slots: Vec::new(),
            pool: Pool::default(),
            values_in_use: 0,
            values_peak: 0,
            allocations: 0,
            stagger: 0,
            limit_bytes: f64::INFINITY,
        }
    }

    pub(crate) fn bytes_in_use(&self) -> f64 {
        bytes(self.values_in_use)
    }

    pub(crate) fn bytes_peak(&self) -> f64 {
        bytes(self.values_peak)
    }

    pub(crate) fn bytes_pooled(&self) -> f64 {
        bytes(self.pool.values())
    }

    pub(crate) fn buffers(&self) -> usize {
        self.slots.len() - self.free_slots.len()
    }

    pub(crate) fn allocations(&self) -> usize {
        self.allocations
    }

    /// A buffer of `length` values, contents undefined.
    pub(crate) fn allocate(&mut self, length: usize) -> Result<u32, OutOfMemory> {
        let out_of_memory = OutOfMemory { bytes_wanted: bytes(length), bytes_in_use: self.bytes_in_use() };
        let class = size_class(length).ok_or(out_of_memory)?;
        if self.bytes_in_use() + bytes(class) > self.limit_bytes {
            return Err(out_of_memory);
        }
        let values = match self.pool.take(class) {
            Some(values) => values,
            None => self.reserve(class).ok_or(out_of_memory)?,
        };
        self.values_in_use += class;
        self.values_peak = self.values_peak.max(self.values_in_use);
        self.stagger = (self.stagger + 3) % STAGGERS;
        let start = if length < STAGGERED_VALUES { 0 } else { self.stagger * STAGGER_VALUES };
        let buffer = Some(Buffer { values, start, length });
        let slot = self.free_slots.pop().unwrap_or(self.slots.len());
        match self.slots.get_mut(slot) {
            Some(free) => *free = buffer,
            None => self.slots.push(buffer),
        }
        Ok(u32::try_from(slot + 1).unwrap_or(u32::MAX))
    }

    /// Gives a buffer back to the pool.
    pub(crate) fn release(&mut self, handle: u32) -> Result<(), UnknownBuffer> {
        let slot = slot_of(handle).filter(|slot| *slot < self.slots.len());
        let buffer = slot.and_then(|slot| self.slots[slot].take());
        let (Some(slot), Some(Buffer { values, .. })) = (slot, buffer) else {
            return Err(UnknownBuffer);
        };
        self.free_slots.push(slot);
        self.values_in_use -= values.len();
        self.pool.push(values);
        Ok(())
    }

    /// The values of a buffer.
    pub(crate) fn get(&self, handle: u32) -> Result<&[f32], UnknownBuffer> {
        let buffer = slot_of(handle).and_then(|slot| self.slots.get(slot)?.as_ref());
        let buffer = buffer.ok_or(UnknownBuffer)?;
        buffer.values.get(buffer.start..buffer.start + buffer.length).ok_or(UnknownBuffer)
    }

    /// The values of a buffer that may be absent.
    pub(crate) fn get_optional(&self, handle: u32) -> Result<Option<&[f32]>, UnknownBuffer> {
        if handle == 0 { Ok(None) } else { self.get(handle).map(Some) }
    }

    /// Lends buffers for writing while others are read. Absent ones (handle 0) are `None`. While it is lent a buffer cannot
    /// be read by its handle, so that input and output of a call never overlap by mistake.
    pub(crate) fn lend<const COUNT: usize, T, E: From<UnknownBuffer>>(
        &mut self,
        handles: [u32; COUNT],
        call: impl FnOnce(&Self, [Option<&mut [f32]>; COUNT]) -> Result<T, E>,
    ) -> Result<T, E> {
        let mut lent: [Lent; COUNT] = [const { None }; COUNT];
        let result = match self.take(&handles, &mut lent) {
            Ok(()) => call(self, lent.each_mut().map(values_of)),
            Err(error) => Err(error.into()),
        };
        self.put_back(&handles, &mut lent);
        result
    }

    /// Takes the buffers out of their slots, so that each can be written by one borrower.
    fn take(&mut self, handles: &[u32], lent: &mut [Lent]) -> Result<(), UnknownBuffer> {
        for (handle, lent) in handles.iter().copied().zip(lent) {
            if handle != 0 {
                let buffer = self.buffer_mut(handle).ok_or(UnknownBuffer)?;
                if buffer.is_lent() {
                    return Err(UnknownBuffer);
                }
                *lent = Some(Buffer { values: core::mem::take(&mut buffer.values), ..*buffer });
            }
        }
        Ok(())
    }

    fn put_back(&mut self, handles: &[u32], lent: &mut [Lent]) {
        for (handle, lent) in handles.iter().copied().zip(lent) {
            if let (Some(returned), Some(buffer)) = (lent.take(), self.buffer_mut(handle)) {
                buffer.values = returned.values;
            }
        }
    }

    fn buffer_mut(&mut self, handle: u32) -> Option<&mut Buffer> {
        slot_of(handle).and_then(|slot| self.slots.get_mut(slot)?.as_mut())
    }

    /// Fresh memory. Used and pooled buffers together take at most twice what has ever been in use at once. So a network whose
    /// sizes repeat finds all of them in the pool, and a loop whose sizes vary does not take more and more. Nor do they take more
    /// than the limit, so that a kernel finds room for partials of its own beside them.
    fn reserve(&mut self, class: usize) -> Option<Vec<f32>> {
        self.allocations += 1;
        let wanted = self.values_in_use + class;
        let most = (2 * self.values_peak.max(wanted)).min(values(self.limit_bytes)).max(wanted);
        self.pool.shrink_to(most - wanted);
        try_reserve(class).or_else(|| {
            self.pool.shrink_to(0);
            try_reserve(class)
        })
    }
}

fn values_of(lent: &mut Lent) -> Option<&mut [f32]> {
    lent.as_mut()?.values_mut()
}

fn try_reserve(values: usize) -> Option<Vec<f32>> {
    let mut reserved = Vec::new();
    reserved.try_reserve_exact(values).ok()?;
    reserved.resize(values, 0.0);
    Some(reserved)
}

fn slot_of(handle: u32) -> Option<usize> {
    usize::try_from(handle).ok()?.checked_sub(1)
}

/// Values that so many bytes hold.
#[allow(clippy::cast_possible_truncation, clippy::cast_sign_loss, reason = "the cast saturates; NaN becomes 0")]
fn values(bytes: f64) -> usize {
    (bytes / 4.0) as usize
}

#[allow(clippy::cast_precision_loss, reason = "memory has fewer than 2^53 bytes")]
fn bytes(values: usize) -> f64 {
    values as f64 * 4.0
}

/// Bytes that a buffer of `length` values takes from the limit; `None` when no memory is that large.
pub(crate) fn buffer_bytes(length: usize) -> Option<f64> {
    let class = size_class(length)?;
    (class <= isize::MAX.cast_unsigned() / size_of::<f32>()).then(|| bytes(class))
}

/// The length that a buffer of `length` values really gets.
fn size_class(length: usize) -> Option<usize> {
    let room = if length < STAGGERED_VALUES { 0 } else { STAGGERS * STAGGER_VALUES };
    let length = length.max(SMALLEST_VALUES);
    let step = if length >= LARGE_VALUES { PAGE_VALUES } else { (1 << length.ilog2()) / 8 };
    length.checked_next_multiple_of(step.max(SMALLEST_VALUES))?.checked_add(room)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn used(arena: &Arena) -> (f64, f64) {
        (arena.bytes_in_use(), arena.bytes_pooled())
    }

    #[test]
    fn a_class_wastes_at_most_an_eighth_or_a_page() {
        for length in (1..2_000_000).step_by(997) {
            let class = size_class(length).expect("a moderate length");
            let room = STAGGERS * STAGGER_VALUES;
            assert!(class >= length && class - length <= (length / 8).max(SMALLEST_VALUES) + room);
            assert!(length < LARGE_VALUES || class - length < PAGE_VALUES + room);
        }
    }

    #[test]
    fn a_loop_in_its_steady_state_allocates_nothing() {
        let mut arena = Arena::new();
        let mut step = || {
            let handles = [100, 5000, 300_000].map(|length| arena.allocate(length).expect("room"));
            for handle in handles {
                arena.release(handle).expect("in use");
            }
            arena.allocations()
        };
        let first = step();
        assert_eq!([step(), step()], [first, first]);
    }

    /// Every forward of a network holds its outputs until the backward, which needs an input gradient at a time.
    #[test]
    fn a_network_in_its_steady_state_allocates_nothing() {
        let mut arena = Arena::new();
        let mut step = || {
            let layers = [800_000, 800_000, 200_000, 600_000, 600_000, 150_000, 300_000, 5000];
            let outputs = layers.map(|length| [length, 300, 1500].map(|length| arena.allocate(length).expect("room")));
            for (length, output) in layers.into_iter().zip(outputs).rev() {
                let gradient = arena.allocate(length).expect("room");
                for handle in output.into_iter().chain([gradient]) {
                    arena.release(handle).expect("in use");
                }
            }
            arena.allocations()
        };
        step();
        let second = step();
        assert_eq!([step(), step()], [second, second]);
    }

    #[test]
    fn a_loop_whose_sizes_vary_does_not_take_more_and_more() {
        let mut arena = Arena::new();
        for step in 0..100 {
            let handles = [1, 2, 3].map(|layer| arena.allocate(layer * (100_000 + 7919 * step)).expect("room"));
            for handle in handles {
                arena.release(handle).expect("in use");
            }
            assert!(arena.bytes_pooled() <= 2.0 * arena.bytes_peak());
        }
    }

    #[test]
    fn what_is_used_and_pooled_stays_below_the_limit() {
        let mut arena = Arena::new();
        arena.limit_bytes = 8e6;
        for step in 0..20 {
            let handle = arena.allocate(1_000_000 + 40_000 * step).expect("room");
            assert!(arena.bytes_in_use() + arena.bytes_pooled() <= arena.limit_bytes);
            arena.release(handle).expect("in use");
        }
    }

    #[test]
    fn a_full_pool_gives_up_what_was_freed_first() {
        let mut arena = Arena::new();
        let mut use_once = |length| {
            let handle = arena.allocate(length).expect("room");
            arena.release(handle).expect("in use");
            arena.bytes_pooled()
        };
        let [large, small, other] = [1 << 20, 1 << 19, 600_000].map(&mut use_once);
        let class = |length| bytes(size_class(length).expect("a moderate length"));
        assert_eq!([large, small], [class(1 << 20), class(1 << 20) + class(1 << 19)]);
        assert_eq!(other, class(1 << 19) + class(600_000));
    }

    #[test]
    fn beyond_the_limit_nothing_is_lost() {
        let mut arena = Arena::new();
        let kept = arena.allocate(1000).expect("room");
        let before = used(&arena);
        arena.limit_bytes = 5000.0;
        let expected = OutOfMemory { bytes_wanted: 4000.0, bytes_in_use: before.0 };
        assert_eq!(arena.allocate(1000), Err(expected));
        assert_eq!((used(&arena), arena.get(kept).map(<[f32]>::len)), (before, Ok(1000)));
    }

    #[test]
    fn a_length_beyond_all_memory_is_an_error() {
        let mut arena = Arena::new();
        for length in [usize::MAX, usize::MAX / 8] {
            assert!(matches!(arena.allocate(length), Err(OutOfMemory { .. })));
        }
        assert_eq!(used(&arena), (0.0, 0.0));
    }

    #[test]
    fn the_bytes_of_a_buffer_are_known_before_it_is_made() {
        for length in [0, 1, 100, 5000, 16 * 1024, 300_000] {
            let mut arena = Arena::new();
            arena.allocate(length).expect("room");
            assert_eq!(buffer_bytes(length), Some(arena.bytes_in_use()));
        }
        assert_eq!([usize::MAX, usize::MAX / 4, usize::MAX / 8].map(buffer_bytes), [None; 3]);
    }

    #[test]
    fn handles_that_name_nothing_are_errors() {
        let mut arena = Arena::new();
        let handle = arena.allocate(1).expect("room");
        arena.release(handle).expect("in use");
        for handle in [0, handle, 7, u32::MAX] {
            assert_eq!(arena.release(handle), Err(UnknownBuffer));
            assert_eq!(arena.get(handle), Err(UnknownBuffer));
        }
    }

    #[test]
    fn a_lent_buffer_cannot_be_read_or_lent_twice_and_comes_back() {
        let mut arena = Arena::new();
        let handle = arena.allocate(3).expect("room");
        let unknown = UnknownBuffer;
        let read = arena.lend([handle], |arena, _| arena.get(handle).map(<[f32]>::len));
        assert_eq!(read, Err(unknown));
        let twice = arena.lend([handle, handle], |_, _| Ok::<_, UnknownBuffer>(()));
        assert_eq!(twice, Err(unknown));
        let filled = arena.lend([handle, 0], |_, [values, none]| {
            values.expect("present").fill(2.0);
            Ok::<_, UnknownBuffer>(none.is_none())
        });
        assert_eq!((filled, arena.get(handle)), (Ok(true), Ok(&[2.0; 3][..])));
    }
}
