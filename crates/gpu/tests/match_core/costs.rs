//! What a step costs.

use syncbn_core::Format;
use syncbn_gpu::Family;

use crate::device::{Case, device};
use crate::step::Step;

#[test]
fn a_training_step_takes_six_dispatches_two_submits_and_little_more_than_eight_times_its_bytes() {
    for (family, format) in [
        (Family::Coalesced, Format::Contiguous),
        (Family::Chunked, Format::Contiguous),
        (Family::Chunked, Format::ChannelsLast),
    ] {
        let mut gpu = device(family);
        let case = Case { samples: 8, channels: 64, length: 128 * 128, format, mean: 0.0, std: 1.0 };
        Step::of(case).train(&mut gpu);
        let counters = gpu.counters();
        let bytes = 4 * case.layout().elements() as u64;
        assert_eq!((counters.dispatches, counters.submits), (6, 2));
        let moved = counters.bytes_read + counters.bytes_written;
        assert!(moved >= 8 * bytes && 10 * moved <= 82 * bytes, "{moved} of {bytes} bytes");
    }
}

#[test]
fn a_step_in_its_steady_state_takes_no_memory_and_compiles_nothing() {
    let mut gpu = device(Family::Chunked);
    let step = Step::of(Case { samples: 21, channels: 5, length: 6, format: Format::Contiguous, mean: 0.0, std: 1.0 });
    let mut run = || {
        step.on_one_device(&mut gpu, false);
        step.in_shards(&mut gpu, &[4, 4, 15]);
        (gpu.usage(), gpu.pipelines())
    };
    let first = run();
    for _ in 0..5 {
        assert_eq!(run(), first);
    }
    assert_eq!((first.0.buffers, first.0.bytes_in_use), (0, 0));
}
