/** What every device must hold, by the rules alone: which buffers there are, and so how many bytes. */

import { devices, type Device, type DeviceKind } from 'syncbn';

/** Channels of the model, and values per sample and channel. */
export const CHANNELS = 3;
export const LENGTH = 5;

/** Where the twin is: a device whose bits those of a run give, on which no run counts memory but in the end. */
export function twinDevice(kind: DeviceKind): string {
  return kind === 'webgpu' ? 'webgpu:63' : 'cpu:63';
}

/** A forward pass whose graph waits, as far as memory is concerned. */
export interface Holding {
  /** Samples of each replica. */
  readonly shards: readonly number[];
  /** Which values of the parameters it was computed with. */
  readonly version: number;
}

/** The state of the model, as far as memory is concerned. */
export interface Account {
  readonly graphs: readonly Holding[];
  /** Of the parameters; a new one with every change. */
  readonly version: number;
  /** Whether the parameters have gradients. */
  readonly hasGradients: boolean;
  /** Devices that hold copies of the present parameters, and of the present running statistics. */
  readonly parametersOn: ReadonlySet<number>;
  readonly statisticsOn: ReadonlySet<number>;
}

/** Lengths of all buffers that device r of several, or the only one, holds. */
export function expectedLengths(r: number, account: Account): number[] {
  const { graphs, version, hasGradients, parametersOn, statisticsOn } = account;
  const vectors = (count: number): number[] => Array.from({ length: count }, () => CHANNELS);
  const lengths: number[] = [];
  // Two layers with weight and bias, running mean and running variance each; elsewhere copies of them.
  lengths.push(...vectors(r === 0 || parametersOn.has(r) ? 4 : 0), ...vectors(r === 0 || statisticsOn.has(r) ? 4 : 0));
  lengths.push(...vectors(r === 0 && hasGradients ? 4 : 0));
  const oldVersions = new Set<number>();
  for (const graph of graphs) {
    const shard = graph.shards[r];
    if (shard === undefined) continue;
    const values = shard * CHANNELS * LENGTH;
    // Saved for the backward pass: the inputs and the statistics of both layers, and the weights, as they were.
    lengths.push(values, 4 * CHANNELS, 4 * CHANNELS);
    if (graph.shards.length > 1) lengths.push(values);
    if (graph.version !== version) oldVersions.add(graph.version);
    // The input and the output of the whole.
    const whole = graph.shards.reduce((sum, count) => sum + count, 0) * CHANNELS * LENGTH;
    if (r === 0) lengths.push(whole, whole);
  }
  lengths.push(...vectors(2 * oldVersions.size));
  return lengths;
}

const bytesByLength = new Map<string, number>();

/** Bytes that buffers of these lengths take on devices like the one named: they round up. */
export function bytesOf(lengths: readonly number[], name: string): number {
  return lengths.reduce((sum, length) => sum + bytesOfOne(length, name), 0);
}

function bytesOfOne(length: number, name: string): number {
  const key = `${name} ${length}`;
  const known = bytesByLength.get(key);
  if (known !== undefined) return known;
  const device: Device = devices.get(name);
  const before = device.memoryUsage().bytesInUse;
  const buffer = device.allocate(length);
  const bytes = device.memoryUsage().bytesInUse - before;
  device.release(buffer);
  bytesByLength.set(key, bytes);
  return bytes;
}
