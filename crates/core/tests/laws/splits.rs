//! N devices ≡ 1 device: however a batch is cut, the merged partial is that of the whole, byte for byte.

use proptest::prelude::*;
use syncbn_core::{Format, KernelError, Partial, backward_reduce, centre_of, deviations, moments, total};

use crate::batch::{Batch, batches, config, layout};

/// Reduces a shard whose first sample has a global number.
type Reduce = fn(&Batch, u64) -> Result<Partial, KernelError>;

/// Cuts a batch and merges what is reduced of the shards.
fn reduce_in_shards(batch: &Batch, cuts: &[f64], reduce: Reduce) -> Partial {
    let samples = batch.layout.samples();
    #[allow(clippy::cast_possible_truncation, clippy::cast_sign_loss, reason = "a part of the number of samples")]
    let mut ends: Vec<usize> = cuts.iter().map(|cut| (cut * (samples as f64 + 1.0)) as usize).collect();
    ends.sort_unstable();
    ends.push(samples);
    let mut begin = 0;
    let mut merged: Option<Partial> = None;
    for end in ends {
        let partial = reduce(&batch.shard(begin..end), begin as u64).expect("lengths fit");
        match &mut merged {
            Some(merged) => merged.merge(partial).expect("adjacent shards"),
            None => merged = Some(partial),
        }
        begin = end;
    }
    merged.expect("at least one shard")
}

fn check(batch: &Batch, cuts: &[f64], reduce: Reduce) -> Result<(), TestCaseError> {
    let whole = reduce(batch, 0).expect("lengths fit");
    let in_shards = reduce_in_shards(batch, cuts, reduce);
    prop_assert_eq!(whole.to_bytes(), in_shards.to_bytes());
    let values = |partial: Partial| -> Vec<u64> {
        partial.finish().expect("a whole batch").values.iter().map(|value| value.to_bits()).collect()
    };
    prop_assert_eq!(values(whole), values(in_shards));
    Ok(())
}

/// Every eighth row is large, among them all those whose middle is the first guess at the mean of a leaf.
#[test]
fn leaves_that_need_a_second_look_get_it_in_any_split() {
    let mut batch = Batch::new(layout(256, 68, 1, Format::ChannelsLast), 1);
    for large in batch.x.as_chunks_mut::<68>().0.iter_mut().step_by(8).flatten() {
        *large += 1000.0;
    }
    check(&batch, &[0.3, 0.5], |shard, first| moments(&shard.x, &shard.layout, first)).expect("equal bits");
}

proptest! {
    #![proptest_config(config(192))]

    #[test]
    fn moments_of_any_split_are_those_of_the_whole(batch in batches(), cuts in cuts()) {
        check(&batch, &cuts, |shard, first| moments(&shard.x, &shard.layout, first))?;
    }

    #[test]
    fn totals_of_any_split_are_those_of_the_whole(batch in batches(), cuts in cuts()) {
        check(&batch, &cuts, |shard, first| total(&shard.x, &shard.layout, first))?;
    }

    #[test]
    fn deviations_of_any_split_are_those_of_the_whole(batch in batches(), cuts in cuts()) {
        check(&batch, &cuts, |shard, first| deviations(&shard.x, &shard.running_mean, &shard.layout, first))?;
    }

    #[test]
    fn backward_sums_of_any_split_are_those_of_the_whole(batch in batches(), cuts in cuts()) {
        check(&batch, &cuts, |shard, first| {
            backward_reduce(&shard.dy, &shard.x, &shard.some_statistics(), &shard.layout, first)
        })?;
    }

    #[test]
    fn a_partial_is_no_longer_than_twice_the_height_of_the_tree(batch in batches(), first in 0_u64..1 << 31) {
        let partial = moments(&batch.x, &batch.layout, first).expect("lengths fit");
        let nodes = 2 * (batch.layout.samples().max(1).ilog2() as usize + 1);
        let edges = 2 * 64 * batch.layout.channels();
        prop_assert!(partial.to_bytes().len() <= 40 + nodes * 16 * batch.layout.channels() + 4 * edges);
    }
}

/// Up to 16 cuts, equal ones among them: 17 shards, some of them empty.
fn cuts() -> impl Strategy<Value = Vec<f64>> {
    prop::collection::vec(prop_oneof![4 => 0.0..1.0, 1 => Just(0.0), 1 => Just(0.5)], 0..=16)
}

#[test]
fn every_split_in_two_is_the_whole_where_samples_share_a_leaf() {
    let batch = Batch::new(layout(70, 3, 1, Format::ChannelsLast), 1);
    let whole = moments(&batch.x, &batch.layout, 0).expect("lengths fit").to_bytes();
    for cut in 0..=70 {
        let mut left = moments(&batch.shard(0..cut).x, &batch.shard(0..cut).layout, 0).expect("lengths fit");
        let right = batch.shard(cut..70);
        left.merge(moments(&right.x, &right.layout, cut as u64).expect("lengths fit")).expect("adjacent");
        assert_eq!(left.to_bytes(), whole, "cut after {cut} samples");
    }
}

#[test]
fn the_centre_of_an_empty_batch_is_zero() {
    let batch = Batch::new(layout(0, 3, 5, Format::Contiguous), 1);
    let merged = total(&batch.x, &batch.layout, 0).and_then(Partial::finish).expect("lengths fit");
    assert_eq!(centre_of(&merged), Ok(vec![0.0; 3]));
}
