// Copies rows between buffers: slices and concatenations along any dimension. Twin: `copyRows` of `ts/device/cpu_device.ts`.
// Dispatch: x · y · 64 ≥ values.

struct Params {
  /// Values in all rows.
  values: u32,
  row_length: u32,
  source_offset: u32,
  source_stride: u32,
  target_offset: u32,
  target_stride: u32,
}

@group(0) @binding(0) var<uniform> params: Params;
/// Row i begins at offset + i · stride.
@group(0) @binding(1) var<storage, read> source_values: array<f32>;
@group(0) @binding(2) var<storage, read_write> target_values: array<f32>;

@compute @workgroup_size(64)
fn copy_rows(@builtin(global_invocation_id) id: vec3u, @builtin(num_workgroups) groups: vec3u) {
  let i = id.y * groups.x * 64u + id.x;
  if i >= params.values {
    return;
  }
  let row = i / params.row_length;
  let column = i % params.row_length;
  let from_place = params.source_offset + row * params.source_stride + column;
  target_values[params.target_offset + row * params.target_stride + column] = source_values[from_place];
}
