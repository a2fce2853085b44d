//! Freed memory that waits for its next use.

use alloc::vec::Vec;

/// A freed buffer.
#[derive(Debug)]
struct Pooled {
    values: Vec<f32>,
    freed: u64,
}

/// Freed buffers, taken by their exact length.
#[derive(Debug, Default)]
pub(crate) struct Pool {
    /// Sorted by length, then by the time at which they were freed.
    buffers: Vec<Pooled>,
    /// Of all buffers.
    values: usize,
    /// Buffers freed so far.
    time: u64,
}

impl Pool {
    /// Values of all buffers.
    pub(crate) fn values(&self) -> usize {
        self.values
    }

    pub(crate) fn push(&mut self, values: Vec<f32>) {
        self.values += values.len();
        self.time += 1;
        let at = self.buffers.partition_point(|pooled| pooled.values.len() <= values.len());
        self.buffers.insert(at, Pooled { values, freed: self.time });
    }

    /// A buffer of that length: the one that was freed last, for it is the likeliest to be cached.
    pub(crate) fn take(&mut self, length: usize) -> Option<Vec<f32>> {
        let at = self.buffers.partition_point(|pooled| pooled.values.len() <= length).checked_sub(1)?;
        (self.buffers[at].values.len() == length).then(|| self.remove(at))
    }

    /// Gives up those that nobody has wanted for longest, until at most so many values are left.
    pub(crate) fn shrink_to(&mut self, values: usize) {
        while self.values > values {
            let oldest = self.buffers.iter().enumerate().min_by_key(|(_, pooled)| pooled.freed);
            let Some((at, _)) = oldest else { return };
            self.remove(at);
        }
    }

    fn remove(&mut self, at: usize) -> Vec<f32> {
        let Pooled { values, .. } = self.buffers.remove(at);
        self.values -= values.len();
        values
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn lengths(pool: &mut Pool, wanted: &[usize]) -> Vec<bool> {
        wanted.iter().map(|length| pool.take(*length).is_some()).collect()
    }

    #[test]
    fn a_buffer_is_taken_by_its_exact_length_and_once() {
        let mut pool = Pool::default();
        pool.push(vec![0.0; 5]);
        assert_eq!(lengths(&mut pool, &[4, 6, 5, 5]), [false, false, true, false]);
        assert_eq!(pool.values(), 0);
    }

    #[test]
    fn what_was_freed_last_is_used_first() {
        let mut pool = Pool::default();
        for number in [1.0, 2.0] {
            pool.push(vec![number; 3]);
        }
        assert_eq!([pool.take(3), pool.take(3)], [Some(vec![2.0; 3]), Some(vec![1.0; 3])]);
    }

    #[test]
    fn what_was_freed_first_is_given_up_first() {
        let mut pool = Pool::default();
        for length in [4, 7, 2] {
            pool.push(vec![0.0; length]);
        }
        pool.shrink_to(9);
        assert_eq!(pool.values(), 9);
        assert_eq!(lengths(&mut pool, &[4, 7, 2]), [false, true, true]);
    }
}
