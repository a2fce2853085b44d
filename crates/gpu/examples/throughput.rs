//! How fast each family of kernels is, in parts of what a copy kernel reaches in the same run.
//!
//! `cargo run -p syncbn-gpu --example throughput [chunked | coalesced] [shapes]`; a shape is `8x64x16384`, (N, C, L), with
//! `:rows` for channels last.
//! Times of a software adapter say nothing, their ratios do. Told are minima of interleaved rounds.

#![allow(clippy::print_stdout, reason = "the table is what the program is for")]

use std::future::Future;
use std::pin::pin;
use std::task::{Context, Poll, Waker};
use std::time::{Duration, Instant};

use syncbn_core::{Format, Layout, STATISTICS_ROWS};
use syncbn_gpu::{BackwardInput, BatchNorm, BatchNormBackward, Family, Gpu, Normalize, Options};

/// (N, C, L) of `bench/workloads.ts`, and of the smallest and the largest layer of ResNet-50.
const SHAPES: [&str; 13] = [
    "4x16x64",
    "8x64x16384",
    "4x3x65536",
    "32x256x196",
    "16x2048x49",
    "1x256x3136",
    "4096x512x1",
    "128x8192x1",
    "8x64x16384:rows",
    "4x3x65536:rows",
    "32x256x196:rows",
    "1x64x12544",
    "1x2048x49",
];

const ROUNDS: usize = 5;
/// What a sample lasts at least, if the commands are not too many to wait in line.
const SAMPLE: Duration = Duration::from_millis(10);
const MOST_TIMES: u32 = 256;

/// That of `bench/gpu/engines/copy.ts`.
const COPY_SHADER: &str = "
@group(0) @binding(0) var<storage, read> source: array<vec4f>;
@group(0) @binding(1) var<storage, read_write> copied: array<vec4f>;
@compute @workgroup_size(256)
fn copy(@builtin(global_invocation_id) id: vec3u, @builtin(num_workgroups) groups: vec3u) {
  for (var i = id.x; i < arrayLength(&source); i += groups.x * 256u) {
    copied[i] = source[i];
  }
}";

fn main() {
    let mut named: Vec<String> = std::env::args().skip(1).collect();
    let families = match named.first().map(String::as_str) {
        Some("chunked") => vec![Family::Chunked],
        Some("coalesced") => vec![Family::Coalesced],
        _ => vec![Family::Chunked, Family::Coalesced],
    };
    named.retain(|name| name.contains('x'));
    let shapes = if named.is_empty() { SHAPES.map(String::from).into() } else { named };
    let mut gpu = device();
    let copy = copy_pipeline(&gpu);
    println!("{}", gpu.description().name);
    println!(
        "copy in us, then its time over that of moments, normalize, forward, backward_reduce, backward_input, backward"
    );
    for shape in shapes {
        let layout = parse(&shape).expect("a shape such as 8x64x16384:rows");
        for family in families.iter().copied() {
            gpu.set_family(family);
            let times = measure(&mut gpu, &copy, &layout);
            let copy = times[0].as_secs_f64();
            let ratios = times[1..].iter().map(|time| format!("{:7.2}", copy / time.as_secs_f64()));
            println!("{shape:18} {family:9?} {:8.0}  {}", 1e6 * copy, ratios.collect::<String>());
        }
    }
}

fn device() -> Gpu {
    let (instance, options) = (syncbn_gpu::instance(), Options::default());
    ready(Gpu::request(&instance, &options)).expect("an adapter")
}

/// What a future gives that waits for nothing: native adapters and what has been polled for are there at once.
fn ready<T>(future: impl Future<Output = T>) -> T {
    match pin!(future).as_mut().poll(&mut Context::from_waker(Waker::noop())) {
        Poll::Ready(value) => value,
        Poll::Pending => panic!("nothing is waited for"),
    }
}

fn parse(shape: &str) -> Option<Layout> {
    let (sizes, format) = match shape.strip_suffix(":rows") {
        Some(sizes) => (sizes, Format::ChannelsLast),
        None => (shape, Format::Contiguous),
    };
    let mut sizes = sizes.split('x').map(str::parse);
    let mut next = || sizes.next()?.ok();
    Layout::new(next()?, next()?, next()?, format).ok()
}

fn copy_pipeline(gpu: &Gpu) -> wgpu::ComputePipeline {
    let source = wgpu::ShaderSource::Wgsl(COPY_SHADER.into());
    let module = gpu.device().create_shader_module(wgpu::ShaderModuleDescriptor { label: None, source });
    gpu.device().create_compute_pipeline(&wgpu::ComputePipelineDescriptor {
        label: None,
        layout: None,
        module: &module,
        entry_point: None,
        compilation_options: wgpu::PipelineCompilationOptions::default(),
        cache: None,
    })
}

/// Minimal times of copy, moments, normalize, forward, `backward_reduce`, `backward_input` and backward.
fn measure(gpu: &mut Gpu, copy: &wgpu::ComputePipeline, layout: &Layout) -> [Duration; 7] {
    let (elements, channels) = (layout.elements(), layout.channels());
    let [x, y, dy] = [(); 3].map(|()| gpu.allocate(elements).expect("room"));
    for buffer in [x, dy] {
        let values: Vec<f32> = (0_u16..=999).cycle().take(elements).map(|i| f32::from(i) / 500.0 - 1.0).collect();
        gpu.write(buffer, &values).expect("a buffer in use");
    }
    let statistics = gpu.allocate(STATISTICS_ROWS * channels).expect("room");
    let [weight, dweight, dbias] = [(); 3].map(|()| gpu.allocate(channels).expect("room"));
    gpu.fill(weight, 1.0).expect("valid");
    let normalize = Normalize { x, y, layout: *layout, statistics, weight, bias: weight };
    let input = BackwardInput { x, dy, dx: y, layout: *layout, statistics, weight };
    let batch_norm = BatchNorm { normalize, eps: 1e-5, running: None };
    let backward = BatchNormBackward { input, dweight, dbias, batch_statistics: true };
    gpu.batch_norm(&batch_norm).expect("valid");
    let sums = gpu.backward_reduce(dy, x, statistics, layout, 0).expect("valid");
    gpu.device().poll(wgpu::PollType::wait_indefinitely()).expect("the device answers");
    let sums = ready(sums).expect("valid");
    let mut times = [Duration::MAX; 7];
    for _ in 0..ROUNDS {
        let buffers = [x, y].map(|handle| gpu.share(handle).expect("a buffer in use").clone());
        let round = [
            time(gpu, |gpu| run_copy(gpu, copy, &buffers, elements)),
            time(gpu, |gpu| drop(gpu.moments(x, layout, 0).expect("valid"))),
            time(gpu, |gpu| gpu.normalize(&normalize).expect("valid")),
            time(gpu, |gpu| gpu.batch_norm(&batch_norm).expect("valid")),
            time(gpu, |gpu| drop(gpu.backward_reduce(dy, x, statistics, layout, 0).expect("valid"))),
            time(gpu, |gpu| gpu.backward_input(&input, Some(&sums), None).expect("valid")),
            time(gpu, |gpu| gpu.batch_norm_backward(&backward).expect("valid")),
        ];
        times = core::array::from_fn(|i| times[i].min(round[i]));
    }
    [x, y, dy, statistics, weight, dweight, dbias]
        .into_iter()
        .for_each(|handle| gpu.release(handle).expect("a buffer in use"));
    times
}

/// Time of a command. Short ones are given one after the other, more and more of them, so that the way to the device and its
/// answer, once for all of them, weigh little.
fn time(gpu: &mut Gpu, mut command: impl FnMut(&mut Gpu)) -> Duration {
    let mut times = 1;
    loop {
        let begin = Instant::now();
        (0..times).for_each(|_| command(gpu));
        gpu.device().poll(wgpu::PollType::wait_indefinitely()).expect("the device answers");
        let elapsed = begin.elapsed();
        if elapsed >= SAMPLE || times == MOST_TIMES {
            return elapsed / times;
        }
        times *= 2;
    }
}

fn run_copy(gpu: &Gpu, pipeline: &wgpu::ComputePipeline, [source, target]: &[wgpu::Buffer; 2], elements: usize) {
    let entries = [(0, source), (1, target)]
        .map(|(binding, buffer)| wgpu::BindGroupEntry { binding, resource: buffer.as_entire_binding() });
    let layout = pipeline.get_bind_group_layout(0);
    let bind_group =
        gpu.device().create_bind_group(&wgpu::BindGroupDescriptor { label: None, layout: &layout, entries: &entries });
    let mut encoder = gpu.device().create_command_encoder(&wgpu::CommandEncoderDescriptor::default());
    let mut pass = encoder.begin_compute_pass(&wgpu::ComputePassDescriptor::default());
    pass.set_pipeline(pipeline);
    pass.set_bind_group(0, &bind_group, &[]);
    let workgroups = u32::try_from(elements.div_ceil(1024)).unwrap_or(u32::MAX).min(65535);
    pass.dispatch_workgroups(workgroups, 1, 1);
    drop(pass);
    gpu.queue().submit([encoder.finish()]);
}
