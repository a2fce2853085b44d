// From (N, rows, columns) to (N, columns, rows). Twin: `crates/core/src/permute.rs`. Dispatch: x · y ≥ N · tiles of a sample; a
// workgroup moves a tile of 16 × 16 values, so that it reads and writes adjacent values.

struct Params {
  samples: u32,
  rows: u32,
  columns: u32,
}

const TILE = 16u;

@group(0) @binding(0) var<uniform> params: Params;
/// (N, rows, columns).
@group(0) @binding(1) var<storage, read> source_values: array<f32>;
/// (N, columns, rows).
@group(0) @binding(2) var<storage, read_write> target_values: array<f32>;

var<workgroup> tile: array<f32, TILE * TILE>;

@compute @workgroup_size(TILE, TILE)
fn permute(
  @builtin(workgroup_id) group: vec3u,
  @builtin(num_workgroups) groups: vec3u,
  @builtin(local_invocation_id) local: vec3u,
) {
  let tiles = (vec2u(params.columns, params.rows) + TILE - 1u) / TILE;
  let index = group.y * groups.x + group.x;
  let sample = index / (tiles.x * tiles.y);
  let first = TILE * vec2u(index % tiles.x, (index / tiles.x) % tiles.y);
  let base = sample * params.rows * params.columns;
  let is_sample = sample < params.samples;
  let column = first.x + local.x;
  let row = first.y + local.y;
  if is_sample && column < params.columns && row < params.rows {
    tile[local.y * TILE + local.x] = source_values[base + row * params.columns + column];
  }
  workgroupBarrier();
  let target_row = first.x + local.y;
  let target_column = first.y + local.x;
  if is_sample && target_row < params.columns && target_column < params.rows {
    target_values[base + target_row * params.rows + target_column] = tile[local.x * TILE + local.y];
  }
}
