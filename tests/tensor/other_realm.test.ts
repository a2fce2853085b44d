/** Values of another realm, as a `vm` context, a frame or Jest gives them. */

import { runInNewContext } from 'node:vm';
import { functional, init, tensor, type NestedNumbers } from 'syncbn';
import { beforeAll, describe, expect, it } from 'vitest';
import { expectSameBits } from '../support/bits.ts';

const foreign = (code: string): unknown => runInNewContext(code);

beforeAll(() => init());

describe('of another realm', () => {
  it('a Float32Array becomes a tensor, and is copied into one', async () => {
    const values = foreign('Float32Array.of(1, 2, 3)') as Float32Array;
    expect(values).not.toBeInstanceOf(Float32Array);
    const x = tensor(values);
    expectSameBits(await x.data(), [1, 2, 3]);
    expectSameBits(await (await tensor([0, 0, 0]).copy_(values)).data(), [1, 2, 3]);
    expect(await x.data()).toBeInstanceOf(Float32Array);
  });

  it('arrays, shapes and options are taken', async () => {
    const data = foreign('[[1, 2], [3, 4]]') as NestedNumbers;
    const x = tensor(data, foreign('[4]') as number[], foreign("({ device: 'cpu:0' })") as object);
    expect(x.shape).toEqual([4]);
    expectSameBits(await x.data(), [1, 2, 3, 4]);
  });

  it('a partial is taken', async () => {
    const partial = await functional.moments(tensor([[1], [2]]));
    const copy = foreign(`Uint8Array.of(${partial.join()})`) as Uint8Array;
    expect([...(await functional.mergeMoments([copy]))]).toEqual([...(await functional.mergeMoments([partial]))]);
  });

  it('a promise is told from a value', () => {
    expect(() => tensor(foreign('Promise.resolve(1)') as number)).toThrow('got a promise (await it)');
  });
});
