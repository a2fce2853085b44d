// Statistics from the running ones. Twin: `evaluation_statistics` of `crates/core/src/statistics/rows.rs`. Dispatch: x · 64 ≥ C.

struct Params {
  /// C.
  channels: u32,
  eps: f32,
}

@group(0) @binding(0) var<uniform> params: Params;
/// C values each.
@group(0) @binding(1) var<storage, read> running_mean: array<f32>;
@group(0) @binding(2) var<storage, read> running_var: array<f32>;
/// Four rows of C values: mean_hi, mean_lo, invstd, 0.
@group(0) @binding(3) var<storage, read_write> statistics: array<f32>;

@compute @workgroup_size(64)
fn evaluation_statistics(@builtin(global_invocation_id) id: vec3u) {
  let channel = id.x;
  if channel >= params.channels {
    return;
  }
  statistics[channel] = running_mean[channel];
  statistics[params.channels + channel] = 0.0;
  statistics[2u * params.channels + channel] = inverseSqrt(running_var[channel] + params.eps);
  statistics[3u * params.channels + channel] = 0.0;
}
