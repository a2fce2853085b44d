//! A batch-norm layer made of the library's kernels, just large enough to run golden cases.

use syncbn_core::{
    Affine, BatchNorm, BatchNormBackward, Format, Gradients, KernelError, Layout, Numerics, Running, batch_norm,
    batch_norm_backward, evaluation_statistics, normalize,
};

use crate::data::{Case, Step};
use crate::reference::{Mode, Shape};

/// State of the layer, absent where the layer has none.
#[derive(Debug, Clone)]
pub(crate) struct Layer {
    pub(crate) weight: Option<Vec<f32>>,
    pub(crate) bias: Option<Vec<f32>>,
    /// `running_mean` and `running_var`.
    pub(crate) running: Option<[Vec<f32>; 2]>,
    batches_tracked: u32,
}

/// How a case is run.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Variant {
    pub(crate) numerics: Numerics,
    pub(crate) format: Format,
}

/// Results of a step in logical order (N, C, L).
#[derive(Debug)]
pub(crate) struct Outcome {
    pub(crate) y: Vec<f32>,
    pub(crate) dx: Vec<f32>,
    pub(crate) dweight: Vec<f32>,
    pub(crate) dbias: Vec<f32>,
}

impl Layer {
    /// The layer with the state that the case begins with.
    pub(crate) fn new(case: &Case) -> Self {
        let c = case.num_features;
        let options = &case.options;
        let state =
            |name: &str, default: f32| case.initial.get(name).map_or_else(|| vec![default; c], |spec| spec.array(c));
        Self {
            weight: options.affine.then(|| state("weight", 1.0)),
            bias: options.bias.then(|| state("bias", 0.0)),
            running: options.track_running_stats.then(|| [state("running_mean", 0.0), state("running_var", 1.0)]),
            batches_tracked: 0,
        }
    }

    /// w of channel c.
    pub(crate) fn weight(&self, c: usize) -> f64 {
        self.weight.as_ref().map_or(1.0, |weight| f64::from(weight[c]))
    }

    /// b of channel c.
    pub(crate) fn bias(&self, c: usize) -> f64 {
        self.bias.as_ref().map_or(0.0, |bias| f64::from(bias[c]))
    }

    /// The mode of the next step; counts the batch, if batches are counted.
    pub(crate) fn begin(&mut self, case: &Case, step: &Step) -> Mode {
        let tracked = step.training && self.running.is_some() && !case.untracked_afterwards;
        self.batches_tracked += u32::from(tracked);
        let momentum = case.options.momentum.unwrap_or(1.0 / f64::from(self.batches_tracked.max(1)));
        Mode { batch_statistics: step.training || self.running.is_none(), momentum: tracked.then_some(momentum) }
    }

    /// Forward and backward through the kernels; the running statistics are updated.
    pub(crate) fn step(
        &mut self,
        x: &[f32],
        dy: &[f32],
        shape: Shape,
        eps: f64,
        mode: Mode,
        variant: Variant,
    ) -> Result<Outcome, KernelError> {
        let layout = Layout::new(shape.0, shape.1, shape.2, variant.format)?;
        let (x, dy) = (to_memory(x, shape, variant.format), to_memory(dy, shape, variant.format));
        let mut y = vec![f32::NAN; x.len()];
        let mut statistics = vec![f32::NAN; syncbn_core::STATISTICS_ROWS * shape.1];
        let affine = Affine { weight: self.weight.as_deref(), bias: self.bias.as_deref() };
        let numerics = variant.numerics;
        match &mut self.running {
            Some([mean, variance]) if !mode.batch_statistics => {
                evaluation_statistics(mean, variance, numerics, eps, &mut statistics)?;
                normalize(Some(&x), &mut y, &layout, numerics, &statistics, &affine)?;
            }
            rows => {
                let mut next = rows.clone();
                let running = match (rows.as_ref(), next.as_mut(), mode.momentum) {
                    (Some([mean, variance]), Some([next_mean, next_variance]), Some(momentum)) => {
                        Some(Running { mean, variance, next_mean, next_variance, momentum, correction: 1 })
                    }
                    _ => None,
                };
                batch_norm(BatchNorm { layout, numerics, eps, affine, running }, Some(&x), &mut y, &mut statistics)?;
                *rows = next;
            }
        }
        let mut dx = vec![f32::NAN; x.len()];
        let [mut dweight, mut dbias] = [(); 2].map(|()| vec![f32::NAN; shape.1]);
        let args = BatchNormBackward {
            layout,
            statistics: &statistics,
            weight: self.weight.as_deref(),
            batch_statistics: mode.batch_statistics,
        };
        let gradients = Gradients { dx: Some(&mut dx), dweight: Some(&mut dweight), dbias: Some(&mut dbias) };
        batch_norm_backward(&args, Some(&dy), &x, gradients)?;
        let [y, dx] = [y, dx].map(|values| to_logical(&values, shape, variant.format));
        Ok(Outcome { y, dx, dweight, dbias })
    }
}

/// From the logical order (N, C, L) to the order of `format`.
fn to_memory(values: &[f32], shape: Shape, format: Format) -> Vec<f32> {
    (0..values.len()).map(|i| values[logical_number(i, shape, format)]).collect()
}

/// And back.
fn to_logical(values: &[f32], shape: Shape, format: Format) -> Vec<f32> {
    let mut logical = vec![f32::NAN; values.len()];
    for (i, value) in values.iter().enumerate() {
        logical[logical_number(i, shape, format)] = *value;
    }
    logical
}

/// Which element of the logical order stands at place `i` of the memory.
fn logical_number(i: usize, (_, channels, length): Shape, format: Format) -> usize {
    match format {
        Format::Contiguous => i,
        Format::ChannelsLast => {
            let (sample, position, channel) = (i / (channels * length), i / channels % length, i % channels);
            (sample * channels + channel) * length + position
        }
    }
}
