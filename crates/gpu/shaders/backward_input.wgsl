// dx = (dy − (x − centre)·slope − offset)·scale, the constants being those that `merge_sums` makes. Twin:
// `crates/core/src/normalize/backward_input.rs`. Dispatch and preludes: `channels.wgsl`, `runs.wgsl`.
//
// The scale comes last: where the terms cancel, its error is none of theirs.

/// N·C·L values each, in the format of the batch; dx holds dy if the result is written over it.
@group(0) @binding(1) var<storage, read> x: array<vec4f>;
@group(0) @binding(2) var<storage, read> dy: array<vec4f>;
@group(0) @binding(3) var<storage, read_write> dx: array<vec4f>;
/// The same where planes or rows are whole blocks.
@group(0) @binding(1) var<storage, read> x_blocks: array<mat4x4f>;
@group(0) @binding(2) var<storage, read> dy_blocks: array<mat4x4f>;
@group(0) @binding(3) var<storage, read_write> dx_blocks: array<mat4x4f>;
/// Four rows of C values: scale, centre, slope, offset.
@group(0) @binding(4) var<storage, read> plane: array<f32>;

override IN_PLACE: bool = false;

/// The statistics are constants: dx = dy·scale, and an x that is not finite does no harm.
const OF_CONSTANTS = 1u;

fn constants_of(channel: u32) -> vec4f {
  let at = channel + params.channels * PLACES;
  return vec4f(plane[at.x], plane[at.y], plane[at.z], plane[at.w]);
}

fn without_sums(gradient: vec4f, x: vec4f, constants: Constants) -> vec4f {
  return fma(constants.second - x, constants.third, gradient - constants.fourth);
}

fn put_vector(vector: u32, constants: Constants) {
  var gradient = vec4f();
  if IN_PLACE {
    gradient = dx[vector];
  } else {
    gradient = dy[vector];
  }
  if (params.flags & OF_CONSTANTS) == 0u {
    gradient = without_sums(gradient, x[vector], constants);
  }
  dx[vector] = gradient * constants.first;
}

fn put_block(block: u32, a: Constants, b: Constants, c: Constants, d: Constants) {
  var gradient = mat4x4f();
  if IN_PLACE {
    gradient = dx_blocks[block];
  } else {
    gradient = dy_blocks[block];
  }
  if (params.flags & OF_CONSTANTS) == 0u {
    let values = x_blocks[block];
    gradient = mat4x4f(
      without_sums(gradient[0], values[0], a),
      without_sums(gradient[1], values[1], b),
      without_sums(gradient[2], values[2], c),
      without_sums(gradient[3], values[3], d),
    );
  }
  dx_blocks[block] = mat4x4f(
    gradient[0] * a.first,
    gradient[1] * b.first,
    gradient[2] * c.first,
    gradient[3] * d.first,
  );
}
