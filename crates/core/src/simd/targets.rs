//! Values that are computed from others or from what they were before: one loop serves both.

#![allow(unsafe_code, reason = "a slice that is written cannot be read by another name")]

use core::marker::PhantomData;

/// Values to be written. Each has a source: a value of another slice, or what itself holds until it is written.
pub(crate) struct Targets<'a, T> {
    sources: *const T,
    targets: *mut T,
    length: usize,
    slices: PhantomData<(&'a [T], &'a mut [T])>,
}

impl<'a, T> Targets<'a, T> {
    /// Without `sources` the targets are their own.
    ///
    /// # Panics
    /// If there are fewer sources than targets.
    #[inline(always)]
    pub(crate) fn new(sources: Option<&'a [T]>, targets: &'a mut [T]) -> Self {
        let length = targets.len();
        let targets = targets.as_mut_ptr();
        let sources = sources.map_or(targets.cast_const(), |sources| sources[..length].as_ptr());
        Self { sources, targets, length, slices: PhantomData }
    }

    pub(crate) fn len(&self) -> usize {
        self.length
    }

    /// # Panics
    /// If there is no such target.
    #[inline(always)]
    pub(crate) fn source(&self, index: usize) -> &T {
        assert!(index < self.length, "there is no such source");
        // SAFETY: both slices have `length` values, and no target is lent for writing while this one is borrowed.
        unsafe { &*self.sources.add(index) }
    }

    /// # Panics
    /// If there is no such target.
    #[inline(always)]
    pub(crate) fn target(&mut self, index: usize) -> &mut T {
        assert!(index < self.length, "there is no such target");
        // SAFETY: as above, and no source is borrowed either.
        unsafe { &mut *self.targets.add(index) }
    }

    /// Groups of `VALUES` targets each; what does not fill one is left out.
    #[inline(always)]
    pub(crate) fn into_groups<const VALUES: usize>(self) -> Targets<'a, [T; VALUES]> {
        let length = self.length / VALUES;
        Targets { sources: self.sources.cast(), targets: self.targets.cast(), length, slices: PhantomData }
    }

    /// `length` targets, the first of which is `begin`.
    ///
    /// # Panics
    /// If there are fewer targets.
    #[inline(always)]
    pub(crate) fn part(&mut self, begin: usize, length: usize) -> Targets<'_, T> {
        assert!(begin <= self.length && length <= self.length - begin, "there are fewer targets");
        // SAFETY: they end within both slices, which are borrowed as long as the part is.
        let (sources, targets) = unsafe { (self.sources.add(begin), self.targets.add(begin)) };
        Targets { sources, targets, length, slices: PhantomData }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Writes two targets of each group of three, negated; the groups have `length` targets from the second.
    fn negate_two_of_three(mut targets: Targets<'_, i32>, length: usize) {
        let mut groups = targets.part(1, length).into_groups::<3>();
        for i in 0..groups.len() {
            for k in [0, 2] {
                let negated = -groups.source(i)[k];
                groups.target(i)[k] = negated;
            }
        }
    }

    #[test]
    fn targets_are_computed_from_sources_or_from_themselves() {
        let mut values = [0, 1, 2, 3, 4, 5, 6, 7];
        let mut others = [9; 8];
        negate_two_of_three(Targets::new(Some(&values), &mut others), 7);
        assert_eq!(others, [9, -1, 9, -3, -4, 9, -6, 9]);
        negate_two_of_three(Targets::new(None, &mut values), 6);
        assert_eq!(values, [0, -1, 2, -3, -4, 5, -6, 7]);
        assert_eq!(*Targets::new(None, &mut values).part(4, 3).source(2), -6);
    }

    #[test]
    #[should_panic(expected = "there are fewer targets")]
    fn a_part_that_ends_beyond_the_targets_is_refused() {
        negate_two_of_three(Targets::new(None, &mut [0; 9]), 9);
    }

    #[test]
    #[should_panic(expected = "there is no such target")]
    fn a_target_beyond_a_part_is_refused() {
        *Targets::new(None, &mut [0; 9]).part(2, 3).target(3) = 1;
    }

    #[test]
    #[should_panic(expected = "out of range")]
    fn fewer_sources_than_targets_are_refused() {
        let _ = Targets::new(Some(&[0; 3]), &mut [0; 4]);
    }
}
