//! A training step of one layer: on the device in one, on it in shards, and in core.

use syncbn_core::{Layout, STATISTICS_ROWS};
use syncbn_gpu::{BackwardInput, BatchNorm, BatchNormBackward, Gpu, Guard, Normalize, Running};

use crate::device::{Case, download, upload, wait};

pub(crate) const EPS: f64 = 1e-5;
pub(crate) const MOMENTUM: f64 = 0.1;

/// The tensors that go in.
#[derive(Clone)]
pub(crate) struct Step {
    pub(crate) case: Case,
    pub(crate) x: Vec<f32>,
    pub(crate) dy: Vec<f32>,
    pub(crate) weight: Vec<f32>,
    pub(crate) bias: Vec<f32>,
    pub(crate) running_mean: Vec<f32>,
    pub(crate) running_var: Vec<f32>,
}

/// The tensors that come out.
pub(crate) struct Outcome {
    /// Four rows of C values.
    pub(crate) statistics: Vec<f32>,
    pub(crate) y: Vec<f32>,
    pub(crate) running_mean: Vec<f32>,
    pub(crate) running_var: Vec<f32>,
    pub(crate) dx: Vec<f32>,
    pub(crate) dweight: Vec<f32>,
    pub(crate) dbias: Vec<f32>,
}

impl Step {
    pub(crate) fn of(case: Case) -> Self {
        let vector = |seed, mean, std| Case { samples: 1, length: 1, ..case }.values(seed, mean, std);
        Self {
            case,
            x: case.values(1, case.mean, case.std),
            dy: case.values(2, 0.1, 1.0),
            weight: vector(3, 1.0, 0.3),
            bias: vector(4, 0.0, 1.0),
            // Far from what is added: a relative tolerance says nothing of terms that cancel.
            running_mean: vector(5, 10.0, 1.0),
            running_var: vector(6, 5.0, 0.5),
        }
    }

    /// Both passes on one device, and nothing else.
    pub(crate) fn train(&self, gpu: &mut Gpu) {
        let layout = self.case.layout();
        let Shard { x, y, dy, dx, statistics } = Shard::new(gpu, self, &layout, 0..layout.samples(), false);
        let Vectors { weight, bias, running, dweight, dbias } = Vectors::new(gpu, self);
        let normalize = Normalize { x, y, layout, statistics, weight, bias };
        gpu.batch_norm(&BatchNorm { normalize, eps: EPS, running: Some(running) }).expect("valid");
        let input = BackwardInput { x, dy, dx, layout, statistics, weight };
        gpu.batch_norm_backward(&BatchNormBackward { input, dweight, dbias, batch_statistics: true }).expect("valid");
    }

    /// On one device, the results written over the inputs or not.
    pub(crate) fn on_one_device(&self, gpu: &mut Gpu, in_place: bool) -> Outcome {
        let layout = self.case.layout();
        let shard = Shard::new(gpu, self, &layout, 0..layout.samples(), in_place);
        let vectors = Vectors::new(gpu, self);
        let Shard { x, y, dy, dx, statistics } = shard;
        let Vectors { weight, bias, running, dweight, dbias } = vectors;
        let normalize = Normalize { x, y, layout, statistics, weight, bias };
        gpu.batch_norm(&BatchNorm { normalize, eps: EPS, running: Some(running) }).expect("valid");
        let output = download(gpu, y);
        if in_place {
            gpu.write(x, &self.x).expect("a buffer in use");
        }
        let input = BackwardInput { x, dy, dx, layout, statistics, weight };
        gpu.batch_norm_backward(&BatchNormBackward { input, dweight, dbias, batch_statistics: true }).expect("valid");
        let outcome = Outcome {
            statistics: download(gpu, statistics),
            y: output,
            running_mean: download(gpu, running.next_mean),
            running_var: download(gpu, running.next_variance),
            dx: download(gpu, dx),
            dweight: download(gpu, dweight),
            dbias: download(gpu, dbias),
        };
        shard.release(gpu);
        vectors.release(gpu);
        outcome
    }

    /// What commands give that are all given before any is awaited, memory being freed and used again between them: a partial, the
    /// output, and a tensor that is written, overwritten and read. `meanwhile` runs before the answers are awaited.
    pub(crate) fn moments_and_outputs(&self, gpu: &mut Gpu, meanwhile: impl FnOnce(&mut Gpu)) -> Vec<Vec<f32>> {
        let layout = self.case.layout();
        let shard = Shard::new(gpu, self, &layout, 0..layout.samples(), false);
        let vectors = Vectors::new(gpu, self);
        let Shard { x, y, statistics, .. } = shard;
        let normalize = Normalize { x, y, layout, statistics, weight: vectors.weight, bias: vectors.bias };
        gpu.batch_norm(&BatchNorm { normalize, eps: EPS, running: Some(vectors.running) }).expect("valid");
        let output = gpu.read(y).expect("a buffer in use");
        let partial = gpu.moments(x, &layout, 0).expect("valid");
        gpu.fill(y, 0.5).expect("valid");
        gpu.add(y, x, y).expect("valid");
        let sum = gpu.read(y).expect("a buffer in use");
        gpu.write(y, &self.dy).expect("a buffer in use");
        let written = gpu.read(y).expect("a buffer in use");
        shard.release(gpu);
        vectors.release(gpu);
        let again = upload(gpu, &self.x);
        gpu.fill(again, 3.0).expect("valid");
        meanwhile(gpu);
        let partial = wait(gpu, partial).iter().map(|byte| f32::from(*byte)).collect();
        let results = vec![wait(gpu, output), partial, wait(gpu, sum), wait(gpu, written), download(gpu, again)];
        gpu.release(again).expect("a buffer in use");
        results
    }

    /// On several devices, which are one here: nothing but bytes passes between the shards.
    pub(crate) fn in_shards(&self, gpu: &mut Gpu, cuts: &[usize]) -> Outcome {
        let whole = self.case.layout();
        let bounds: Vec<usize> = [0].into_iter().chain(cuts.iter().copied()).chain([whole.samples()]).collect();
        let layouts: Vec<Layout> =
            bounds.windows(2).map(|bound| Case { samples: bound[1] - bound[0], ..self.case }.layout()).collect();
        let shards: Vec<Shard> = bounds
            .windows(2)
            .zip(&layouts)
            .map(|(bound, layout)| Shard::new(gpu, self, layout, bound[0]..bound[1], false))
            .collect();
        let vectors = Vectors::new(gpu, self);
        let Vectors { weight, bias, running, dweight, dbias } = vectors;
        let mut merged = Vec::new();
        for ((shard, layout), first) in shards.iter().zip(&layouts).zip(&bounds) {
            let partial = gpu.moments(shard.x, layout, *first as u64).expect("valid");
            merged.extend(wait(gpu, partial));
        }
        let mut outcome = Outcome {
            statistics: Vec::new(),
            y: Vec::new(),
            running_mean: Vec::new(),
            running_var: Vec::new(),
            dx: Vec::new(),
            dweight: Vec::new(),
            dbias: Vec::new(),
        };
        for (shard, layout) in shards.iter().zip(&layouts) {
            let Shard { x, y, statistics, .. } = *shard;
            gpu.finalize(&merged, Guard { eps: EPS, clamps: false }, statistics).expect("valid");
            gpu.normalize(&Normalize { x, y, layout: *layout, statistics, weight, bias }).expect("valid");
            outcome.y.extend(download(gpu, y));
        }
        gpu.update_running(&merged, &running).expect("valid");
        let mut sums = Vec::new();
        for ((shard, layout), first) in shards.iter().zip(&layouts).zip(&bounds) {
            let partial =
                gpu.backward_reduce(shard.dy, shard.x, shard.statistics, layout, *first as u64).expect("valid");
            sums.extend(wait(gpu, partial));
        }
        for (shard, layout) in shards.iter().zip(&layouts) {
            let Shard { x, dy, dx, statistics, .. } = *shard;
            let args = BackwardInput { x, dy, dx, layout: *layout, statistics, weight };
            gpu.backward_input(&args, Some(&sums), None).expect("valid");
            outcome.dx.extend(download(gpu, dx));
        }
        gpu.backward_parameters(&sums, shards[0].statistics, dweight, dbias).expect("valid");
        outcome.statistics = download(gpu, shards[0].statistics);
        outcome.running_mean = download(gpu, running.next_mean);
        outcome.running_var = download(gpu, running.next_variance);
        outcome.dweight = download(gpu, dweight);
        outcome.dbias = download(gpu, dbias);
        shards.into_iter().for_each(|shard| shard.release(gpu));
        vectors.release(gpu);
        outcome
    }
}

/// Buffers of some samples.
struct Shard {
    x: u32,
    y: u32,
    dy: u32,
    dx: u32,
    statistics: u32,
}

impl Shard {
    fn new(gpu: &mut Gpu, step: &Step, layout: &Layout, samples: core::ops::Range<usize>, in_place: bool) -> Self {
        let stride = step.case.channels * step.case.length;
        let values = samples.start * stride..samples.end * stride;
        let x = upload(gpu, &step.x[values.clone()]);
        let dy = upload(gpu, &step.dy[values]);
        let (y, dx) =
            if in_place { (x, dy) } else { [(); 2].map(|()| gpu.allocate(layout.elements()).expect("room")).into() };
        let statistics = gpu.allocate(STATISTICS_ROWS * layout.channels()).expect("room");
        Self { x, y, dy, dx, statistics }
    }

    fn release(self, gpu: &mut Gpu) {
        let mut handles = vec![self.x, self.y, self.dy, self.dx, self.statistics];
        handles.sort_unstable();
        handles.dedup();
        handles.into_iter().for_each(|handle| gpu.release(handle).expect("a buffer in use"));
    }
}

/// Buffers of C values.
struct Vectors {
    weight: u32,
    bias: u32,
    running: Running,
    dweight: u32,
    dbias: u32,
}

impl Vectors {
    fn new(gpu: &mut Gpu, step: &Step) -> Self {
        let mut empty = || gpu.allocate(step.case.channels).expect("room");
        let [next_mean, next_variance, dweight, dbias] = [empty(), empty(), empty(), empty()];
        Self {
            weight: upload(gpu, &step.weight),
            bias: upload(gpu, &step.bias),
            running: Running {
                mean: upload(gpu, &step.running_mean),
                variance: upload(gpu, &step.running_var),
                next_mean,
                next_variance,
                momentum: MOMENTUM,
                correction: 1,
            },
            dweight,
            dbias,
        }
    }

    fn release(self, gpu: &mut Gpu) {
        let Running { mean, variance, next_mean, next_variance, .. } = self.running;
        let handles = [self.weight, self.bias, mean, variance, next_mean, next_variance, self.dweight, self.dbias];
        handles.into_iter().for_each(|handle| gpu.release(handle).expect("a buffer in use"));
    }
}
