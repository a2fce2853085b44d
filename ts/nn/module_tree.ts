/**
 * The tree that modules form, read from their properties: a child is a module that is an own enumerable property of its
 * parent, a parameter likewise, in order of assignment. Buffers are registered, because a tensor property alone may be
 * anything.
 */

import { CyclicModuleError } from '../errors.ts';
import { Parameter } from '../tensor/parameter.ts';
import type { Tensor } from '../tensor/tensor.ts';
import type { Module } from './module.ts';

/** A value that belongs to a module's state but is not trained; a number lives on the host. */
export type Buffer = Tensor | number | null;

/** Where a module keeps its buffers, by their name in state dicts. */
export const buffersKey: unique symbol = Symbol('syncbn.buffers');

/** A module found in a tree, under the path that leads to it. */
export type NamedModule = readonly [path: string, module: Module];

export function isModule(value: unknown): value is Module {
  return typeof value === 'object' && value !== null && buffersKey in value;
}

/** The children of one module by property, a shared one once per property. */
export function childrenOf(module: Module): [name: string, child: Module][] {
  return ownEntries(module).filter((entry): entry is [string, Module] => isModule(entry[1]));
}

/** The parameters of one module, without those of its children. */
export function parametersOf(module: Module): [name: string, parameter: Parameter][] {
  return ownEntries(module).filter((entry): entry is [string, Parameter] => entry[1] instanceof Parameter);
}

/**
 * Every module of the tree, parents before children, children in order.
 *
 * @param visits - `'once'`: a module shared by several parents comes under its first path; `'every path'`: under each.
 * @throws CyclicModuleError when a module contains itself.
 */
export function* walk(root: Module, visits: 'once' | 'every path'): Generator<NamedModule> {
  const seen = new Set<Module>();
  const ancestors: { readonly module: Module; readonly name: string }[] = [];
  function* visit(module: Module, name: string, path: string): Generator<NamedModule> {
    const start = ancestors.findIndex((ancestor) => ancestor.module === module);
    if (start >= 0) {
      throw new CyclicModuleError([...ancestors.slice(start).map((ancestor) => ancestor.name), name]);
    }
    if (visits === 'once' && seen.has(module)) {
      return;
    }
    seen.add(module);
    ancestors.push({ module, name });
    yield [path, module];
    for (const [childName, child] of childrenOf(module)) {
      yield* visit(child, childName, joinPath(path, childName));
    }
    ancestors.pop();
  }
  yield* visit(root, 'the module', '');
}

/** The path of something inside the module at `path`; the root's own path is empty. */
export function joinPath(path: string, name: string): string {
  return path === '' ? name : `${path}.${name}`;
}

function ownEntries(module: Module): [string, unknown][] {
  return Object.entries(module);
}
