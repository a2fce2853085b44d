//! Several leaves of rows at once. With one value per sample a leaf has but 32 rows, and turning its sums into a node costs
//! as much as summing them: here the f32 sums wait until a few leaves are there, whose node is then computed in registers.
//! The bits are those of leaf by leaf.

use crate::kind::Kind;
use crate::layout::{LINE, Rows, rows_per_super_row};
use crate::reduce::count::{Count, Limits};
use crate::reduce::sums::{Cell, ROWS_BLOCK, Strip, Terms, strips};
use crate::simd::{Doubles, Lanes, Mask};
use crate::tree::Chan;

/// Levels of the tree between a leaf and the node that is computed at once.
pub(crate) const LEVELS: u32 = 2;
/// Leaves below such a node.
pub(crate) const LEAVES: usize = 1 << LEVELS;

/// Two sums that become the two values of a node.
pub(crate) trait Leaf<const INPUTS: usize>: Terms<INPUTS, 2> {
    const KIND: Kind;

    /// What a leaf is summed relative to, per column.
    fn centre<V: Lanes>(inputs: [Rows<'_>; INPUTS], given: Option<&[f32]>, centre: &mut [f32]);

    /// Where the sums of a leaf are certain to tell its values exactly, unless they have left the range of f32.
    fn are_exact<V: Lanes>(sums: [V; 2], limits: Limits<V>) -> V::Mask;

    /// Where a node is finite, so that no sum below it has left the range of f32.
    fn are_finite<D: Doubles>(node: [D; 2]) -> D::Mask;

    /// The values of a leaf from its sums.
    fn of_sums<D: Doubles>(centre: D, sums: [D; 2], count: Count<D>) -> [D; 2];

    fn merge<D: Doubles>(left: [D; 2], right: [D; 2], chan: Chan<D>) -> [D; 2];

    /// One leaf, with a closer look where its sums are not exact: a row of `out` per value.
    fn reduce_leaf<V: Lanes>(inputs: [Rows<'_>; INPUTS], given: Option<&[f32]>, out: &mut [f64]);
}

/// Whether leaves of `count` rows with all channels can be reduced by this file.
pub(crate) fn fits(channels: usize, count: usize) -> bool {
    count <= ROWS_BLOCK && rows_per_super_row(channels, count) == 1
}

/// The node above [`LEAVES`] leaves of equal numbers of rows: a row of `out` per value.
pub(crate) fn reduce_leaves<V: Lanes, T: Leaf<INPUTS>, const INPUTS: usize>(
    inputs: [Rows<'_>; INPUTS],
    centre: Option<&[f32]>,
    out: &mut [f64],
) {
    let rows = inputs[0].count / LEAVES;
    let (first_out, second_out) = out.split_at_mut(inputs[0].width);
    for (first, width) in strips(inputs[0].width) {
        let given = centre.map(|centre| &centre[first..first + width]);
        let zeros = vec![0.0; width];
        let mut centre = vec![0.0; width];
        let leaves: [_; LEAVES] = core::array::from_fn(|leaf| {
            let inputs = inputs.map(|input| input.columns(first, width).rows(leaf * rows, rows));
            T::centre::<V>(inputs, given, &mut centre);
            let strip = Strip { inputs, centre: &centre, zeros: &zeros };
            let mut cells = strip.cells::<2>();
            strip.add_rows_in_f32::<V, T, 2>(0..rows, &mut cells);
            cells
        });
        let outs = first_out[first..][..width].chunks_mut(LINE).zip(second_out[first..][..width].chunks_mut(LINE));
        for (begin, (first_out, second_out)) in (0..).step_by(LINE).zip(outs) {
            let count = first_out.len();
            let leaves = leaves.each_ref().map(|cells| &cells[begin / 4..][..count / 4]);
            if !merge_leaves::<V, T, INPUTS>(leaves, Count::of(rows).near(), first_out, second_out) {
                let given = given.map(|given| &given[begin..begin + count]);
                let inputs = inputs.map(|rows| rows.columns(first + begin, count));
                reduce_leaf_by_leaf::<V, T, INPUTS>(inputs, given, [first_out, second_out]);
            }
        }
    }
}

/// The node of a few columns whose sums are not certain to be exact.
#[cold]
#[inline(never)]
fn reduce_leaf_by_leaf<V: Lanes, T: Leaf<INPUTS>, const INPUTS: usize>(
    inputs: [Rows<'_>; INPUTS],
    given: Option<&[f32]>,
    out: [&mut [f64]; 2],
) {
    let (rows, width) = (inputs[0].count / LEAVES, inputs[0].width);
    let [mut a, b, mut c, d] = core::array::from_fn(|leaf| {
        let mut values = vec![0.0; 2 * width];
        T::reduce_leaf::<V>(inputs.map(|input| input.rows(leaf * rows, rows)), given, &mut values);
        values
    });
    let count = Count::of(rows).values;
    T::KIND.merge_nodes(&mut a, &b, count, count);
    T::KIND.merge_nodes(&mut c, &d, count, count);
    T::KIND.merge_nodes(&mut a, &c, 2.0 * count, 2.0 * count);
    for (out, values) in out.into_iter().zip(a.chunks_exact(width)) {
        out.copy_from_slice(values);
    }
}

/// Turns the centres and sums of leaves into their node. Returns whether all values are exact.
#[inline(always)]
fn merge_leaves<V: Lanes, T: Leaf<INPUTS>, const INPUTS: usize>(
    leaves: [&[Cell<2>]; LEAVES],
    count: Count<f64>,
    first_out: &mut [f64],
    second_out: &mut [f64],
) -> bool {
    let merged = Merged::<V::Doubles>::of(count);
    let limits = Limits::<V>::of(count);
    let mut are_exact = V::zero().at_most(V::zero());
    let (first_out, second_out) = (first_out.as_chunks_mut::<4>().0, second_out.as_chunks_mut::<4>().0);
    let length = first_out.len();
    let second_out = &mut second_out[..length];
    let leaves = leaves.map(|cells| &cells[..length]);
    for i in 0..length {
        let cells = leaves.map(|cells| &cells[i]);
        for half in 0..2 {
            let node = merged.node::<T, INPUTS>(cells, half);
            store_half(&mut first_out[i], half, node[0]);
            store_half(&mut second_out[i], half, node[1]);
            are_exact = are_exact & T::are_finite(node);
        }
        for cell in cells {
            are_exact = are_exact & T::are_exact(cell.sums.each_ref().map(V::load), limits);
        }
    }
    are_exact.all()
}

/// Two of four columns.
#[inline(always)]
fn half_of(values: &[f32; 4], half: usize) -> &[f32; 2] {
    &values.as_chunks().0[half]
}

#[inline(always)]
fn store_half<D: Doubles>(values: &mut [f64; 4], half: usize, doubles: D) {
    doubles.store(&mut values.as_chunks_mut().0[half]);
}

/// What merging leaves depends on besides their sums.
#[derive(Clone, Copy)]
struct Merged<D> {
    count: Count<D>,
    /// Of two leaves, and of two times two.
    chan: [Chan<D>; 2],
}

impl<D: Doubles> Merged<D> {
    fn of(count: Count<f64>) -> Self {
        let chan = [1.0, 2.0].map(|leaves| Chan::of(leaves * count.values, leaves * count.values).map(D::splat));
        Self { count: count.map(D::splat), chan }
    }

    /// The node of two of the four columns of leaves.
    #[inline(always)]
    fn node<T: Leaf<INPUTS>, const INPUTS: usize>(self, [a, b, c, d]: [&Cell<2>; LEAVES], half: usize) -> [D; 2] {
        let leaf = |cell: &Cell<2>| {
            let [first, second] = &cell.sums;
            let [centre, first, second] = [&cell.centre, first, second].map(|values| D::widen(half_of(values, half)));
            T::of_sums(centre, [first, second], self.count)
        };
        let [lower, upper] = self.chan;
        T::merge(T::merge(leaf(a), leaf(b), lower), T::merge(leaf(c), leaf(d), lower), upper)
    }
}
