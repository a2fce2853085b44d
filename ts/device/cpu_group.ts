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
import { endToEnd } from './end_to_end.ts';
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
      const merged = this.#first.mergeBytes(endToEnd(passes.map((pass) => pass.reduce(part))));
      passes.forEach((pass) => pass.finish(merged, part));
    }
  }
}
