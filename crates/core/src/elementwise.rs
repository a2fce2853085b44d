//! Functions of single elements whose parameters depend on the channel: one walk over a batch for all of them.
//!
//! Planes have one set of parameters each. Rows have one per column; narrow rows are taken several at a time, with the
//! parameters repeated, so that the inner loop is long and whole vectors are used. Unlike in reductions nothing that is
//! done here can change a result.

use core::ops::{Add, Mul, Range, Sub};

use crate::layout::{Format, Layout};
use crate::simd::Lanes;

/// Columns from which a row is long enough by itself.
const WIDE: usize = 64;

/// What vectors and single values have in common.
pub(crate) trait Arithmetic: Copy + Add<Output = Self> + Sub<Output = Self> + Mul<Output = Self> {}

impl<T: Copy + Add<Output = T> + Sub<Output = T> + Mul<Output = T>> Arithmetic for T {}

/// A function of `INPUTS` elements and `PARAMETERS` of their channel.
pub(crate) trait Element<const INPUTS: usize, const PARAMETERS: usize> {
    fn of_vectors<V: Lanes>(inputs: [V; INPUTS], parameters: [V; PARAMETERS]) -> V;

    fn of_scalars(inputs: [f32; INPUTS], parameters: [f32; PARAMETERS]) -> f32;

    /// Whether vectors give what scalars give. If not, the channel is computed by scalars.
    fn fits_vectors(_parameters: &[f32; PARAMETERS]) -> bool {
        true
    }
}

/// The tensors of a walk. Without the first input `out` holds it and is overwritten.
pub(crate) struct Tensors<'a, const INPUTS: usize> {
    pub(crate) inputs: [&'a [f32]; INPUTS],
    pub(crate) in_place: bool,
    pub(crate) out: &'a mut [f32],
}

impl<'a, const INPUTS: usize> Tensors<'a, INPUTS> {
    pub(crate) fn new(first: Option<&'a [f32]>, others: [&'a [f32]; INPUTS], out: &'a mut [f32]) -> Self {
        let mut inputs = others;
        inputs[0] = first.unwrap_or_default();
        Self { inputs, in_place: first.is_none(), out }
    }
}

/// Computes some channels of a batch; `parameters` holds those channels alone.
pub(crate) fn map_channels<V, E, const INPUTS: usize, const PARAMETERS: usize>(
    tensors: Tensors<'_, INPUTS>,
    layout: &Layout,
    channels: Range<usize>,
    parameters: &[[f32; PARAMETERS]],
) where
    V: Lanes,
    E: Element<INPUTS, PARAMETERS>,
{
    if tensors.in_place {
        Walk::<V, E, INPUTS, PARAMETERS, true>::channels(tensors, layout, channels, parameters);
    } else {
        Walk::<V, E, INPUTS, PARAMETERS, false>::channels(tensors, layout, channels, parameters);
    }
}

struct Walk<V, E, const INPUTS: usize, const PARAMETERS: usize, const IN_PLACE: bool>(
    core::marker::PhantomData<(V, E)>,
);

impl<V, E, const INPUTS: usize, const PARAMETERS: usize, const IN_PLACE: bool> Walk<V, E, INPUTS, PARAMETERS, IN_PLACE>
where
    V: Lanes,
    E: Element<INPUTS, PARAMETERS>,
{
    fn channels(
        tensors: Tensors<'_, INPUTS>,
        layout: &Layout,
        channels: Range<usize>,
        parameters: &[[f32; PARAMETERS]],
    ) {
        let Tensors { inputs, out, .. } = tensors;
        let (all, length, width) = (layout.channels(), layout.length(), channels.len());
        match layout.format() {
            Format::Contiguous => {
                for sample in 0..layout.samples() {
                    let begin = (sample * all + channels.start) * length;
                    for (plane, parameters) in parameters.iter().enumerate() {
                        let range = begin + plane * length..begin + (plane + 1) * length;
                        Self::plane(part(&inputs, range.clone(), IN_PLACE), &mut out[range], *parameters);
                    }
                }
            }
            Format::ChannelsLast => {
                let rows = if width == all { rows_at_once(all) } else { 1 };
                let columns = core::array::from_fn(|p| {
                    parameters.iter().map(|of_channel| of_channel[p]).collect::<Vec<_>>().repeat(rows)
                });
                let fits_vectors = parameters.iter().all(E::fits_vectors);
                let count = layout.samples() * length;
                for row in (0..count).step_by(rows) {
                    let begin = row * all + channels.start;
                    let range = begin..begin + width * rows.min(count - row);
                    let inputs = part(&inputs, range.clone(), IN_PLACE);
                    Self::row(inputs, &mut out[range], &columns, fits_vectors);
                }
            }
        }
    }

    #[inline(always)]
    fn plane(inputs: [&[f32]; INPUTS], out: &mut [f32], parameters: [f32; PARAMETERS]) {
        let splat = parameters.map(V::splat);
        let (vectors, first_scalar) = if E::fits_vectors(&parameters) { split(out) } else { (&mut [][..], 0) };
        let input_vectors = inputs.map(|input| input.as_chunks::<4>().0);
        Self::vectors(input_vectors, vectors, |_| splat);
        Self::scalars(inputs, out, first_scalar, |_| parameters);
    }

    #[inline(always)]
    fn row(inputs: [&[f32]; INPUTS], out: &mut [f32], columns: &[Vec<f32>; PARAMETERS], fits_vectors: bool) {
        let (vectors, first_scalar) = if fits_vectors { split(out) } else { (&mut [][..], 0) };
        let input_vectors = inputs.map(|input| input.as_chunks::<4>().0);
        let count = vectors.len();
        let column_vectors = columns.each_ref().map(|column| &column.as_chunks::<4>().0[..count]);
        Self::vectors(input_vectors, vectors, |i| column_vectors.map(|column| V::load(&column[i])));
        Self::scalars(inputs, out, first_scalar, |i| columns.each_ref().map(|column| column[i]));
    }

    #[inline(always)]
    fn vectors(inputs: [&[[f32; 4]]; INPUTS], out: &mut [[f32; 4]], parameters: impl Fn(usize) -> [V; PARAMETERS]) {
        let count = out.len();
        let inputs: [&[[f32; 4]]; INPUTS] =
            core::array::from_fn(|k| if IN_PLACE && k == 0 { inputs[k] } else { &inputs[k][..count] });
        for i in 0..count {
            let values = core::array::from_fn(|k| V::load(if IN_PLACE && k == 0 { &out[i] } else { &inputs[k][i] }));
            E::of_vectors(values, parameters(i)).store(&mut out[i]);
        }
    }

    #[inline(always)]
    fn scalars(
        inputs: [&[f32]; INPUTS],
        out: &mut [f32],
        first: usize,
        parameters: impl Fn(usize) -> [f32; PARAMETERS],
    ) {
        for i in first..out.len() {
            let values = core::array::from_fn(|k| if IN_PLACE && k == 0 { out[i] } else { inputs[k][i] });
            out[i] = E::of_scalars(values, parameters(i));
        }
    }
}

/// The same part of each input; the first is not there when it is `out`.
#[inline(always)]
fn part<'a, const INPUTS: usize>(
    inputs: &[&'a [f32]; INPUTS],
    range: Range<usize>,
    in_place: bool,
) -> [&'a [f32]; INPUTS] {
    core::array::from_fn(|k| if in_place && k == 0 { inputs[k] } else { &inputs[k][range.clone()] })
}

/// The whole vectors, and where the rest begins.
#[inline(always)]
fn split(out: &mut [f32]) -> (&mut [[f32; 4]], usize) {
    let vectors = out.as_chunks_mut().0;
    let first_scalar = 4 * vectors.len();
    (vectors, first_scalar)
}

/// Rows of `width` that make whole vectors and a loop of some length.
fn rows_at_once(width: usize) -> usize {
    let whole_vectors = 4 >> width.trailing_zeros().min(2);
    whole_vectors * WIDE.div_ceil(width * whole_vectors)
}
