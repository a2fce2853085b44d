//! Partials are a monoid: merging is associative, and a partial without samples is the identity.

use proptest::prelude::*;
use syncbn_core::{Format, KernelError, Kind, Partial, moments, total};

use crate::batch::{Batch, batches, config, layout};

fn partial(batch: &Batch, begin: usize, end: usize) -> Partial {
    let shard = batch.shard(begin..end);
    moments(&shard.x, &shard.layout, begin as u64).expect("lengths fit")
}

fn merge(mut left: Partial, right: Partial) -> Partial {
    left.merge(right).expect("adjacent");
    left
}

proptest! {
    #![proptest_config(config(192))]

    #[test]
    fn merging_is_associative(batch in batches(), one in 0.0..1.0, other in 0.0..1.0) {
        let samples = batch.layout.samples();
        #[allow(clippy::cast_possible_truncation, clippy::cast_sign_loss, reason = "a part of the number of samples")]
        let [one, other] = [one, other].map(|part: f64| (part * samples as f64) as usize);
        let (first, second) = (one.min(other), one.max(other));
        let [a, b, c] = [(0, first), (first, second), (second, samples)].map(|(begin, end)| partial(&batch, begin, end));
        let left_first = merge(merge(a.clone(), b.clone()), c.clone());
        let right_first = merge(a, merge(b, c));
        prop_assert_eq!(left_first.to_bytes(), right_first.to_bytes());
    }

    #[test]
    fn a_partial_without_samples_changes_nothing(batch in batches(), place in 0_u64..100) {
        let whole = partial(&batch, 0, batch.layout.samples());
        let empty = batch.shard(0..0);
        let nothing = moments(&empty.x, &empty.layout, place).expect("lengths fit");
        prop_assert_eq!(merge(whole.clone(), nothing.clone()).to_bytes(), whole.to_bytes());
        if batch.layout.samples() > 0 {
            prop_assert_eq!(merge(nothing, whole.clone()).to_bytes(), whole.to_bytes());
        }
    }
}

fn batch() -> Batch {
    Batch::new(layout(9, 2, 5, Format::Contiguous), 3)
}

#[test]
fn a_gap_between_partials_is_refused() {
    let batch = batch();
    let gap = KernelError::Gap { expected: 3, actual: 4 };
    assert_eq!(partial(&batch, 0, 3).merge(partial(&batch, 4, 9)), Err(gap));
}

#[test]
fn an_overlap_of_partials_is_refused() {
    let batch = batch();
    let gap = KernelError::Gap { expected: 3, actual: 2 };
    assert_eq!(partial(&batch, 0, 3).merge(partial(&batch, 2, 9)), Err(gap));
}

#[test]
fn a_partial_that_lacks_the_first_sample_is_not_finished() {
    assert_eq!(partial(&batch(), 3, 9).finish(), Err(KernelError::Gap { expected: 0, actual: 3 }));
}

#[test]
fn partials_of_different_kinds_do_not_merge() {
    let batch = batch();
    let other = total(&batch.x, &batch.layout, 9).expect("lengths fit");
    let kinds = KernelError::Kind { expected: Kind::Moments, actual: Kind::Total };
    assert_eq!(partial(&batch, 0, 9).merge(other), Err(kinds));
}

#[test]
fn partials_of_different_batches_do_not_merge() {
    let of = |channels, length, centre: &[f32]| {
        let batch = Batch::new(layout(4, channels, length, Format::Contiguous), 3);
        syncbn_core::deviations(&batch.x, centre, &batch.layout, 4).expect("lengths fit")
    };
    let mut left = of(2, 5, &[0.5, 0.5]);
    let right = |other: Partial| left.clone().merge(other);
    let differing = |what| Err(KernelError::Mismatch { what });
    assert_eq!(right(of(3, 5, &[0.5; 3])), differing("channels"));
    assert_eq!(right(of(2, 6, &[0.5, 0.5])), differing("length"));
    assert_eq!(right(of(2, 5, &[0.5, 0.25])), differing("centre"));
    assert_eq!(left.merge(of(2, 5, &[0.5, 0.5])), Err(KernelError::Gap { expected: 8, actual: 4 }));
}
