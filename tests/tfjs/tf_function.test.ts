/** Functions of TensorFlow.js as functions of the library, against tfjs' own gradients. */

import * as tf from '@tensorflow/tfjs-core';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { DeviceMismatchError, devices, noGrad, tensor, type Tensor } from 'syncbn';
import { tfFunction } from 'syncbn/tfjs';
import { randomArray } from '../support/random.ts';
import { hostBackends, useBackend } from './backends.ts';
import { collectUntil } from '../support/event_loop.ts';

beforeAll(async () => {
  await useBackend('cpu');
});

/** A leaf and its twin in tfjs. */
function pair(seed: number, shape: number[], device = 'cpu'): { own: Tensor; theirs: tf.Tensor } {
  const values = randomArray(
    seed,
    shape.reduce((a, b) => a * b, 1),
  );
  return { own: tensor(values, shape, { device, requiresGrad: true }), theirs: tf.tensor(values, shape) };
}

/** The identity, with a gradient of one's own and a tensor saved for it. */
function withGradient(gradient: (dy: tf.Tensor) => tf.Tensor): (x: tf.Tensor) => tf.Tensor {
  const identity = tf.customGrad((...inputs) => {
    const [x, save] = inputs as unknown as [tf.Tensor, (saved: tf.Tensor[]) => void];
    save([x]);
    return { value: tf.clone(x), gradFunc: gradient };
  });
  return (x) => identity(x);
}

/** How many tensors of tfjs `work` leaves behind, itself included. */
async function left(work: () => Promise<unknown>): Promise<number> {
  const { numTensors } = tf.memory();
  await work();
  return tf.memory().numTensors - numTensors;
}

const places = hostBackends.flatMap((backend) => ['cpu:0', 'worker:0'].map((device) => ({ backend, device })));

describe.each(places)('on $device with the backend $backend', ({ backend, device }) => {
  beforeAll(() => useBackend(backend));
  afterAll(() => useBackend('cpu'));

  const segment = (x: tf.Tensor4D, kernel: tf.Tensor2D, bias: tf.Tensor1D): tf.Tensor4D => {
    const flat = tf.reshape(x, [-1, 3]);
    const mixed = tf.relu(tf.add(tf.matMul(flat, kernel), bias));
    return tf.avgPool(tf.reshape(mixed, [2, 6, 6, 4]), 2, 2, 'valid');
  };

  it('gives_the_values_and_gradients_of_tfjs_and_leaves_none_of_its_tensors', async () => {
    const [x, kernel, bias] = [pair(1, [2, 6, 6, 3], device), pair(2, [3, 4], device), pair(3, [4], device)];
    const dy = pair(4, [2, 3, 3, 4], device);
    const theirs = [x.theirs, kernel.theirs, bias.theirs];
    const run = (...parts: tf.Tensor[]): tf.Tensor => segment(...(parts as Parameters<typeof segment>));
    const expected = tf.grads(run)(theirs, dy.theirs);
    const value = run(...theirs);
    const count = await left(async () => {
      const y = await tfFunction(segment)(x.own, kernel.own, bias.own);
      expect(y.device).toBe(device);
      expect(y.shape).toEqual([2, 3, 3, 4]);
      expect(await y.data()).toEqual(value.dataSync());
      await y.backward(dy.own);
    });
    expect(count).toBe(0);
    for (const [i, one] of [x, kernel, bias].entries()) {
      expect(await one.own.grad?.data()).toEqual(expected[i]?.dataSync());
    }
  });

  it('takes_several_outputs_of_which_one_is_used', async () => {
    const x = pair(1, [4, 3], device);
    const [sum, doubled] = await tfFunction((x: tf.Tensor) => [tf.sum(x, 1), tf.mul(x, 2)])(x.own);
    expect(sum?.shape).toEqual([4]);
    await doubled?.backward(tensor(new Float32Array(12).fill(1), [4, 3], { device }));
    expect(Array.from((await x.own.grad?.data()) ?? [])).toEqual(new Array(12).fill(2));
  });
});

it('sums_the_gradients_of_a_tensor_that_is_an_output_twice_and_an_input', async () => {
  const x = tensor([1, 2], [2], { requiresGrad: true });
  const outputs = await tfFunction((x: tf.Tensor) => {
    const y = tf.square(x);
    return [y, y, x];
  })(x);
  const total = await tfFunction((...all: tf.Tensor[]) => tf.sum(tf.addN(all)))(...outputs);
  await total.backward();
  // d(2x² + x) = 4x + 1
  expect(Array.from((await x.grad?.data()) ?? [])).toEqual([5, 9]);
});

it('has_no_gradient_for_what_does_not_reach_an_output_and_for_integers', async () => {
  const [x, unused] = [pair(1, [3]).own, pair(2, [3]).own];
  const [best, y] = await tfFunction((x: tf.Tensor, unused: tf.Tensor) => {
    tf.exp(unused);
    return [tf.argMax(x), tf.neg(x)] as const;
  })(x, unused);
  expect(best?.shape).toEqual([]);
  await y?.backward(tensor([1, 1, 1]));
  expect(unused.grad).toBeNull();
  expect(Array.from((await x.grad?.data()) ?? [])).toEqual([-1, -1, -1]);
});

it('runs_once_so_random_numbers_are_those_of_the_forward_pass', async () => {
  const x = tensor(new Float32Array(64).fill(1), [64], { requiresGrad: true });
  const y = await tfFunction((x: tf.Tensor) => tf.mul(x, tf.randomUniform([64])))(x);
  await y.backward(tensor(new Float32Array(64).fill(1)));
  expect(await x.grad?.data()).toEqual(await y.data());
});

it('computes_backward_with_the_backend_of_forward', async () => {
  tf.registerBackend('other', () => tf.findBackend('cpu'), 0);
  tf.copyRegisteredKernels('cpu', 'other');
  await tf.setBackend('other');
  const used: string[] = [];
  const negative = withGradient((dy) => {
    used.push(tf.getBackend());
    return tf.neg(dy);
  });
  const y = await tfFunction(negative)(tensor([1], [1], { requiresGrad: true }));
  await tf.setBackend('cpu');
  await y.backward();
  expect([used, tf.getBackend()]).toEqual([['other'], 'cpu']);
});

describe('frees_what_the_tape_keeps', () => {
  const square = tfFunction((x: tf.Tensor) => tf.square(x));
  const input = (): Tensor => tensor([1, 2], [2], { requiresGrad: true });

  it.each<[when: string, (y: Tensor) => unknown]>([
    ['when_the_output_is_disposed', (y) => y.dispose()],
    ['after_backward', (y) => y.backward(tensor([1, 1]))],
  ])('%s', async (_, end) => {
    expect(await left(async () => end(await square(input())))).toBe(0);
  });

  it('when_the_garbage_collector_finds_the_graph', async () => {
    const { numTensors } = tf.memory();
    await square(input());
    await collectUntil(() => tf.memory().numTensors === numTensors);
    expect(tf.memory().numTensors).toBe(numTensors);
  });

  it('and_records_nothing_under_noGrad', async () => {
    let y: Tensor | undefined;
    expect(await left(async () => (y = await noGrad(() => square(input()))))).toBe(0);
    expect(y?.requiresGrad).toBe(false);
  });
});

describe('fails_as_the_function_does_and_leaves_none_of_its_tensors', () => {
  const fault = new Error('the layer is wrong');

  it('in_forward', async () => {
    const failing = tfFunction((x: tf.Tensor): tf.Tensor => {
      tf.square(x);
      throw fault;
    });
    const count = await left(() => expect(failing(tensor([1], [1], { requiresGrad: true }))).rejects.toBe(fault));
    expect(count).toBe(0);
    expect(tf.engine().isTapeOn()).toBe(false);
  });

  it('in_backward', async () => {
    const failing = withGradient(() => {
      throw fault;
    });
    const x = tensor([1], [1], { requiresGrad: true });
    const count = await left(async () => {
      const y = await tfFunction(failing)(x);
      await expect(y.backward()).rejects.toBe(fault);
      y.dispose();
    });
    expect(count).toBe(0);
    expect(x.grad).toBeNull();
  });

  it('where_tfjs_has_no_gradient_naming_the_operation', async () => {
    const y = await tfFunction((x: tf.Tensor) => tf.topk(x, 1).values)(tensor([1, 2], [2], { requiresGrad: true }));
    await expect(y.backward(tensor([1]))).rejects.toThrow('no gradient for TopK');
    y.dispose();
  });
});

describe('refuses', () => {
  const same = tfFunction((...all: tf.Tensor[]) => all.map((one) => tf.clone(one)));

  it.each<[what: string, () => unknown, new (...args: never[]) => Error, RegExp]>([
    ['what_is_no_function', () => tfFunction(3 as never), TypeError, /expected a function/],
    ['no_inputs', () => same(), TypeError, /at least one tensor/],
    ['inputs_of_tfjs', () => same(tf.scalar(1) as never), TypeError, /a tensor of syncbn as input 0/],
    [
      'a_promise',
      () => tfFunction<tf.Tensor[], tf.Tensor>((() => Promise.resolve()) as never)(tensor([1])),
      TypeError,
      /must be synchronous/,
    ],
    [
      'inputs_on_two_devices',
      () => same(tensor([1]), tensor([1], [1], { device: 'cpu:1' })),
      DeviceMismatchError,
      /cpu:0 and cpu:1/,
    ],
  ])('%s', async (_, call, type, message) => {
    const error: unknown = await Promise.resolve()
      .then(call)
      .catch((reason: unknown) => reason);
    expect(error).toBeInstanceOf(type);
    expect(String(error)).toMatch(message);
  });
});

it('works_on_a_device_that_nobody_has_made_ready', async () => {
  const x = tensor([3], [1], { device: 'cpu:7' });
  expect(devices.get('cpu:7').isReady).toBe(false);
  expect(await (await tfFunction((x: tf.Tensor) => tf.square(x))(x)).item()).toBe(9);
});
