/** Two copies of the library in one program, as when one file imports it and another requires it. */

import {
  convertModel,
  DataParallelWithCallBack,
  defineFunction,
  Module,
  Parameter,
  Sequential,
  SynchronizedBatchNorm1d,
  tensor,
  BatchNorm1d,
  TwoCopiesError,
  functional,
  type Tensor,
} from 'syncbn';
import { describe, expect, it, vi } from 'vitest';

// What is loaded with the first forward of a wrapper belongs to this copy only while its modules are known.
await new DataParallelWithCallBack(new SynchronizedBatchNorm1d(1), { deviceIds: ['cpu:0', 'cpu:1'] }).forward(
  tensor([[0], [1]]),
);
vi.resetModules();
const other = await import('syncbn');

const foreign = (): Tensor => other.tensor([[1], [2]], undefined, { requiresGrad: true });

class Holder extends Module {
  readonly held: unknown;

  constructor(held: unknown) {
    super();
    this.held = held;
  }

  forward(x: Tensor): Tensor {
    return x;
  }
}

describe('a tensor or module of another copy of the library', () => {
  it('is of another class', () => {
    expect(other.Module).not.toBe(Module);
    expect(foreign()).not.toBeInstanceOf(tensor([1]).constructor);
  });

  it.each<[string, () => unknown]>([
    ['for a layer', () => new BatchNorm1d(1).forward(foreign())],
    ['for a step', () => functional.moments(foreign())],
    ['for a function', () => defineFunction({ forward: (_, x: Tensor) => x, backward: () => null })(foreign())],
    ['as a parameter', () => new Parameter(foreign())],
    ['as values', () => tensor([[0], [0]]).copy_(foreign())],
    ['as a gradient', () => (tensor([[0], [0]]).grad = foreign())],
    ['as dy', () => tensor([[0], [0]], undefined, { requiresGrad: true }).backward(foreign())],
    ['as a buffer', () => new BatchNorm1d(1).registerBuffer('extra', foreign())],
    [
      'in a state dict',
      () => new BatchNorm1d(1).loadStateDict({ ...new BatchNorm1d(1).stateDict(), weight: foreign() }),
    ],
    ['for replicas', () => new DataParallelWithCallBack(new SynchronizedBatchNorm1d(1)).forward(foreign())],
    [
      'among inputs of replicas',
      () => new DataParallelWithCallBack(new Holder(1)).forward({ x: [foreign()] } as never),
    ],
    ['among modules', () => new Sequential(new other.BatchNorm1d(1))],
    ['as the module of replicas', () => new DataParallelWithCallBack(new other.BatchNorm1d(1))],
    ['as a model to convert', () => convertModel(new other.BatchNorm1d(1) as unknown as Module)],
    ['as a child', () => new Holder(new other.BatchNorm1d(1)).eval()],
    ['as the parameter of a module', () => [...new Holder(new other.Parameter(other.tensor([1]))).parameters()]],
  ])('is refused %s', async (_, use) => {
    // eslint-disable-next-line @typescript-eslint/require-await -- What throws at once is to be seen as a rejection.
    const attempt = (async () => use())();
    await expect(attempt).rejects.toThrow(TwoCopiesError);
    await expect(attempt).rejects.toThrow('two copies of syncbn are loaded');
  });
});
