/** Every public function refuses options that it does not know, and tells which one was meant. */

import * as syncbn from 'syncbn';
import {
  BatchNorm1d,
  BatchNorm2d,
  BatchNorm3d,
  convertModel,
  DataParallel,
  DataParallelWithCallBack,
  defineFunction,
  devices,
  empty,
  FrozenBatchNorm1d,
  FrozenBatchNorm2d,
  FrozenBatchNorm3d,
  functional,
  Parameter,
  Sequential,
  SynchronizedBatchNorm1d,
  SynchronizedBatchNorm2d,
  SynchronizedBatchNorm3d,
  tensor,
  tensorFromGPUBuffer,
  tensorsFromGPUBuffers,
  type Tensor,
} from 'syncbn';
import { describe, expect, it } from 'vitest';

/** A call with options of any kind, also such as the types forbid. */
type Call = (options: never) => unknown;

const x = (): Tensor => tensor([1, 2, 3, 4], [2, 2]);
const statistics = (): Tensor => tensor(new Float32Array(8), [4, 2]);
const bytes = new Uint8Array(0);
const module = new Sequential();

/** Every function with options, by its name in errors. */
const withOptions: readonly (readonly [where: string, call: Call])[] = [
  ['new BatchNorm1d()', (options) => new BatchNorm1d(2, options)],
  ['new BatchNorm2d()', (options) => new BatchNorm2d(2, options)],
  ['new BatchNorm3d()', (options) => new BatchNorm3d(2, options)],
  ['new FrozenBatchNorm1d()', (options) => new FrozenBatchNorm1d(2, options)],
  ['new FrozenBatchNorm2d()', (options) => new FrozenBatchNorm2d(2, options)],
  ['new FrozenBatchNorm3d()', (options) => new FrozenBatchNorm3d(2, options)],
  ['new SynchronizedBatchNorm1d()', (options) => new SynchronizedBatchNorm1d(2, options)],
  ['new SynchronizedBatchNorm2d()', (options) => new SynchronizedBatchNorm2d(2, options)],
  ['new SynchronizedBatchNorm3d()', (options) => new SynchronizedBatchNorm3d(2, options)],
  ['new DataParallel()', (options) => new DataParallel(module, options)],
  ['new DataParallelWithCallBack()', (options) => new DataParallelWithCallBack(module, options)],
  ['convertModel()', (options) => convertModel(module, options)],
  ['convertModel.freeze()', (options) => convertModel.freeze(module, options)],
  ['convertModel.revert()', (options) => convertModel.revert(module, options)],
  ['loadStateDict()', (options) => module.loadStateDict({}, options)],
  ['tensor()', (options) => tensor([1], [1], options)],
  ['empty()', (options) => empty([1], options)],
  ['data()', (options) => x().data(new Float32Array(4), options)],
  ['copy_()', (options) => x().copy_(new Float32Array(4), options)],
  ['tensorFromGPUBuffer()', (options) => tensorFromGPUBuffer({} as GPUBuffer, [1], options)],
  ['tensorsFromGPUBuffers()', (options) => tensorsFromGPUBuffers([], options)],
  ['devices.configure()', (options) => devices.configure(options)],
  ['devices.create()', (options) => devices.create(options)],
  ['functional.moments()', (options) => functional.moments(x(), options)],
  ['functional.total()', (options) => functional.total(x(), options)],
  ['functional.deviations()', (options) => functional.deviations(x(), bytes, options)],
  ['functional.finalize()', (options) => functional.finalize(bytes, x(), options)],
  ['functional.normalize()', (options) => functional.normalize(x(), statistics(), options)],
  ['functional.backwardReduce()', (options) => functional.backwardReduce(x(), x(), statistics(), options)],
  ['functional.backwardInput()', (options) => functional.backwardInput(x(), x(), statistics(), options)],
  ['functional.batchNorm()', (options) => functional.batchNorm(x(), null, null, options)],
  ['defineFunction()', (options) => defineFunction(options)],
];

/** Public functions and classes that take no options object. */
const withoutOptions = new Set([
  ...['Module', 'Parameter', 'Tensor', 'isGradEnabled', 'noGrad', 'scope', 'init', 'patchReplicationCallback'],
  ...['Sequential', 'BatchNorm', 'ModuleList', 'ModuleDict'],
  ...['devices.list', 'devices.get', 'devices.describe', 'devices.adopt', 'devices.best', 'devices.close'],
  ...['devices.recreate', 'functional.backwardParameters', 'functional.updateRunning'],
  ...['functional.mergeMoments', 'functional.mergeSums', 'reportToOriginal', 'registerGradientHook'],
]);

/** Every public function and class, those in objects too. Errors are made by the library. */
function publicFunctions(): string[] {
  const isError = (value: unknown): boolean => typeof value === 'function' && value.prototype instanceof Error;
  const functionsOf = (object: object, prefix = ''): string[] =>
    Object.entries(object).flatMap(([name, value]: [string, unknown]) => {
      const own = typeof value === 'function' && !isError(value) ? [`${prefix}${name}`] : [];
      const isLooked = typeof value === 'object' || name === 'convertModel';
      return [...own, ...(isLooked && value !== null ? functionsOf(value as object, `${name}.`) : [])];
    });
  return functionsOf(syncbn);
}

async function failureOf(call: () => unknown): Promise<Error> {
  try {
    await call();
  } catch (error) {
    return error as Error;
  }
  throw new Error('expected an error');
}

describe('options', () => {
  it('are_checked_by_every_public_function_that_takes_them', () => {
    const checked = new Set([...withOptions.map(([where]) => where.replace(/^new |\(\)$/g, '')), ...withoutOptions]);
    // A synchronous twin takes what its function takes, by the same code.
    const names = new Set(publicFunctions().map((name) => name.replace(/Sync$/, '')));
    expect([...names].filter((name) => !checked.has(name))).toEqual([]);
  });

  it.each(withOptions)('that_%s_does_not_know_are_refused', async (where, call) => {
    const error = await failureOf(() => call({ no_such_option: 1 } as never));
    expect(error).toBeInstanceOf(TypeError);
    expect(error.message).toContain(`${where}: unknown option 'no_such_option'; the options are `);
  });

  it.each(withOptions)('of_%s_under_a_symbol_are_refused', async (where, call) => {
    const error = await failureOf(() => call({ [Symbol('eps')]: 1 } as never));
    expect(error).toBeInstanceOf(TypeError);
    expect(error.message).toContain(`${where}: unknown option Symbol(eps)`);
  });

  it.each<[where: string, call: (...given: never[]) => unknown]>([
    ['new BatchNorm2d()', (...given) => new BatchNorm2d(2, ...given)],
    ['new SynchronizedBatchNorm2d()', (...given) => new SynchronizedBatchNorm2d(2, ...given)],
    ['new FrozenBatchNorm2d()', (...given) => new FrozenBatchNorm2d(2, ...given)],
    ['new DataParallel()', (...given) => new DataParallel(module, ...given)],
    ['new DataParallelWithCallBack()', (...given) => new DataParallelWithCallBack(module, ...given)],
    ['tensor()', (...given) => tensor([1], [1], ...given)],
    ['empty()', (...given) => empty([1], ...given)],
    ['functional.moments()', (...given) => functional.moments(x(), ...given)],
    ['functional.normalize()', (...given) => functional.normalize(x(), statistics(), ...given)],
    ['functional.batchNorm()', (...given) => functional.batchNorm(x(), null, null, ...given)],
  ])('of_%s_are_the_last_argument', async (where, call) => {
    for (const options of [undefined, {}]) {
      const error = await failureOf(() => call(options as never, 0.1 as never));
      expect(error).toBeInstanceOf(TypeError);
      expect(error.message).toContain(`${where}: expected no argument after the options, got 0.1`);
    }
  });

  it.each(withOptions)('of_%s_that_are_no_object_are_refused', async (where, call) => {
    for (const given of [null, 3, 'cpu', true, [], new Map(), tensor([1]), () => undefined]) {
      const error = await failureOf(() => call(given as never));
      expect(error).toBeInstanceOf(TypeError);
      expect(error.message).toMatch(/expected an object of options, got|takes an object of options/);
      expect(error.message).toContain(where);
    }
  });

  it.each<[string, () => unknown]>([
    ['deviceIds', () => new DataParallelWithCallBack(module, { device_ids: ['cpu:0'] } as object)],
    ['deviceIds', () => new DataParallel(module, { deviceids: ['cpu:0'] } as object)],
    ['deviceIds', () => new DataParallel(module, { devices: ['cpu:0'] } as object)],
    ['outputDevice', () => new DataParallel(module, { output_device: 'cpu:0' } as object)],
    ['requiresGrad', () => tensor([1], [1], { requires_grad: true } as object)],
    ['memoryFormat', () => tensor([1], [1], { memory_format: 'channels_last' } as object)],
    ['trackRunningStats', () => new BatchNorm2d(3, { track_running_stats: false } as object)],
    ['trackRunningStats', () => new SynchronizedBatchNorm2d(3, { trackRunningStat: false } as object)],
    ['momentum', () => new BatchNorm2d(3, { momentun: 0.2 } as object)],
    ['syncTimeout', () => convertModel(module, { sync_timeout: 3 } as object)],
    ['strict', () => module.loadStateDict({}, { stric: false } as object)],
    ["{ deviceIds: ['cpu:0', 'cpu:1'] }", () => new DataParallel(module, ['cpu:0', 'cpu:1'] as object)],
    ['{ eps: 0.001 }', () => new BatchNorm2d(3, 1e-3 as never)],
    ['{ strict: false }', () => module.loadStateDict({}, false as never)],
    ["{ device: 'worker:0' }", () => tensor([1], [1], 'worker:0' as never)],
  ])('that_are_misspelt_are_answered_by_did_you_mean: %s', async (meant, call) => {
    const error = await failureOf(call);
    expect(error).toBeInstanceOf(TypeError);
    expect(error.message).toContain(`did you mean ${meant}?`);
  });

  it('may_be_inherited_and_of_a_class_as_long_as_all_are_known', () => {
    class Options {
      readonly eps = 0.5;
    }
    expect(new BatchNorm1d(2, new Options()).eps).toBe(0.5);
    expect(new SynchronizedBatchNorm1d(2, Object.create({ eps: 0.25, syncTimeout: 3 }) as object)).toMatchObject({
      eps: 0.25,
      syncTimeout: 3,
    });
  });

  it('a_parameter_takes_a_boolean_and_no_object', () => {
    expect(() => new Parameter(x(), { requiresGrad: false } as never)).toThrow('expected requiresGrad to be a boolean');
  });

  it('a_subclass_is_named_by_its_own_name', () => {
    class Mine extends BatchNorm1d {}
    expect(() => new Mine(2, { esp: 1 } as object)).toThrow("new Mine(): unknown option 'esp'; did you mean eps?");
  });
});
