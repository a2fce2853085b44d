/** The model of the fuzz tests, on one device or spread over several: two layers, and what happens around them in a replica. */

import { type BatchNorm1d, Module, type Tensor } from 'syncbn';
import { randomArray } from '../support/random.ts';
import { CHANNELS } from './fuzz_memory.ts';
import type { Moment } from './fuzz_steps.ts';

/** What happens in replica r at a moment. */
export type Event = (replica: number, at: Moment) => Promise<void>;

export class TwoLayers extends Module {
  readonly first: BatchNorm1d;
  readonly second: BatchNorm1d;
  /** Shared by all replicas. */
  readonly events: { happen: Event } = { happen: () => Promise.resolve() };
  private replica = 0;

  constructor(newLayer: () => BatchNorm1d) {
    super();
    this.first = newLayer();
    this.second = newLayer();
  }

  override onReplicate(_context: object, replica: number): void {
    this.replica = replica;
  }

  async forward(x: Tensor): Promise<Tensor> {
    await this.events.happen(this.replica, 'before');
    const between = await this.first.forward(x);
    let y: Tensor | null = null;
    try {
      await this.events.happen(this.replica, 'between');
      y = await this.second.forward(between);
      await this.events.happen(this.replica, 'after');
      return y;
    } catch (error) {
      y?.dispose();
      throw error;
    } finally {
      // The graph keeps what it needs of it.
      between.dispose();
    }
  }
}

/** A step of gradient descent; what has no gradient gets other values. */
export async function update(model: TwoLayers, seed: number): Promise<void> {
  for (const [i, parameter] of [...model.parameters()].entries()) {
    const [values, gradient] = [await parameter.data(), await parameter.grad?.data()];
    const change = gradient ?? randomArray(seed + i, CHANNELS);
    await parameter.copy_(values.map((value, c) => value - 0.1 * (change[c] ?? Number.NaN)));
  }
}

/** Everything that must be as if no step had ever failed, by name. */
export async function stateOf(model: TwoLayers): Promise<Map<string, Float32Array>> {
  const state = new Map<string, Float32Array>();
  for (const [name, buffer] of model.namedBuffers()) state.set(name, await buffer.data());
  for (const [name, parameter] of model.namedParameters()) {
    state.set(name, await parameter.data());
    state.set(`${name}.grad`, (await parameter.grad?.data()) ?? new Float32Array());
  }
  for (const layer of [model.first, model.second]) {
    state.set('counters', Float32Array.of(...(state.get('counters') ?? []), layer.numBatchesTracked ?? Number.NaN));
  }
  return state;
}

/** Gives back all that a model holds. */
export function disposeModel(model: TwoLayers): void {
  [...model.parameters(), ...model.buffers()].forEach((item) => item.dispose());
}
