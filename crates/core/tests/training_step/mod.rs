//! One training step by the whole passes. Several test programs include this file.

use syncbn_core::{
    Affine, BatchNorm, BatchNormBackward, Gradients, Layout, Numerics, Running, STATISTICS_ROWS, batch_norm,
    batch_norm_backward,
};

/// What a step is given.
#[derive(Clone, Copy)]
pub(crate) struct TrainingStep<'a> {
    pub(crate) layout: Layout,
    pub(crate) numerics: Numerics,
    pub(crate) x: &'a [f32],
    pub(crate) dy: &'a [f32],
    pub(crate) weight: &'a [f32],
    pub(crate) bias: &'a [f32],
    pub(crate) running_mean: &'a [f32],
    pub(crate) running_var: &'a [f32],
    /// Whether y is written over x and dx over dy.
    pub(crate) in_place: bool,
}

/// What it gives; the running statistics are those after it.
pub(crate) struct Trained {
    pub(crate) y: Vec<f32>,
    pub(crate) statistics: Vec<f32>,
    pub(crate) running_mean: Vec<f32>,
    pub(crate) running_var: Vec<f32>,
    pub(crate) dx: Vec<f32>,
    pub(crate) dweight: Vec<f32>,
    pub(crate) dbias: Vec<f32>,
}

pub(crate) const EPS: f64 = 1e-5;
pub(crate) const MOMENTUM: f64 = 0.1;

impl TrainingStep<'_> {
    pub(crate) fn train(&self) -> Trained {
        let &Self { layout, numerics, x, dy, .. } = self;
        let unset = |count: usize| vec![f32::NAN; count];
        let mut statistics = unset(STATISTICS_ROWS * layout.channels());
        let [mut running_mean, mut running_var, mut dweight, mut dbias] = [(); 4].map(|()| unset(layout.channels()));
        let [mut y, mut dx] = [x, dy].map(|given| if self.in_place { given.to_vec() } else { unset(given.len()) });
        let [from_x, from_dy] = [x, dy].map(|given| (!self.in_place).then_some(given));
        let running = Running {
            mean: self.running_mean,
            variance: self.running_var,
            next_mean: &mut running_mean,
            next_variance: &mut running_var,
            momentum: MOMENTUM,
            correction: 1,
        };
        let affine = Affine { weight: Some(self.weight), bias: Some(self.bias) };
        let args = BatchNorm { layout, numerics, eps: EPS, affine, running: Some(running) };
        batch_norm(args, from_x, &mut y, &mut statistics).expect("lengths fit");
        let args =
            BatchNormBackward { layout, statistics: &statistics, weight: Some(self.weight), batch_statistics: true };
        let gradients = Gradients { dx: Some(&mut dx), dweight: Some(&mut dweight), dbias: Some(&mut dbias) };
        batch_norm_backward(&args, from_dy, x, gradients).expect("lengths fit");
        Trained { y, statistics, running_mean, running_var, dx, dweight, dbias }
    }
}

impl Trained {
    /// All results, in the order of the fields.
    pub(crate) fn results(&self) -> [&[f32]; 7] {
        let Self { y, statistics, running_mean, running_var, dx, dweight, dbias } = self;
        [y, statistics, running_mean, running_var, dx, dweight, dbias]
    }
}
