/**
 * The tree that modules form, read from their properties: a child is a module that is an own enumerable property of its
 * parent, a parameter likewise, in order of assignment. Buffers are registered, because a tensor property alone may be
 * anything. A module in an array, a plain object, a Map or a Set is no child: whoever walks the tree would miss it without a
 * word, so it is an error.
 */

import { refuseOtherCopy } from '../copy_of_library.ts';
import { CyclicModuleError } from '../errors.ts';
import { Parameter } from '../tensor/parameter.ts';
import { Tensor } from '../tensor/tensor.ts';
import { containerKind, findInside, type Placed } from './containers.ts';
import { buffersKey, type ModuleInterface } from './module_interface.ts';

export { type Buffer, buffersKey } from './module_interface.ts';

const bufferGetters = new WeakSet();

/** Remembers a property that does nothing but read and replace a buffer. */
export function noteBufferAccessor(property: PropertyDescriptor): void {
  bufferGetters.add(getterOf(property) ?? property);
}

/** Whether a property does nothing but read and replace a buffer. */
export function isBufferAccessor(property: PropertyDescriptor): boolean {
  return bufferGetters.has(getterOf(property) ?? property);
}

/** As an object: it is compared, not called. */
function getterOf(property: { readonly get?: object }): object | undefined {
  return property.get;
}

/** A module found in a tree, under the path that leads to it. */
export type NamedModule = readonly [path: string, module: ModuleInterface];

/** @throws TwoCopiesError for a module or tensor of another copy of the library, which would be missed without a word. */
export function isModule(value: unknown): value is ModuleInterface {
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
export function childrenOf(module: ModuleInterface): [name: string, child: ModuleInterface][] {
  return ownEntries(module, isModule);
}

/** The parameters of one module, without those of its children. */
export function parametersOf(module: ModuleInterface): [name: string, parameter: Parameter][] {
  return ownEntries(module, isParameter);
}

/** A module of a tree with what its properties hold. */
export interface TreeEntry {
  readonly path: string;
  readonly module: ModuleInterface;
  readonly children: readonly (readonly [name: string, child: ModuleInterface])[];
  readonly parameters: readonly (readonly [name: string, parameter: Parameter])[];
  /** Properties that may hold modules where nobody looks for them. */
  readonly containers: readonly (readonly [name: string, container: object])[];
}

/**
 * Every module of the tree, parents before children, children in order.
 *
 * @param visits - `'once'`: a module shared by several parents comes under its first path; `'every path'`: under each.
 * @throws CyclicModuleError when a module contains itself; TypeError for a module or parameter that only an array or another
 * container holds.
 */
export function walk(root: ModuleInterface, visits: 'once' | 'every path'): NamedModule[] {
  return survey(root, visits).map(({ path, module }) => [path, module]);
}

/** {@link walk} with what the properties of each module hold, for those who need several of these: reading properties takes time. */
export function survey(root: ModuleInterface, visits: 'once' | 'every path' = 'once'): TreeEntry[] {
  const entries: TreeEntry[] = [];
  const seen = new Set<ModuleInterface>();
  const ancestors: { readonly module: ModuleInterface; readonly name: string }[] = [];
  const visit = (module: ModuleInterface, name: string, path: string): void => {
    const start = ancestors.findIndex((ancestor) => ancestor.module === module);
    if (start >= 0) {
      throw new CyclicModuleError([...ancestors.slice(start).map((ancestor) => ancestor.name), name]);
    }
    if (visits === 'once' && seen.has(module)) {
      return;
    }
    seen.add(module);
    const entry = entryOf(module, path);
    entries.push(entry);
    ancestors.push({ module, name });
    for (const [childName, child] of entry.children) {
      visit(child, childName, joinPath(path, childName));
    }
    ancestors.pop();
  };
  visit(root, 'the module', '');
  for (const { path, containers } of entries) {
    for (const [name, value] of containers) {
      checkContainer({ path: joinPath(path, name), value }, entries);
    }
  }
  return entries;
}

function entryOf(module: ModuleInterface, path: string): TreeEntry {
  const children: [string, ModuleInterface][] = [];
  const parameters: [string, Parameter][] = [];
  const containers: [string, object][] = [];
  for (const name of Object.keys(module)) {
    const value = (module as unknown as Readonly<Record<string, unknown>>)[name];
    if (isModule(value)) {
      children.push([name, value]);
    } else if (isParameter(value)) {
      parameters.push([name, value]);
    } else if (isContainer(value)) {
      containers.push([name, value]);
    } else if (value instanceof Tensor) {
      checkParameter(module, name, path);
    }
  }
  return { path, module, children, parameters, containers };
}

/**
 * Refuses a tensor that stands where the module has a parameter: it would be missing among the parameters without a word.
 * Source: `torch.nn.Module.__setattr__`.
 * @throws TypeError
 */
export function checkParameter(module: ModuleInterface, name: string, path: string): void {
  if (module.parameterNames().includes(name)) {
    throw new TypeError(
      `cannot assign a Tensor as parameter '${joinPath(path, name)}' (Parameter or null expected); assign new Parameter(tensor), or change the ` +
        `values by copy_()`,
    );
  }
}

/**
 * Refuses modules in containers for those who replace modules by others, which a container would go on holding.
 * @throws TypeError also where the tree holds the module a second time, as a child.
 */
export function refuseModulesInContainers(tree: readonly TreeEntry[]): void {
  for (const { path, containers } of tree) {
    for (const [name, value] of containers) {
      const [hidden] = findInside(value, joinPath(path, name), isModule);
      if (hidden !== undefined) {
        refuseHidden(hidden, value);
      }
    }
  }
}

function isContainer(value: unknown): value is object {
  return containerKind(value) !== null;
}

function isModuleOrParameter(value: unknown): value is ModuleInterface | Parameter {
  return isModule(value) || isParameter(value);
}

/** A container under the path of its property. */
interface Container {
  readonly path: string;
  readonly value: object;
}

/** @throws TypeError for the first module or parameter in the container that the tree does not hold. */
function checkContainer({ path, value }: Container, tree: readonly TreeEntry[]): void {
  const inside = findInside(value, path, isModuleOrParameter);
  if (inside.length === 0) {
    return;
  }
  const known = new Set<unknown>(
    tree.flatMap(({ module, parameters }) => [module, ...parameters.map(([, parameter]) => parameter)]),
  );
  const missed = inside.find(([, item]) => !known.has(item));
  if (missed !== undefined) {
    refuseHidden(missed, value);
  }
}

function refuseHidden([path, item]: Placed<ModuleInterface | Parameter>, container: unknown): never {
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
function ownEntries<T>(module: ModuleInterface, isWanted: (value: unknown) => value is T): [string, T][] {
  const entries: [string, T][] = [];
  for (const name of Object.keys(module)) {
    const value = (module as unknown as Readonly<Record<string, unknown>>)[name];
    if (isWanted(value)) {
      entries.push([name, value]);
    }
  }
  return entries;
}

/** The parameters and buffers of a tree, each once. */
export function tensorsOf(tree: readonly TreeEntry[]): Tensor[] {
  const tensors = new Set<Tensor>();
  tree.forEach(({ parameters }) => parameters.forEach(([, parameter]) => tensors.add(parameter)));
  for (const { module } of tree) {
    for (const buffer of module[buffersKey].values()) {
      if (buffer instanceof Tensor) {
        tensors.add(buffer);
      }
    }
  }
  return [...tensors];
}
