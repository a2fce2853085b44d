import { DataParallelWithCallBack, init, tensor, type Tensor } from 'syncbn';
import { beforeAll, describe, expect, it } from 'vitest';
import { expectSameBits } from '../support/bits.ts';
import { deviceKinds, deviceNames } from '../support/device_kinds.ts';
import { collectGarbage } from '../support/event_loop.ts';
import { scale } from '../support/operations.ts';
import { buffersOn, type Call, Recorder } from './modules.ts';

describe.each(deviceKinds)('outputs are gathered on %s', (kind) => {
  const names = deviceNames(kind, 3);
  const [first = '', second = '', third = ''] = names;

  beforeAll(() => init(names));

  /** What comes back when replicas 0 and 1 return what `respond` says. */
  function gathered(respond: (call: Call) => unknown, dim = 0, outputDevice = first): Promise<unknown> {
    const net = new DataParallelWithCallBack(new Recorder(respond), { deviceIds: [first, second], dim, outputDevice });
    return net.forward('go');
  }

  const on = (replica: number): { device: string } => ({ device: replica === 0 ? first : second });

  it('in order of replicas, along the dimension, on the output device', async () => {
    for (const outputDevice of [first, second, third]) {
      const respond = ({ replica }: Call): Tensor => tensor([[replica, 10 + replica]], [1, 2], on(replica));
      const y = (await gathered(respond, 0, outputDevice)) as Tensor;
      expect([y.device, y.shape, ...(await y.data())]).toEqual([outputDevice, [2, 2], 0, 10, 1, 11]);
    }
  });

  it('although the sizes along the dimension differ', async () => {
    const sizes = [2, 1];
    const respond = ({ replica }: Call): Tensor => {
      const size = sizes[replica] ?? 0;
      return tensor(new Float32Array(3 * size).fill(replica + 1), [3, size], on(replica));
    };
    const y = (await gathered(respond, -1)) as Tensor;
    expect(y.shape).toEqual([3, 3]);
    expect([...(await y.data())]).toEqual([1, 1, 2, 1, 1, 2, 1, 1, 2]);
  });

  it('into a vector when they have no dimensions', async () => {
    const y = (await gathered(({ replica }) => tensor([5 + replica], [], on(replica)))) as Tensor;
    expect([y.shape, ...(await y.data())]).toEqual([[2], 5, 6]);
  });

  it('in the memory format of the first', async () => {
    const data = Float32Array.from({ length: 12 }, (_, i) => i);
    const respond = ({ replica }: Call): Tensor =>
      tensor(data, [1, 3, 4], { ...on(replica), memoryFormat: replica === 0 ? 'channels_last' : 'contiguous' });
    const y = (await gathered(respond)) as Tensor;
    expect(y.memoryFormat).toBe('channels_last');
    expectSameBits(await y.data(), [...data, ...data]);
  });

  it('inside arrays and plain objects; nothing stays nothing', async () => {
    const respond = ({ replica }: Call): unknown => ({ a: [tensor([replica], [1], on(replica)), null], b: undefined });
    const y = (await gathered(respond)) as { a: [Tensor, null]; b: undefined };
    expect([...(await y.a[0].data())]).toEqual([0, 1]);
    expect(y.a[1]).toBeNull();
    expect(y).toHaveProperty('b', undefined);
  });

  it('and are disposed, unless they are older than the forward', async () => {
    const held = tensor([1, 2], [2], { device: first });
    const made: Tensor[] = [];
    const respond = (): Tensor[] => {
      const fresh = tensor([3], [1], { device: first });
      made.push(fresh);
      return [held, fresh];
    };
    await gathered(respond);
    await expect(gathered(({ replica }) => (replica === 0 ? respond() : null))).rejects.toThrow(TypeError);
    await expect(
      gathered(({ replica }) => (replica === 0 ? respond() : Promise.reject(new Error('no')))),
    ).rejects.toThrow();
    expect(made.map(({ isDisposed }) => isDisposed)).toEqual([true, true, true, true]);
    expect(held.isDisposed).toBe(false);
  });

  it('and gradients flow back to every replica, also from one output of two', async () => {
    const x = tensor([1, 2, 3], [3, 1], { device: first, requiresGrad: true });
    const respond = async ({ inputs }: Call): Promise<unknown> => {
      const part = inputs[0] as Tensor;
      return { used: await scale(part, 2), unused: await scale(part, 5) };
    };
    const net = new DataParallelWithCallBack(new Recorder(respond), {
      deviceIds: [first, second],
      outputDevice: third,
    });
    const { used } = (await net.forward(x)) as { used: Tensor };
    await used.backward(tensor([1, 10, 100], [3, 1], { device: third }));
    expect([...((await x.grad?.data()) ?? [])]).toEqual([2, 20, 200]);
  });

  it('of replicas that contribute nothing to the gradient, which is then zero', async () => {
    const x = tensor([1, 2, 3, 4], [4], { device: first, requiresGrad: true });
    const respond = ({ replica, inputs }: Call): unknown => {
      const part = inputs[0] as Tensor;
      return replica === 0 ? scale(part, 3) : part.detach();
    };
    const net = new DataParallelWithCallBack(new Recorder(respond), { deviceIds: [first, second] });
    const y = (await net.forward(x)) as Tensor;
    await y.backward(tensor([1, 1, 1, 1], [4], { device: first }));
    expect([...((await x.grad?.data()) ?? [])]).toEqual([3, 3, 0, 0]);
  });

  it.each([
    ['shapes that differ elsewhere', (r: number) => tensor([[1], [2, 3]][r] ?? [], [1, r + 1]), RangeError],
    ['ranks that differ', (r: number) => tensor([1], r === 0 ? [1] : [1, 1]), RangeError],
    ['a tensor and something else', (r: number) => (r === 0 ? tensor([1]) : 1), TypeError],
    ['nothing and something', (r: number) => (r === 0 ? null : tensor([1])), TypeError],
    ['other keys', (r: number) => ({ [r === 0 ? 'a' : 'b']: null }), RangeError],
    ['an array and an object', (r: number) => (r === 0 ? [null] : { 0: null }), RangeError],
    ['arrays of different lengths', (r: number) => (r === 0 ? [null] : [null, null]), RangeError],
    ['numbers', () => 1, TypeError],
    ['modules', () => new Recorder(), TypeError],
  ])('unless they are %s', async (_, outputs, error) => {
    await collectGarbage();
    const before = buffersOn(names);
    const made: Tensor[] = [];
    const attempt = gathered(({ replica }) => {
      const output: unknown = outputs(replica);
      if (typeof output === 'object' && output !== null && 'dispose' in output) made.push(output as Tensor);
      return output;
    });
    await expect(attempt).rejects.toThrow(error);
    expect(made.every((output) => output.isDisposed)).toBe(true);
    expect(buffersOn(names)).toEqual(before);
  });

  it('or the error tells which is wrong, as PyTorch does', async () => {
    const attempt = gathered(({ replica }) => tensor(new Float32Array(2 + replica), [1, 2 + replica], on(replica)));
    await expect(attempt).rejects.toThrow('Input tensor at index 1 has invalid shape [1, 3], but expected [1, 2]');
  });
});
