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

export const wayNames = ['tfjs', 'kernels', 'layers', 'adapter 1', 'apart 2', 'adapter 2'] as const;
export type WayName = (typeof wayNames)[number];

/** What a way is, for the reader. */
export const meanings: Readonly<Record<WayName, string>> = {
  tfjs: 'model.trainOnBatch() of tfjs alone',
  kernels: 'the same with registerTrainingKernels()',
  layers: 'the same with useSyncbnLayers() besides',
  'adapter 1': 'fromLayersModel() and trainOnBatch() on one device, with the kernels',
  'apart 2': 'the same on two devices, each with statistics of its own',
  'adapter 2': 'the same on two devices, synchronized',
};

/** The devices of the library that compute beside a backend of tfjs: the CPU, but on a GPU those of the GPU. */
export function devicesBeside(backend: string): readonly [one: string, other: string] {
  return backend === 'webgpu' ? ['webgpu:0', 'webgpu:1'] : ['cpu:0', 'cpu:1'];
}

/**
 * Prepares a way. Kernels and layers are exchanged for the time of a step alone: the ways take turns.
 * @param backend - of tfjs, which is active.
 */
export async function prepare(
  name: WayName,
  network: Network,
  [xs, ys]: readonly [tf.Tensor, tf.Tensor],
  backend: string,
): Promise<Way> {
  const model = await compiled(network);
  const deviceIds = devicesBeside(backend);
  const [device] = deviceIds;
  const kernels = backend === 'wasm' ? withKernels : (work: () => Promise<void>): Promise<void> => work();
  const own = async (): Promise<void> => {
    await model.trainOnBatch(xs, ys);
    // A GPU is ready when the first layer has its new weights.
    await model.trainableWeights[0]?.read().data();
  };
  const adapted = async (net: Parameters<typeof trainOnBatch>[0]): Promise<void> => {
    await trainOnBatch(net, xs, ys);
    await [...net.parameters()][0]?.data();
  };
  switch (name) {
    case 'tfjs':
      return { name, step: own };
    case 'kernels':
      return { name, step: () => kernels(own) };
    case 'layers':
      return { name, step: () => kernels(() => withLayers(own)) };
    case 'adapter 1': {
      const net = fromLayersModel(model, { device });
      return { name, step: () => kernels(() => adapted(net)) };
    }
    case 'apart 2': {
      const net = new DataParallel(fromLayersModel(model, { device }), { deviceIds });
      return { name, step: () => kernels(() => adapted(net)) };
    }
    case 'adapter 2': {
      const net = convertModel(new DataParallel(fromLayersModel(model, { device }), { deviceIds }));
      return { name, step: () => kernels(() => adapted(net)) };
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
