/** Turning the plain layers of a model into synchronized ones, and back. */

import { checkOptions, type KnownOptions } from '../check_options.ts';
import { describeValue } from '../describe_value.ts';
import type { BatchNorm1d, BatchNorm2d, BatchNorm3d } from '../nn/batch_norm.ts';
import type { FrozenBatchNorm1d, FrozenBatchNorm2d, FrozenBatchNorm3d } from '../nn/frozen_batch_norm.ts';
import { refuseDuringForward } from '../nn/forward_passes.ts';
import type { Module } from '../nn/module.ts';
import type { ModuleInterface } from '../nn/module_interface.ts';
import { childrenOf, isModule, refuseModulesInContainers, survey } from '../nn/module_tree.ts';
import { typeNameOf } from '../nn/module_repr.ts';
import { joinGroup } from '../nn/synchronized_batch_norm_group.ts';
import type {
  SynchronizedBatchNorm1d,
  SynchronizedBatchNorm2d,
  SynchronizedBatchNorm3d,
} from '../nn/synchronized_batch_norm.ts';
import {
  type Synchronization,
  synchronizationOf,
  synchronizationOptions,
} from '../nn/synchronized_batch_norm_settings.ts';
import type { DataParallel, DataParallelWithCallBack } from '../parallel/data_parallel.ts';
import type { Tensor } from '../tensor/tensor.ts';
import { type ConversionReport, reportOf, warnOfLeft } from './conversion_report.ts';
import { frozenTwin } from './frozen_twin.ts';
import { plainTwin, synchronizedTwin, type Twin } from './twin.ts';

/** How the converted layers synchronize, and who is told what was converted. */
export interface ConvertOptions extends Readonly<Partial<Synchronization>> {
  /** Gets the report of the conversion. What was left is then not warned of on the console. */
  readonly onReport?: (report: ConversionReport) => void;
}

/** The class that {@link convertModel} gives back for a root of class M. */
export type Converted<M extends Module> = M extends BatchNorm1d
  ? SynchronizedBatchNorm1d
  : M extends BatchNorm2d
    ? SynchronizedBatchNorm2d
    : M extends BatchNorm3d
      ? SynchronizedBatchNorm3d
      : M extends DataParallel<infer Inner>
        ? DataParallelWithCallBack<Converted<Inner>>
        : M;

/** The class that `convertModel.revert` gives back for a root of class M. */
export type Reverted<M extends Module> = M extends SynchronizedBatchNorm1d
  ? BatchNorm1d
  : M extends SynchronizedBatchNorm2d
    ? BatchNorm2d
    : M extends SynchronizedBatchNorm3d
      ? BatchNorm3d
      : M extends DataParallelWithCallBack<infer Inner>
        ? DataParallel<Reverted<Inner>>
        : M;

/** The class that `convertModel.freeze` gives back for a root of class M. */
export type Frozen<M extends Module> = M extends BatchNorm1d
  ? FrozenBatchNorm1d
  : M extends BatchNorm2d
    ? FrozenBatchNorm2d
    : M extends BatchNorm3d
      ? FrozenBatchNorm3d
      : M extends DataParallelWithCallBack<infer Inner>
        ? DataParallelWithCallBack<Frozen<Inner>>
        : M extends DataParallel<infer Inner>
          ? DataParallel<Frozen<Inner>>
          : M;

/** {@link convertModel}, its way back, and the way to constants. */
export interface ConvertModel {
  <M extends Module>(module: M, options?: ConvertOptions): Converted<M>;
  /**
   * Every synchronized layer becomes the plain one it was, or the plain one of its kind, and every
   * `DataParallelWithCallBack` a `DataParallel`. Nothing is lost but the settings of the synchronization.
   */
  revert<M extends Module>(module: M, options?: Reporting): Reverted<M>;
  /**
   * Every batch norm layer at any depth, plain or synchronized, becomes the `FrozenBatchNorm*` of its rank, which normalizes with its
   * running statistics whatever `train()` says. Its weight and bias are parameters no longer: make the optimizer afterwards. A layer
   * shared by several parents is shared afterwards; training mode and properties of the user's are kept. Wrappers stay what they are.
   *
   * Left as they are, as {@link convertModel} leaves them, are layers with behaviour of their own and layers without running statistics.
   *
   * Source: `torchvision.ops.misc.FrozenBatchNorm2d`, as detection models use it for their backbone.
   *
   * @example
   * ```ts
   * convertModel.freeze(detector.backbone);
   * const trained = [...detector.parameters()]; // without weight and bias of the backbone's batch norm
   * ```
   *
   * @returns the model: the same object, unless the root itself is replaced.
   * @throws as {@link convertModel}; DisposedError, OutOfMemoryError. Nothing is frozen then.
   */
  freeze<M extends Module>(module: M, options?: Reporting): Frozen<M>;
}

/**
 * Converts a model in place: every `BatchNorm1d/2d/3d` at any depth becomes its synchronized twin, every `DataParallel` a
 * `DataParallelWithCallBack`. Source: `torch.nn.SyncBatchNorm.convert_sync_batchnorm`.
 *
 * Parameters and buffers stay the same objects, so optimizers that hold them stay valid. Training mode, counters, settings
 * and properties of the user's are kept; a layer shared by several parents is shared afterwards. What is synchronized
 * already stays as it is.
 *
 * Left as they are, with one warning per class, are layers and wrappers with behaviour of their own: of a subclass that defines
 * anything but a constructor, functions in fields too, which should extend `SynchronizedBatchNorm*`, and those with a function in the place of a method,
 * for example a `forward` that a profiler has wrapped. `onReport` tells which.
 *
 * @param options - of the new layers.
 * @returns the model: the same object, unless the root itself is replaced.
 * @throws TypeError for what is no module, no setting, or a module in an array, another container or a property that is read
 * only; CyclicModuleError;
 * ForwardInProgressError. Nothing is converted then.
 */
export const convertModel: ConvertModel = /* @__PURE__ */ Object.assign(convert, { revert, freeze });

/** Who is told what was converted. */
type Reporting = Pick<ConvertOptions, 'onReport'>;

const reportingOptions: KnownOptions<Reporting> = { onReport: 'function' };
const convertOptions: KnownOptions<ConvertOptions> = { ...synchronizationOptions, ...reportingOptions };

function convert<M extends Module>(module: M, options: ConvertOptions = {}): Converted<M> {
  const operation = 'convertModel()';
  checkModule(module, operation);
  checkOptions(operation, options, convertOptions);
  const settings = synchronizationOf(options);
  const tell = tellerOf(operation, options);
  const replaced = replaceModules(module, operation, (original) => synchronizedTwin(original, settings));
  const { processGroup } = settings;
  if (processGroup !== null) {
    // In the order of the tree, which is the same on all ranks: that of the first calls need not be.
    replaced.converted.forEach((twin) => joinGroup(twin, processGroup));
  }
  // The class of the twin follows from the class of the root as the type says.
  return tell(replaced) as Converted<M>;
}

function revert<M extends Module>(module: M, options: Reporting = {}): Reverted<M> {
  const operation = 'convertModel.revert()';
  checkModule(module, operation);
  checkOptions(operation, options, reportingOptions);
  return tellerOf(operation, options)(replaceModules(module, operation, plainTwin)) as Reverted<M>;
}

function freeze<M extends Module>(module: M, options: Reporting = {}): Frozen<M> {
  const operation = 'convertModel.freeze()';
  checkModule(module, operation);
  checkOptions(operation, options, reportingOptions);
  const tell = tellerOf(operation, options);
  const made: Tensor[] = [];
  let replaced: Replaced;
  try {
    replaced = replaceModules(module, operation, (original) => frozenTwin(original, made));
  } catch (error) {
    made.forEach((vector) => vector.dispose());
    throw error;
  }
  return tell(replaced) as Frozen<M>;
}

/** A tree in which modules have been replaced. */
interface Replaced {
  readonly root: ModuleInterface;
  /** What has taken the place of others, in the order of the tree. */
  readonly converted: readonly ModuleInterface[];
  readonly report: ConversionReport;
}

/** Puts twins in the place of modules, each module's once: all of them or, on failure, none. */
function replaceModules(root: Module, operation: string, twinFor: (module: Module) => Twin): Replaced {
  refuseModulesInContainers(survey(root));
  refuseDuringForward(root, operation);
  const outcomes = Array.from(root.namedModules(), ([path, module]) => ({ path, module, outcome: twinFor(module) }));
  const twins = new Map<ModuleInterface, ModuleInterface>(
    outcomes.map(({ module, outcome }) => [module, outcome !== null && 'twin' in outcome ? outcome.twin : module]),
  );
  const replacements = [...twins.values()].flatMap((parent) =>
    childrenOf(parent).flatMap(([name, child]) => {
      const twin = twins.get(child) ?? child;
      return twin === child ? [] : [{ parent, name, twin }];
    }),
  );
  replacements.forEach(({ parent, name }) => checkReplaceable(operation, parent, name));
  for (const { parent, name, twin } of replacements) {
    (parent as unknown as Record<string, unknown>)[name] = twin;
  }
  const converted = [...twins].flatMap(([module, twin]) => (twin === module ? [] : [twin]));
  return { root: twins.get(root) ?? root, converted, report: reportOf(outcomes) };
}

/**
 * Who is told what has become of the modules.
 * @returns tells it, and gives the root.
 * @throws TypeError for what is no function.
 */
function tellerOf(operation: string, { onReport }: Reporting): (replaced: Replaced) => unknown {
  if (onReport !== undefined && typeof onReport !== 'function') {
    throw new TypeError(`${operation}: expected onReport to be a function, got ${describeValue(onReport)}`);
  }
  return ({ root, report }) => {
    if (onReport === undefined) {
      warnOfLeft(operation, report.left);
    } else {
      onReport(report);
    }
    return root;
  };
}

/** @throws TypeError for a property that nothing can be assigned to, before another has changed. */
function checkReplaceable(operation: string, parent: ModuleInterface, name: string): void {
  const property = Object.getOwnPropertyDescriptor(parent, name);
  if (property?.writable !== true && property?.set === undefined) {
    throw new TypeError(
      `${operation}: expected the layer in the property ${name} of ${typeNameOf(parent)} to be replaceable, got a property ` +
        `that is read only; convert before Object.freeze(), and give a getter its setter`,
    );
  }
}

function checkModule(module: unknown, caller: string): void {
  if (!isModule(module)) {
    throw new TypeError(`${caller}: expected a module, got ${describeValue(module)}`);
  }
}
