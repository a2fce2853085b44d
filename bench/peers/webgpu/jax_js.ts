/** jax-js on its WebGPU backend. */

import { getWebGPUDevice } from '@jax-js/jax';
import type { Engine } from '../../engine.ts';
import { finisherOf } from '../../gpu/request_device.ts';
import { openJaxJs } from '../jax_js.ts';

export function open(): Promise<Engine> {
  return openJaxJs('webgpu', () => finisherOf(getWebGPUDevice));
}
