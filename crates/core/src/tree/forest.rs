//! The canonical tree: why any number of devices gives the bits of one.
//!
//! Leaf i holds the samples [i·G, (i+1)·G) of a batch; node (level, index) holds the leaves
//! [index·2^level, (index+1)·2^level). Leaves are merged along this tree and in no other way. A [`Forest`] is the list
//! of the maximal subtrees of a range of leaves, in order; what is missing on the right of the last leaf of a batch is
//! the identity and leaves its sibling untouched.

use alloc::vec::Vec;

use crate::kind::Kind;

/// Where a subtree hangs.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Node {
    /// 0 for a leaf.
    pub level: u32,
    /// Number among the nodes of its level.
    pub index: u64,
    /// Samples below this node; fewer than G·2^level only at the end of a batch.
    pub samples: u64,
}

impl Node {
    /// Whether `right` is the right sibling of this node, with which it is merged.
    #[must_use]
    pub fn is_left_sibling_of(&self, right: &Self) -> bool {
        self.level == right.level && self.index.is_multiple_of(2) && right.index == self.index + 1
    }
}

/// Maximal subtrees of a range of leaves, with `width` channels and the values of `kind` in each node.
#[derive(Debug, Clone, PartialEq)]
pub(crate) struct Forest {
    kind: Kind,
    width: usize,
    length: usize,
    nodes: Vec<Node>,
    /// Node after node; within a node, one row of `width` per value.
    values: Vec<f64>,
}

impl Forest {
    pub(crate) fn new(kind: Kind, width: usize, length: usize) -> Self {
        Self { kind, width, length, nodes: Vec::new(), values: Vec::new() }
    }

    pub(crate) fn values(&self) -> &[f64] {
        &self.values
    }

    /// The nodes from left to right, each with its values.
    pub(crate) fn nodes(&self) -> impl Iterator<Item = (Node, &[f64])> {
        self.nodes.iter().copied().zip(self.values.chunks_exact(self.stride()))
    }

    fn stride(&self) -> usize {
        self.width * self.kind.values()
    }

    /// Appends a node that follows the last one and is filled by `fill`, then merges siblings.
    pub(crate) fn push(&mut self, node: Node, fill: impl FnOnce(&mut [f64])) {
        let begin = self.values.len();
        self.values.resize(begin + self.stride(), 0.0);
        fill(&mut self.values[begin..]);
        self.nodes.push(node);
        while let [.., left, right] = self.nodes[..] {
            if !left.is_left_sibling_of(&right) {
                break;
            }
            self.merge_last_two();
        }
    }

    /// Appends the nodes of a forest that follows this one.
    pub(crate) fn append(&mut self, other: &Self) {
        for (node, values) in other.nodes() {
            self.push(node, |slot| slot.copy_from_slice(values));
        }
    }

    /// Merges everything, from the right: a node without a right sibling is lifted unchanged to the level of its left
    /// neighbour. Returns the number of samples and the values of the root, all 0 for an empty forest.
    pub(crate) fn into_root(mut self) -> (u64, Vec<f64>) {
        while self.nodes.len() > 1 {
            self.merge_last_two();
        }
        self.values.resize(self.stride(), 0.0);
        (self.nodes.first().map_or(0, |node| node.samples), self.values)
    }

    fn merge_last_two(&mut self) {
        let Some(right) = self.nodes.pop() else { return };
        let Some(left) = self.nodes.last_mut() else { return };
        let stride = self.width * self.kind.values();
        let middle = self.values.len() - stride;
        let (before, right_values) = self.values.split_at_mut(middle);
        let left_values = &mut before[middle - stride..];
        self.kind.merge_nodes(
            left_values,
            right_values,
            count(left.samples, self.length),
            count(right.samples, self.length),
        );
        *left = Node {
            level: left.level.max(right.level) + 1,
            index: left.index / 2,
            samples: left.samples + right.samples,
        };
        self.values.truncate(middle);
    }
}

/// Values per channel as f64: exact, since no memory holds 2^53 of them.
#[allow(clippy::cast_precision_loss, reason = "counts of values in memory are below 2^53")]
fn count(samples: u64, length: usize) -> f64 {
    samples as f64 * length as f64
}

/// The maximal aligned subtrees of the leaves [first, end), from left to right, as (level, index).
pub fn subtrees(first: u64, end: u64) -> impl Iterator<Item = (u32, u64)> {
    let mut next = first;
    core::iter::from_fn(move || {
        let left = end.checked_sub(next).filter(|left| *left > 0)?;
        let level = left.ilog2().min(next.trailing_zeros());
        let index = next >> level;
        next += 1 << level;
        Some((level, index))
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn subtrees_cover_every_leaf_once_and_are_maximal() {
        for first in 0..40 {
            for end in first..40 {
                let trees: Vec<_> = subtrees(first, end).collect();
                let leaves: Vec<_> =
                    trees.iter().flat_map(|(level, index)| (index << level)..((index + 1) << level)).collect();
                assert_eq!(leaves, (first..end).collect::<Vec<_>>());
                let siblings = |pair: &[(u32, u64)]| pair[0].0 == pair[1].0 && pair[0].1 ^ pair[1].1 == 1;
                assert!(!trees.windows(2).any(siblings), "[{first}, {end}) is {trees:?}");
            }
        }
    }

    /// A forest of leaves that hold their own numbers: another order of merging gives other bits.
    fn forest(first: u64, end: u64) -> Forest {
        let mut forest = Forest::new(Kind::Total, 1, 32);
        for index in first..end {
            // Sums of these are rounded.
            let exponent = i32::try_from(index % 60).expect("small");
            forest.push(Node { level: 0, index, samples: 1 }, |slot| slot[0] = 1.1_f64.powi(exponent));
        }
        forest
    }

    #[test]
    fn a_forest_holds_the_maximal_subtrees() {
        for (first, end) in [(0, 1), (0, 13), (3, 4), (5, 27), (8, 16)] {
            let nodes: Vec<_> = forest(first, end).nodes.iter().map(|node| (node.level, node.index)).collect();
            assert_eq!(nodes, subtrees(first, end).collect::<Vec<_>>());
        }
    }

    #[test]
    fn a_forest_in_two_parts_has_the_root_of_the_whole() {
        for end in 0..70 {
            let (samples, root) = forest(0, end).into_root();
            assert_eq!(samples, end);
            for cut in 0..=end {
                let mut joined = forest(0, cut);
                joined.append(&forest(cut, end));
                assert_eq!(joined.into_root().1[0].to_bits(), root[0].to_bits(), "[0, {cut}) and [{cut}, {end})");
            }
        }
    }
}
