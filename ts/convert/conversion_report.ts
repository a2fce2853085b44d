/** What a conversion has done, and the warning of what it had to leave. */

import type { Module } from '../nn/module.ts';
import { typeNameOf } from '../nn/module_repr.ts';
import type { Twin } from './twin.ts';

/** What {@link convertModel} has converted and what it has left; other modules are in neither. */
export interface ConversionReport {
  readonly converted: readonly ConvertedModule[];
  readonly left: readonly LeftModule[];
}

/** A layer or wrapper that was replaced. */
export interface ConvertedModule {
  /** From the root, whose own path is `''`. */
  readonly path: string;
  /** Class names before and after. */
  readonly from: string;
  readonly to: string;
}

/** A layer or wrapper that has behaviour of its own and therefore stays what it was. */
export interface LeftModule {
  readonly path: string;
  readonly type: string;
  /** Why, and what to do about it. */
  readonly reason: string;
}

/** What became of one module. */
interface ModuleOutcome {
  readonly path: string;
  readonly module: Module;
  readonly outcome: Twin;
}

export function reportOf(outcomes: readonly ModuleOutcome[]): ConversionReport {
  const converted: ConvertedModule[] = [];
  const left: LeftModule[] = [];
  for (const { path, module, outcome } of outcomes) {
    const type = typeNameOf(module);
    if (outcome !== null && 'twin' in outcome) {
      converted.push({ path, from: type, to: typeNameOf(outcome.twin) });
    } else if (outcome !== null) {
      left.push({ path, type, reason: outcome.reason });
    }
  }
  return { converted, left };
}

/** One warning per class and reason, with the paths. */
export function warnOfLeft(operation: string, left: readonly LeftModule[]): void {
  const groups = new Map<string, LeftModule[]>();
  for (const item of left) {
    const key = JSON.stringify([item.type, item.reason]);
    groups.set(key, [...(groups.get(key) ?? []), item]);
  }
  for (const [first, ...others] of groups.values()) {
    if (first !== undefined) {
      const paths = [first, ...others].map(({ path }) => path || 'the root').join(', ');
      console.warn(
        `syncbn: ${operation} left ${first.type} at ${paths} as it was: ${first.reason}. onReport tells this instead of a warning.`,
      );
    }
  }
}
