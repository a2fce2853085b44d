/** Nested arrays and plain objects, in which tensors travel into a module and out of it. */

import { isTensor, type Tensor } from '../tensor/tensor.ts';

/** Whether a value is looked into: arrays and plain objects are, instances of classes are not. */
export function isContainer(value: unknown): value is readonly unknown[] | Readonly<Record<string, unknown>> {
  if (typeof value !== 'object' || value === null) {
    return false;
  }
  const prototype: unknown = Object.getPrototypeOf(value);
  return Array.isArray(value) || prototype === Object.prototype || prototype === null;
}

/** Every tensor in a structure, each once, in order. */
export function tensorsIn(structure: unknown): Set<Tensor> {
  const tensors = new Set<Tensor>();
  const seen = new Set<unknown>();
  const visit = (value: unknown): void => {
    if (isTensor(value)) {
      tensors.add(value);
    } else if (isContainer(value) && !seen.has(value)) {
      seen.add(value);
      Object.values(value).forEach(visit);
    }
  };
  visit(structure);
  return tensors;
}

/**
 * The tensors in a structure that are not older than a moment: a module may return what it was given, or what its user
 * holds, which is not its to give away.
 * @param start - the serial number of the next tensor at that moment.
 */
export function madeSince(start: number, structure: unknown): Set<Tensor> {
  return new Set([...tensorsIn(structure)].filter(({ serial }) => serial >= start));
}

/** @throws TypeError when a structure contains itself: it could be neither taken apart nor put together. */
export function checkFinite(structure: unknown, role: string): void {
  const ancestors = new Set<unknown>();
  const visit = (value: unknown): void => {
    if (!isContainer(value)) {
      return;
    }
    if (ancestors.has(value)) {
      throw new TypeError(
        `${role}: expected arrays and plain objects that do not contain themselves; use a class for such`,
      );
    }
    ancestors.add(value);
    Object.values(value).forEach(visit);
    ancestors.delete(value);
  };
  visit(structure);
}

/** The same structure with other tensors. What holds no tensor is shared by reference, containers too. */
export function mapTensors(structure: unknown, map: (tensor: Tensor) => Tensor): unknown {
  if (isTensor(structure)) {
    return map(structure);
  }
  if (!isContainer(structure) || tensorsIn(structure).size === 0) {
    return structure;
  }
  if (Array.isArray(structure)) {
    return structure.map((item: unknown) => mapTensors(item, map));
  }
  return Object.fromEntries(Object.entries(structure).map(([key, item]) => [key, mapTensors(item, map)]));
}
