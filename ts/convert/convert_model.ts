/** Turning the plain layers of a model into synchronized ones, and back. */

import { checkOptions, type KnownOptions } from '../check_options.ts';
import { describeValue } from '../describe_value.ts';
import type { BatchNorm1d, BatchNorm2d, BatchNorm3d } from '../nn/batch_norm.ts';
import { refuseDuringForward } from '../nn/forward_passes.ts';
import type { Module } from '../nn/module.ts';
import { childrenOf, isModule, refuseModulesInContainers, survey } from '../nn/module_tree.ts';
import { typeNameOf } from '../nn/module_repr.ts';
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
import { type ConversionReport, reportOf, warnOfLeft } from './conversion_report.ts';
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

/** {@link convertModel} and its way back. */
export interface ConvertModel {
  <M extends Module>(module: M, options?: ConvertOptions): Converted<M>;
  /**
   * Every synchronized layer becomes the plain one it was, or the plain one of its kind, and every
   * `DataParallelWithCallBack` a `DataParallel`. Nothing is lost but the settings of the synchronization.
   */
  revert<M extends Module>(module: M, options?: Pick<ConvertOptions, 'onReport'>): Reverted<M>;
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
export const convertModel: ConvertModel = /* @__PURE__ */ Object.assign(convert, { revert });

const convertOptions: KnownOptions<ConvertOptions> = { ...synchronizationOptions, onReport: 'function' };

function convert<M extends Module>(module: M, options: ConvertOptions = {}): Converted<M> {
  checkModule(module, 'convertModel()');
  checkOptions('convertModel()', options, convertOptions);
  const settings = synchronizationOf(options);
  // The class of the twin follows from the class of the root as the type says.
  return replaceModules(module, 'convertModel()', options, (original) =>
    synchronizedTwin(original, settings),
  ) as Converted<M>;
}

function revert<M extends Module>(module: M, options: Pick<ConvertOptions, 'onReport'> = {}): Reverted<M> {
  checkModule(module, 'convertModel.revert()');
  checkOptions<typeof options>('convertModel.revert()', options, { onReport: 'function' });
  return replaceModules(module, 'convertModel.revert()', options, plainTwin) as Reverted<M>;
}

/** Puts twins in the place of modules, each module's once, and reports. */
function replaceModules(
  root: Module,
  operation: string,
  { onReport }: Pick<ConvertOptions, 'onReport'>,
  twinFor: (module: Module) => Twin,
): Module {
  if (onReport !== undefined && typeof onReport !== 'function') {
    throw new TypeError(`${operation}: expected onReport to be a function, got ${describeValue(onReport)}`);
  }
  refuseModulesInContainers(survey(root));
  refuseDuringForward(root, operation);
  const outcomes = Array.from(root.namedModules(), ([path, module]) => ({ path, module, outcome: twinFor(module) }));
  const twins = new Map(
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
    (parent as unknown as Record<string, Module>)[name] = twin;
  }
  const report = reportOf(outcomes);
  if (onReport === undefined) {
    warnOfLeft(operation, report.left);
  } else {
    onReport(report);
  }
  return twins.get(root) ?? root;
}

/** @throws TypeError for a property that nothing can be assigned to, before another has changed. */
function checkReplaceable(operation: string, parent: Module, name: string): void {
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
