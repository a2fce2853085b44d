/** The four ways in which the same network is trained. */

import {
  convertModel,
  DataParallel,
  DataParallelWithCallBack,
  type DeviceKind,
  type Module,
  type Tensor,
} from 'syncbn';

/** What training needs of a model, whether or not it is spread over devices. */
export type Classifier = Module & { forward(images: Tensor): Promise<Tensor> };

/** One way of training. */
export interface Run {
  readonly name: string;
  readonly devices: number;
  readonly samplesPerDevice: number;
  /** Where the network lives and its inputs are made: the first of the devices. */
  readonly device: string;
  /** Spreads a network over the devices of this run. The network keeps its parameters, so an optimizer can hold them. */
  readonly place: (network: Classifier) => Classifier;
}

/**
 * The reference on one device first, then plain and synchronized batch norm over `devices`, then one sample per device.
 * @param batch - samples per step, a multiple of `devices`.
 * @param kind - of the devices.
 */
export function runsFor(devices: number, batch: number, kind: DeviceKind = 'cpu'): Run[] {
  const samplesPerDevice = batch / devices;
  const deviceIds = (count: number): string[] => Array.from({ length: count }, (_, i) => `${kind}:${i}`);
  const device = `${kind}:0`;
  return [
    {
      name: 'one device',
      devices: 1,
      samplesPerDevice: batch,
      device,
      place: (network) => network,
    },
    {
      name: 'plain',
      devices,
      samplesPerDevice,
      device,
      place: (network) => new DataParallel(network, { deviceIds: deviceIds(devices) }),
    },
    {
      name: 'synchronized',
      devices,
      samplesPerDevice,
      device,
      place: (network) => synchronized(network, deviceIds(devices)),
    },
    {
      name: 'synchronized',
      devices: batch,
      samplesPerDevice: 1,
      device,
      place: (network) => synchronized(network, deviceIds(batch)),
    },
  ];
}

/** `synchronized, 8 × 2`: what tells a run from the others. */
export function labelOf(run: Pick<Run, 'name' | 'devices' | 'samplesPerDevice'>): string {
  return `${run.name}, ${run.devices} × ${run.samplesPerDevice}`;
}

/** These two calls are all that synchronized training takes. */
function synchronized(network: Classifier, deviceIds: readonly string[]): Classifier {
  return new DataParallelWithCallBack(convertModel(network), { deviceIds });
}
