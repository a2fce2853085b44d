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
    fn a_partial_survives_the_journey(batch in batches(), first in 0_u64..1 << 50) {
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
