/** The four ways in which the same network is trained. */

import { convertModel, DataParallel, DataParallelWithCallBack, type Module, type Tensor } from 'syncbn';

/** What training needs of a model, whether or not it is spread over devices. */
export type Classifier = Module & { forward(images: Tensor): Promise<Tensor> };

/** One way of training. */
export interface Run {
  readonly name: string;
  readonly devices: number;
  readonly samplesPerDevice: number;
  /** Spreads a network over the devices of this run. The network keeps its parameters, so an optimizer can hold them. */
  readonly place: (network: Classifier) => Classifier;
}

/**
 * The reference on one device first, then plain and synchronized batch norm over `devices`, then one sample per device.
 * @param batch - samples per step, a multiple of `devices`.
 */
export function runsFor(devices: number, batch: number): Run[] {
  const samplesPerDevice = batch / devices;
  return [
    {
      name: 'one device',
      devices: 1,
      samplesPerDevice: batch,
      place: (network) => network,
    },
    {
      name: 'plain',
      devices,
      samplesPerDevice,
      place: (network) => new DataParallel(network, { deviceIds: deviceIds(devices) }),
    },
    {
      name: 'synchronized',
      devices,
      samplesPerDevice,
      place: (network) => synchronized(network, devices),
    },
    {
      name: 'synchronized',
      devices: batch,
      samplesPerDevice: 1,
      place: (network) => synchronized(network, batch),
    },
  ];
}

/** `synchronized, 8 × 2`: what tells a run from the others. */
export function labelOf(run: Pick<Run, 'name' | 'devices' | 'samplesPerDevice'>): string {
  return `${run.name}, ${run.devices} × ${run.samplesPerDevice}`;
}

/** These two calls are all that synchronized training takes. */
function synchronized(network: Classifier, devices: number): Classifier {
  return new DataParallelWithCallBack(convertModel(network), { deviceIds: deviceIds(devices) });
}

function deviceIds(count: number): string[] {
  return Array.from({ length: count }, (_, i) => `cpu:${i}`);
}
