/**
 * Which modules have a forward pass under way on several devices, or on one that goes back to the state before when it fails. What
 * would change or move a module's state meanwhile is refused: when the pass ends, it gives the module the state it has computed
 * from the one it began with.
 */

import { ForwardInProgressError } from '../errors.ts';
import type { ModuleInterface } from './module_interface.ts';
import { type TreeEntry, walk } from './module_tree.ts';

/** How many passes each module takes part in. Holds nothing alive. */
const passes = new WeakMap<ModuleInterface, number>();

/**
 * Marks all modules of a tree for one pass.
 * @returns ends it.
 */
export function beginForward(tree: readonly Pick<TreeEntry, 'module'>[]): () => void {
  tree.forEach(({ module }) => passes.set(module, countOf(module) + 1));
  return () => tree.forEach(({ module }) => passes.set(module, countOf(module) - 1));
}

/** @throws ForwardInProgressError when a module of the tree takes part in a pass. */
export function refuseDuringForward(root: ModuleInterface, operation: string): void {
  const busy = walk(root, 'once').find(([, module]) => countOf(module) > 0);
  if (busy !== undefined) {
    throw new ForwardInProgressError(operation, busy[0]);
  }
}

function countOf(module: ModuleInterface): number {
  return passes.get(module) ?? 0;
}
