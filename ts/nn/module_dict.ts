/** Modules by name, PyTorch's `nn.ModuleDict`: what a plain object of modules should be, so that the tree finds them. */

import { describeValue } from '../describe_value.ts';
import { checkModule } from './check_module.ts';
import { Module } from './module.ts';
import { childrenOf, isModule } from './module_tree.ts';

/** What modules by name may be given as. */
export type NamedModules<M extends Module> = Readonly<Record<string, M>> | Iterable<readonly [string, M]>;

/**
 * Holds modules by name, as children of these names: their state-dict keys are `dict.name.weight` and so on. It has no forward.
 * Names keep their order, except that whole numbers come first, as in every object.
 *
 * @example
 * ```ts
 * readonly norms = new ModuleDict({ small: new BatchNorm1d(8), large: new BatchNorm1d(64) });
 * await this.norms.get('small').forward(x);
 * ```
 */
export class ModuleDict<M extends Module = Module> extends Module implements Iterable<[string, M]> {
  static readonly typeName: string = 'ModuleDict';

  /** @throws TypeError for what is no module, RangeError for a name that cannot be one. */
  constructor(modules: NamedModules<M> = {}) {
    super();
    this.update(modules);
  }

  /** How many modules there are. */
  get size(): number {
    return childrenOf(this).length;
  }

  /** @throws Error always: a dictionary does not say how its modules are to be called. */
  override forward(): never {
    throw new Error('ModuleDict has no forward(); call its modules by name');
  }

  /** Whether there is a module of that name. */
  has(name: string): boolean {
    return this.names().includes(name);
  }

  /** @throws RangeError when there is no module of that name. */
  get(name: string): M {
    const found = [...this.entries()].find(([key]) => key === name);
    if (found === undefined) {
      throw new RangeError(`ModuleDict: expected one of the names ${this.names().join(', ')}, got '${name}'`);
    }
    return found[1];
  }

  /** Adds a module, or replaces the one of that name. */
  set(name: string, module: M): this {
    return this.update([[name, module]]);
  }

  /** Adds and replaces modules: all of them or, on failure, none. */
  update(modules: NamedModules<M>): this {
    const added = entriesOf(modules);
    for (const [name, module] of added) {
      this.checkName(name);
      checkModule('ModuleDict', module, JSON.stringify(name));
    }
    for (const [name, module] of added) {
      Object.defineProperty(this, name, { value: module, writable: true, enumerable: true, configurable: true });
    }
    return this;
  }

  /** Takes a module out. @returns whether there was one. */
  delete(name: string): boolean {
    return this.has(name) && Reflect.deleteProperty(this, name);
  }

  /** Takes a module out and returns it. @throws RangeError when there is none. */
  pop(name: string): M {
    const module = this.get(name);
    this.delete(name);
    return module;
  }

  /** Takes all modules out. */
  clear(): void {
    this.names().forEach((name) => this.delete(name));
  }

  /** The names, in order. */
  *keys(): Generator<string> {
    yield* this.names();
  }

  /** The modules, in order of their names. */
  *values(): Generator<M> {
    for (const [, module] of this.entries()) {
      yield module;
    }
  }

  /** Names and modules, in order. */
  *entries(): Generator<[string, M]> {
    // Each was checked when it was put there.
    yield* childrenOf(this) as [string, M][];
  }

  /** {@link ModuleDict.entries}. */
  [Symbol.iterator](): Generator<[string, M]> {
    return this.entries();
  }

  private names(): string[] {
    return childrenOf(this).map(([name]) => name);
  }

  private checkName(name: unknown): void {
    if (typeof name !== 'string' || name === '' || name.includes('.')) {
      throw new RangeError(`ModuleDict: expected names without dots, got ${JSON.stringify(name)}`);
    }
    if (name in this && !this.has(name)) {
      throw new RangeError(`ModuleDict: attribute '${name}' already exists; choose another name`);
    }
  }
}

function entriesOf<M extends Module>(modules: NamedModules<M>): readonly (readonly [string, M])[] {
  if (typeof modules !== 'object' || (modules as unknown) === null || isSingle(modules)) {
    throw new TypeError(
      `ModuleDict: expected an object of modules such as { bn: new BatchNorm1d(8) }, got ${describeValue(modules)}`,
    );
  }
  return Symbol.iterator in modules ? [...(modules as Iterable<readonly [string, M]>)] : Object.entries(modules);
}

/** A module that is no ModuleDict: its properties are not the names that were meant. */
function isSingle(value: unknown): boolean {
  return isModule(value) && !(value instanceof ModuleDict);
}
