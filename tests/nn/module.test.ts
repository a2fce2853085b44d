import { BatchNorm1d, CyclicModuleError, Module, Parameter, Sequential, tensor, Tensor } from 'syncbn';
import { describe, expect, it } from 'vitest';
import { expectSameBits } from '../support/bits.ts';
import { deviceKinds, deviceNames } from '../support/device_kinds.ts';
import { scale } from '../support/operations.ts';

/** What users write: nothing but properties and a forward. */
class Block extends Module {
  readonly bn: BatchNorm1d;
  readonly gain: Parameter;
  declare mask: Tensor | null;

  constructor(device = 'cpu') {
    super();
    this.gain = new Parameter(tensor([1, 2], [2], { device }));
    this.bn = new BatchNorm1d(2, { device });
    this.registerBuffer('mask', tensor([1, 0], [2], { device }));
  }

  async forward(x: Tensor): Promise<Tensor> {
    return this.bn.forward(x);
  }
}

class Net extends Module {
  readonly first = new Block();
  readonly second = new Block();
  /** A second name for a module that is there already. */
  readonly again: Module = this.first;

  async forward(x: Tensor): Promise<Tensor> {
    return this.second.forward(await this.first.forward(x));
  }
}

describe('a module', () => {
  it('finds parameters in order of assignment, its own before those of its children, each once', () => {
    const net = new Net();
    expect([...net.namedParameters()].map(([name]) => name)).toEqual([
      'first.gain',
      'first.bn.weight',
      'first.bn.bias',
      'second.gain',
      'second.bn.weight',
      'second.bn.bias',
    ]);
    expect([...net.parameters()]).toHaveLength(6);
    expect([...net.parameters()][0]).toBe(net.first.gain);
  });

  it('finds a parameter that two modules share once', () => {
    const block = new Block();
    const net = new Sequential(block, new BatchNorm1d(2));
    (net as unknown as { tied: Parameter }).tied = block.gain;
    expect([...net.namedParameters()].map(([name]) => name)).toEqual([
      'tied',
      '0.bn.weight',
      '0.bn.bias',
      '1.weight',
      '1.bias',
    ]);
  });

  it('finds modules, parents first, a shared one once', () => {
    const net = new Net();
    expect([...net.namedModules()].map(([path]) => path)).toEqual(['', 'first', 'first.bn', 'second', 'second.bn']);
    expect([...net.modules()][0]).toBe(net);
    expect([...net.namedChildren()].map(([name]) => name)).toEqual(['first', 'second']);
    expect([...net.children()]).toEqual([net.first, net.second]);
  });

  it('finds buffers that are tensors, under their state-dict names', () => {
    const net = new Block();
    expect([...net.namedBuffers()].map(([name]) => name)).toEqual(['mask', 'bn.running_mean', 'bn.running_var']);
    expect([...net.buffers()][0]).toBe(net.mask);
  });

  it('does not take a plain tensor for a parameter or a buffer', () => {
    const net = new Block();
    (net as unknown as { note: Tensor }).note = tensor([1]);
    expect([...net.parameters()]).toHaveLength(3);
    expect([...net.buffers()]).toHaveLength(3);
  });

  it('sets the training mode of everything below, and refuses what is no boolean', () => {
    const net = new Net();
    expect(net.training).toBe(true);
    expect(net.eval()).toBe(net);
    expect([...net.modules()].map((module) => module.training)).toEqual([false, false, false, false, false]);
    net.train();
    expect(net.second.bn.training).toBe(true);
    expect(() => net.train(1 as unknown as boolean)).toThrow('training mode is expected to be boolean, got 1');
  });

  it('calls a function with every module, children first', () => {
    const visited: string[] = [];
    new Block().apply((module) => visited.push(module.constructor.name));
    expect(visited).toEqual(['BatchNorm1d', 'Block']);
  });

  it('freezes and thaws its parameters', () => {
    const net = new Block();
    expect(net.requiresGrad_(false)).toBe(net);
    expect([...net.parameters()].map((parameter) => parameter.requiresGrad)).toEqual([false, false, false]);
    net.requiresGrad_();
    expect(net.gain.requiresGrad).toBe(true);
  });

  it('forgets gradients and frees them', async () => {
    const net = new Block();
    await (await scale(net.gain, 2)).backward(tensor([1, 1]));
    const { grad } = net.gain;
    net.zeroGrad();
    expect(net.gain.grad).toBeNull();
    expect(grad?.isDisposed).toBe(true);
  });

  it.each([
    ['itself', (net: Module & { child?: Module }) => (net.child = net), 'the module → child'],
    [
      'itself further down',
      (net: Module & { child?: Module }) => {
        const middle: Module & { back?: Module } = new Sequential();
        net.child = middle;
        middle.back = net;
      },
      'the module → child → back',
    ],
  ])('that contains %s is refused wherever the tree is walked', async (_, close, path) => {
    const net = new Block();
    close(net);
    const uses: (() => unknown)[] = [
      () => [...net.modules()],
      () => [...net.parameters()],
      () => net.train(),
      () => net.stateDict(),
      () => net.toString(),
      () => net.zeroGrad(),
      () => net.apply(() => undefined),
    ];
    for (const use of uses) {
      expect(use).toThrow(CyclicModuleError);
      expect(use).toThrow(path);
    }
    await expect(net.to('cpu:1')).rejects.toThrow(CyclicModuleError);
  });

  it('that is reached on two ways is no cycle', () => {
    const shared = new BatchNorm1d(1);
    expect([...new Sequential(new Sequential(shared), new Sequential(shared)).modules()]).toHaveLength(4);
  });
});

describe('registerBuffer()', () => {
  it('makes a property that is read and replaced', () => {
    const net = new Block();
    const mask = tensor([3, 4]);
    net.mask = mask;
    expect(net.mask).toBe(mask);
    expect([...net.namedBuffers()][0]).toEqual(['mask', mask]);
    net.mask = null;
    expect(net.mask).toBeNull();
    expect(Object.keys(net.stateDict())).not.toContain('mask');
  });

  it('gives equal modules equal accessors, which read what is their own', () => {
    const [one, other] = [new Block(), new Block()];
    const accessor = Object.getOwnPropertyDescriptor(one, 'mask');
    expect(accessor).toMatchObject({ get: expect.any(Function) as unknown });
    expect(Object.getOwnPropertyDescriptor(other, 'mask')).toEqual(accessor);
    expect(one.mask).not.toBe(other.mask);
  });

  it('takes numbers, which stand in the state dict and are no tensors', () => {
    const net = new Block();
    net.registerBuffer('steps_done', 3, 'stepsDone');
    expect((net as unknown as { stepsDone: number }).stepsDone).toBe(3);
    expect(net.stateDict()['steps_done']).toBe(3);
    expect([...net.buffers()]).toHaveLength(3);
  });

  it('takes a field that a subclass has declared without a value', () => {
    class Declared extends Module {
      mask: Tensor | undefined;
      constructor() {
        super();
        this.registerBuffer('mask', tensor([1]));
      }
      forward(): void {
        // Nothing to compute: the buffer is the case.
      }
    }
    expect(new Declared().mask).toBeInstanceOf(Tensor);
  });

  it.each([
    ['a property that exists', ['gain', null], RangeError, "attribute 'gain' already exists"],
    ['the name of a method', ['forward', null], RangeError, "attribute 'forward' already exists"],
    ['a name with a dot', ['a.b', null], RangeError, 'expected a name without dots'],
    ['an empty name', ['', null], RangeError, 'expected a name without dots'],
    [
      'a string for a value',
      ['note', 'x'],
      TypeError,
      "buffer 'note': expected a Tensor, a number or null, got a string",
    ],
  ])('refuses %s', (_, args, type, text) => {
    const net = new Block();
    const register = (net.registerBuffer as (...args: unknown[]) => void).bind(net);
    expect(() => register(...args)).toThrow(type);
    expect(() => register(...args)).toThrow(text);
  });

  it('refuses to set a buffer to what is none', () => {
    const net = new Block();
    expect(() => (net.mask = 'x' as unknown as Tensor)).toThrow("buffer 'mask': expected a Tensor");
  });
});

describe.each(deviceKinds)('to() on %s', (kind) => {
  const [device = '', other = ''] = deviceNames(kind, 2);

  it('moves parameters, gradients and buffers and keeps the objects', async () => {
    const net = new Block(device);
    await (await scale(net.gain, 2)).backward(tensor([1, 10], [2], { device }));
    const { gain } = net;
    const { grad } = gain;
    expect(await net.to(other)).toBe(net);
    expect(net.gain).toBe(gain);
    expect(gain.grad).toBe(grad);
    const places = [...net.parameters(), ...net.buffers(), grad].map((item) => item?.device);
    expect(new Set(places)).toEqual(new Set([other]));
    expectSameBits((await grad?.data()) ?? [], [2, 20]);
    expectSameBits(await gain.data(), [1, 2]);
  });

  it('refuses a graph whose parameters moved between forward and backward', async () => {
    const net = new Block(device);
    const y = await scale(net.gain, 2);
    await net.to(other);
    await expect(y.backward(tensor([1, 1], [2], { device }))).rejects.toThrow(
      'expected all tensors to be on the same device',
    );
    expect(net.gain.grad).toBeNull();
  });
});
