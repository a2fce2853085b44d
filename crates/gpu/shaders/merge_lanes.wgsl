// Who merges what: one invocation all nodes of four channels or, where there are many, several a block of them each and the
// first what these leave. A prelude of `merge_moments` and `merge_sums`, which takes `put_root` from the kernel.
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
fn merge_nodes(place: Place, is_whole: bool) -> Node {
  var block = 1u;
  if params.lanes > 1u {
    block = params.block;
    let skipped = params.first_atom % block;
    let begin = max(place.lane * block, skipped) - skipped;
    let end = min((place.lane + 1u) * block - skipped, params.atoms);
    if place.is_column && begin < end {
      merge_range(place.column, begin, end, 1u, false);
    }
    storageBarrier();
  }
  if !place.is_column || place.lane > 0u {
    return Node();
  }
  return merge_range(place.column, 0u, params.atoms, block, is_whole);
}

/// Leaves the maximal subtrees of the range in `nodes`.
@compute @workgroup_size(WORKGROUP)
fn subtrees(@builtin(workgroup_id) group: vec3u, @builtin(local_invocation_index) local: u32) {
  merge_nodes(place_of(group.x, local), false);
}

/// Hands the root of a whole batch to `put_root`.
@compute @workgroup_size(WORKGROUP)
fn root(@builtin(workgroup_id) group: vec3u, @builtin(local_invocation_index) local: u32) {
  let place = place_of(group.x, local);
  let node = merge_nodes(place, true);
  if place.is_column && place.lane == 0u {
    let channel = 4u * place.column;
    for (var i = 0u; i < min(4u, params.channels - channel); i++) {
      put_root(channel + i, vec2f(node.first.hi[i], node.first.lo[i]), node.second.hi[i]);
    }
  }
}
