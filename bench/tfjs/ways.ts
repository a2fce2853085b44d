/** The ways to train a network for a step. */

import type * as tf from '@tensorflow/tfjs-core';
import * as tfjsLayers from '@tensorflow/tfjs-layers';
import { convertModel, DataParallel } from 'syncbn';
import { fromLayersModel, registerTrainingKernels, trainOnBatch, useSyncbnLayers } from 'syncbn/tfjs';
import { compiled, type Network } from './networks.ts';

/** One way with one network, ready to step. */
export interface Way {
  readonly name: WayName;
  step(): Promise<void>;
}

export const wayNames = ['tfjs', 'kernels', 'layers', 'adapter 1', 'adapter 2'] as const;
export type WayName = (typeof wayNames)[number];

/** What a way is, for the reader. */
export const meanings: Readonly<Record<WayName, string>> = {
  tfjs: 'model.trainOnBatch() of tfjs alone',
  kernels: 'the same with registerTrainingKernels()',
  layers: 'the same with useSyncbnLayers() besides',
  'adapter 1': 'fromLayersModel() and trainOnBatch() on cpu:0, with the kernels',
  'adapter 2': 'the same on cpu:0 and cpu:1, synchronized',
};

/** Prepares a way. Kernels and layers are exchanged for the time of a step alone: the ways take turns. */
export async function prepare(
  name: WayName,
  network: Network,
  [xs, ys]: readonly [tf.Tensor, tf.Tensor],
): Promise<Way> {
  const model = await compiled(network);
  const own = async (): Promise<void> => {
    await model.trainOnBatch(xs, ys);
  };
  const adapted = async (net: Parameters<typeof trainOnBatch>[0]): Promise<void> => {
    await trainOnBatch(net, xs, ys);
  };
  switch (name) {
    case 'tfjs':
      return { name, step: own };
    case 'kernels':
      return { name, step: () => withKernels(own) };
    case 'layers':
      return { name, step: () => withKernels(() => withLayers(own)) };
    case 'adapter 1': {
      const net = fromLayersModel(model);
      return { name, step: () => withKernels(() => adapted(net)) };
    }
    case 'adapter 2': {
      const net = convertModel(new DataParallel(fromLayersModel(model), { deviceIds: ['cpu:0', 'cpu:1'] }));
      return { name, step: () => withKernels(() => adapted(net)) };
    }
  }
}

async function withKernels(work: () => Promise<void>): Promise<void> {
  const undo = registerTrainingKernels();
  try {
    await work();
  } finally {
    undo();
  }
}

async function withLayers(work: () => Promise<void>): Promise<void> {
  const undo = await useSyncbnLayers(tfjsLayers);
  try {
    await work();
  } finally {
    undo();
  }
}
