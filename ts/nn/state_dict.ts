/** State dicts: what a module has learned, as a plain object with PyTorch's keys. */

import { checkOptions } from '../check_options.ts';
import { describeValue } from '../describe_value.ts';
import { StateDictError } from '../errors.ts';
import { allOrNone } from '../tensor/all_or_none.ts';
import { batchLayout, elementCount, formatShape, sameShape } from '../tensor/shape.ts';
import type { Storage } from '../tensor/storage.ts';
import { type Replacement, replaceStorages } from '../tensor/replace_storages.ts';
import { copyTo, placed } from '../tensor/storage_ops.ts';
import { isTensor, Tensor } from '../tensor/tensor.ts';
import { isThenable } from '../tensor/thenable.ts';
import { float32ArrayOf } from '../typed_array.ts';
import { containerKind } from './containers.ts';
import { refuseDuringForward } from './forward_passes.ts';
import type { ModuleInterface } from './module_interface.ts';
import { typeNameOf } from './module_repr.ts';
import { buffersKey, isModule, joinPath, parametersOf, walk } from './module_tree.ts';
import type { LoadStateDictOptions, LoadStateDictResult, StateDict } from './state_dict_types.ts';

/** One value of a module's state and where it stands. */
interface Entry {
  readonly key: string;
  readonly module: ModuleInterface;
  /** Its name within the module. */
  readonly name: string;
  readonly value: Tensor | number;
}

/** A snapshot: later training does not change it, and its tensors cannot be written to. */
export function stateDictOf(root: ModuleInterface): StateDict {
  return Object.fromEntries(
    entriesOf(root).map(({ key, value }) => [key, value instanceof Tensor ? value.snapshot(writeToModule) : value]),
  );
}

/** Why a tensor of a state dict takes no `copy_`, which in PyTorch would write to the module. */
const writeToModule =
  'expected a tensor that may be written to, got one of a state dict, which is a snapshot that shares no memory with the ' +
  'module once either changes; write to the parameter or buffer (namedParameters(), namedBuffers()), put a new tensor into ' +
  'the state dict and loadStateDict() it, or write to a detach() of this one';

/**
 * Copies the values of a state dict into a module, whatever devices they are on: those of the moment of the call. Either all of
 * them or, on failure, none.
 * @throws StateDictError with all mismatches at once.
 */
export async function loadStateDict(
  root: ModuleInterface,
  dict: unknown,
  options: LoadStateDictOptions = {},
): Promise<LoadStateDictResult> {
  checkDict(dict);
  checkOptions<LoadStateDictOptions>('loadStateDict()', options, { strict: 'boolean' });
  const { strict = true } = options;
  if (typeof strict !== 'boolean') {
    throw new TypeError(`loadStateDict(): expected strict to be a boolean, got ${describeValue(strict)}`);
  }
  // Read once: the properties may be getters, and arrays may be of another realm.
  const given = new Map<string, unknown>(
    Object.entries(dict).map(([key, value]) => [key, float32ArrayOf(value) ?? value]),
  );
  const entries = entriesOf(root);
  const present = entries.filter(({ key }) => given.has(key));
  const known = new Set([...entries.map(({ key }) => key), ...ignoredKeys(root)]);
  const missingKeys = entries
    .filter(({ key, module, name }) => !given.has(key) && !module.toleratesMissing(name))
    .map(({ key }) => key);
  const unexpectedKeys = [...given.keys()].filter((key) => !known.has(key));
  const mismatches = present.flatMap((entry) => mismatch(entry, given.get(entry.key)) ?? []);
  const hasKeyErrors = strict && missingKeys.length + unexpectedKeys.length > 0;
  if (mismatches.length > 0 || hasKeyErrors) {
    const [missing, unexpected] = strict ? [missingKeys, unexpectedKeys] : [[], []];
    throw new StateDictError(typeNameOf(root), missing, unexpected, mismatches);
  }
  refuseDuringForward(root, 'loadStateDict()');
  // All copies begin now, so that what arrives is what the dict holds at the call.
  const loads = await allOrNone(
    present.map((entry) => prepare(root, entry, given.get(entry.key))),
    release,
  );
  try {
    await followTargets(loads);
    refuseDuringForward(root, 'loadStateDict()');
    apply(loads);
  } finally {
    loads.forEach(release);
  }
  return { missingKeys, unexpectedKeys };
}

/** A value on its way into a module: a number, or memory, of which the load holds a reference. */
interface Load {
  readonly entry: Entry;
  readonly target: Tensor | null;
  value: number | Storage;
}

async function prepare(root: ModuleInterface, entry: Entry, source: unknown): Promise<Load> {
  const { value: target } = entry;
  if (typeof target === 'number') {
    return { entry, target: null, value: await numberIn(root, entry, source) };
  }
  return { entry, target, value: await copyOf(source, target) };
}

function apply(loads: readonly Load[]): void {
  const memory = loads.flatMap(({ target, value }): readonly Replacement[] =>
    typeof value === 'number' ? [] : [[target, value]],
  );
  replaceStorages(memory);
  // The load keeps the references that it releases at its end.
  memory.forEach(([, storage]) => storage.retain());
  for (const { entry, value } of loads) {
    if (typeof value === 'number') {
      entry.module[buffersKey].set(entry.name, value);
    }
  }
}

function release({ value }: Load): void {
  if (typeof value !== 'number') {
    value.release();
  }
}

/** Brings memory to where its target is by now, when that was moved while the load was under way. */
async function followTargets(loads: readonly Load[]): Promise<void> {
  for (let stray = loads.find(isAstray); stray !== undefined; stray = loads.find(isAstray)) {
    const { target, value } = stray;
    if (target !== null && typeof value !== 'number') {
      stray.value = await copyTo(value, target.storage.device);
      value.release();
    }
  }
}

function isAstray({ target, value }: Load): boolean {
  return target !== null && typeof value !== 'number' && target.storage.device !== value.device;
}

/** The values of a tensor or array in the place and format of the target. They are those of the moment of the call. */
async function copyOf(source: unknown, target: Tensor): Promise<Storage> {
  if (source instanceof Tensor) {
    return source.copyLike(target);
  }
  const layout = batchLayout(target.shape, target.memoryFormat);
  // Checked by `mismatch`.
  const values = typeof source === 'number' ? Float32Array.of(source) : (source as Float32Array);
  return placed(target.storage.device, values, layout);
}

/** @throws StateDictError for a tensor that holds no number of the kind; it can be read only now. */
async function numberIn(root: ModuleInterface, entry: Entry, source: unknown): Promise<number> {
  const value = source instanceof Tensor ? await source.item() : toNumber(source);
  const problem = numberMismatch(entry, value);
  if (problem !== null) {
    throw new StateDictError(typeNameOf(root), [], [], [problem]);
  }
  return value;
}

/**
 * Everything that is saved, in PyTorch's order; what two parents share stands under both keys.
 * @throws RangeError when two values would have one key.
 */
function entriesOf(root: ModuleInterface): Entry[] {
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

/** Keys that a load passes over. */
function ignoredKeys(root: ModuleInterface): string[] {
  return walk(root, 'every path').flatMap(([path, module]) =>
    module.ignoredNames().map((name) => joinPath(path, name)),
  );
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
    throw new TypeError(`Expected state_dict to be dict-like, got ${describeValue(dict)}`);
  }
  // Such an object has properties, but not those of a state dict: a load that is not strict would load nothing.
  const advice =
    isModule(dict) || isTensor(dict)
      ? 'give what stateDict() of a module returns'
      : dict instanceof Map
        ? 'Object.fromEntries(map) makes an object of it'
        : 'give an object with tensors under the keys of stateDict()';
  const kind = containerKind(dict);
  const isDict = !ArrayBuffer.isView(dict) && !isThenable(dict) && (kind === null || kind === 'object');
  if (!isDict || isModule(dict) || isTensor(dict)) {
    throw new TypeError(`Expected state_dict to be dict-like, got ${describeValue(dict)}; ${advice}`);
  }
}

/** What keeps a value from being loaded, in PyTorch's words. */
function mismatch(entry: Entry, source: unknown): string | null {
  const { key, value: target } = entry;
  if (typeof target === 'number') {
    // The one value of a tensor is not known yet.
    return source instanceof Tensor && elementCount(source.shape) === 1 ? null : numberMismatch(entry, source);
  }
  // As readers of checkpoints give the value of a tensor without dimensions.
  if (typeof source === 'number' && target.shape.length === 0) {
    return null;
  }
  if (!(isTensor(source) || source instanceof Float32Array)) {
    return `While copying the parameter named "${key}", expected a Tensor or a Float32Array from checkpoint but received ${describeValue(source)}${adviceFor(source)}.`;
  }
  const fits =
    source instanceof Tensor ? sameShape(source.shape, target.shape) : source.length === elementCount(target.shape);
  const shape = source instanceof Tensor ? source.shape : [source.length];
  return fits
    ? null
    : `size mismatch for ${key}: copying a param with shape ${formatShape(shape)} from checkpoint, ` +
        `the shape in current model is ${formatShape(target.shape)}.`;
}

function adviceFor(source: unknown): string {
  return Array.isArray(source) || ArrayBuffer.isView(source) ? '; convert it with Float32Array.from()' : '';
}

function numberMismatch({ key, name }: Entry, source: unknown): string | null {
  const value = toNumber(source);
  const isCount = name === 'num_batches_tracked';
  if (isCount ? Number.isSafeInteger(value) && value >= 0 : !Number.isNaN(value) || typeof source === 'number') {
    return null;
  }
  const expected = isCount ? 'a non-negative integer' : 'a number';
  const isNumeric = typeof source === 'number' || typeof source === 'bigint';
  return `While copying ${key}, expected ${expected} from checkpoint but received ${isNumeric ? source : describeValue(source)}.`;
}

/** A number, a BigInt, or the one element of an array, as readers of checkpoints give counters; NaN for anything else. */
function toNumber(source: unknown): number {
  if (typeof source === 'number' || typeof source === 'bigint') {
    return Number(source);
  }
  const isArray = ArrayBuffer.isView(source) && !(source instanceof DataView);
  const items = isArray ? Array.from(source as unknown as ArrayLike<number | bigint>) : [];
  return items.length === 1 ? Number(items[0]) : Number.NaN;
}
