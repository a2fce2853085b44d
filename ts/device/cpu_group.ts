/** CPU devices of the calling thread as one group: they do a pass within one call, and exchange partials as arrays. */

import type {
  BatchLayout,
  ChannelRange,
  Device,
  DeviceGroup,
  GroupBackwardArguments,
  GroupForwardArguments,
} from './device.ts';
import { CpuDevice } from './cpu_device.ts';
import { backwardPass, channelsAtATime, forwardPass, type JointPass, type PassDevice } from './joint_pass.ts';

/** The group of these devices; `null` unless the calling thread computes for all of them. */
export function cpuGroupOf(devices: readonly Device[]): DeviceGroup | null {
  const [first, ...others] = devices.filter((device) => device instanceof CpuDevice);
  return first === undefined || others.length + 1 < devices.length ? null : new CpuGroup(first, others);
}

class CpuGroup implements DeviceGroup {
  readonly #first: CpuDevice;
  readonly #others: readonly CpuDevice[];

  constructor(first: CpuDevice, others: readonly CpuDevice[]) {
    this.#first = first;
    this.#others = others;
  }

  batchNorm(shares: readonly GroupForwardArguments[]): void {
    this.#run(shares, 1, forwardPass);
  }

  batchNormBackward(shares: readonly GroupBackwardArguments[]): void {
    this.#run(shares, 2, backwardPass);
  }

  /** The devices have done everything when a command returns. */
  confirm(): Promise<void> {
    return Promise.resolve();
  }

  #run<Share extends { readonly layout: BatchLayout }>(
    shares: readonly Share[],
    inputs: number,
    passOf: (device: PassDevice, share: Share) => JointPass,
  ): void {
    const devices = [this.#first, ...this.#others];
    const passes = shares.map((share, i) => passOf(devices[i] ?? this.#first, share));
    const layouts = shares.map(({ layout }) => layout);
    const channels = layouts[0]?.channels ?? 0;
    const width = channelsAtATime(layouts, inputs);
    for (let first = 0; first < channels; first += width) {
      const part: ChannelRange = [first, Math.min(first + width, channels)];
      const partials = reduceAll(passes, part);
      // Each device merges two faster by itself than a call can.
      const merged = passes.length > 2 ? this.#first.mergeBytes(partials) : partials;
      passes.forEach((pass) => pass.finish(merged, part));
    }
  }
}

/** Where the partials of all devices lie until the pass goes on. It is used again, since to make it takes longer than to fill it. */
let room = new Uint8Array(1024);

/** The partials of all devices, end to end, until the next call. */
function reduceAll(passes: readonly JointPass[], part: ChannelRange): Uint8Array {
  let length = 0;
  for (const pass of passes) {
    const partial = pass.reduce(part);
    const end = length + partial.length;
    if (end > room.length) {
      const larger = new Uint8Array(2 * end);
      larger.set(room.subarray(0, length));
      room = larger;
    }
    room.set(partial, length);
    length = end;
  }
  return room.subarray(0, length);
}
