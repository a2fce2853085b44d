/** Gather: the outputs of the replicas are put together on one device. */

import { describeValue } from '../describe_value.ts';
import { withRoom } from '../device/awaited.ts';
import type { Device } from '../device/device.ts';
import { formatShape, resolveDim, type Shape } from '../tensor/shape.ts';
import type { Storage } from '../tensor/storage.ts';
import { isTensor, Tensor } from '../tensor/tensor.ts';
import { Cut } from './cut.ts';
import { record } from './record.ts';
import { checkFinite, isContainer } from './structure.ts';

/**
 * Puts outputs together, in order of replicas, after the structure of the first: tensors are concatenated along a
 * dimension and gradients flow back; tensors without dimensions become a vector; arrays and plain objects are recursed;
 * nothing stays nothing. The memory format is the first tensor's. Source: `torch.nn.parallel.gather`.
 *
 * @param dim - the dimension to concatenate along, negative from the end.
 * @throws TypeError for other outputs, RangeError when the outputs do not fit together.
 */
export async function gather(outputs: readonly unknown[], device: Device, dim: number): Promise<unknown> {
  checkFinite(outputs, 'gather');
  const made: Tensor[] = [];
  try {
    return await gatherAny(outputs, device, dim, made);
  } catch (error) {
    made.forEach((tensor) => tensor.dispose());
    throw error;
  }
}

async function gatherAny(outputs: readonly unknown[], device: Device, dim: number, made: Tensor[]): Promise<unknown> {
  const [first] = outputs;
  if (isTensor(first)) {
    const whole = await gatherTensors(sameKind(outputs, isTensor, 'a Tensor'), device, dim);
    made.push(whole);
    return whole;
  }
  if (first === null || first === undefined) {
    sameKind(outputs, (output) => output === first, String(first));
    return first;
  }
  if (!isContainer(first)) {
    throw new TypeError(
      `gather: expected tensors, arrays, plain objects or null as the outputs of replicas, got ${describeValue(first)}`,
    );
  }
  const containers = sameKind(outputs, isContainer, 'a container');
  const keys = Object.keys(first);
  checkKeys(containers, keys);
  const entries: [string, unknown][] = [];
  for (const key of keys) {
    const items = containers.map((container) => (container as Readonly<Record<string, unknown>>)[key]);
    entries.push([key, await gatherAny(items, device, dim, made)]);
  }
  return Array.isArray(first) ? entries.map(([, item]) => item) : Object.fromEntries(entries);
}

async function gatherTensors(tensors: readonly Tensor[], device: Device, dim: number): Promise<Tensor> {
  const [first] = tensors;
  if (first === undefined) {
    throw new RangeError('gather: expected the output of at least one replica, got none');
  }
  const { memoryFormat } = first;
  const isVector = first.shape.length === 0;
  if (tensors.length === 1 && first.storage.device === device && !isVector) {
    return first;
  }
  const at = isVector ? 0 : resolveDim(dim, first.shape.length);
  checkShapes(tensors, first.shape, at);
  const sizes = tensors.map((tensor) => tensor.shape[at] ?? 1);
  const total = sizes.reduce((sum, size) => sum + size, 0);
  const shape = isVector ? [total] : first.shape.map((size, i) => (i === at ? total : size));
  const cut = new Cut(shape, memoryFormat, at, sizes);
  const shapes = tensors.map((tensor) => tensor.shape);
  const devices = tensors.map((tensor) => tensor.storage.device);
  const [whole] = await record({
    name: 'gather',
    inputs: tensors,
    forward: async () => [{ storage: await cut.join(tensors, device), shape, memoryFormat }],
    backward: async ([dy]) => {
      const pieces = dy === undefined || dy === null ? [] : await splitGradient(dy, cut, devices);
      return shapes.map((pieceShape, i) => {
        const storage = pieces[i];
        return storage === undefined ? null : new Tensor({ storage, shape: pieceShape, memoryFormat });
      });
    },
  });
  return whole ?? first;
}

async function splitGradient(dy: Tensor, cut: Cut, devices: readonly Device[]): Promise<Storage[]> {
  const arranged = await withRoom(() => dy.inFormat(cut.memoryFormat));
  try {
    return await cut.split(arranged, devices);
  } finally {
    arranged.release();
  }
}

/** @throws RangeError unless the shapes agree in every dimension but one. */
function checkShapes(tensors: readonly Tensor[], first: Shape, dim: number): void {
  for (const [i, { shape }] of tensors.entries()) {
    const expected = first.map((size, at) => (at === dim ? (shape[at] ?? size) : size));
    if (shape.length !== expected.length || shape.some((size, at) => size !== expected[at])) {
      throw new RangeError(
        `Input tensor at index ${i} has invalid shape ${formatShape(shape)}, but expected ${formatShape(expected)}`,
      );
    }
  }
}

/** @throws RangeError unless all containers have these keys, and are arrays or none is. */
function checkKeys(containers: readonly unknown[], keys: readonly string[]): void {
  const isArray = Array.isArray(containers[0]);
  for (const [i, container] of containers.entries()) {
    const own = Object.keys(container as object);
    if (Array.isArray(container) !== isArray || own.length !== keys.length || !keys.every((key) => own.includes(key))) {
      throw new RangeError(
        `gather: expected all replicas to return the same keys, got [${keys.join(', ')}] from replica 0 and [${own.join(', ')}] from replica ${i}`,
      );
    }
  }
}

/** @throws TypeError naming the first replica whose output is of another kind. */
function sameKind<T>(outputs: readonly unknown[], is: (value: unknown) => value is T, kind: string): readonly T[];
function sameKind(outputs: readonly unknown[], is: (value: unknown) => boolean, kind: string): readonly unknown[];
function sameKind(outputs: readonly unknown[], is: (value: unknown) => boolean, kind: string): readonly unknown[] {
  const other = outputs.findIndex((output) => !is(output));
  if (other >= 0) {
    throw new TypeError(
      `gather: expected ${kind} from every replica as from replica 0, got ${describeValue(outputs[other])} from replica ${other}`,
    );
  }
  return outputs;
}
