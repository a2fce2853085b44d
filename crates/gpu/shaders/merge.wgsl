// The canonical tree: what `merge_moments` and `merge_sums` share; a prelude, which takes `merged` from the kernel. Its twin is
// `crates/core/src/tree.rs`. One invocation merges the nodes of four channels, one after the other, like `Forest::push`.
//
// Nodes are merged where they lie: the stack grows more slowly than nodes are taken. In the end the first `depth` nodes are
// the maximal subtrees of the range.
// Dispatch: x · 64 ≥ channels / 4, rounded up.

struct Params {
  /// 0, which no compiler may know.
  zero: u32,
  /// C.
  channels: u32,
  /// Nodes to merge.
  nodes: u32,
  /// Global number of the first atom, where nodes are atoms.
  first_atom: u32,
  /// K.
  chunks: u32,
  /// Values of a channel in a chunk.
  chunk: u32,
  /// Values of a channel in a leaf.
  leaf_values: u32,
  /// Values of a channel in all nodes.
  values: u32,
  /// Which of the optional arguments are there, and how they are used; see the kernels.
  flags: u32,
  eps: f32,
  momentum: f32,
  /// 1 − momentum.
  rest: f32,
}

/// Whether the nodes are those of partials, described by `table`; otherwise they are atoms of one range.
override FROM_TABLE: bool = false;

@group(0) @binding(0) var<uniform> params: Params;
/// Node after node, 4 rows each (see `units`), the columns as vectors.
@group(0) @binding(1) var<storage, read_write> nodes: array<vec4f>;
/// For each node the number of its values per channel, and how many merges follow it.
@group(0) @binding(2) var<storage, read> table: array<vec2u>;

fn node_at(index: u32, column: u32) -> Node {
  let row = (params.channels + 3u) / 4u;
  let base = index * 4u * row + column;
  return Node(Pair(nodes[base], nodes[base + row]), Pair(nodes[base + 2u * row], nodes[base + 3u * row]));
}

fn put_node(index: u32, column: u32, node: Node) {
  let row = (params.channels + 3u) / 4u;
  let base = index * 4u * row + column;
  nodes[base] = node.first.hi;
  nodes[base + row] = node.first.lo;
  nodes[base + 2u * row] = node.second.hi;
  nodes[base + 3u * row] = node.second.lo;
}

/// Values of a channel in one node.
fn count_of(index: u32) -> u32 {
  if FROM_TABLE {
    return table[index].x;
  }
  let before = (index / params.chunks) * params.leaf_values;
  let begin = (index % params.chunks) * params.chunk;
  let in_leaf = min(params.leaf_values, params.values - min(params.values, before));
  return min(params.chunk, in_leaf - min(in_leaf, begin));
}

/// Merges that become possible with one node.
fn merges_after(index: u32) -> u32 {
  if FROM_TABLE {
    return table[index].y;
  }
  // As long as the subtree that ends here is a right sibling whose left one begins inside the range.
  let number = params.first_atom + index;
  var level = 0u;
  while ((number >> level) & 1u) == 1u && ((2u << level) - 1u) <= index {
    level++;
  }
  return level;
}

/// Merges all nodes of four channels as far as the tree allows, and to one root if the range is a whole batch.
fn merge_nodes(column: u32, is_whole: bool) -> Node {
  var counts: array<u32, 64>;
  var depth = 0u;
  var top = Node();
  for (var i = 0u; i <= params.nodes; i++) {
    var merges = select(0u, max(depth, 1u) - 1u, is_whole);
    if i < params.nodes {
      top = node_at(i, column);
      counts[depth] = count_of(i);
      depth++;
      merges = merges_after(i);
    }
    for (; merges > 0u; merges--) {
      let left = node_at(depth - 2u, column);
      let left_count = counts[depth - 2u];
      let right_count = counts[depth - 1u];
      // What is missing on the right of the last leaf is the identity.
      if right_count > 0u {
        top = node_as_f64(merged(left, top, f32(left_count), f32(right_count)));
      } else {
        top = left;
      }
      depth--;
      counts[depth - 1u] = left_count + right_count;
    }
    if depth > 0u {
      put_node(depth - 1u, column, top);
    }
  }
  return top;
}
