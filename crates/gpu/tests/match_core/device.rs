//! The adapter of the tests, and tensors on it.

use std::future::Future;
use std::pin::pin;
use std::task::{Context, Poll, Waker};

use syncbn_core::{Format, Layout};
use syncbn_gpu::{Family, Gpu, GpuError, Options};

/// A device; a machine without an adapter fails here.
pub(crate) fn device(family: Family) -> Gpu {
    let (instance, options) = (syncbn_gpu::instance(), Options::default());
    let mut request = pin!(Gpu::request(&instance, &options));
    let Poll::Ready(gpu) = request.as_mut().poll(&mut Context::from_waker(Waker::noop())) else {
        panic!("native adapters are there at once");
    };
    let mut gpu = gpu.expect("an adapter: `npm run setup` installs a software one");
    gpu.set_family(family);
    gpu
}

/// Waits for what has been read back.
pub(crate) fn wait<T>(gpu: &Gpu, reading: impl Future<Output = Result<T, GpuError>>) -> T {
    outcome(gpu, reading).expect("the commands are valid")
}

/// Waits for what has been read back, or for the reason why it cannot be.
pub(crate) fn outcome<T>(gpu: &Gpu, reading: impl Future<Output = Result<T, GpuError>>) -> Result<T, GpuError> {
    gpu.device().poll(wgpu::PollType::wait_indefinitely()).expect("the device answers");
    let mut reading = pin!(reading);
    match reading.as_mut().poll(&mut Context::from_waker(Waker::noop())) {
        Poll::Ready(result) => result,
        Poll::Pending => panic!("all that was submitted is done"),
    }
}

pub(crate) fn upload(gpu: &mut Gpu, values: &[f32]) -> u32 {
    let handle = gpu.allocate(values.len()).expect("room");
    gpu.write(handle, values).expect("a buffer in use");
    handle
}

pub(crate) fn download(gpu: &mut Gpu, handle: u32) -> Vec<f32> {
    let reading = gpu.read(handle).expect("a buffer in use");
    wait(gpu, reading)
}

/// A shape, and where the values lie.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Case {
    pub(crate) samples: usize,
    pub(crate) channels: usize,
    pub(crate) length: usize,
    pub(crate) format: Format,
    pub(crate) mean: f32,
    pub(crate) std: f32,
}

impl Case {
    pub(crate) fn layout(&self) -> Layout {
        Layout::new(self.samples, self.channels, self.length, self.format).expect("a moderate shape")
    }

    /// Values of about this mean and deviation, the same for the same seed.
    pub(crate) fn values(&self, seed: u64, mean: f32, std: f32) -> Vec<f32> {
        let mut state = seed.wrapping_mul(0x9e37_79b9_7f4a_7c15) | 1;
        let uniform = core::iter::repeat_with(|| {
            // Vigna: xorshift64* (2016). The upper bits are the good ones.
            state ^= state >> 12;
            state ^= state << 25;
            state ^= state >> 27;
            let bits = u16::try_from(state.wrapping_mul(0x2545_f491_4f6c_dd1d) >> 48).unwrap_or(0);
            f32::from(bits) / 32768.0 - 1.0
        });
        let elements = self.layout().elements();
        // The sum of three uniform numbers in [−1, 1) has the variance 1.
        uniform
            .take(3 * elements)
            .collect::<Vec<_>>()
            .as_chunks::<3>()
            .0
            .iter()
            .map(|u| mean + std * u.iter().sum::<f32>())
            .collect()
    }
}

/// The grid with nearly constant values, too: the low half of a mean then has digits that no f64 holds beside the high half.
pub(crate) fn cases_to_split() -> Vec<Case> {
    let cases = cases();
    let nearly_constant = cases.iter().map(|case| Case { mean: 1.0, std: 3e-8, ..*case });
    cases.iter().copied().chain(nearly_constant.step_by(2)).collect()
}

/// The grid of shapes: both formats, both kinds of units, whole and cut vectors, one value and many, none at all.
pub(crate) fn cases() -> Vec<Case> {
    let mut shapes = vec![
        (6, 3, 49),
        (70, 17, 1),
        (33, 64, 1),
        (37, 48, 1),
        (21, 8, 6),
        (3, 1, 1000),
        (2, 5, 4099),
        (5, 4, 300),
        (5, 3, 48),
        (0, 3, 7),
        (70, 5, 49),
        (40, 70, 33),
        // More atoms than a workgroup has invocations.
        (601, 2, 40),
        (5, 2, 65_536),
    ];
    for channels in [1, 3, 17, 2048] {
        // One value has no unbiased variance.
        shapes.extend([(2, channels, 1), (1, channels, 2), (1, channels, 49)]);
    }
    // With 2048 channels a tensor of this length has half a gigabyte.
    shapes.extend([(1, 1, 65_536), (1, 17, 65_536)]);
    let mut cases = Vec::new();
    for (samples, channels, length) in shapes {
        for format in [Format::Contiguous, Format::ChannelsLast] {
            // Of what takes long, the harder case.
            let spreads = [(1e4, 1e-2), (0.5, 2.0)];
            for (mean, std) in spreads.into_iter().take(if length < 65_536 { 2 } else { 1 }) {
                cases.push(Case { samples, channels, length, format, mean, std });
            }
        }
    }
    cases
}
