/** Turning the plain layers of a model into synchronized ones, and back. */

import { checkOptions } from '../check_options.ts';
import { describeValue } from '../describe_value.ts';
import type { BatchNorm1d, BatchNorm2d, BatchNorm3d } from '../nn/batch_norm.ts';
import { refuseDuringForward } from '../nn/forward_passes.ts';
import type { Module } from '../nn/module.ts';
import { childrenOf, isModule, refuseModulesInContainers } from '../nn/module_tree.ts';
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
import { plainTwin, synchronizedTwin } from './twin.ts';

/** How the converted layers synchronize. */
export type ConvertOptions = Readonly<Partial<Synchronization>>;

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
  revert<M extends Module>(module: M): Reverted<M>;
}

/**
 * Converts a model in place: every `BatchNorm1d/2d/3d` at any depth becomes its synchronized twin, every `DataParallel` a
 * `DataParallelWithCallBack`. Source: `torch.nn.SyncBatchNorm.convert_sync_batchnorm`.
 *
 * Parameters and buffers stay the same objects, so optimizers that hold them stay valid. Training mode, counters, settings
 * and properties of the user's are kept; a layer shared by several parents is shared afterwards. What is synchronized
 * already stays as it is, and so do layers of a user's own subclass that overrides anything: extend `SynchronizedBatchNorm*`
 * there.
 *
 * @param options - of the new layers.
 * @returns the model: the same object, unless the root itself is replaced.
 * @throws TypeError for what is no module or no setting, CyclicModuleError; nothing is converted then.
 */
export const convertModel: ConvertModel = /* @__PURE__ */ Object.assign(convert, { revert });

function convert<M extends Module>(module: M, options: ConvertOptions = {}): Converted<M> {
  checkModule(module, 'convertModel()');
  checkOptions('convertModel()', options, synchronizationOptions);
  const settings = synchronizationOf(options);
  // The class of the twin follows from the class of the root as the type says.
  return replaceModules(module, (original) => synchronizedTwin(original, settings)) as Converted<M>;
}

function revert<M extends Module>(module: M): Reverted<M> {
  checkModule(module, 'convertModel.revert()');
  return replaceModules(module, plainTwin) as Reverted<M>;
}

/** Puts twins in the place of modules, each module's once. */
function replaceModules(root: Module, twinOf: (module: Module) => Module): Module {
  refuseModulesInContainers(root);
  refuseDuringForward(root, 'convertModel()');
  const twins = new Map(Array.from(root.modules(), (module) => [module, twinOf(module)] as const));
  for (const twin of twins.values()) {
    for (const [name, child] of childrenOf(twin)) {
      const replacement = twins.get(child);
      if (replacement !== undefined && replacement !== child) {
        (twin as unknown as Record<string, Module>)[name] = replacement;
      }
    }
  }
  return twins.get(root) ?? root;
}

function checkModule(module: unknown, caller: string): void {
  if (!isModule(module)) {
    throw new TypeError(`${caller}: expected a module, got ${describeValue(module)}`);
  }
}
