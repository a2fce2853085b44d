/**
 * What a module is, for the code that walks trees of modules, moves, saves and prints them. The class `Module` calls that code and
 * implements this interface, whose members are documented there; so neither imports the other.
 */

import type { copyKey } from '../copy_of_library.ts';
import type { Parameter } from '../tensor/parameter.ts';
import type { Tensor } from '../tensor/tensor.ts';
import type { LoadableStateDict, LoadStateDictOptions, LoadStateDictResult, StateDict } from './state_dict_types.ts';

/** A value that belongs to a module's state but is not trained; a number lives on the host. */
export type Buffer = Tensor | number | null;

/** Where a module keeps its buffers, by their name in state dicts. */
export const buffersKey: unique symbol = Symbol('syncbn.buffers');

/** The members of `Module`, and thus the same type. */
export interface ModuleInterface {
  readonly [copyKey]: object;
  readonly cloning: symbol;
  readonly [buffersKey]: Map<string, Buffer>;
  training: boolean;
  forward(...inputs: never[]): unknown;
  onReplicate(context: object, replicaIndex: number): void;
  onReport(value: unknown, replicaIndex: number): void;
  registerBuffer(name: string, value: Buffer, property?: string): void;
  setBuffer(name: string, value: Buffer): void;
  train(mode?: boolean): this;
  eval(): this;
  to(device: string): Promise<this>;
  children(): Generator<ModuleInterface>;
  namedChildren(): Generator<[name: string, child: ModuleInterface]>;
  modules(): Generator<ModuleInterface>;
  namedModules(): Generator<[path: string, module: ModuleInterface]>;
  parameters(): Generator<Parameter>;
  namedParameters(): Generator<[path: string, parameter: Parameter]>;
  buffers(): Generator<Tensor>;
  namedBuffers(): Generator<[path: string, buffer: Tensor]>;
  apply(fn: (module: ModuleInterface) => void): this;
  stateDict(): StateDict;
  loadStateDict(dict: LoadableStateDict, options?: LoadStateDictOptions): Promise<LoadStateDictResult>;
  zeroGrad(): void;
  requiresGrad_(requiresGrad?: boolean): this;
  extraRepr(): string;
  toString(): string;
  toJSON(): never;
  mergesRepeats(): boolean;
  mayKeepTensors(): boolean;
  ignoredNames(): readonly string[];
  parameterNames(): readonly string[];
  toleratesMissing(name: string): boolean;
}
