/** The side of the benchmark in a page: `pages.ts` calls what is put on the window here. */

import * as tf from '@tensorflow/tfjs-core';
import '@tensorflow/tfjs-backend-webgl';
import '@tensorflow/tfjs-backend-webgpu';
import { init } from 'syncbn';
import { type Finding, measure } from './measure.ts';
import { networks } from './networks.ts';
import { devicesBeside } from './ways.ts';

/** What a page is asked to measure. */
export interface PageRequest {
  /** A name of `networks`. */
  readonly network: string;
  /** Of tfjs: `webgl` or `webgpu`. */
  readonly backend: string;
  readonly rounds: number;
}

const tfjsBenchmark = {
  async measure({ network: name, backend, rounds }: PageRequest): Promise<Finding> {
    const network = networks[name];
    if (network === undefined) throw new Error(`there is no network ${name}`);
    await init(['cpu:0', 'cpu:1', ...devicesBeside(backend)]);
    if (!(await tf.setBackend(backend))) throw new Error(`the backend ${backend} of TensorFlow.js does not start`);
    return measure(network, backend, rounds);
  },
};

export type TfjsBenchmark = typeof tfjsBenchmark;

Object.assign(globalThis, { tfjsBenchmark });
