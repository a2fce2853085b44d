/** How commands travel: one message per tick, in order. */

import { BatchNorm1d, devices, DeviceMismatchError, init, tensor } from 'syncbn';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { endOfTick, settled } from '../support/event_loop.ts';

const names = ['worker:0', 'worker:1'];
const [first = '', second = ''] = names;

beforeAll(() => init(names));
afterAll(() => devices.close());

/** What has travelled to a worker and back. */
function traffic(name: string): { messages: number; bytes: number } {
  return devices.get(name).details().traffic ?? { messages: Number.NaN, bytes: Number.NaN };
}

describe('commands of one tick', () => {
  it('travel in one message, and their results in another', async () => {
    const device = devices.get(first);
    const before = traffic(first);
    const buffers = [1, 2, 3].map(() => device.allocate(4));
    buffers.forEach((buffer, i) => device.run({ operation: 'fill', target: buffer, value: i }));
    const results = await Promise.all(buffers.map((buffer) => device.read(buffer)));
    expect(results.map(([value]) => value)).toEqual([0, 1, 2]);
    expect(traffic(first).messages - before.messages).toBe(2);
    buffers.forEach((buffer) => device.release(buffer));
  });

  it('travel together also when an await that need not wait lies between them', async () => {
    const device = devices.get(first);
    const buffer = device.allocate(4);
    await device.read(buffer);
    const before = traffic(first);
    device.run({ operation: 'fill', target: buffer, value: 1 });
    for (let i = 0; i < 10; i++) await Promise.resolve();
    device.run({ operation: 'add', a: buffer, b: buffer, target: buffer });
    expect([...(await device.read(buffer))]).toEqual([2, 2, 2, 2]);
    expect(traffic(first).messages - before.messages).toBe(2);
    device.release(buffer);
  });

  it('are not awaited by layers in training, whose results are never in doubt', async () => {
    const layer = new BatchNorm1d(2, { device: first });
    const x = tensor([1, 2, 3, 4], [2, 2], { device: first });
    await devices.get(first).read(x.storage.buffer);
    const before = traffic(first);
    const y = await layer.forward(await layer.forward(await layer.forward(x)));
    expect((await y.data()).length).toBe(4);
    expect(traffic(first).messages - before.messages).toBe(2);
    expect(layer.numBatchesTracked).toBe(3);
  });

  it('set off at the end of the tick when nobody awaits a result', async () => {
    const device = devices.get(first);
    const buffer = device.allocate(4);
    await endOfTick();
    const before = traffic(first);
    device.run({ operation: 'fill', target: buffer, value: 1 });
    await Promise.resolve();
    expect(traffic(first).messages - before.messages).toBe(0);
    await endOfTick();
    expect(traffic(first).messages - before.messages).toBe(1);
    device.release(buffer);
  });

  it('set off before the end of the tick when they are many', async () => {
    const device = devices.get(first);
    const buffer = device.allocate(4);
    await device.read(buffer);
    const before = traffic(first);
    for (let i = 0; i < 31; i++) device.run({ operation: 'fill', target: buffer, value: i });
    await Promise.resolve();
    expect(traffic(first).messages - before.messages).toBe(0);
    device.run({ operation: 'fill', target: buffer, value: 31 });
    await Promise.resolve();
    expect(traffic(first).messages - before.messages).toBe(1);
    device.release(buffer);
  });

  it('take effect in the order given, also across messages', async () => {
    const device = devices.get(first);
    const [sum, one] = [device.allocate(1), device.allocate(1)];
    device.run({ operation: 'fill', target: sum, value: 0 });
    device.run({ operation: 'fill', target: one, value: 1 });
    for (let i = 0; i < 100; i++) {
      device.run({ operation: 'add', a: sum, b: one, target: sum });
      if (i % 7 === 0) await settled();
    }
    expect([...(await device.read(sum))]).toEqual([100]);
    [sum, one].forEach((buffer) => device.release(buffer));
  });

  it('hold the values of the moment they were given', async () => {
    const device = devices.get(first);
    const buffer = device.allocate(2);
    const data = Float32Array.of(1, 2);
    device.write(buffer, data);
    data.fill(9);
    expect(await device.read(buffer)).toEqual(Float32Array.of(1, 2));
    expect(data.length).toBe(2);
    device.release(buffer);
  });
});

describe('what is wrong with a command', () => {
  it('is told where it is given, when it can be known there', async () => {
    const [device, other] = [devices.get(first), devices.get(second)];
    const [buffer, foreign] = [device.allocate(2), other.allocate(2)];
    expect(() => device.run({ operation: 'fill', target: foreign, value: 0 })).toThrow(DeviceMismatchError);
    expect(() => device.write(buffer, new Float32Array(3))).toThrow(RangeError);
    device.release(buffer);
    expect(() => device.run({ operation: 'fill', target: buffer, value: 0 })).toThrow(
      'expected a buffer in use, got one that was released',
    );
    expect(() => device.release(buffer)).toThrow(RangeError);
    await expect(device.read(buffer)).rejects.toThrow('released');
    other.release(foreign);
  });
});

describe('a transfer', () => {
  it('moves what is asked for and no more: rows of one worker to another', async () => {
    const [source, target] = [devices.get(first).allocate(4000), devices.get(second).allocate(1000)];
    devices.get(first).run({ operation: 'fill', target: source, value: 3 });
    const before = [traffic(first).bytes, traffic(second).bytes];
    const rows = { offset: 10, stride: 400 };
    await devices
      .get(second)
      .copyRows({ buffer: source, ...rows }, { buffer: target, offset: 0, stride: 100 }, 100, 10);
    expect((await devices.get(second).read(target)).every((value) => value === 3)).toBe(true);
    const moved = [traffic(first).bytes - (before[0] ?? 0), traffic(second).bytes - (before[1] ?? 0)];
    // 4000 bytes leave the first, arrive at the second and are read back; the text of the commands is small.
    expect(moved[0]).toBeGreaterThanOrEqual(4000);
    expect(moved[0]).toBeLessThan(4500);
    expect(moved[1]).toBeGreaterThanOrEqual(8000);
    expect(moved[1]).toBeLessThan(8500);
    devices.get(first).release(source);
    devices.get(second).release(target);
  });
});
