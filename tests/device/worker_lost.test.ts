/** Workers that end: what was pending, what comes later, what others notice, and how to go on. */

import type { Worker } from 'node:worker_threads';
import { BatchNorm1d, defineFunction, DeviceLostError, devices, init, tensor, type Tensor } from 'syncbn';
import { afterEach, beforeEach, describe, expect, it } from 'vitest';

/** Node tells of every worker it starts, in the order in which they are started. */
const started: Worker[] = [];
const note = (worker: Worker): void => void started.push(worker);

beforeEach(() => {
  started.length = 0;
  process.on('worker', note);
});

afterEach(async () => {
  process.off('worker', note);
  await devices.close();
});

/** A tensor of 1 and 2 on a device. */
function pair(device: string): Tensor {
  return tensor([1, 2], [2], { device });
}

async function errorOf(attempt: Promise<unknown>): Promise<unknown> {
  return attempt.then(
    () => null,
    (error: unknown) => error,
  );
}

describe('a worker that was terminated', () => {
  it('rejects everything pending with one error that names device and operation', async () => {
    await init(['worker:1']);
    const [x, y] = [pair('worker:1'), pair('worker:1')];
    const pending = [errorOf(x.data()), errorOf(y.data())];
    await started[0]?.terminate();
    const [error, other] = await Promise.all(pending);
    expect(error).toBeInstanceOf(DeviceLostError);
    expect(error).toMatchObject({ device: 'worker:1', operation: 'readRows', cause: expect.any(Error) as Error });
    expect(other).toBe(error);
  });

  it('fails whatever is asked later with the same error, and still takes tensors back', async () => {
    await init(['worker:1']);
    const x = pair('worker:1');
    const pending = errorOf(x.data());
    await started[0]?.terminate();
    const error = await pending;
    expect(await errorOf(x.data())).toBe(error);
    expect(() => pair('worker:1')).toThrow(DeviceLostError);
    expect(() => new BatchNorm1d(1, { device: 'worker:1' })).toThrow(DeviceLostError);
    x.dispose();
    expect(devices.get('worker:1').memoryUsage()).toMatchObject({ buffers: 0, bytesInUse: 0 });
  });

  it('is noticed while nothing is pending', async () => {
    await init(['worker:1']);
    await started[0]?.terminate();
    expect(() => pair('worker:1')).toThrow(/device worker:1 was lost .*exit code/);
  });

  it('leaves other devices alone', async () => {
    await init(['worker:1']);
    await init(['worker:2']);
    const kept = pair('worker:2');
    await started[0]?.terminate();
    expect([...(await (await kept.to('cpu:0')).data())]).toEqual([1, 2]);
    expect([...(await kept.data())]).toEqual([1, 2]);
  });

  it('rejects a copy to another device, and a copy from one', async () => {
    await init(['worker:1']);
    const x = pair('worker:1');
    const copies = [errorOf(x.to('cpu:0')), errorOf(x.to('worker:2'))];
    await started[0]?.terminate();
    for (const error of await Promise.all(copies)) expect(error).toBeInstanceOf(DeviceLostError);
    await expect(pair('cpu:0').to('worker:1')).rejects.toThrow(DeviceLostError);
  });
});

describe('devices.recreate()', () => {
  it('gives a fresh device of that name, on which the old tensors stay dead', async () => {
    await init(['worker:1']);
    const x = pair('worker:1');
    await started[0]?.terminate();
    const fresh = devices.recreate('worker:1');
    expect(devices.get('worker:1')).toBe(fresh);
    await fresh.ready();
    expect([...(await pair('worker:1').data())]).toEqual([1, 2]);
    await expect(x.data()).rejects.toThrow(DeviceLostError);
    await expect(x.to('cpu:0')).rejects.toThrow("devices.recreate('worker:1') makes a fresh device");
    x.dispose();
    expect(fresh.memoryUsage().buffers).toBe(1);
  });

  it('takes no gradient on the fresh device for a tensor of the old one', async () => {
    await init(['worker:1']);
    const leaf = pair('worker:1');
    leaf.requiresGrad = true;
    const relay = defineFunction({
      forward: (_context, x: Tensor) => pair(x.device),
      backward: (_context, dy) => pair(dy.device),
    });
    const outputs = [await relay(leaf), await relay(leaf)];
    const dy = pair('worker:1');
    devices.recreate('worker:1');
    await expect(outputs[0]?.backward(dy)).rejects.toThrow(DeviceLostError);
    await expect(outputs[1]?.backward(pair('worker:1'))).rejects.toThrow(DeviceLostError);
    expect(() => (leaf.grad = pair('worker:1'))).toThrow(DeviceLostError);
  });

  it('ends a worker that lives', async () => {
    await init(['worker:1']);
    const ended = new Promise((resolve) => started[0]?.on('exit', resolve));
    devices.recreate('worker:1');
    await ended;
    expect(devices.get('worker:1').isReady).toBe(false);
  });
});

describe('devices.close()', () => {
  it('ends the workers named, and resolves when their threads have ended', async () => {
    await init(['worker:1', 'worker:2']);
    const ended: number[] = [];
    started.forEach((worker) => worker.on('exit', () => ended.push(worker.threadId)));
    const x = pair('worker:1');
    await devices.close('worker:1');
    expect(ended.length).toBe(1);
    await expect(x.data()).rejects.toThrow('device worker:1 was lost during close');
    await devices.close();
    expect(ended.length).toBe(2);
  });

  it('leaves the name for a new device', async () => {
    const old = devices.get('worker:1');
    await old.ready();
    await devices.close('worker:1');
    expect(devices.get('worker:1')).not.toBe(old);
    await init(['worker:1']);
    expect([...(await pair('worker:1').data())]).toEqual([1, 2]);
  });

  it('of a worker that is being started keeps it from living', async () => {
    const opening = errorOf(init(['worker:1']));
    const closing = devices.close('worker:1');
    expect(await opening).toBeInstanceOf(DeviceLostError);
    await closing;
    await expect(Promise.all(started.map(async (worker) => worker.terminate()))).resolves.toBeDefined();
  });

  it('refuses what is no worker', async () => {
    await expect(devices.close('cpu:0')).rejects.toThrow('expected the name of a worker or WebGPU device');
  });
});
