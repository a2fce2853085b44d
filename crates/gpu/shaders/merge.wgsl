// The canonical tree: nodes of four channels are merged one after the other, like `Forest::push`. A prelude of `merge_moments`
// and `merge_sums`, which takes `merged` from the kernel. Its twin is `crates/core/src/tree/forest.rs`.
//
// Nodes are merged where they lie: the stack grows more slowly than nodes are taken. In the end the first nodes of a range are
// its maximal subtrees.

struct Params {
  /// 0, which no compiler may know.
  zero: u32,
  /// C.
  channels: u32,
  /// Atoms of the range; where a table describes the nodes, leaves.
  atoms: u32,
  /// Global number of the first one.
  first_atom: u32,
  /// log₂ K.
  chunk_shift: u32,
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
  /// Invocations that share the nodes of four channels, a power of two up to 256.
  lanes: u32,
  /// Atoms, by global number, of each of them, a power of two.
  block: u32,
}

/// Whether the nodes are those of partials of a whole batch; otherwise they are atoms of one range.
override FROM_TABLE: bool = false;

@group(0) @binding(0) var<uniform> params: Params;
/// Node after node, 4 rows each (see `units`), the columns as vectors.
@group(0) @binding(1) var<storage, read_write> nodes: array<vec4f>;
/// The level of each node of partials.
@group(0) @binding(2) var<storage, read> levels: array<u32>;

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

/// Values of a channel before an atom of the range.
fn values_before(atom: u32) -> u32 {
  let part = atom & ((1u << params.chunk_shift) - 1u);
  let in_leaf = min(part * params.chunk, params.leaf_values);
  return min((atom >> params.chunk_shift) * params.leaf_values + in_leaf, params.values);
}

/// The node of the atoms from `begin` to `end`, whose halves meet at `middle`.
fn joined(left: Node, right: Node, begin: u32, middle: u32, end: u32) -> Node {
  let before = values_before(middle);
  let right_count = values_before(end) - before;
  // What is missing on the right of the last leaf is the identity.
  if right_count == 0u {
    return left;
  }
  return node_as_f64(merged(left, right, f32(before - values_before(begin)), f32(right_count)));
}

/// What has been merged of a range, and where its nodes stand: nothing; whole groups of four atoms, where they begin; all that the
/// tree allows, those of a block one after the other from where it begins, but those of more than a block where they begin.
const ATOMS = 0u;
const QUADS = 1u;
const SUBTREES = 2u;

/// The level of a node, `rest` atoms before the end.
fn level_of(number: u32, rest: u32, state: u32) -> u32 {
  if state == SUBTREES {
    return min(firstLeadingBit(rest), countTrailingZeros(number));
  }
  return select(0u, 2u, state == QUADS && (number & 3u) == 0u && rest >= 4u);
}

/// Merges the atoms from `begin` to `end` as far as the tree allows, and to one root if they are a whole batch.
fn merge_range(column: u32, begin: u32, end: u32, state: u32, is_whole: bool) -> Node {
  // What is on top of the stack is stored when something comes above it.
  var top = Node();
  var depth = 0u;
  var next = begin;
  var place = begin;
  while next < end {
    let number = params.first_atom + next;
    var level = 0u;
    if FROM_TABLE {
      level = levels[place];
    } else {
      level = level_of(number, end - next, state);
      place = select(place, next, state != SUBTREES || (number & (params.block - 1u)) == 0u);
    }
    var node = node_at(place, column);
    var node_begin = next;
    next += 1u << level;
    place++;
    var is_top_stored = depth == 0u;
    // A right sibling whose left one begins inside the range.
    while (((params.first_atom + node_begin) >> level) & 1u) == 1u && node_begin - begin >= (1u << level) {
      var left = top;
      if is_top_stored {
        left = node_at(begin + depth - 1u, column);
      }
      is_top_stored = true;
      let middle = node_begin;
      node_begin -= 1u << level;
      node = joined(left, node, node_begin, middle, min(next, end));
      level++;
      depth--;
    }
    if !is_top_stored {
      put_node(begin + depth - 1u, column, top);
    }
    top = node;
    depth++;
  }
  if !is_whole {
    if depth > 0u {
      put_node(begin + depth - 1u, column, top);
    }
    return top;
  }
  // The nodes that are left stand for the binary digits of `end`.
  var middle = end & (end - 1u);
  for (; depth > 1u; depth--) {
    let left_begin = middle & (middle - 1u);
    top = joined(node_at(begin + depth - 2u, column), top, left_begin, middle, end);
    middle = left_begin;
  }
  return top;
}
