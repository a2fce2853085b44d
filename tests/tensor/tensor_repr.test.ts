/** What `console.log` shows of tensors and modules in Node, Deno and Bun, which ask objects for it by a symbol. */

import { BatchNorm1d, init, Sequential, tensor } from 'syncbn';
import { beforeAll, describe, expect, it } from 'vitest';

beforeAll(() => init());

describe('a tensor in a terminal', () => {
  it.each([
    [tensor([1, 2.5]), 'Tensor([2], cpu:0)\n[1, 2.5]'],
    [
      tensor([
        [1, 2],
        [3, 4],
      ]),
      'Tensor([2, 2], cpu:0)\n[[1, 2],\n [3, 4]]',
    ],
    [tensor([], [0]), 'Tensor([0], cpu:0)\n[]'],
    [tensor(7), 'Tensor([], cpu:0)\n7'],
    [tensor([1], [1], { requiresGrad: true }), 'Tensor([1], cpu:0, requiresGrad)\n[1]'],
  ])('shows_shape_device_and_values', (x, text) => {
    expect(shown(x)).toBe(text);
  });

  it('shows_both_ends_of_a_long_one', () => {
    const text = shown(tensor(Float32Array.from({ length: 2000 }, (_, i) => i)));
    expect(text).toBe('Tensor([2000], cpu:0)\n[0, 1, 2, …, 1997, 1998, 1999]');
  });

  it('says_how_to_get_values_that_are_elsewhere', async () => {
    const x = await tensor([1]).to('worker:0');
    expect(shown(x)).toBe('Tensor([1], worker:0), values by await data()');
  });

  it('says_that_it_was_disposed', () => {
    const x = tensor([1]);
    x.dispose();
    expect(shown(x)).toBe('Tensor([1], disposed)');
  });
});

it('a_module_in_a_terminal_is_what_pytorch_prints', () => {
  const net = new Sequential(new BatchNorm1d(2));
  expect(shown(net)).toBe(String(net));
});

function shown(value: object): string {
  const inspect = (value as Record<symbol, () => string>)[Symbol.for('nodejs.util.inspect.custom')];
  return inspect?.call(value) ?? '';
}
