//! Partials travel as bytes and arrive as they were, or not at all.

use proptest::prelude::*;
use syncbn_core::{Format, KernelError, Partial, backward_reduce, deviations, moments, total};

use crate::batch::{Batch, batches, config, layout};

/// A partial of each kind, from a place in the middle of a batch.
fn partials(batch: &Batch, first: u64) -> [Partial; 4] {
    let (x, layout) = (&batch.x, &batch.layout);
    [
        moments(x, layout, first),
        total(x, layout, first),
        deviations(x, &batch.running_mean, layout, first),
        backward_reduce(&batch.dy, x, &batch.some_statistics(), layout, first),
    ]
    .map(|partial| partial.expect("lengths fit"))
}

fn is_refused(bytes: &[u8]) -> bool {
    matches!(Partial::from_bytes(bytes), Err(KernelError::Damaged { .. }))
}

proptest! {
    #![proptest_config(config(256))]

    #[test]
    fn a_partial_survives_the_journey(batch in batches(), first in 0_u64..1 << 31) {
        for partial in partials(&batch, first) {
            let arrived = Partial::from_bytes(&partial.to_bytes()).expect("its own bytes");
            prop_assert_eq!(arrived.to_bytes(), partial.to_bytes());
            prop_assert_eq!((arrived.kind(), arrived.channels()), (partial.kind(), partial.channels()));
            prop_assert_eq!((arrived.first_sample(), arrived.samples()), (first, batch.layout.samples() as u64));
        }
    }

    #[test]
    fn bytes_that_are_cut_or_prolonged_are_refused(batch in batches(), first in 0_u64..100, part in 0.0..1.0) {
        for partial in partials(&batch, first) {
            let mut bytes = partial.to_bytes();
            #[allow(clippy::cast_possible_truncation, clippy::cast_sign_loss, reason = "a part of the length")]
            let kept = (part * bytes.len() as f64) as usize;
            prop_assert!(is_refused(&bytes[..kept]));
            bytes.push(0);
            prop_assert!(is_refused(&bytes));
        }
    }

    #[test]
    fn a_damaged_header_is_refused_or_means_another_partial(
        seed in any::<u64>(), place in 0_usize..40, damage in 1_u8..=255,
    ) {
        let batch = Batch::new(layout(5, 3, 7, Format::Contiguous), seed);
        for partial in partials(&batch, 2) {
            let good = partial.to_bytes();
            let mut bytes = good.clone();
            bytes[place] ^= damage;
            if let Ok(other) = Partial::from_bytes(&bytes) {
                prop_assert_eq!(other.to_bytes(), bytes);
            }
        }
    }

    #[test]
    fn no_bytes_make_the_reader_panic(bytes in prop::collection::vec(any::<u8>(), 0..200)) {
        let _ = Partial::from_bytes(&bytes);
        let marked = [b"SBN1\x01\0\0\0".as_slice(), &bytes].concat();
        let _ = Partial::from_bytes(&marked).map(Partial::finish);
        let _ = Partial::merge_bytes(&marked);
    }

    #[test]
    fn partials_laid_end_to_end_merge(batch in batches(), part in 0.0..1.0) {
        #[allow(clippy::cast_possible_truncation, clippy::cast_sign_loss, reason = "a part of the number of samples")]
        let cut = (part * batch.layout.samples() as f64) as usize;
        let [left, right] = [batch.shard(0..cut), batch.shard(cut..batch.layout.samples())];
        let bytes = partials(&left, 0).iter().zip(&partials(&right, cut as u64)).map(|(left, right)| {
            Partial::merge_bytes(&[left.to_bytes(), right.to_bytes()].concat()).expect("adjacent").to_bytes()
        }).collect::<Vec<_>>();
        prop_assert_eq!(bytes, partials(&batch, 0).map(|partial| partial.to_bytes()).to_vec());
    }
}

#[test]
fn no_bytes_are_not_a_partial() {
    assert!(is_refused(&[]));
    assert_eq!(Partial::merge_bytes(&[]).err(), Partial::from_bytes(&[]).err());
}

/// The bytes of a partial of moments with one channel and as many nodes as are asked for.
fn bytes_of(length: u64, first: u64, samples: u64, nodes: usize) -> Vec<u8> {
    let numbers = [1, length, first, samples].into_iter().flat_map(u64::to_le_bytes);
    let values = (0..2 * nodes).flat_map(|_| 1.0_f64.to_le_bytes());
    b"SBN1\x01\0\0\0".iter().copied().chain(numbers).chain(values).collect()
}

#[test]
fn more_samples_than_a_batch_can_have_are_refused_before_any_work() {
    let most = u64::from(u32::MAX);
    assert!(Partial::from_bytes(&bytes_of(32, 0, 1 << 31, 1)).is_ok(), "the largest single node");
    assert!(Partial::from_bytes(&bytes_of(32, 0, most, 32)).is_ok(), "the largest batch");
    let refused = [
        (32, 0, 1 << 32, 1),
        (32, 0, 1 << 45, 1),
        (32, most, 1, 1),
        (32, 1 << 45, 0, 0),
        (32, 0, 1 << 53, 1),
        (32, 0, u64::MAX, 64),
        (32, u64::MAX, u64::MAX, 1),
        (32, 1, u64::MAX, 1),
        (most, 0, most, 32),
        (most, 0, 1 << 22, 1),
    ];
    for (length, first, samples, nodes) in refused {
        let partial = Partial::from_bytes(&bytes_of(length, first, samples, nodes));
        let damaged = Err(KernelError::Damaged { reason: "a batch cannot have so many samples" });
        assert_eq!(partial, damaged, "L = {length}, {samples} samples from {first} on");
    }
}

#[test]
fn nodes_that_the_samples_do_not_make_are_refused() {
    for (samples, nodes) in [(3, 2), (7, 3), (1 << 31, 1)] {
        assert!(Partial::from_bytes(&bytes_of(32, 0, samples, nodes)).is_ok());
        for wrong in [nodes - 1, nodes + 1, 2 * nodes + 1] {
            assert!(is_refused(&bytes_of(32, 0, samples, wrong)), "{samples} samples in {wrong} nodes");
        }
    }
}
