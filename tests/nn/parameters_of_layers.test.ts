/** The parameters of a layer stay parameters. */

import {
  BatchNorm1d,
  DataParallel,
  functional,
  init,
  Parameter,
  Sequential,
  SynchronizedBatchNorm1d,
  tensor,
  type Tensor,
} from 'syncbn';
import { beforeAll, describe, expect, it } from 'vitest';

beforeAll(() => init());

const batch = (): Tensor => tensor([1, 2, 3, 4], [2, 2]);

describe.each([BatchNorm1d, SynchronizedBatchNorm1d])('a tensor as a parameter of %o', (Layer) => {
  it.each(['weight', 'bias'] as const)('in the place of its %s is refused by whoever uses the layer', async (name) => {
    const bn = new Layer(2);
    Object.assign(bn, { [name]: tensor([1, 1]) });
    const text = `cannot assign a Tensor as parameter '${name}' (Parameter or null expected); assign new Parameter(tensor)`;
    expect(() => Array.from(bn.parameters())).toThrow(text);
    expect(() => bn.stateDict()).toThrow(text);
    expect(() => bn.forwardSync(batch())).toThrow(text);
    await expect(bn.forward(batch())).rejects.toThrow(text);
    await expect(bn.to('cpu:1')).rejects.toThrow(text);
    const net = new Sequential(bn);
    expect(() => net.zeroGrad()).toThrow(`parameter '0.${name}'`);
    Object.assign(bn, { [name]: new Parameter(tensor([2, 2])) });
    expect(Array.from(bn.parameters())).toContain(bn[name]);
    Object.assign(bn, { [name]: null });
    expect(await bn.forward(batch())).toBeDefined();
  });

  it('is what its replicas have', async () => {
    const net = new DataParallel(new Layer(2), { deviceIds: ['cpu:0', 'cpu:1'] });
    expect((await net.forward(tensor([1, 2, 3, 4, 5, 6, 7, 8], [4, 2]))).shape).toEqual([4, 2]);
  });
});

describe('an error about the length of a vector', () => {
  it('speaks of what the call was given', async () => {
    const x = batch();
    const statistics = await functional.finalize(await functional.moments(x), x);
    const weight = tensor([1, 2, 3]);
    await expect(functional.normalize(x, statistics, { weight })).rejects.toThrow(
      'weight should contain 2 elements not 3: the batch and its statistics have 2 channels',
    );
    const merged = await functional.mergeMoments([await functional.moments(x)]);
    await expect(functional.updateRunning(merged, tensor([0, 0]), weight)).rejects.toThrow(
      'running_var should contain 2 elements not 3: one value per channel, of which running_mean has 2',
    );
    await expect(functional.batchNorm(x, null, null, { training: true, weight })).rejects.toThrow(
      'weight should contain 2 elements not 3: the input has shape [2, 2]',
    );
  });
});
