/**
 * The tree that modules form, read from their properties: a child is a module that is an own enumerable property of its
 * parent, a parameter likewise, in order of assignment. Buffers are registered, because a tensor property alone may be
 * anything. A module in an array, a plain object, a Map or a Set is no child: whoever walks the tree would miss it without a
 * word, so it is an error.
 */

import { refuseOtherCopy } from '../copy_of_library.ts';
import { CyclicModuleError } from '../errors.ts';
import { Parameter } from '../tensor/parameter.ts';
import type { Tensor } from '../tensor/tensor.ts';
import { containerKind, findInside, type Placed } from './containers.ts';
import type { Module } from './module.ts';

/** A value that belongs to a module's state but is not trained; a number lives on the host. */
export type Buffer = Tensor | number | null;

/** Where a module keeps its buffers, by their name in state dicts. */
export const buffersKey: unique symbol = Symbol('syncbn.buffers');

/** A module found in a tree, under the path that leads to it. */
export type NamedModule = readonly [path: string, module: Module];

/** @throws TwoCopiesError for a module or tensor of another copy of the library, which would be missed without a word. */
export function isModule(value: unknown): value is Module {
  if (typeof value !== 'object' || value === null) {
    return false;
  }
  if (buffersKey in value) {
    return true;
  }
  refuseOtherCopy(value);
  return false;
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
 * @throws CyclicModuleError when a module contains itself; TypeError for a module or parameter that only an array or another
 * container holds.
 */
export function walk(root: Module, visits: 'once' | 'every path'): NamedModule[] {
  const found: NamedModule[] = [];
  const seen = new Set<Module>();
  const ancestors: { readonly module: Module; readonly name: string }[] = [];
  const containers: Container[] = [];
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
    for (const [childName, value] of ownEntries(module, isChildOrContainer)) {
      if (isModule(value)) {
        visit(value, childName, joinPath(path, childName));
      } else {
        containers.push({ name: childName, path: joinPath(path, childName), value });
      }
    }
    ancestors.pop();
  };
  visit(root, 'the module', '');
  containers.forEach((container) => checkContainer(container, seen));
  return found;
}

/**
 * Refuses modules in containers for those who replace modules by others, which a container would go on holding.
 * @throws TypeError also where the tree holds the module a second time, as a child.
 */
export function refuseModulesInContainers(root: Module): void {
  for (const [path, module] of walk(root, 'once')) {
    for (const [name, value] of ownEntries(module, isChildOrContainer)) {
      const [hidden] = isModule(value) ? [] : findInside(value, joinPath(path, name), isModule);
      if (hidden !== undefined) {
        refuseHidden(hidden, value);
      }
    }
  }
}

/** A property that may hold modules where nobody looks for them. */
interface Container {
  readonly name: string;
  readonly path: string;
  readonly value: object;
}

function isChildOrContainer(value: unknown): value is object {
  return isModule(value) || containerKind(value) !== null;
}

function isModuleOrParameter(value: unknown): value is Module | Parameter {
  return isModule(value) || isParameter(value);
}

/** @throws TypeError for the first module or parameter in the container that the tree does not hold. */
function checkContainer({ path, value }: Container, modules: ReadonlySet<Module>): void {
  const inside = findInside(value, path, isModuleOrParameter);
  if (inside.length === 0) {
    return;
  }
  const known = new Set<unknown>([
    ...modules,
    ...[...modules].flatMap((module) => parametersOf(module).map(([, p]) => p)),
  ]);
  const missed = inside.find(([, item]) => !known.has(item));
  if (missed !== undefined) {
    refuseHidden(missed, value);
  }
}

function refuseHidden([path, item]: Placed<Module | Parameter>, container: unknown): never {
  const kind = containerKind(container);
  const what = isModule(item) ? `the module ${item.constructor.name}` : 'a parameter';
  const list = kind === 'array' || kind === 'Set' ? 'ModuleList' : 'ModuleDict';
  const remedy = isModule(item)
    ? `hold modules in a ${list}`
    : 'assign each parameter to a property of its own, of this module or of modules in a ModuleList';
  throw new TypeError(
    `${path} is ${what} inside ${kind === 'array' ? 'an array' : `a ${kind === 'object' ? 'plain object' : String(kind)}`}, ` +
      `where parameters(), to(), train(), stateDict(), replicas and convertModel() do not find it: ${remedy}; a property ` +
      `that is not enumerable is left alone`,
  );
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
