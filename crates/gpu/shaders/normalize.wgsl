// y = (x − mean)·invstd·w + b. Twin: `crates/core/src/normalize/forward.rs`. Dispatch and preludes: `channels.wgsl`,
// `runs.wgsl`.
//
// The low half of the mean is part of the constant: y = (x − hi)·s + (b − lo·s).

/// N·C·L values each, in the format of the batch; y holds x if the result is written over it.
@group(0) @binding(1) var<storage, read> x: array<vec4f>;
@group(0) @binding(2) var<storage, read_write> y: array<vec4f>;
/// The same where planes or rows are whole blocks.
@group(0) @binding(1) var<storage, read> x_blocks: array<mat4x4f>;
@group(0) @binding(2) var<storage, read_write> y_blocks: array<mat4x4f>;
/// Four rows of C values: mean_hi, mean_lo, invstd, 0.
@group(0) @binding(3) var<storage, read> statistics: array<f32>;
/// C values each.
@group(0) @binding(4) var<storage, read> weight: array<f32>;
@group(0) @binding(5) var<storage, read> bias: array<f32>;

override IN_PLACE: bool = false;

const HAS_WEIGHT = 1u;
const HAS_BIAS = 2u;

/// mean_hi, slope and offset of a channel.
fn constants_of(channel: u32) -> vec4f {
  let mean_lo = statistics[params.channels + channel];
  var slope = statistics[2u * params.channels + channel];
  if (params.flags & HAS_WEIGHT) != 0u {
    slope *= weight[channel];
  }
  var offset = 0.0;
  if (params.flags & HAS_BIAS) != 0u {
    offset = bias[channel];
  }
  return vec4f(statistics[channel], slope, fma(-mean_lo, slope, offset), 0.0);
}

fn normalized(values: vec4f, constants: Constants) -> vec4f {
  return fma(values - constants.first, constants.second, constants.third);
}

fn put_vector(vector: u32, constants: Constants) {
  var values = vec4f();
  if IN_PLACE {
    values = y[vector];
  } else {
    values = x[vector];
  }
  y[vector] = normalized(values, constants);
}

fn put_block(block: u32, a: Constants, b: Constants, c: Constants, d: Constants) {
  var values = mat4x4f();
  if IN_PLACE {
    values = y_blocks[block];
  } else {
    values = x_blocks[block];
  }
  y_blocks[block] = mat4x4f(
    normalized(values[0], a),
    normalized(values[1], b),
    normalized(values[2], c),
    normalized(values[3], d),
  );
}
