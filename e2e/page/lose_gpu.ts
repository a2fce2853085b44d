/** A model on the calling thread and a GPU whose process ends, step by step as the test asks for them. */

import type * as Syncbn from 'syncbn';

const bundle = new URL('/dist/index.js', location.href).href;
const { DataParallelWithCallBack, devices, SynchronizedBatchNorm2d, tensor } = (await import(bundle)) as typeof Syncbn;

const deviceIds = ['cpu:0', 'webgpu:0'];
// Without a time-out: nothing but the loss itself may end the step.
const norm = new SynchronizedBatchNorm2d(3, { syncTimeout: Infinity });
const net = new DataParallelWithCallBack(norm, { deviceIds });
const data = Float32Array.from({ length: 120 }, (_, i) => ((i * 31) % 101) / 101);

/** What a step gives, and what is left of it. */
export interface Outcome {
  readonly output: number[];
  readonly runningVar: number[];
  readonly numBatchesTracked: number | null;
}

/** An error as it reaches the program, from the outside to its cause, and the state it leaves. */
export interface Failure {
  readonly names: string[];
  readonly text: string;
  readonly state: Omit<Outcome, 'output'>;
}

/** A step from the state of a new layer. */
export async function step(): Promise<Outcome> {
  norm.resetRunningStats();
  const y = await net.forward(tensor(data, [5, 3, 4, 2]));
  return { output: [...(await y.data())], ...(await state()) };
}

/** Takes steps from the state of a new layer until one fails. */
export async function stepUntilLost(): Promise<Failure> {
  for (;;) {
    try {
      norm.resetRunningStats();
      await net.forward(tensor(data, [5, 3, 4, 2]));
    } catch (error) {
      const names: string[] = [];
      for (let cause = error; cause instanceof Error; { cause } = cause) names.push(cause.name);
      return { names, text: String(error), state: await state() };
    }
  }
}

/** A step on a fresh device under the name of the lost one. */
export async function stepOnFreshDevice(): Promise<Outcome> {
  await devices.recreate('webgpu:0').ready();
  return step();
}

async function state(): Promise<Omit<Outcome, 'output'>> {
  return { runningVar: [...((await norm.runningVar?.data()) ?? [])], numBatchesTracked: norm.numBatchesTracked };
}
