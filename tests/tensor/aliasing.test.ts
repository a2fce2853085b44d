/**
 * Random programs whose leaves, gradients and `dy` share memory in every way that a user can arrange, against plain arrays. Whatever
 * the library writes over, no tensor that somebody holds may change, and no buffer that belongs to somebody else.
 */

import fc from 'fast-check';
import { defineFunction, devices, DisposedError, init, tensor, tensorFromGPUBuffer, type Tensor } from 'syncbn';
import { describe, expect, it } from 'vitest';
import { expectSameBits } from '../support/bits.ts';
import { freshDevice } from '../support/fresh_device.ts';
import { add, multiply } from '../support/operations.ts';

type Values = readonly [number, number];

/** What the program knows of a tensor: its values, and the tensor itself where the program has it. */
interface Cell {
  tensor: Tensor | null;
  values: Values;
  isDisposed: boolean;
}

/** One that the program has. */
interface Held extends Cell {
  tensor: Tensor;
}

interface Leaf {
  readonly tensor: Tensor;
  values: Values;
  grad: Cell | null;
}

const operations = [
  'leafBackward',
  'sumBackward',
  'productBackward',
  'sameGradientTwice',
  'heldGradient',
  'readGrad',
  'dropGrad',
  'setGrad',
  'shareGrad',
  'detach',
  'dispose',
  'copy',
  'make',
] as const;

interface Command {
  readonly operation: (typeof operations)[number];
  readonly a: number;
  readonly b: number;
  readonly c: number;
}

const command: fc.Arbitrary<Command> = fc.record({
  operation: fc.constantFrom(...operations),
  a: fc.nat(6),
  b: fc.nat(6),
  c: fc.nat(6),
});

/** A buffer of somebody else, and what it must hold at the end. */
interface Lent {
  readonly buffer: GPUBuffer;
  readonly values: Values;
}

/** A program that runs, and what should come of it. */
class World {
  readonly leaves: Leaf[] = [];
  /** Tensors that the program holds. */
  readonly held: Held[] = [];
  readonly lent: Lent[] = [];
  readonly #device: string;
  #next = 1;

  constructor(device: string) {
    this.#device = device;
  }

  async begin(): Promise<void> {
    for (let i = 0; i < 3; i += 1) {
      const values = this.#values();
      const plain = await this.#make(values);
      // The second leaf shares the memory of the first.
      const [first] = this.leaves;
      const own = i === 1 && first !== undefined ? first.tensor.detach() : plain.detach();
      own.requiresGrad = true;
      plain.dispose();
      this.leaves.push({ tensor: own, values: i === 1 ? (first?.values ?? values) : values, grad: null });
    }
  }

  async run({ operation, a, b, c }: Command): Promise<void> {
    const [left, right] = [this.#leaf(a), this.#leaf(b)];
    const cell = this.#held(c);
    switch (operation) {
      case 'leafBackward':
        return this.#backward([left], c, (dy) => [dy], left.tensor);
      case 'sumBackward':
        return this.#backward([left, right], c, (dy) => [dy, dy], await add(left.tensor, right.tensor));
      case 'productBackward': {
        const [x, y] = [left.values, right.values];
        const output = await multiply(left.tensor, right.tensor);
        return this.#backward([left, right], c, (dy) => [times(dy, y), times(dy, x)], output);
      }
      case 'sameGradientTwice': {
        const twice = defineFunction({
          forward: (_context, x: Tensor, _y: Tensor) => x,
          backward: (_context, dy) => [dy, dy],
        });
        return this.#backward([left, right], c, (dy) => [dy, dy], await twice(left.tensor, right.tensor));
      }
      case 'heldGradient': {
        if (cell === null) return;
        const { tensor: gradient, values } = cell;
        const returning = defineFunction({ forward: (_context, x: Tensor) => x, backward: () => gradient });
        // A fresh dy, for a donated one might be the gradient.
        return this.#backward([left], 0, () => [values], await returning(left.tensor));
      }
      case 'readGrad':
        this.#read(left);
        return;
      case 'dropGrad':
        left.tensor.grad = null;
        left.grad = null;
        return;
      case 'setGrad':
        if (cell !== null) {
          left.tensor.grad = cell.tensor;
          left.grad = cell;
        }
        return;
      case 'shareGrad': {
        const shared = this.#read(right);
        if (shared?.isDisposed !== true) {
          left.tensor.grad = right.tensor.grad;
          left.grad = shared;
        }
        return;
      }
      case 'detach': {
        const source = cell === null || c % 2 === 0 ? left : cell;
        this.held.push({ tensor: source.tensor.detach(), values: source.values, isDisposed: false });
        return;
      }
      case 'dispose':
        if (cell !== null) {
          cell.tensor.dispose();
          cell.isDisposed = true;
        }
        return;
      case 'copy': {
        const values = this.#values();
        await left.tensor.copy_(Float32Array.from(cell?.values ?? values));
        left.values = cell?.values ?? values;
        return;
      }
      case 'make': {
        const values = this.#values();
        this.held.push({ tensor: await this.#make(values), values, isDisposed: false });
        return;
      }
    }
  }

  /** Compares everything that somebody holds, and only then reads gradients. */
  async check(): Promise<void> {
    for (const { tensor: item, values, isDisposed } of this.held) {
      expect(item.isDisposed).toBe(isDisposed);
      if (!isDisposed) expectSameBits(await item.data(), values);
    }
    for (const { tensor: leaf, values } of this.leaves) expectSameBits(await leaf.data(), values);
  }

  async end(): Promise<void> {
    await this.check();
    for (const { tensor: leaf, grad } of this.leaves) {
      if (grad === null) expect(leaf.grad).toBeNull();
      else if (!grad.isDisposed) expectSameBits((await leaf.grad?.data()) ?? [], grad.values);
    }
    [...this.leaves, ...this.held].forEach((item) => item.tensor.dispose());
    for (const { buffer, values } of this.lent) {
      const whole = await tensorFromGPUBuffer(buffer, [4], { device: this.#device });
      expectSameBits(await whole.data(), [...values, ...values]);
      whole.dispose();
      buffer.destroy();
    }
  }

  /** @param gradients - those of the leaves, from the values of dy. */
  async #backward(
    leaves: readonly Leaf[],
    kind: number,
    gradients: (dy: Values) => readonly Values[],
    output: Tensor,
  ): Promise<void> {
    const [dy, isGiven] = await this.#dy(kind);
    const expected = gradients(dy.values);
    const given = dy.tensor;
    if (given.isDonated) dy.isDisposed = true;
    const fails = leaves.some(({ grad }) => grad?.isDisposed === true);
    const pass = output.backward(given);
    if (fails) {
      await expect(pass).rejects.toThrow(DisposedError);
    } else {
      await pass;
      leaves.forEach((leaf, i) => accumulate(leaf, expected[i] ?? dy.values));
    }
    if (!isGiven) given.dispose();
    if (!leaves.some((leaf) => leaf.tensor === output)) output.dispose();
  }

  /** A gradient to begin with, and whether the program goes on holding it. */
  async #dy(kind: number): Promise<readonly [Held, boolean]> {
    const cell = this.#held(kind);
    if (kind % 3 === 0 || cell === null) {
      const values = this.#values();
      const made = await this.#make(values);
      return [{ tensor: kind > 0 ? made.donate() : made, values, isDisposed: false }, false];
    }
    if (kind % 3 === 2) cell.tensor.donate();
    return [cell, true];
  }

  #read(leaf: Leaf): Cell | null {
    const { grad } = leaf;
    const read = leaf.tensor.grad;
    expect(read === null).toBe(grad === null);
    if (grad !== null && read !== null && grad.tensor === null) {
      this.held.push(Object.assign(grad, { tensor: read }));
    }
    return grad;
  }

  #leaf(number: number): Leaf {
    const leaf = this.leaves[number % this.leaves.length];
    if (leaf === undefined) throw new Error('expected leaves');
    return leaf;
  }

  #held(number: number): Held | null {
    const alive = this.held.filter(({ isDisposed }) => !isDisposed);
    return alive[number % Math.max(1, alive.length)] ?? null;
  }

  #values(): Values {
    const next = this.#next++;
    return [next, -next];
  }

  /** On a GPU two of three tensors lie on buffers of somebody else. */
  async #make(values: Values): Promise<Tensor> {
    const device = this.#device;
    if (!device.startsWith('webgpu') || values[0] % 3 === 0) {
      return tensor(values, [2], { device });
    }
    const { gpuDevice } = devices.get(device as 'webgpu');
    // STORAGE, COPY_SRC and COPY_DST.
    const buffer = gpuDevice.createBuffer({ size: 16, usage: 0x80 | 0x4 | 0x8 });
    gpuDevice.queue.writeBuffer(buffer, 0, Float32Array.of(...values, ...values));
    this.lent.push({ buffer, values });
    return tensorFromGPUBuffer(buffer, [2], { device });
  }
}

function accumulate(leaf: Leaf, gradient: Values): void {
  if (leaf.grad === null) {
    leaf.grad = { tensor: null, values: gradient, isDisposed: false };
  } else {
    leaf.grad.values = [leaf.grad.values[0] + gradient[0], leaf.grad.values[1] + gradient[1]];
  }
}

function times(a: Values, b: Values): Values {
  return [a[0] * b[0], a[1] * b[1]];
}

describe.each([
  ['cpu', 400],
  ['webgpu', 40],
] as const)('tensors that share memory on %s', (kind, numRuns) => {
  it('hold what plain arrays would, and give all memory back', async () => {
    const device = await freshDevice(kind);
    await init([device]);
    await fc.assert(
      fc.asyncProperty(fc.array(command, { maxLength: 14 }), async (commands) => {
        const before = devices.get(device).memoryUsage().buffers;
        const world = new World(device);
        await world.begin();
        for (const each of commands) {
          await world.run(each);
          await world.check();
        }
        await world.end();
        expect(devices.get(device).memoryUsage().buffers).toBe(before);
      }),
      { seed: 14, numRuns },
    );
  });
});
