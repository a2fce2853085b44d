/** Callbacks of training, in every form that tfjs takes. */

import { type Callback, CallbackList, CustomCallback, type CustomCallbackArgs, History } from '@tensorflow/tfjs-layers';
import type { CompiledModel } from './compiled_model.ts';
import type { Progress, TrainingParams } from './training_params.ts';

/** A callback of tfjs, or functions by the names of events. */
export type CallbackLike = Pick<Callback, 'setParams' | 'setModel'> | CustomCallbackArgs;

/** One callback or several. */
export type Callbacks = CallbackLike | readonly CallbackLike[];

/** The list that `model.fit` would make, what shows the progress before all others, and the history at its end. */
export function callbackList(
  model: CompiledModel,
  callbacks: Callbacks | undefined,
  yieldEvery: ConstructorParameters<typeof CustomCallback>[1] | undefined,
  params: TrainingParams,
  progress: Progress | null,
): { readonly list: CallbackList; readonly history: History } {
  const given: readonly CallbackLike[] = [callbacks ?? {}].flat();
  const history = new History();
  // The user's callbacks let the event loop have its turns.
  const shown = progress === null ? [] : [asCallback(progress.callbacks, 'never')];
  const list = new CallbackList([...shown, ...given.map((one) => asCallback(one, yieldEvery ?? 'auto')), history]);
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
