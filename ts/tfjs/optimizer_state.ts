/** What optimizers of tfjs remember from step to step, so that a step that fails can be undone. */

import * as tf from '@tensorflow/tfjs-core';

/** What an optimizer remembered at a time. */
export interface OptimizerState {
  /** Gives it back; what the optimizer has made since is freed. To be called with the backend of the step. */
  restore(): void;
  /** Frees the copies. */
  dispose(): void;
}

/** Memory of one weight, as tfjs' optimizers keep it in lists. */
interface Slot {
  readonly variable: tf.Variable;
}

/**
 * Keeps what an optimizer remembers: its variables, the slots of its lists, and how often it was applied. It looks at the fields, for the optimizers' own
 * `getWeights()` leaves some out, and `setWeights()` frees nothing. The values are shared, not copied, until the optimizer replaces them.
 */
export function optimizerState(optimizer: tf.Optimizer): OptimizerState {
  const fields = Object.entries(optimizer).map(([name, value]: [string, unknown]) => {
    return [name, isSlots(value) ? [...value] : value] as const;
  });
  const values = new Map(variablesOf(optimizer).map((variable) => [variable, tf.keep(tf.clone<tf.Tensor>(variable))]));
  return {
    restore() {
      variablesOf(optimizer)
        .filter((variable) => !values.has(variable))
        .forEach((variable) => variable.dispose());
      // Some fields come with the first step.
      const known = new Set(fields.map(([name]) => name));
      Object.keys(optimizer)
        .filter((name) => !known.has(name))
        .forEach((name) => Reflect.deleteProperty(optimizer, name));
      Object.assign(optimizer, Object.fromEntries(fields));
      values.forEach((value, variable) => variable.assign(value));
    },
    dispose() {
      tf.dispose([...values.values()]);
    },
  };
}

function variablesOf(optimizer: tf.Optimizer): tf.Variable[] {
  return Object.values(optimizer).flatMap((value: unknown): tf.Variable[] => {
    if (value instanceof tf.Variable) {
      return [value];
    }
    return isSlots(value) ? value.map(({ variable }) => variable) : [];
  });
}

function isSlots(value: unknown): value is readonly Slot[] {
  const isSlot = (item: unknown): boolean => (Object(item) as Partial<Slot>).variable instanceof tf.Variable;
  return Array.isArray(value) && value.every(isSlot);
}
