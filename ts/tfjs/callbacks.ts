/** Callbacks of training, in every form that tfjs takes. */

import { type Callback, CallbackList, CustomCallback, type CustomCallbackArgs, History } from '@tensorflow/tfjs-layers';
import type { CompiledModel } from './compiled_model.ts';

/** A callback of tfjs, or functions by the names of events. */
export type CallbackLike = Pick<Callback, 'setParams' | 'setModel'> | CustomCallbackArgs;

/** One callback or several. */
export type Callbacks = CallbackLike | readonly CallbackLike[];

/** What callbacks are told before training. */
export interface TrainingParams {
  readonly epochs: number;
  readonly initialEpoch: number;
  /** Of an epoch; `null`: not known. */
  readonly samples: number | null;
  readonly steps: number | null;
  readonly batchSize: number | null;
  readonly verbose: number;
  readonly doValidation: boolean;
  /** Names of the values that logs have. */
  readonly metrics: readonly string[];
}

/** The list that `model.fit` would make, and the history at its end. */
export function callbackList(
  model: CompiledModel,
  callbacks: Callbacks | undefined,
  yieldEvery: ConstructorParameters<typeof CustomCallback>[1] | undefined,
  params: TrainingParams,
): { readonly list: CallbackList; readonly history: History } {
  const given: readonly CallbackLike[] = [callbacks ?? {}].flat();
  const history = new History();
  const list = new CallbackList([...given.map((one) => asCallback(one, yieldEvery ?? 'auto')), history]);
  list.setParams({ ...params } as never);
  list.setModel(model as never);
  return { list, history };
}

function asCallback(given: CallbackLike, yieldEvery: ConstructorParameters<typeof CustomCallback>[1]): CustomCallback {
  return 'setParams' in given ? (given as unknown as CustomCallback) : new CustomCallback(given, yieldEvery);
}

/** Means of the values of batches, over samples. */
export class Means {
  #samples = 0;
  readonly #sums: number[] = [];

  add(values: readonly number[], samples: number): void {
    this.#samples += samples;
    values.forEach((value, i) => (this.#sums[i] = (this.#sums[i] ?? 0) + value * samples));
  }

  get values(): number[] {
    return this.#sums.map((sum) => sum / this.#samples);
  }
}

/** Values under their names. */
export function named(names: readonly string[], values: readonly number[], prefix = ''): Record<string, number> {
  return Object.fromEntries(names.map((name, i) => [prefix + name, values[i] ?? Number.NaN]));
}
