/** What can be trained: a module of a model, or a wrapper that spreads it over devices. */

import { DataParallel, init, type Module, type Tensor } from '../index.ts';
import { LayersModule } from './layers_module.ts';

/** A model as a module, alone or in a `DataParallel`. */
export type Network = LayersModule | DataParallel<LayersModule>;

/**
 * The module of a model.
 * @throws TypeError for anything else.
 */
export function moduleOf(where: string, network: Network): LayersModule {
  const found: unknown = network instanceof DataParallel ? network.module : network;
  if (!(found instanceof LayersModule)) {
    throw new TypeError(
      `${where}: expected fromLayersModel(model), or a DataParallel of it, got ${typeof found === 'object' ? 'another object' : typeof found}`,
    );
  }
  return found;
}

/** The device that has the parameters and gets the outputs, ready; the parameters are moved there where they are not. */
export async function deviceOf(network: Network): Promise<string> {
  const [parameter] = tensorsOf(network);
  const wanted = network instanceof DataParallel ? network.deviceIds[0] : parameter?.device;
  const device = wanted ?? 'cpu:0';
  await init([device]);
  if (parameter !== undefined && parameter.device !== device) {
    await network.to(device);
  }
  return network instanceof DataParallel ? network.outputDevice : device;
}

function tensorsOf(network: Network): Tensor[] {
  const [parameter] = network.parameters();
  const [buffer] = network.buffers();
  return [parameter, buffer].filter((one) => one !== undefined);
}

/** Runs `work` in training or evaluation, and puts every module back to the mode it was in. */
export async function inMode<T>(network: Network, training: boolean, work: () => Promise<T>): Promise<T> {
  const modes = Array.from(network.modules(), (module): [Module, boolean] => [module, module.training]);
  network.train(training);
  try {
    return await work();
  } finally {
    modes.forEach(([module, mode]) => (module.training = mode));
  }
}
