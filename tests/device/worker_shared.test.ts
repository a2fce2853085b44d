/** Where threads may share memory, small messages are not posted. */

import { Worker } from 'node:worker_threads';
import { devices, init } from 'syncbn';
import { afterAll, beforeAll, expect, it, vi } from 'vitest';

beforeAll(() => init(['worker:0']));
afterAll(async () => {
  vi.restoreAllMocks();
  await devices.close();
});

it.each([
  ['a small array lies in shared memory', 512, 0],
  ['a large array is posted', 65_536, 1],
])('%s', async (_claim, length, posted) => {
  const device = devices.get('worker:0');
  const buffer = device.allocate(length);
  await device.read(buffer);
  const post = vi.spyOn(Worker.prototype, 'postMessage').mockClear();
  const values = Float32Array.from({ length }, (_, i) => i);
  device.write(buffer, values);
  expect(await device.read(buffer)).toEqual(values);
  expect(post).toHaveBeenCalledTimes(posted);
  device.release(buffer);
});
