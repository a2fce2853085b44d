/** Where threads may share memory, small messages are not posted. */

import { Worker } from 'node:worker_threads';
import { devices, init } from 'syncbn';
import { afterAll, afterEach, beforeAll, expect, it, vi } from 'vitest';
import { endOfTick } from '../support/event_loop.ts';
import { randomUniform } from '../support/random.ts';

beforeAll(() => init(['worker:0']));
afterAll(() => devices.close());

afterEach(() => vi.restoreAllMocks());

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

it('a worker hears of every command, however long after the one before it comes', async () => {
  const device = devices.get('worker:0');
  const sum = device.allocate(1);
  device.run({ operation: 'fill', target: sum, value: 0 });
  for (let i = 1; i <= 3000; i++) {
    // A worker falls asleep some microseconds after its answer.
    const end = performance.now() + 0.04 * randomUniform(1, i);
    while (performance.now() < end);
    // Memory is no reason to wake it: what follows must.
    const one = device.allocate(1);
    if (i % 3 === 0) await Promise.resolve();
    device.run({ operation: 'fill', target: one, value: 1 });
    device.run({ operation: 'add', a: sum, b: one, target: sum });
    device.release(one);
    if (i % 5 !== 0) expect(await device.read(sum)).toEqual(Float32Array.of(i));
  }
  device.release(sum);
});

it('memory that is taken and given back wakes no worker, and no more lies there than has room', async () => {
  const device = devices.get('worker:0');
  const notify = vi.spyOn(Atomics, 'notify');
  const post = vi.spyOn(Worker.prototype, 'postMessage').mockClear();
  await device.read(device.allocate(1));
  // It is asleep by then.
  await new Promise((resolve) => setTimeout(resolve, 20));
  notify.mockClear();
  device.release(device.allocate(1));
  await endOfTick();
  expect(notify).not.toHaveBeenCalled();
  for (let i = 0; notify.mock.calls.length === 0; i++) {
    expect(i).toBeLessThan(10_000);
    device.release(device.allocate(1));
    if (i % 100 === 0) await endOfTick();
  }
  expect(post.mock.calls.length).toBeGreaterThan(0);
});
