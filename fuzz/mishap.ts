/** What goes wrong in a forward pass on purpose, and what must come of it. */

import { type Device, DeviceLostError, devices, OutOfMemoryError, SyncDeadlockError, SyncTimeoutError } from 'syncbn';
import { settled } from '../tests/support/event_loop.ts';
import { normsOf, quietScript, type Script, type Way } from './model.ts';
import { type Expected, failure, perhaps, success } from './outcome.ts';
import { canEnd } from './platform.ts';
import type { BackwardFault, ForwardFault } from './program.ts';
import { setTimeouts, type World } from './world.ts';

/** What a replica throws on purpose. */
export class Mishap extends Error {
  override readonly name = 'Mishap';
}

/** Seconds after which layers give up where a replica does not come. */
const SHORT_SECONDS = 0.03;
const LONG_SECONDS = 60;

/** A mishap that is prepared. */
export interface Prepared {
  readonly script: Script;
  readonly expected: Expected;
  /** Ends what was arranged, after the pass has been answered. */
  readonly finish: () => Promise<void>;
}

/** @param synchronizes - whether the layers of this pass wait for each other. */
export function prepareForward(
  world: World,
  fault: ForwardFault | null,
  replicas: readonly string[],
  synchronizes: boolean,
): Prepared {
  const nothing = { script: quietScript(), expected: success, finish: () => Promise.resolve() };
  if (fault === null) return nothing;
  const stages = world.program.model.length;
  const name = replicas[fault.replica % replicas.length] ?? world.first;
  const at = 'at' in fault ? fault.at % (stages + 1) : stages - 1;
  /** Calls `befall` once, when the replica comes to its stage. */
  const once = (befall: () => Way | Promise<Way>): Script => ({
    ...quietScript(),
    happen: async (device, stage) => (device === name && stage === at ? befall() : 'go'),
  });
  const throwing = {
    ...nothing,
    expected: failure(Mishap),
    script: once(() => Promise.reject(new Mishap(`at ${at}`))),
  };
  switch (fault.how) {
    case 'throw':
      return throwing;
    case 'throwText':
      // On one device the module itself is called, and what it throws is what is thrown.
      if (world.names.length === 1) return throwing;
      // eslint-disable-next-line @typescript-eslint/prefer-promise-reject-errors -- Users throw strings.
      return { ...nothing, expected: failure(Error), script: once(() => Promise.reject('a text that was thrown')) };
    case 'starve': {
      const device = devices.get(name);
      const starve = (): Way => {
        device.memoryLimit = device.memoryUsage().bytesInUse + fault.bytes;
        return 'go';
      };
      return { expected: perhaps(OutOfMemoryError), script: once(starve), finish: endStarving(device) };
    }
    case 'allocation':
      return {
        expected: perhaps(OutOfMemoryError),
        script: quietScript(),
        finish: failAllocation(devices.get(name), fault.count),
      };
    case 'end': {
      if (!canEnd(name)) return throwing;
      const end = async (): Promise<Way> => {
        await world.end(name);
        return 'go';
      };
      return { ...nothing, expected: perhaps(DeviceLostError), script: once(end) };
    }
    case 'skip':
    case 'twice': {
      const way = fault.how;
      const last = world.program.model.at(-1);
      const meets = synchronizes && replicas.length > 1 && last !== undefined && normsOf(last).length > 0;
      if (!meets) return throwing;
      return { ...nothing, expected: failure(SyncDeadlockError), script: once(() => way) };
    }
    case 'slow': {
      const wait = async (): Promise<Way> => {
        for (let turn = 0; turn < fault.turns % 30; turn++) await settled();
        return 'go';
      };
      return { ...nothing, script: once(wait) };
    }
    case 'late': {
      if (replicas.length < 2) return throwing;
      const gate = closedGate(world);
      const other = replicas[(fault.replica + 1) % replicas.length];
      const happen = async (device: string, stage: number): Promise<Way> => {
        if (device === name && stage === at) await gate.opened;
        if (device === other && stage === 0) throw new Mishap('beside one that is late');
        return 'go';
      };
      return { expected: failure(Mishap), script: { ...quietScript(), happen }, finish: gate.open };
    }
    case 'never': {
      if (replicas.length < 2) return throwing;
      const gate = closedGate(world);
      world.isUnsettled = true;
      const other = replicas[(fault.replica + 1) % replicas.length];
      const happen = async (device: string, stage: number): Promise<Way> => {
        if (device === name && stage === at) await gate.opened;
        if (device === other && stage === 0) throw new Mishap('beside one that never settles');
        return 'go';
      };
      return { ...nothing, expected: failure(Mishap), script: { ...quietScript(), happen } };
    }
    case 'goAlone': {
      if (!goesAlone(fault, replicas, synchronizes)) return nothing;
      const gate = closedGate(world);
      const { module } = world.net;
      setTimeouts(module, SHORT_SECONDS, 'local');
      const alone = new Set<string>();
      const happen = async (device: string, stage: number): Promise<Way> => {
        if (device === name && stage === 0) await gate.opened;
        if (device !== name && stage === stages) alone.add(device);
        if (alone.size === replicas.length - 1) await gate.open();
        return 'go';
      };
      const finish = async (): Promise<void> => {
        setTimeouts(module, LONG_SECONDS, 'error');
        await gate.open();
      };
      // A share of one value per channel has no statistics of its own, and its replica fails before all others have gone on.
      return { ...nothing, script: { ...quietScript(), happen }, finish };
    }
    case 'timeOut': {
      const isMissed = world.program.model.slice(at).some((stage) => normsOf(stage).length > 0);
      if (!synchronizes || replicas.length < 2 || !isMissed) return throwing;
      const gate = closedGate(world);
      const { module } = world.net;
      setTimeouts(module, SHORT_SECONDS);
      const finish = async (): Promise<void> => {
        setTimeouts(module, LONG_SECONDS);
        await gate.open();
      };
      const wait = async (): Promise<Way> => {
        await gate.opened;
        return 'go';
      };
      return { expected: failure(SyncTimeoutError), script: once(wait), finish };
    }
    default:
      return fault satisfies never;
  }
}

/** Whether the replicas of a pass go on alone: each share is then normalized by itself. */
export function goesAlone(fault: ForwardFault | null, replicas: readonly string[], synchronizes: boolean): boolean {
  return fault?.how === 'goAlone' && synchronizes && replicas.length > 1;
}

/** A backward pass in which something goes wrong. */
export interface PreparedBackward {
  readonly probe: (device: string) => void;
  readonly expected: Expected;
  /** Called once the pass is under way. */
  readonly meanwhile: () => void;
  readonly finish: () => Promise<void>;
}

export function prepareBackward(
  world: World,
  fault: BackwardFault | null,
  replicas: readonly string[],
  isProbed: boolean,
): PreparedBackward {
  const doNothing = (): void => undefined;
  const nothing = { probe: doNothing, expected: success, meanwhile: doNothing, finish: () => Promise.resolve() };
  if (fault === null) return nothing;
  const name = replicas[fault.replica % replicas.length] ?? world.first;
  const device = devices.get(name);
  switch (fault.how) {
    case 'throw': {
      const probe = (own: string): void => {
        if (own === name) throw new Mishap('in a backward');
      };
      return isProbed ? { ...nothing, probe, expected: failure(Mishap) } : nothing;
    }
    case 'allocation':
      return { ...nothing, expected: perhaps(OutOfMemoryError), finish: failAllocation(device, fault.count) };
    case 'starve':
      device.memoryLimit = device.memoryUsage().bytesInUse + fault.bytes;
      return { ...nothing, expected: perhaps(OutOfMemoryError), finish: endStarving(device) };
    case 'end': {
      if (!canEnd(name)) return nothing;
      let ended = Promise.resolve();
      const meanwhile = (): void => {
        ended = world.end(name);
      };
      return { ...nothing, expected: perhaps(DeviceLostError), meanwhile, finish: () => ended };
    }
    default:
      return fault satisfies never;
  }
}

/** Lets allocation number `count` from now on fail. @returns what ends that. */
export function failAllocation(device: Device, count: number): () => Promise<void> {
  const allocate = device.allocate.bind(device);
  let left = count;
  device.allocate = (length) => {
    left -= 1;
    if (left === -1) throw new OutOfMemoryError(device.name, 4 * length, device.memoryUsage().bytesInUse);
    return allocate(length);
  };
  return () => {
    Reflect.deleteProperty(device, 'allocate');
    return Promise.resolve();
  };
}

function endStarving(device: Device): () => Promise<void> {
  return () => {
    device.memoryLimit = Infinity;
    return Promise.resolve();
  };
}

/** Something to wait for until it is opened, at the latest in the end. */
function closedGate(world: World): { readonly opened: Promise<void>; readonly open: () => Promise<void> } {
  let open = (): void => undefined;
  const opened = new Promise<void>((resolve) => {
    open = resolve;
  });
  world.gates.push(() => open());
  return {
    opened,
    open: () => {
      open();
      return Promise.resolve();
    },
  };
}
