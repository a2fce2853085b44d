//! Which channels are worked on together when all steps run on one device.

use core::ops::Range;

use crate::layout::batch::{Format, Layout, leaf_samples};
use crate::layout::rows::can_be_cut;

/// Values of a group that stay in the second-level cache between the passes: 256 KiB.
pub(crate) const TILE_VALUES: usize = 64 * 1024;
/// Adjacent values of a sample, of all tensors that are reduced together, below which a pass is slowed by its jumps from sample to
/// sample: hardware fetches ahead only within a run. 256 KiB, although a group then may be larger than a second-level cache: runs
/// of 4 KiB take up to twice as long, the whole batch in one group takes a tenth longer where it does not fit into the last cache.
pub(crate) const RUN_VALUES: usize = 64 * 1024;

/// Channels in groups: adjacent values first, cache second. `inputs` tensors are reduced together.
pub(crate) fn channel_groups(layout: &Layout, inputs: usize) -> impl Iterator<Item = Range<usize>> {
    let channels = layout.channels();
    let is_rows = layout.format() == Format::ChannelsLast || leaf_samples(layout.length()) > 1;
    let (run, of_channel) = match layout.format() {
        Format::Contiguous => ((RUN_VALUES / inputs).div_ceil(layout.length()), layout.samples() * layout.length()),
        Format::ChannelsLast => (channels, layout.samples() * layout.length()),
    };
    let group = (TILE_VALUES / of_channel.max(1)).max(run).clamp(1, channels);
    // Rows are cut between vectors or not at all: what is computed of a row must not depend on the group it is in.
    let group = match is_rows {
        true if can_be_cut(channels) => group.next_multiple_of(4),
        true => channels,
        false => group,
    };
    (0..channels).step_by(group).map(move |begin| begin..(begin + group).min(channels))
}
