import { expect, test } from 'vitest';
import { difference, WorkCounter } from './work_counter.ts';

const STORAGE = 0x80;
const UNIFORM = 0x40;

/** What of WebGPU is called here. */
interface FakeDevice {
  createBuffer(): object;
  createComputePipeline(): object;
  createBindGroup(descriptor: { entries: readonly { resource: object }[] }): object;
}
interface FakePass {
  setBindGroup(index: number, group: object): void;
  dispatchWorkgroups(): void;
}

/** A platform that answers everything and does nothing, new for each test since a counter wraps its classes. */
function platform() {
  const classOf = (...names: string[]) => {
    const answers = names.map((name) => [name, { value: () => ({}), writable: true }] as const);
    return { prototype: Object.create(Object.prototype, Object.fromEntries(answers)) as object };
  };
  const classes = {
    GPUDevice: classOf('createBuffer', 'createComputePipeline', 'createComputePipelineAsync', 'createBindGroup'),
    GPUQueue: classOf('submit'),
    GPUBuffer: classOf('mapAsync'),
    GPUComputePassEncoder: classOf('setBindGroup', 'dispatchWorkgroups', 'dispatchWorkgroupsIndirect'),
  };
  const counter = new WorkCounter(classes);
  const device = Object.create(classes.GPUDevice.prototype) as FakeDevice;
  const newPass = () => Object.create(classes.GPUComputePassEncoder.prototype) as FakePass;
  return { counter, device, newPass };
}

function binding(size: number, usage: number, range: { offset?: number; size?: number } = {}) {
  return { resource: { buffer: { size, usage }, ...range } };
}

test('a dispatch counts the storage bindings that its pass has set', () => {
  const { counter, device, newPass } = platform();
  const pass = newPass();
  pass.setBindGroup(0, device.createBindGroup({ entries: [binding(100, STORAGE), binding(16, UNIFORM)] }));
  pass.setBindGroup(1, device.createBindGroup({ entries: [binding(40, STORAGE)] }));
  pass.dispatchWorkgroups();
  expect(counter.total).toMatchObject({ dispatches: 1, bytesBound: 140 });
});

test('a bind group in the place of another replaces its bytes', () => {
  const { counter, device, newPass } = platform();
  const pass = newPass();
  pass.setBindGroup(0, device.createBindGroup({ entries: [binding(100, STORAGE)] }));
  pass.setBindGroup(0, device.createBindGroup({ entries: [binding(8, STORAGE)] }));
  pass.dispatchWorkgroups();
  pass.dispatchWorkgroups();
  expect(counter.total).toMatchObject({ dispatches: 2, bytesBound: 16 });
});

test.each([
  ['to the end of the buffer', { offset: 60 }, 40],
  ['as long as it says', { offset: 60, size: 12 }, 12],
])('a part of a buffer is bound %s', (_how, range, bytes) => {
  const { counter, device, newPass } = platform();
  const pass = newPass();
  pass.setBindGroup(0, device.createBindGroup({ entries: [binding(100, STORAGE, range)] }));
  pass.dispatchWorkgroups();
  expect(counter.total.bytesBound).toBe(bytes);
});

test('a buffer that is a binding itself is bound as a whole', () => {
  const { counter, device, newPass } = platform();
  const pass = newPass();
  const buffer = { size: 24, usage: STORAGE, mapAsync: () => undefined };
  pass.setBindGroup(0, device.createBindGroup({ entries: [{ resource: buffer }] }));
  pass.dispatchWorkgroups();
  expect(counter.total.bytesBound).toBe(24);
});

test('what was counted before is no part of a difference', () => {
  const { counter, device } = platform();
  device.createBuffer();
  const before = counter.total;
  device.createBuffer();
  device.createComputePipeline();
  expect(difference(counter.total, before)).toMatchObject({ buffers: 1, pipelines: 1, dispatches: 0 });
});

test('a platform without one of the methods is refused', () => {
  const nothing = { prototype: {} };
  const classes = { GPUDevice: nothing, GPUQueue: nothing, GPUBuffer: nothing, GPUComputePassEncoder: nothing };
  expect(() => new WorkCounter(classes)).toThrow('WebGPU has no createBuffer here');
});
