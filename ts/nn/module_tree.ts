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
  return ownEntries(module, isModule);
}

/** The parameters of one module, without those of its children. */
export function parametersOf(module: Module): [name: string, parameter: Parameter][] {
  return ownEntries(module, isParameter);
}

/**
 * Every module of the tree, parents before children, children in order.
 *
 * @param visits - `'once'`: a module shared by several parents comes under its first path; `'every path'`: under each.
 * @throws CyclicModuleError when a module contains itself.
 */
export function walk(root: Module, visits: 'once' | 'every path'): NamedModule[] {
  const found: NamedModule[] = [];
  const seen = new Set<Module>();
  const ancestors: { readonly module: Module; readonly name: string }[] = [];
  const visit = (module: Module, name: string, path: string): void => {
    const start = ancestors.findIndex((ancestor) => ancestor.module === module);
    if (start >= 0) {
      throw new CyclicModuleError([...ancestors.slice(start).map((ancestor) => ancestor.name), name]);
    }
    if (visits === 'once' && seen.has(module)) {
      return;
    }
    seen.add(module);
    found.push([path, module]);
    ancestors.push({ module, name });
    for (const [childName, child] of childrenOf(module)) {
      visit(child, childName, joinPath(path, childName));
    }
    ancestors.pop();
  };
  visit(root, 'the module', '');
  return found;
}

/** The path of something inside the module at `path`; the root's own path is empty. */
export function joinPath(path: string, name: string): string {
  return path === '' ? name : `${path}.${name}`;
}

function isParameter(value: unknown): value is Parameter {
  return value instanceof Parameter;
}

/** Every step of training lists the properties of every module, so no more is made of them than what is asked for. */
function ownEntries<T>(module: Module, isWanted: (value: unknown) => value is T): [string, T][] {
  const entries: [string, T][] = [];
  for (const name of Object.keys(module)) {
    const value = (module as unknown as Readonly<Record<string, unknown>>)[name];
    if (isWanted(value)) {
      entries.push([name, value]);
    }
  }
  return entries;
}
