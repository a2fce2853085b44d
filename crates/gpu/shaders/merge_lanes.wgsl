// Who merges what, in two families as of the kernels that reduce: `chunked`, one invocation all nodes of four channels, without
// barriers; `coalesced`, an invocation a block of them each, mostly one node, and then pairs of invocations, level by level.
// A prelude of `merge_moments` and `merge_sums`, which takes `put_root` from the kernel.
// Dispatch: x · 64 ≥ channels / 4 for `chunked`, x · 256 / lanes ≥ channels / 4 for `coalesced`, rounded up.

const CHUNKED = 64u;
const COALESCED = 256u;

var<workgroup> nodes_of_lanes: array<Node, COALESCED>;

/// What the invocation of a lane works on: its block of the range.
struct Block {
  column: u32,
  lane: u32,
  begin: u32,
  end: u32,
  /// Whether all of its atoms are in the range.
  is_complete: bool,
}

fn block_of(group: u32, local: u32) -> Block {
  let columns = COALESCED / params.lanes;
  let column = group * columns + local % columns;
  let lane = local / columns;
  let skipped = params.first_atom & (params.block - 1u);
  let begin = max(lane * params.block, skipped) - skipped;
  let end = min((lane + 1u) * params.block - skipped, params.atoms);
  let is_column = 4u * column < params.channels;
  let has_atoms = is_column && begin < end;
  return Block(column, lane, begin, select(begin, end, has_atoms), has_atoms && end - begin == params.block);
}

/// Merges a block and those that follow as far as the tree allows. The root of a whole batch is then the node of lane 0; otherwise
/// what is incomplete merges with nothing, and the maximal subtrees stand in `nodes` where they begin.
fn merge_blocks(block: Block, slot: u32, is_whole: bool) {
  var node = Node();
  if block.begin < block.end {
    // The code that is not run need not be fetched, which takes a GPU longer than a level of the tree.
    if params.block == 1u {
      node = node_at(block.begin, block.column);
    } else {
      node = merge_range(block.column, block.begin, block.end, ATOMS, is_whole);
    }
  }
  nodes_of_lanes[slot] = node;
  let columns = COALESCED / params.lanes;
  let number = params.first_atom / params.block + block.lane;
  var has_merged = false;
  for (var step = 1u; step < params.lanes; step *= 2u) {
    workgroupBarrier();
    let middle = block.begin + step * params.block;
    let end = middle + step * params.block;
    let is_there = select(block.is_complete && end <= params.atoms, middle < params.atoms, is_whole);
    if (number & (2u * step - 1u)) == 0u && block.lane + step < params.lanes && block.begin < block.end && is_there {
      node = joined(node, nodes_of_lanes[slot + step * columns], block.begin, middle, min(end, params.atoms));
      nodes_of_lanes[slot] = node;
      has_merged = true;
    }
  }
  if has_merged && !is_whole {
    put_node(block.begin, block.column, node);
  }
}

/// Merges the whole groups of four atoms where they lie. Nothing is decided here: software adapters would go both ways.
fn merge_quads(column: u32) {
  var i = (4u - (params.first_atom & 3u)) & 3u;
  if i + 4u <= params.atoms {
    loop {
      let left = joined(node_at(i, column), node_at(i + 1u, column), i, i + 1u, i + 2u);
      let right = joined(node_at(i + 2u, column), node_at(i + 3u, column), i + 2u, i + 3u, i + 4u);
      put_node(i, column, joined(left, right, i, i + 2u, i + 4u));
      continuing {
        i += 4u;
        break if i + 4u > params.atoms;
      }
    }
  }
}

/// All nodes of four channels.
fn merge_alone(column: u32, is_whole: bool) -> Node {
  if FROM_TABLE {
    return merge_range(column, 0u, params.atoms, ATOMS, is_whole);
  }
  merge_quads(column);
  return merge_range(column, 0u, params.atoms, QUADS, is_whole);
}

/// Hands the root of a whole batch to `put_root`, channel by channel.
fn put_channel(channel: u32, node: Node, place: u32) {
  if channel < params.channels {
    put_root(channel, vec2f(node.first.hi[place], node.first.lo[place]), node.second.hi[place]);
  }
}

/// The maximal subtrees of the range stay in `nodes`.
@compute @workgroup_size(CHUNKED)
fn chunked_subtrees(@builtin(global_invocation_id) id: vec3u) {
  if 4u * id.x < params.channels {
    merge_alone(id.x, false);
  }
}

@compute @workgroup_size(CHUNKED)
fn chunked_root(@builtin(global_invocation_id) id: vec3u) {
  if 4u * id.x < params.channels {
    let node = merge_alone(id.x, true);
    for (var i = 0u; i < 4u; i++) {
      put_channel(4u * id.x + i, node, i);
    }
  }
}

@compute @workgroup_size(COALESCED)
fn coalesced_subtrees(@builtin(workgroup_id) group: vec3u, @builtin(local_invocation_index) local: u32) {
  let block = block_of(group.x, local);
  merge_blocks(block, local, false);
  storageBarrier();
  if block.lane == 0u && 4u * block.column < params.channels {
    merge_range(block.column, 0u, params.atoms, SUBTREES, false);
  }
}

@compute @workgroup_size(COALESCED)
fn coalesced_root(@builtin(workgroup_id) group: vec3u, @builtin(local_invocation_index) local: u32) {
  let block = block_of(group.x, local);
  merge_blocks(block, local, true);
  workgroupBarrier();
  for (var i = block.lane; i < 4u; i += params.lanes) {
    put_channel(4u * block.column + i, nodes_of_lanes[local % (COALESCED / params.lanes)], i);
  }
}
