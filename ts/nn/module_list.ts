/** A list of modules, PyTorch's `nn.ModuleList`: what an array of modules should be, so that the tree finds them. */

import { describeValue } from '../describe_value.ts';
import { checkModule } from './check_module.ts';
import { Module } from './module.ts';
import { childrenOf } from './module_tree.ts';

/**
 * Holds modules in order, as its children `0`, `1`, …: their state-dict keys are `list.0.weight` and so on. It has no forward;
 * iterate over it, or read `list[i]`.
 *
 * @example
 * ```ts
 * class Net extends Module {
 *   readonly layers = new ModuleList([new BatchNorm1d(8), new BatchNorm1d(8)]);
 *   async forward(x: Tensor): Promise<Tensor> {
 *     let y = x;
 *     for (const layer of this.layers) y = await layer.forward(y);
 *     return y;
 *   }
 * }
 * ```
 */
export class ModuleList<M extends Module = Module> extends Module implements Iterable<M> {
  static readonly typeName: string = 'ModuleList';

  [index: number]: M;

  /** @throws TypeError for what is no module. */
  constructor(modules: Iterable<M> = []) {
    super();
    this.extend(modules);
  }

  /** How many modules there are. */
  get length(): number {
    return this.items().length;
  }

  /** @throws Error always: a list does not say how its modules are to be called. */
  override forward(): never {
    throw new Error('ModuleList has no forward(); call its modules one by one, or use Sequential');
  }

  /**
   * The module at a position; negative ones count from the end.
   * @throws RangeError when there is none.
   */
  at(index: number): M {
    const items = this.items();
    const item = items[this.resolve(index, items.length)];
    if (item === undefined) {
      throw new RangeError(`ModuleList: expected an index below ${items.length}, got ${index}`);
    }
    return item;
  }

  /** Replaces the module at a position. @throws RangeError when there is none. */
  set(index: number, module: M): this {
    checkModule('ModuleList', module, index);
    const { length } = this;
    this[this.resolve(index, length)] = module;
    return this;
  }

  /** Adds a module at the end. */
  append(module: M): this {
    return this.extend([module]);
  }

  /** Adds modules at the end: all of them or, on failure, none. */
  extend(modules: Iterable<M>): this {
    if (typeof modules !== 'object' || !(Symbol.iterator in modules)) {
      throw new TypeError(
        `ModuleList: expected an array of modules, or another iterable, got ${describeValue(modules)}`,
      );
    }
    const { length } = this;
    const added = [...modules];
    added.forEach((module, i) => checkModule('ModuleList', module, length + i));
    return this.write([...this.items(), ...added]);
  }

  /** Puts a module before the one at a position; the length itself means the end. */
  insert(index: number, module: M): this {
    const items = this.items();
    const at = index === items.length ? index : this.resolve(index, items.length);
    checkModule('ModuleList', module, at);
    items.splice(at, 0, module);
    return this.write(items);
  }

  /** Takes a module out, by default the last, and returns it. */
  pop(index = -1): M {
    const module = this.at(index);
    const items = this.items();
    items.splice(this.resolve(index, items.length), 1);
    this.write(items);
    return module;
  }

  /** The modules, in order. */
  *[Symbol.iterator](): Generator<M> {
    yield* this.items();
  }

  /** PyTorch prints equal neighbours of a list once. @internal */
  override mergesRepeats(): boolean {
    return true;
  }

  /** The children whose names are positions. A subclass may have others. */
  private items(): M[] {
    // What stands under a position was checked when it was put there.
    return childrenOf(this).flatMap(([name, child]) => (isPosition(name) ? [child as unknown as M] : []));
  }

  private write(items: readonly M[]): this {
    for (const name of Object.keys(this).filter(isPosition)) {
      Reflect.deleteProperty(this, name);
    }
    Object.assign(this, items);
    return this;
  }

  private resolve(index: number, length: number): number {
    const resolved = index < 0 ? index + length : index;
    if (!Number.isInteger(index) || resolved < 0 || resolved >= length) {
      throw new RangeError(`ModuleList: index ${index} is out of range, the list has ${length} modules`);
    }
    return resolved;
  }
}

function isPosition(name: string): boolean {
  return /^\d+$/.test(name);
}
