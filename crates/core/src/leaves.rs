//! Several leaves of rows at once. With one value per sample a leaf has but 32 rows, and turning its sums into a node costs
//! as much as summing them: here the f32 sums wait until a few leaves are there, whose node is then computed in registers.
//! The bits are those of leaf by leaf.

use crate::kind::Chan;
use crate::moments::Count;
use crate::rows::{LINE, Rows, rows_per_super_row};
use crate::simd::{Doubles, Lanes, Mask};
use crate::sums::{ROWS_BLOCK, Strip, Terms, strips};

/// Levels of the tree between a leaf and the node that is computed at once.
pub(crate) const LEVELS: u32 = 2;
/// Leaves below such a node.
pub(crate) const LEAVES: usize = 1 << LEVELS;

/// Two sums that become the two values of a node.
pub(crate) trait Leaf<const INPUTS: usize>: Terms<INPUTS, 2> {
    /// What a leaf is summed relative to, per column.
    fn centre<V: Lanes>(inputs: [Rows<'_>; INPUTS], given: Option<&[f32]>, centre: &mut [f32]);

    /// The values of a leaf from its sums, and where they are exact.
    fn of_sums<D: Doubles>(centre: D, sums: [D; 2], count: Count<D>) -> ([D; 2], D::Mask);

    fn merge<D: Doubles>(left: [D; 2], right: [D; 2], chan: Chan<D>) -> [D; 2];

    /// The node of a few columns whose sums do not tell it exactly.
    fn reduce_inexact<V: Lanes>(inputs: [Rows<'_>; INPUTS], first_out: &mut [f64], second_out: &mut [f64]);
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
        let mut sums = vec![0.0; LEAVES * 3 * width];
        for (leaf, sums) in sums.chunks_exact_mut(3 * width).enumerate() {
            let inputs = inputs.map(|input| input.columns(first, width).rows(leaf * rows, rows));
            let (centre, sums) = sums.split_at_mut(width);
            T::centre::<V>(inputs, given, centre);
            Strip { inputs, centre, zeros: &zeros }.add_rows_in_f32::<V, T, 2>(0..rows, sums);
        }
        let outs = first_out[first..][..width].chunks_mut(LINE).zip(second_out[first..][..width].chunks_mut(LINE));
        for (begin, (first_out, second_out)) in (0..).step_by(LINE).zip(outs) {
            let count = first_out.len();
            let row = |row: usize| sums[row * width + begin..][..count].as_chunks().0;
            let leaf = |leaf: usize| [row(3 * leaf), row(3 * leaf + 1), row(3 * leaf + 2)];
            let sums = [leaf(0), leaf(1), leaf(2), leaf(3)];
            if !merge_leaves::<V, T, INPUTS>(sums, Count::of(rows).near(), first_out, second_out) {
                T::reduce_inexact::<V>(inputs.map(|rows| rows.columns(first + begin, count)), first_out, second_out);
            }
        }
    }
}

/// Turns the centres and sums of leaves into their node. Returns whether all values are exact.
#[inline(always)]
fn merge_leaves<V: Lanes, T: Leaf<INPUTS>, const INPUTS: usize>(
    sums: [[&[[f32; 4]]; 3]; LEAVES],
    count: Count<f64>,
    first_out: &mut [f64],
    second_out: &mut [f64],
) -> bool {
    let merged = Merged::<V::Doubles>::of(count);
    let mut are_exact = V::Doubles::zero().at_most(V::Doubles::zero());
    let (first_out, second_out) = (first_out.as_chunks_mut::<4>().0, second_out.as_chunks_mut::<4>().0);
    let length = first_out.len();
    let second_out = &mut second_out[..length];
    let [a, b, c, d] = sums.map(|sums| sums.map(|sums| &sums[..length]));
    for i in 0..length {
        let (a, b, c, d) = (halves::<V>(a, i), halves::<V>(b, i), halves::<V>(c, i), halves::<V>(d, i));
        let (low, low_is_exact) = merged.node::<T, INPUTS>([a.0, b.0, c.0, d.0]);
        let (high, high_is_exact) = merged.node::<T, INPUTS>([a.1, b.1, c.1, d.1]);
        are_exact = are_exact & low_is_exact & high_is_exact;
        store::<V>(&mut first_out[i], [low[0], high[0]]);
        store::<V>(&mut second_out[i], [low[1], high[1]]);
    }
    are_exact.all()
}

/// Centre and sums of a leaf at one vector, the first two columns and the other two.
#[inline(always)]
fn halves<V: Lanes>(leaf: [&[[f32; 4]]; 3], i: usize) -> ([V::Doubles; 3], [V::Doubles; 3]) {
    let [centre, first, second] = leaf;
    let (centre, first, second) = (V::load(&centre[i]), V::load(&first[i]), V::load(&second[i]));
    let ([a, b], [c, d], [e, f]) = (centre.widen(), first.widen(), second.widen());
    ([a, c, e], [b, d, f])
}

#[inline(always)]
fn store<V: Lanes>(values: &mut [f64; 4], [low, high]: [V::Doubles; 2]) {
    if let ([first, second], []) = values.as_chunks_mut() {
        low.store(first);
        high.store(second);
    }
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

    /// The node above leaves with these sums, and where all of them are exact.
    #[inline(always)]
    fn node<T: Leaf<INPUTS>, const INPUTS: usize>(self, [a, b, c, d]: [[D; 3]; LEAVES]) -> ([D; 2], D::Mask) {
        let leaf = |[centre, first, second]: [D; 3]| T::of_sums(centre, [first, second], self.count);
        let ((a, a_is_exact), (b, b_is_exact), (c, c_is_exact), (d, d_is_exact)) = (leaf(a), leaf(b), leaf(c), leaf(d));
        let [lower, upper] = self.chan;
        let node = T::merge(T::merge(a, b, lower), T::merge(c, d, lower), upper);
        (node, a_is_exact & b_is_exact & c_is_exact & d_is_exact)
    }
}
