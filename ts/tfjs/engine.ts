/**
 * What this entry uses of the engine of TensorFlow.js beyond its documentation, in one place. The engine is one per page and everything in it is
 * synchronous, so what is exchanged here for the time of a function is seen by nobody else.
 */

import * as tf from '@tensorflow/tfjs-core';

/** One operation that the engine has recorded. */
export interface TapeNode {
  readonly kernelName: string;
  /** By name, or in an array; an optional input that was not given is missing. */
  readonly inputs: Readonly<Record<string, tf.Tensor | null | undefined>>;
  readonly outputs: readonly tf.Tensor[];
  /** Clones that the gradient needs, outside every scope of tfjs. */
  readonly saved?: readonly tf.Tensor[];
  /** Absent where tfjs has none for the kernel. */
  readonly gradient?: (dys: readonly (tf.Tensor | null)[]) => Readonly<Record<string, () => tf.Tensor>>;
}

/** The fields of `tf.engine()` that are exchanged. */
interface EngineFields {
  backendName: string | null | undefined;
  backendInstance: tf.KernelBackend | null;
  readonly state: { activeTape: TapeNode[] | null; gradientDepth: number };
}

function fields(): EngineFields {
  return tf.engine() as unknown as EngineFields;
}

/** Name of the backend that tfjs computes with, which is chosen when none has been yet. */
export async function activeBackend(): Promise<string> {
  if (!tf.getBackend()) {
    await tf.ready();
  }
  return tf.getBackend();
}

/** Runs `work` with another backend, which must have been initialized. `tf.setBackend` does the same and also sets all kernels up anew. */
export function withBackend<T>(name: string, work: () => T): T {
  const engine = fields();
  const { backendName, backendInstance } = engine;
  const wanted = backendName === name ? backendInstance : tf.findBackend(name);
  Object.assign(engine, { backendName: name, backendInstance: wanted });
  try {
    return work();
  } finally {
    Object.assign(engine, { backendName, backendInstance });
  }
}

/** Runs `work` and frees the tensors of tfjs made in it, but for those that were given to `tf.keep()`. */
export function inScope<T>(work: () => T): T {
  const engine = tf.engine();
  engine.startScope('syncbn');
  try {
    return work();
  } finally {
    engine.endScope();
  }
}

/**
 * Runs `work` and records what tfjs computes in it.
 * @returns the nodes in order of computation; whoever has them frees what they have saved.
 */
export function recorded<T>(work: () => T): { readonly result: T; readonly nodes: readonly TapeNode[] } {
  const { state } = fields();
  const { activeTape, gradientDepth } = state;
  const nodes: TapeNode[] = [];
  Object.assign(state, { activeTape: nodes, gradientDepth: 1 });
  try {
    return { result: work(), nodes };
  } catch (error) {
    disposeSaved(nodes);
    throw error;
  } finally {
    Object.assign(state, { activeTape, gradientDepth });
  }
}

/** Frees what nodes have saved for their gradients. */
export function disposeSaved(nodes: readonly TapeNode[]): void {
  nodes.forEach(({ saved }) => saved?.forEach((item) => item.dispose()));
}
