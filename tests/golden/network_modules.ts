/** The network of PyTorch's distributed tests, as a user of the library would write it. */

import { BatchNorm1d, defineFunction, Module, Parameter, tensor, type Tensor } from 'syncbn';

/** Linear(2 → 40), BatchNorm1d(4) over (N, 4, 10), Linear(40 → 4), softmax. */
export class BatchNormNet extends Module {
  readonly fc1 = new Linear(2, 40);
  readonly bn = new BatchNorm1d(4);
  readonly fc2 = new Linear(40, 4);

  async forward(x: Tensor): Promise<Tensor> {
    const hidden = await reshape(await this.fc1.forward(x), [-1, 4, 10]);
    const normalized = await reshape(await this.bn.forward(hidden), [-1, 40]);
    return softmax(await this.fc2.forward(normalized));
  }
}

/** y = x·weightᵀ: x (N, I), weight (O, I), y (N, O). */
class Linear extends Module {
  readonly weight: Parameter;

  constructor(inputs: number, outputs: number) {
    super();
    this.weight = new Parameter(tensor(new Float32Array(outputs * inputs), [outputs, inputs]));
  }

  async forward(x: Tensor): Promise<Tensor> {
    return linear(x, this.weight);
  }
}

const linear = defineFunction({
  name: 'linear',
  forward: async (context, x: Tensor, weight: Tensor) => {
    context.saveForBackward(x, weight);
    return product(await matrixOf(x), transposed(await matrixOf(weight)), x.device);
  },
  backward: async (context, dy) => {
    const [x, weight] = context.savedTensors;
    if (x === undefined || weight === undefined) throw new Error('linear: nothing was saved');
    const gradient = await matrixOf(dy);
    return [
      product(gradient, await matrixOf(weight), dy.device),
      product(transposed(gradient), await matrixOf(x), dy.device),
    ];
  },
});

/** The same values in another shape; a size of −1 follows from the others. */
const reshape = defineFunction({
  name: 'reshape',
  forward: async (context, x: Tensor, shape: readonly number[]) => {
    context.attributes['shape'] = x.shape;
    const values = await x.data();
    const known = shape.reduce((elements, size) => (size === -1 ? elements : elements * size), 1);
    const sizes = shape.map((size) => (size === -1 ? values.length / known : size));
    return tensor(values, sizes, { device: x.device });
  },
  backward: async (context, dy) => {
    const shape = context.attributes['shape'] as readonly number[];
    return [tensor(await dy.data(), shape, { device: dy.device }), null];
  },
});

/** Softmax of each row. */
const softmax = defineFunction({
  name: 'softmax',
  forward: async (context, x: Tensor) => {
    const rows = (await matrixOf(x)).map((row) => {
      const largest = Math.max(...row);
      const powers = row.map((value) => Math.exp(value - largest));
      const sum = powers.reduce((total, power) => total + power, 0);
      return powers.map((power) => power / sum);
    });
    const y = fromRows(rows, x.device);
    context.saveForBackward(y);
    return y;
  },
  backward: async (context, dy) => {
    const [y] = context.savedTensors;
    if (y === undefined) throw new Error('softmax: nothing was saved');
    const [outputs, gradients] = [await matrixOf(y), await matrixOf(dy)];
    const rows = outputs.map((row, i) => {
      const gradient = gradients[i] ?? [];
      const inner = dot(row, gradient);
      return row.map((value, j) => value * ((gradient[j] ?? Number.NaN) - inner));
    });
    return fromRows(rows, dy.device);
  },
});

type Matrix = readonly (readonly number[])[];

async function matrixOf(x: Tensor): Promise<Matrix> {
  const [rows = 0, columns = 0] = x.shape;
  const values = Array.from(await x.data());
  return Array.from({ length: rows }, (_, i) => values.slice(i * columns, (i + 1) * columns));
}

function transposed(matrix: Matrix): Matrix {
  return (matrix[0] ?? []).map((_, j) => matrix.map((row) => row[j] ?? Number.NaN));
}

function product(a: Matrix, b: Matrix, device: string): Tensor {
  const columns = transposed(b);
  return fromRows(
    a.map((row) => columns.map((column) => dot(row, column))),
    device,
  );
}

function dot(a: readonly number[], b: readonly number[]): number {
  return a.reduce((sum, value, i) => sum + value * (b[i] ?? Number.NaN), 0);
}

function fromRows(rows: Matrix, device: string): Tensor {
  return tensor(Float32Array.from(rows.flat()), [rows.length, rows[0]?.length ?? 0], { device });
}
