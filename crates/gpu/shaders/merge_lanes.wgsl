// Who merges what, in two families as of the kernels that reduce: `chunked`, one invocation all nodes of four channels, without
// barriers; `coalesced`, where there are many nodes, several invocations a block of them each and then the first what these leave.
// A prelude of `merge_moments` and `merge_sums`, which takes `put_root` from the kernel.
// Dispatch: x · 64 / lanes ≥ channels / 4, rounded up.

const WORKGROUP = 64u;

/// What an invocation works on.
struct Place {
  column: u32,
  lane: u32,
  is_column: bool,
}

fn place_of(group: u32, local: u32) -> Place {
  let columns = WORKGROUP / params.lanes;
  let column = group * columns + local % columns;
  return Place(column, local / columns, 4u * column < params.channels);
}

/// The root or last subtree, in the first lanes. All invocations of a workgroup call it.
fn merge_together(place: Place, is_whole: bool) -> Node {
  let block = params.block;
  let skipped = params.first_atom & (block - 1u);
  let begin = max(place.lane * block, skipped) - skipped;
  let end = min((place.lane + 1u) * block - skipped, params.atoms);
  if place.is_column && begin < end {
    merge_range(place.column, begin, end, 1u, false, false);
  }
  storageBarrier();
  if !place.is_column || place.lane > 0u {
    return Node();
  }
  return merge_range(place.column, 0u, params.atoms, block, false, is_whole);
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
  if !FROM_TABLE {
    merge_quads(column);
  }
  return merge_range(column, 0u, params.atoms, 1u, !FROM_TABLE, is_whole);
}

/// Hands the root of a whole batch to `put_root`, channel by channel.
fn put_roots(column: u32, node: Node) {
  let channel = 4u * column;
  for (var i = 0u; i < min(4u, params.channels - channel); i++) {
    put_root(channel + i, vec2f(node.first.hi[i], node.first.lo[i]), node.second.hi[i]);
  }
}

/// The maximal subtrees of the range stay in `nodes`.
@compute @workgroup_size(WORKGROUP)
fn chunked_subtrees(@builtin(global_invocation_id) id: vec3u) {
  if 4u * id.x < params.channels {
    merge_alone(id.x, false);
  }
}

@compute @workgroup_size(WORKGROUP)
fn chunked_root(@builtin(global_invocation_id) id: vec3u) {
  if 4u * id.x < params.channels {
    put_roots(id.x, merge_alone(id.x, true));
  }
}

@compute @workgroup_size(WORKGROUP)
fn coalesced_subtrees(@builtin(workgroup_id) group: vec3u, @builtin(local_invocation_index) local: u32) {
  merge_together(place_of(group.x, local), false);
}

@compute @workgroup_size(WORKGROUP)
fn coalesced_root(@builtin(workgroup_id) group: vec3u, @builtin(local_invocation_index) local: u32) {
  let place = place_of(group.x, local);
  let node = merge_together(place, true);
  if place.is_column && place.lane == 0u {
    put_roots(place.column, node);
  }
}
