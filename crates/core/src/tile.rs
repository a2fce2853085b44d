//! Which channels are worked on together when all steps run on one device.

use core::ops::Range;

use crate::layout::{Format, Layout, leaf_samples};
use crate::rows::WIDE;

/// Values that should stay cached between the passes: half of a usual second-level cache.
const TILE_VALUES: usize = 128 * 1024 / 4 * 2;
/// Adjacent values below which a pass over memory is slowed by its jumps.
const RUN_VALUES: usize = 1024;

/// Channels in groups: adjacent values first, cache second.
pub(crate) fn channel_groups(layout: &Layout) -> impl Iterator<Item = Range<usize>> {
    let channels = layout.channels();
    let is_rows = layout.format() == Format::ChannelsLast || leaf_samples(layout.length()) > 1;
    let (run, of_channel) = match layout.format() {
        Format::Contiguous => (RUN_VALUES.div_ceil(layout.length()), layout.samples() * layout.length()),
        Format::ChannelsLast => (channels, layout.samples() * layout.length()),
    };
    let group = (TILE_VALUES / of_channel.max(1)).max(run).clamp(1, channels);
    // Rows are cut between vectors or not at all: what is computed of a row must not depend on the group it is in.
    let group = match is_rows {
        true if channels >= WIDE && channels.is_multiple_of(4) => group.next_multiple_of(4),
        true => channels,
        false => group,
    };
    (0..channels).step_by(group).map(move |begin| begin..(begin + group).min(channels))
}
