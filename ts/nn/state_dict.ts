/** State dicts: what a module has learned, as a plain object with PyTorch's keys. */

import { checkOptions } from '../check_options.ts';
import { StateDictError } from '../errors.ts';
import { kindOf } from '../tensor/kind_of.ts';
import { formatShape, sameShape } from '../tensor/shape.ts';
import type { Storage } from '../tensor/storage.ts';
import { Tensor } from '../tensor/tensor.ts';
import type { Module } from './module.ts';
import { typeNameOf } from './module_repr.ts';
import { buffersKey, joinPath, parametersOf, walk } from './module_tree.ts';

/** Tensors and counters by dotted path, for example `layer1.0.bn1.weight`. */
export type StateDict = Record<string, Tensor | number>;

export interface LoadStateDictOptions {
  /** Whether missing and unexpected keys are errors; default `true`. Mismatches always are. */
  readonly strict?: boolean;
}

/** Keys that did not match; both empty after a strict load. */
export interface LoadStateDictResult {
  readonly missingKeys: readonly string[];
  readonly unexpectedKeys: readonly string[];
}

/** One value of a module's state and where it stands. */
interface Entry {
  readonly key: string;
  readonly module: Module;
  /** Its name within the module. */
  readonly name: string;
  readonly value: Tensor | number;
}

/** A snapshot: later training does not change it. */
export function stateDictOf(root: Module): StateDict {
  return Object.fromEntries(
    entriesOf(root).map(({ key, value }) => [key, value instanceof Tensor ? value.detach() : value]),
  );
}

/**
 * Copies the values of a state dict into a module, whatever devices they are on. Either all of them or, on failure, none.
 * @throws StateDictError with all mismatches at once.
 */
export async function loadStateDict(
  root: Module,
  dict: unknown,
  options: LoadStateDictOptions = {},
): Promise<LoadStateDictResult> {
  checkDict(dict);
  checkOptions<LoadStateDictOptions>('loadStateDict()', options, { strict: 'boolean' });
  const { strict = true } = options;
  const entries = entriesOf(root);
  const present = entries.filter(({ key }) => Object.hasOwn(dict, key));
  const known = new Set(entries.map(({ key }) => key));
  const missingKeys = entries
    .filter(({ key, module, name }) => !Object.hasOwn(dict, key) && !module.toleratesMissing(name))
    .map(({ key }) => key);
  const unexpectedKeys = Object.keys(dict).filter((key) => !known.has(key));
  const mismatches = present.flatMap((entry) => mismatch(entry, dict[entry.key]) ?? []);
  const hasKeyErrors = strict && missingKeys.length + unexpectedKeys.length > 0;
  if (mismatches.length > 0 || hasKeyErrors) {
    const [missing, unexpected] = strict ? [missingKeys, unexpectedKeys] : [[], []];
    throw new StateDictError(typeNameOf(root), missing, unexpected, mismatches);
  }
  await copyValues(present, dict);
  return { missingKeys, unexpectedKeys };
}

async function copyValues(entries: readonly Entry[], dict: Readonly<Record<string, unknown>>): Promise<void> {
  const copies: { readonly target: Tensor; readonly storage: Storage }[] = [];
  try {
    for (const { key, value: target } of entries) {
      const source = dict[key];
      if (target instanceof Tensor && source instanceof Tensor) {
        copies.push({ target, storage: await source.copyLike(target) });
      }
    }
  } catch (error) {
    copies.forEach(({ storage }) => storage.release());
    throw error;
  }
  copies.forEach(({ target, storage }) => target.replaceStorage(storage));
  for (const { key, module, name } of entries) {
    const value = dict[key];
    if (typeof value === 'number') {
      module[buffersKey].set(name, value);
    }
  }
}

/**
 * Everything that is saved, in PyTorch's order; what two parents share stands under both keys.
 * @throws RangeError when two values would have one key.
 */
function entriesOf(root: Module): Entry[] {
  const entries: Entry[] = [];
  for (const [path, module] of walk(root, 'every path')) {
    for (const [name, value] of [...parametersOf(module), ...module[buffersKey]]) {
      if (value !== null) {
        entries.push({ key: joinPath(path, name), module, name, value });
      }
    }
  }
  checkKeys(entries);
  return entries;
}

/** Names with dots, and buffers named as parameters are, can give two values one key. */
function checkKeys(entries: readonly Entry[]): void {
  const keys = new Set<string>();
  for (const { key } of entries) {
    if (keys.has(key)) {
      throw new RangeError(
        `state dict: expected a key of its own for every parameter and buffer, got two with the key ${JSON.stringify(key)}; ` +
          `rename a property, and use no dots and no empty names`,
      );
    }
    keys.add(key);
  }
}

function checkDict(dict: unknown): asserts dict is Readonly<Record<string, unknown>> {
  if (typeof dict !== 'object' || dict === null) {
    throw new TypeError(`Expected state_dict to be dict-like, got ${kindOf(dict)}`);
  }
}

/** What keeps a value from being loaded, in PyTorch's words. */
function mismatch({ key, value: target }: Entry, source: unknown): string | null {
  if (typeof target === 'number') {
    const isCount = typeof source === 'number' && Number.isInteger(source) && source >= 0;
    return isCount
      ? null
      : `While copying ${key}, expected a non-negative integer from checkpoint but received ${typeof source === 'number' ? source : kindOf(source)}.`;
  }
  if (!(source instanceof Tensor)) {
    return `While copying the parameter named "${key}", expected a Tensor from checkpoint but received ${kindOf(source)}.`;
  }
  return sameShape(source.shape, target.shape)
    ? null
    : `size mismatch for ${key}: copying a param with shape ${formatShape(source.shape)} from checkpoint, ` +
        `the shape in current model is ${formatShape(target.shape)}.`;
}
