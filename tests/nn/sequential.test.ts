import { BatchNorm1d, Module, Parameter, Sequential, tensor, type Tensor } from 'syncbn';
import { describe, expect, it } from 'vitest';
import { expectSameBits } from '../support/bits.ts';
import { multiply } from '../support/operations.ts';

describe('Sequential', () => {
  it('calls its modules in turn, also one that stands there twice', async () => {
    class Double extends Module {
      readonly factor = new Parameter(tensor([2]));
      async forward(x: Tensor): Promise<Tensor> {
        return multiply(x, this.factor);
      }
    }
    const double = new Double();
    const net = new Sequential(double, new Double(), double);
    expectSameBits(await (await net.forward(tensor([1]))).data(), [8]);
    expect([...net.namedChildren()].map(([name]) => name)).toEqual(['0', '1']);
    expect(Object.keys(net.stateDict())).toEqual(['0.factor', '1.factor', '2.factor']);
  });

  it('without modules gives back its input', async () => {
    const x = tensor([1]);
    expect(await new Sequential().forward(x)).toBe(x);
  });

  it.each([
    ['a function', (): null => null, 'position 1'],
    ['a class', BatchNorm1d, 'the function or class BatchNorm1d'],
    ['null', null, 'got null'],
    ['an object with a forward', { forward: (): null => null }, 'got an object at position 1'],
    ['a module without a forward', Object.assign(new Sequential(), { forward: undefined }), 'has no forward()'],
  ])('refuses %s', (_, item, text) => {
    const make = (): Sequential => new Sequential(new BatchNorm1d(1), item as unknown as Module);
    expect(make).toThrow(TypeError);
    expect(make).toThrow(text);
  });
});
