/** CPU devices of the calling thread as one group: they do a pass within one call, and exchange partials as arrays. */

import type { ChannelRange, Device, DeviceGroup, GroupBackwardArguments, GroupForwardArguments } from './device.ts';
import { DeviceMismatchError } from '../errors.ts';
import { CpuDevice } from './cpu_device.ts';
import { backwardPass, channelsAtATime, forwardPass, type JointPass, type PassDevice } from './joint_pass.ts';

/** The group of these devices, the same for all; `null` unless the calling thread computes for all of them. */
export function cpuGroupOf(devices: readonly Device[]): DeviceGroup | null {
  return devices.length > 0 && devices.every(isCpuDevice) ? cpuGroup : null;
}

/** Which devices are meant is told by the memory of their shares. */
const cpuGroup: DeviceGroup = {
  batchNorm(shares) {
    run(shares, 1, forwardPass);
  },
  batchNormBackward(shares) {
    run(shares, 2, backwardPass);
  },
  /** The devices have done everything when a command returns. */
  confirm() {
    return Promise.resolve();
  },
};

function isCpuDevice(device: Device): device is CpuDevice {
  return device instanceof CpuDevice;
}

function run<Share extends GroupForwardArguments | GroupBackwardArguments>(
  shares: readonly Share[],
  inputs: number,
  passOf: (device: PassDevice, share: Share) => JointPass,
): void {
  const [first] = shares;
  if (first === undefined) {
    return;
  }
  const { channels } = first.layout;
  const passes = shares.map((share) => passOf(deviceOf(share), share));
  const width = channelsAtATime(
    shares.map(({ layout }) => layout),
    inputs,
  );
  for (let begin = 0; begin < channels; begin += width) {
    const part: ChannelRange = [begin, Math.min(begin + width, channels)];
    const partials = reduceAll(passes, part);
    // Each device merges two faster by itself than a call can.
    const merged = passes.length > 2 ? deviceOf(first).mergeBytes(partials) : partials;
    passes.forEach((pass) => pass.finish(merged, part));
  }
}

function deviceOf({ statistics: { device } }: GroupForwardArguments | GroupBackwardArguments): CpuDevice {
  if (!isCpuDevice(device)) {
    throw new DeviceMismatchError('command of a group', ['cpu', device.name]);
  }
  return device;
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
