/** A platform without WebGPU, as far as the library can see: a file of its own, since the platform is looked up once. */

import { devices, init, NoWebGpuError } from 'syncbn';
import { afterAll, afterEach, beforeEach, expect, it, vi } from 'vitest';

beforeEach(() => {
  // What is no Node has no package to get WebGPU from.
  if ('process' in globalThis) vi.stubGlobal('process', Object.create(process, { versions: { value: {} } }));
  vi.stubGlobal('navigator', { hardwareConcurrency: 2 });
});
afterEach(() => vi.unstubAllGlobals());
afterAll(() => devices.close());

it('offers no GPU, says what to do, and is looked at again', async () => {
  expect(devices.list()).not.toContain('webgpu:0');
  expect(await devices.best()).toBe('cpu:0');
  const error: unknown = await init(['webgpu:0']).catch((reason: unknown) => reason);
  expect(error).toBeInstanceOf(NoWebGpuError);
  expect(error).toMatchObject({ device: 'webgpu:0' });
  for (const way of ['a browser that has it', 'install the package webgpu', "stay on 'cpu' or 'worker'"]) {
    expect(String(error)).toContain(way);
  }
  await expect(devices.create()).rejects.toThrow(NoWebGpuError);
  vi.unstubAllGlobals();
  await devices.recreate('webgpu:0').ready();
  expect(devices.list()).toContain('webgpu:0');
});
