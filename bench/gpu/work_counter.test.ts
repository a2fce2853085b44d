import { expect, test } from 'vitest';
import type { Engine, LayerRun } from '../engine.ts';
import { countStep, WorkCounter } from './work_counter.ts';

/** A platform that answers everything and does nothing, new for each test since a counter wraps its classes. */
function platform() {
  const classOf = (...names: string[]) => ({ prototype: Object.fromEntries(names.map((name) => [name, () => ({})])) });
  return {
    GPUDevice: classOf('createBuffer', 'createComputePipeline', 'createComputePipelineAsync'),
    GPUQueue: classOf('submit'),
    GPUBuffer: classOf('mapAsync'),
    GPUComputePassEncoder: classOf('dispatchWorkgroups', 'dispatchWorkgroupsIndirect'),
  };
}

test('calls of the platform are counted, submits where they carry commands', () => {
  const classes = platform();
  const counter = new WorkCounter(classes);
  const { GPUDevice, GPUQueue, GPUBuffer, GPUComputePassEncoder } = classes;
  for (const method of Object.values(GPUDevice.prototype)) method();
  for (const commands of [[], [{}]]) Reflect.apply(GPUQueue.prototype['submit'] as () => unknown, null, [commands]);
  GPUBuffer.prototype['mapAsync']?.();
  for (const method of Object.values(GPUComputePassEncoder.prototype)) method();
  expect(counter.total).toEqual({ buffers: 1, pipelines: 2, submits: 1, maps: 1, dispatches: 2 });
});

test('a platform without one of the methods is refused', () => {
  const nothing = { prototype: {} };
  const classes = { GPUDevice: nothing, GPUQueue: nothing, GPUBuffer: nothing, GPUComputePassEncoder: nothing };
  expect(() => new WorkCounter(classes)).toThrow('WebGPU has no createBuffer here');
});

/** Counts a step of two layers whose passes dispatch so often. */
function counted(passes: Partial<Record<'forward' | 'backward' | 'step', number>>, bytesPerDispatch?: number) {
  let dispatches = 10;
  const others = { submits: 0, buffers: 0, pipelines: 0, maps: 0 };
  const run = Object.fromEntries(
    Object.entries(passes).map(([name, times]) => [name, () => void (dispatches += times)]),
  ) as unknown as LayerRun;
  const engine: Engine = {
    version: '',
    load: () => undefined,
    layers: () => [run, run],
    unload: () => undefined,
    ...(bytesPerDispatch !== undefined && { bytesMoved: () => dispatches * bytesPerDispatch }),
  };
  const counter = {
    get total() {
      return { dispatches, ...others };
    },
  };
  return countStep(engine, 'any', counter);
}

test('all layers count, each pass apart, and nothing from before', async () => {
  const { forward, backward } = await counted({ forward: 2, backward: 3 });
  expect([forward?.['dispatches'], backward?.['dispatches']]).toEqual([4, 6]);
});

test('a framework that cannot split a step has the whole of it counted', async () => {
  expect((await counted({ forward: 2, step: 7 })).backward).toMatchObject({ dispatches: 14 });
});

test('bytes are told by engines that know them, and by no others', async () => {
  expect((await counted({ forward: 1, backward: 2 }, 10)).backward).toMatchObject({ bytesMoved: 40 });
  expect((await counted({ forward: 1 })).forward).not.toHaveProperty('bytesMoved');
});
