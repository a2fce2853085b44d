// dx = (dy − (x − centre)·slope − offset)·scale, the constants being those that `merge_sums` makes. Twin:
// `crates/core/src/backward_input.rs`. Dispatch and prelude: `channels.wgsl`.
//
// The scale comes last: where the terms cancel, its error is none of theirs.

/// N·C·L values each, in the format of the batch; dx holds dy if the result is written over it.
@group(0) @binding(1) var<storage, read> x: array<vec4f>;
@group(0) @binding(2) var<storage, read> dy: array<vec4f>;
@group(0) @binding(3) var<storage, read_write> dx: array<vec4f>;
/// Four rows of C values: scale, centre, slope, offset.
@group(0) @binding(4) var<storage, read> plane: array<f32>;

override IN_PLACE: bool = false;

/// The statistics are constants: dx = dy·scale, and an x that is not finite does no harm.
const OF_CONSTANTS = 1u;

fn row_of(channels: vec4u, row: u32) -> vec4f {
  let at = channels + row * params.channels;
  if CONTIGUOUS && ALIGNED {
    return vec4f(plane[at.x]);
  }
  return vec4f(plane[at.x], plane[at.y], plane[at.z], plane[at.w]);
}

@compute @workgroup_size(64)
fn backward_batch(@builtin(global_invocation_id) id: vec3u, @builtin(num_workgroups) groups: vec3u) {
  let vector = vector_of(id, groups);
  if vector >= params.vectors {
    return;
  }
  var gradient = vec4f();
  if IN_PLACE {
    gradient = dx[vector];
  } else {
    gradient = dy[vector];
  }
  let channels = channels_of(vector);
  if (params.flags & OF_CONSTANTS) == 0u {
    gradient = fma(row_of(channels, 1u) - x[vector], row_of(channels, 2u), gradient - row_of(channels, 3u));
  }
  dx[vector] = gradient * row_of(channels, 0u);
}
