// y = (x − mean)·invstd·w + b. Twin: `crates/core/src/normalize.rs`. Dispatch and prelude: `channels.wgsl`.
//
// The low half of the mean is part of the constant: y = (x − hi)·s + (b − lo·s).

/// N·C·L values each, in the format of the batch; y holds x if the result is written over it.
@group(0) @binding(1) var<storage, read> x: array<vec4f>;
@group(0) @binding(2) var<storage, read_write> y: array<vec4f>;
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

fn put_vector(vector: u32, constants: Constants) {
  var values = vec4f();
  if IN_PLACE {
    values = y[vector];
  } else {
    values = x[vector];
  }
  y[vector] = fma(values - constants.first, constants.second, constants.third);
}
