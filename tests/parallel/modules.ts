/** Modules from which the tests of replication are built, and readings of memory. */

import { type DataParallel, type DataParallelWithCallBack, devices, Module, tensor, type Tensor } from 'syncbn';
import { expect } from 'vitest';
import { settled } from '../support/event_loop.ts';

/** What one replica was given. */
export interface Call {
  readonly replica: number;
  readonly inputs: readonly unknown[];
}

/** Notes what each replica is given, and returns what `respond` says; by default its first input. */
export class Recorder extends Module {
  /** Shared by all replicas, as every property that is no tensor. */
  readonly calls: Call[] = [];
  private readonly respond: (call: Call) => unknown;
  private replica = 0;

  constructor(respond: (call: Call) => unknown = ({ inputs }) => inputs[0]) {
    super();
    this.respond = respond;
  }

  override onReplicate(_context: object, replica: number): void {
    this.replica = replica;
  }

  forward(...inputs: readonly unknown[]): unknown {
    const call = { replica: this.replica, inputs };
    this.calls.push(call);
    return this.respond(call);
  }

  /** Shapes of the first inputs, in order of replicas. */
  get shapes(): (readonly number[])[] {
    return [...this.calls].sort((a, b) => a.replica - b.replica).map(({ inputs }) => (inputs[0] as Tensor).shape);
  }
}

/** A layer, and something that happens around it in each replica. */
export class Around<L extends Module & { forward(x: Tensor): Promise<Tensor> }> extends Module {
  readonly layer: L;
  private readonly run: (layer: L, x: Tensor, replica: number) => Promise<Tensor>;
  private replica = 0;

  constructor(layer: L, run: (layer: L, x: Tensor, replica: number) => Promise<Tensor>) {
    super();
    this.layer = layer;
    this.run = run;
  }

  override onReplicate(_context: object, replica: number): void {
    this.replica = replica;
  }

  async forward(x: Tensor): Promise<Tensor> {
    return this.run(this.layer, x, this.replica);
  }
}

/** Buffers in use on each device. */
export function buffersOn(names: readonly string[]): number[] {
  return names.map((name) => devices.get(name).memoryUsage().buffers);
}

/**
 * Has every device hold its copies of parameters and buffers, which stay until those change: by a forward that fails before
 * any replica runs.
 */
export async function spreadCopies(
  net: DataParallelWithCallBack<Module & { forward(x: Tensor): unknown }>,
): Promise<void> {
  const { module, deviceIds } = net;
  const stop = new Error('the copies are there');
  module.onReplicate = () => {
    throw stop;
  };
  const x = tensor(new Float32Array(deviceIds.length), [deviceIds.length]);
  await expect(net.forward(x)).rejects.toMatchObject({ cause: stop });
  x.dispose();
  Reflect.deleteProperty(module, 'onReplicate');
}

/** Everything a failed forward must not touch. */
export async function stateOf(module: Module): Promise<unknown> {
  const state: [string, unknown][] = [];
  for (const [name, value] of Object.entries(module.stateDict())) {
    state.push([name, typeof value === 'number' ? value : [...(await value.data())]]);
    if (typeof value !== 'number') value.dispose();
  }
  for (const [name, parameter] of module.namedParameters()) {
    state.push([`${name}.grad`, parameter.grad === null ? null : [...(await parameter.grad.data())]]);
  }
  return state;
}

/** The wrapper, its module moved to its first device from wherever it was made. */
export async function placed<N extends DataParallel>(net: N): Promise<N> {
  return net.to(net.deviceIds[0] ?? 'cpu');
}

/** More than any chain of results has links in the tests that wait for it. */
const LINKS = 30;

/** Resolves when everything has run that waits for neither time nor the outside, on these devices too. */
export async function devicesSettled(names: readonly string[]): Promise<void> {
  for (let link = 0; link < LINKS; link++) {
    for (const device of names.map((name) => devices.get(name))) {
      const buffer = device.allocate(1);
      await device.read(buffer);
      device.release(buffer);
    }
    await settled();
  }
}
