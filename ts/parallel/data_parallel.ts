/** Data parallelism in one process: a module runs on several devices, each with its share of the batch. */

import { checkOptions, type KnownOptions } from '../check_options.ts';
import { describeValue } from '../describe_value.ts';
import type { DeviceName } from '../device/device.ts';
import { deviceByName, devices, isAdopted } from '../device/registry.ts';
import { loadOnce } from '../load_once.ts';
import { beginForward } from '../nn/forward_passes.ts';
import { Module } from '../nn/module.ts';
import { typeNameOf } from '../nn/module_repr.ts';
import { isModule, survey, tensorsOf } from '../nn/module_tree.ts';
import { replicaPlace } from '../nn/replica.ts';
import { checkSplitSizes, type SplitSizes } from './split_sizes.ts';

/** Which devices a {@link DataParallel} runs on, and how it cuts the batch. */
export interface DataParallelOptions {
  /**
   * Devices to run on, in this order; the first holds the module. Default: the device of the module, then all others of its
   * kind that `devices.list()` offers, but for adopted GPUs; for a module on a `'cpu'` device that device alone.
   */
  readonly deviceIds?: readonly DeviceName[];
  /** Where the outputs are gathered; default the first of `deviceIds`. */
  readonly outputDevice?: DeviceName;
  /**
   * The dimension that inputs are scattered and outputs gathered along; default 0. Along another one synchronized layers compute the
   * same statistics, but add the values in another order than one device does: results may differ from its in the last bits.
   */
  readonly dim?: number;
  /**
   * Sizes of the shares of the inputs along `dim`, one per device; default: equal ones, as `torch.chunk` makes them. For devices that
   * are not equally fast: the bits of synchronized layers are the same however the batch is cut.
   */
  readonly splitSizes?: SplitSizes;
}

const dataParallelOptions: KnownOptions<DataParallelOptions> = {
  deviceIds: 'array',
  outputDevice: 'string',
  dim: 'number',
  splitSizes: 'array',
};

/** The code that only wrappers need, a file of its own. */
const replicas = loadOnce(() => import('./forward_on_devices.ts'));

/**
 * Runs a module on several devices, as `torch.nn.DataParallel`: inputs are scattered along one dimension, replicas of the
 * module run concurrently, outputs are gathered. Gradients are those of the whole batch on one device.
 *
 * Batch norm in it uses the statistics of each device's share alone; {@link DataParallelWithCallBack} synchronizes them.
 *
 * State changes when the forward of all replicas has succeeded, and is then replica 0's. One forward of a model at a time:
 * of two at once, the later to end determines the state. What a replica assigns to its own properties is gone afterwards;
 * what it has computed and returned is disposed once gathered. With one device the module itself is called, and `outputDevice` ignored.
 */
export class DataParallel<M extends Module = Module> extends Module {
  static readonly typeName: string = 'DataParallel';

  readonly module: M;
  readonly dim: number;
  /** Whether synchronized layers meet and `onReplicate` is called: set by {@link patchReplicationCallback}. @internal */
  hasReplicationCallback = false;
  private readonly givenDeviceIds: readonly string[] | null;
  private readonly givenOutputDevice: string | null;
  /** In an object, so that a function in it is no method of a subclass. */
  private readonly split: { sizes: SplitSizes | null } = { sizes: null };

  /**
   * @throws TypeError for what is no module, or no sizes; RangeError for devices named twice or none; UnknownDeviceError
   */
  constructor(module: M, options: DataParallelOptions = {}, ...extra: never[]) {
    super();
    checkModule(module);
    checkOptions(`new ${typeNameOf(this)}()`, options, dataParallelOptions, extra);
    const { deviceIds, outputDevice, dim = 0 } = options;
    if (!Number.isInteger(dim)) {
      throw new TypeError(`dim: expected an integer, got ${String(dim)}`);
    }
    this.module = module;
    this.dim = dim;
    this.givenDeviceIds = deviceIds === undefined ? null : checkDeviceIds(deviceIds);
    this.givenOutputDevice = outputDevice === undefined ? null : deviceByName(outputDevice).name;
    this.splitSizes = options.splitSizes ?? null;
  }

  /**
   * The option `splitSizes`, which may be set anew before any forward; `null`: equal shares.
   *
   * @example
   * ```ts
   * const net = new DataParallelWithCallBack(network, { deviceIds: ['webgpu:0', 'cpu:0'] });
   * net.splitSizes = [30, 2]; // of batches of 32 samples
   * net.splitSizes = (size) => [size - Math.floor(size / 16), Math.floor(size / 16)]; // of batches of any size
   * ```
   *
   * @throws TypeError or RangeError for what are no sizes. The forward refuses those that do not fit its devices and inputs.
   */
  get splitSizes(): SplitSizes | null {
    return this.split.sizes;
  }

  /** @throws TypeError or RangeError for what are no sizes. */
  set splitSizes(sizes: SplitSizes | null) {
    this.split.sizes = checkSplitSizes(sizes);
  }

  /** Names of the devices, in order of replicas. */
  get deviceIds(): readonly string[] {
    return this.givenDeviceIds ?? defaultDeviceIds(deviceOf(this.module));
  }

  /** Name of the device that outputs are gathered on. */
  get outputDevice(): string {
    return this.givenOutputDevice ?? this.deviceIds[0] ?? deviceOf(this.module);
  }

  /**
   * Runs the module.
   * @param inputs - of the module; tensors may be on any device.
   * @throws RangeError when the module is on another device than the first, or `splitSizes` do not fit the devices and inputs; Error inside another wrapper; ReplicaError when a replica fails. The state
   * is then what it was before.
   */
  async forward(...inputs: Parameters<M['forward']>): Promise<Awaited<ReturnType<M['forward']>>> {
    const place = replicaPlace(this);
    if (place !== null) {
      throw new Error(
        `${place.path}: expected no ${typeNameOf(this)} inside the module of another wrapper, whose replicas would each run on ` +
          `all devices; keep the outer wrapper alone, which distributes the whole module`,
      );
    }
    const tree = survey(this.module);
    const end = beginForward(tree);
    try {
      const devices = this.deviceIds.map(deviceByName);
      const target = deviceByName(this.outputDevice);
      const { module, dim, splitSizes, hasReplicationCallback: meets } = this;
      const loaded = replicas();
      const { forwardOnDevices } = loaded instanceof Promise ? await loaded : loaded;
      // One device gives what the module gives; several give the same structure with gathered tensors.
      const output = await forwardOnDevices(inputs, { module, tree, devices, target, dim, splitSizes, meets });
      return output as Awaited<ReturnType<M['forward']>>;
    } finally {
      end();
    }
  }
}

/**
 * {@link DataParallel} whose synchronized layers use the statistics of the whole batch. Every module of every replica is
 * told so through `onReplicate(context, replicaIndex)` before the forward, with one context object per layer.
 */
export class DataParallelWithCallBack<M extends Module = Module> extends DataParallel<M> {
  static override readonly typeName: string = 'DataParallelWithCallBack';
  override hasReplicationCallback = true;
}

/**
 * Gives a plain `DataParallel` the behaviour of {@link DataParallelWithCallBack}, in place.
 * @returns the same object.
 * @throws TypeError for anything else.
 */
export function patchReplicationCallback<D extends DataParallel>(dataParallel: D): D {
  if (!(dataParallel instanceof DataParallel)) {
    throw new TypeError(`patchReplicationCallback(): expected a DataParallel, got ${describeValue(dataParallel)}`);
  }
  dataParallel.hasReplicationCallback = true;
  return dataParallel;
}

function checkModule(module: unknown): void {
  if (!isModule(module)) {
    throw new TypeError(`DataParallel: expected a module, got ${describeValue(module)}; extend Module`);
  }
  if (typeof module.forward !== 'function') {
    throw new TypeError(`DataParallel: ${module.constructor.name} has no forward()`);
  }
  // Walking the tree refuses modules that contain themselves, before anything runs.
  Array.from(module.modules());
}

/** @returns canonical names. */
function checkDeviceIds(deviceIds: unknown): readonly string[] {
  if (!Array.isArray(deviceIds)) {
    throw new TypeError(
      `deviceIds: expected an array of device names such as ['cpu:0', 'cpu:1'], got ${describeValue(deviceIds)}`,
    );
  }
  // `map` passes over holes; `Array.from` reads them as `undefined`.
  const names = Array.from(deviceIds, (id: unknown) => deviceByName(id as string).name);
  if (names.length === 0) {
    throw new RangeError(
      `deviceIds: expected at least one device, got []; leave the option out to run on the module's own`,
    );
  }
  const twice = names.find((name, i) => names.indexOf(name) !== i);
  if (twice !== undefined) {
    throw new RangeError(`deviceIds: expected every device once, got ${twice} twice in [${names.join(', ')}]`);
  }
  return names;
}

/** Where a module is: on the device of its first parameter or buffer. */
function deviceOf(module: Module): string {
  return tensorsOf(survey(module))[0]?.device ?? 'cpu:0';
}

/**
 * Several devices in the calling thread would take turns on its one core. A GPU that was adopted is for the work of its owner, and
 * does ours only where it is named.
 */
function defaultDeviceIds(own: string): readonly string[] {
  const { kind } = deviceByName(own);
  const isOther = (name: string): boolean =>
    name !== own && name.startsWith(`${kind}:`) && !isAdopted(deviceByName(name));
  return kind === 'cpu' ? [own] : [own, ...devices.list().filter(isOther)];
}
