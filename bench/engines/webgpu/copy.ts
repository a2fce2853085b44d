/** The roofline: a hand-written kernel that reads and writes each value once. y = x, then dx = dy. */

import type { Batch, Engine, LayerRun } from '../../engine.ts';
import { MAP_MODE_READ, requestDevice, USAGE } from '../../gpu/request_device.ts';

/** Values per invocation, and invocations per workgroup, as the shader has them. */
const VECTOR = 4;
const WORKGROUP = 256;
const MAXIMUM_WORKGROUPS = 65_535;

const SHADER = `
// 4 values per invocation and turn; one turn unless there are more workgroups than a dispatch may have.
@group(0) @binding(0) var<storage, read> source: array<vec4f>; // ⌈count / 4⌉
@group(0) @binding(1) var<storage, read_write> destination: array<vec4f>; // ⌈count / 4⌉

@compute @workgroup_size(${WORKGROUP})
fn copy(@builtin(global_invocation_id) id: vec3u, @builtin(num_workgroups) groups: vec3u) {
  for (var i = id.x; i < arrayLength(&source); i += groups.x * ${WORKGROUP}u) {
    destination[i] = source[i];
  }
}`;

export async function open(): Promise<Engine> {
  const { device, finished } = await requestDevice();
  const compute = { module: device.createShaderModule({ code: SHADER }), entryPoint: 'copy' };
  const pipeline = await device.createComputePipelineAsync({ layout: 'auto', compute });
  let places: Place[] = [];
  const unload = () => {
    for (const place of places) place.destroy();
    places = [];
  };
  return {
    version: 'copy kernel',
    load(batches) {
      unload();
      places = batches.map((batch) => new Place(device, pipeline, batch));
    },
    layers: () => places.map(({ run }) => run),
    finish: finished,
    unload,
  };
}

/** A layer's four tensors. */
class Place {
  readonly run: LayerRun;
  readonly #device: GPUDevice;
  readonly #buffers: readonly GPUBuffer[];
  readonly #count: number;

  constructor(device: GPUDevice, pipeline: GPUComputePipeline, batch: Batch) {
    this.#device = device;
    this.#count = batch.x.length;
    const vectors = Math.ceil(this.#count / VECTOR);
    const workgroups = Math.min(MAXIMUM_WORKGROUPS, Math.ceil(vectors / WORKGROUP));
    const usage = USAGE.STORAGE | USAGE.COPY_SRC | USAGE.COPY_DST;
    const allocate = () => device.createBuffer({ size: vectors * VECTOR * 4, usage });
    const [x, y, dy, dx] = [allocate(), allocate(), allocate(), allocate()] as const;
    this.#buffers = [x, y, dy, dx];
    device.queue.writeBuffer(x, 0, batch.x);
    device.queue.writeBuffer(dy, 0, batch.dy);
    const copier = (source: GPUBuffer, destination: GPUBuffer) => {
      const entries = [source, destination].map((buffer, binding) => ({ binding, resource: { buffer } }));
      const group = device.createBindGroup({ layout: pipeline.getBindGroupLayout(0), entries });
      return () => {
        const encoder = device.createCommandEncoder();
        const pass = encoder.beginComputePass();
        pass.setPipeline(pipeline);
        pass.setBindGroup(0, group);
        pass.dispatchWorkgroups(workgroups);
        pass.end();
        device.queue.submit([encoder.finish()]);
      };
    };
    const forward = copier(x, y);
    const backward = copier(dy, dx);
    const results = async () => {
      forward();
      backward();
      return { y: await this.#read(y), dx: await this.#read(dx) };
    };
    this.run = { forward, backward, results };
  }

  destroy(): void {
    for (const buffer of this.#buffers) buffer.destroy();
  }

  async #read(buffer: GPUBuffer): Promise<Float32Array> {
    const { size } = buffer;
    const usage = USAGE.MAP_READ | USAGE.COPY_DST;
    const staging = this.#device.createBuffer({ size, usage });
    const encoder = this.#device.createCommandEncoder();
    encoder.copyBufferToBuffer(buffer, 0, staging, 0, size);
    this.#device.queue.submit([encoder.finish()]);
    await staging.mapAsync(MAP_MODE_READ);
    const values = new Float32Array(staging.getMappedRange()).slice(0, this.#count);
    staging.destroy();
    return values;
  }
}
