/** A batch norm that is looked at: which statistics each device normalizes with, read off its inputs and outputs. */

import { type BatchNorm1d, type BatchNorm2d, devices, Module, type Tensor } from 'syncbn';
import type { Belief, Beliefs, ChannelChoice } from '../protocol.ts';

/** What a network's batch norms are asked, shared by all its replicas. */
export interface Watch {
  choice: ChannelChoice;
  /** Device that breaks when it comes to the second batch norm. */
  breaks: string | null;
  /** What was seen since it was last emptied, device by device. */
  readonly seen: SeenChannel[];
}

/** A channel as one device had it: its values before and after, and the layer's scale and shift. */
export interface SeenChannel {
  readonly device: string;
  readonly inputs: Float32Array;
  readonly outputs: Float32Array;
  readonly weight: number;
  readonly bias: number;
  readonly eps: number;
}

/** The batch norm that a device breaks in: one in the middle, where the devices wait for each other. */
const BREAKING_LAYER = 1;

/** A batch norm layer with somebody beside it who watches. The values are those of the layer. */
export class Observed extends Module {
  layer: BatchNorm1d | BatchNorm2d;
  private readonly number: number;
  private readonly watch: Watch;

  /** @param number - which of the network's batch norms it is, from 0. */
  constructor(layer: BatchNorm1d | BatchNorm2d, number: number, watch: Watch) {
    super();
    this.layer = layer;
    this.number = number;
    this.watch = watch;
  }

  async forward(x: Tensor): Promise<Tensor> {
    if (this.training && this.number === BREAKING_LAYER && this.watch.breaks === x.device) breakDevice(x.device);
    const y = await this.layer.forward(x);
    if (this.training && this.watch.choice.layer === this.number) await this.record(x, y);
    return y;
  }

  private async record(x: Tensor, y: Tensor): Promise<void> {
    const { channel } = this.watch.choice;
    const { weight, bias, eps } = this.layer;
    const [before, after, weights, biases] = await Promise.all([x.data(), y.data(), weight?.data(), bias?.data()]);
    this.watch.seen.push({
      device: x.device,
      inputs: channelOf(before, x.shape, channel),
      outputs: channelOf(after, x.shape, channel),
      weight: weights?.[channel] ?? 1,
      bias: biases?.[channel] ?? 0,
      eps,
    });
  }
}

/**
 * What the devices believed. A device computes y = (x − mean) / √(variance + eps) · weight + bias, which two pairs of x and y tell mean
 * and variance of.
 * @returns `null` where nothing was seen.
 */
export function beliefsOf(seen: readonly SeenChannel[], deviceIds: readonly string[]): Beliefs | null {
  const values = seen.flatMap(({ inputs }) => [...inputs]);
  if (values.length === 0) return null;
  const mean = values.reduce((sum, value) => sum + value, 0) / values.length;
  const variance = values.reduce((sum, value) => sum + (value - mean) ** 2, 0) / values.length;
  const inOrder = [...seen].sort((a, b) => deviceIds.indexOf(a.device) - deviceIds.indexOf(b.device));
  return { mean, variance, devices: inOrder.map(beliefOf).filter((belief) => belief !== null) };
}

function beliefOf({ device, inputs, outputs, weight, bias, eps }: SeenChannel): Belief | null {
  const low = inputs.indexOf(Math.min(...inputs));
  const high = inputs.indexOf(Math.max(...inputs));
  const [x0 = NaN, x1 = NaN, y0 = NaN, y1 = NaN] = [inputs[low], inputs[high], outputs[low], outputs[high]];
  const slope = (y1 - y0) / (x1 - x0);
  const [mean, variance] = [x0 - (y0 - bias) / slope, (weight / slope) ** 2 - eps];
  // All values are equal, or the layer has unlearned the channel.
  return Number.isFinite(mean) && Number.isFinite(variance) ? { device, mean, variance } : null;
}

/** The values of one channel of a tensor of shape (N, C, …). */
function channelOf(values: Float32Array, shape: readonly number[], channel: number): Float32Array {
  const [samples = 0, channels = 1] = shape;
  const length = values.length / (samples * channels);
  const found = new Float32Array(samples * length);
  for (let n = 0; n < samples; n++) {
    const start = (n * channels + channel) * length;
    found.set(values.subarray(start, start + length), n * length);
  }
  return found;
}

/** A worker or a GPU is ended while it works; the calling thread, which cannot be ended, fails in the device's turn. */
function breakDevice(name: string): void {
  if (devices.get(name).kind === 'cpu') throw new Error(`${name} broke: its button was pressed`);
  void devices.close(name);
}
