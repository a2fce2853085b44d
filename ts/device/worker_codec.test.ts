import { describe, expect, it } from 'vitest';
import { decodeCommand, encodeCommand } from './worker_codec.ts';
import type { Part } from './worker_protocol.ts';

class Named {
  readonly number: number;
  constructor(number: number) {
    this.number = number;
  }
}

/** What arrives of the arguments of a command. */
function travelled(args: readonly unknown[], buffers: readonly Named[] = []): unknown[] {
  const parts: Part[] = [];
  const line = encodeCommand('fill', 7, args, parts, (value) => (value instanceof Named ? value.number : null));
  expect(line).not.toContain('\n');
  const [operation, ticket, ...arrived] = decodeCommand(line, parts, (name) =>
    buffers.find(({ number }) => number === name),
  );
  expect([operation, ticket]).toEqual(['fill', 7]);
  return arrived;
}

describe('arguments arrive as they are', () => {
  it.each([
    ['numbers', [0, 1.5, -3, 2 ** 53, 1e-300]],
    ['numbers that JSON does not have', [Number.NaN, Infinity, -Infinity, -0]],
    ['truth values and null', [true, false, null]],
    ['text', ['plain', 'a "quoted" one', 'two\nlines', '']],
    ['nested fields and lists', [{ rows: { offset: 0, shape: [2, [3, -0]] }, empty: {} }, []]],
    ['arrays', [Float32Array.of(0.5, -0), { sums: Uint8Array.of(1, 2) }]],
  ])('%s', (_, args) => {
    expect(travelled(args)).toEqual(args);
  });

  it('without copies of arrays', () => {
    const values = Float32Array.of(1);
    expect(travelled([{ values }])).toEqual([{ values }]);
    expect((travelled([{ values }])[0] as { values: unknown }).values).toBe(values);
  });

  it('with buffers by their numbers', () => {
    const [a, b] = [new Named(3), new Named(4)];
    const [first, second] = travelled([b, { buffer: a }], [a, b]);
    expect(first).toBe(b);
    expect((second as { buffer: unknown }).buffer).toBe(a);
  });

  it('but for what is not there: a field stays away, an argument is null', () => {
    expect(travelled([undefined, { gone: undefined, here: 1 }, 2])).toStrictEqual([null, { here: 1 }, 2]);
  });
});
