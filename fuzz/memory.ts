/** What devices hold, and that it is nothing in the end. */

import { setTimeout } from 'node:timers/promises';
import { type Device, devices } from 'syncbn';
import type { Storage } from '../ts/tensor/storage.ts';
import { Fault, withoutNumbers } from './outcome.ts';
import { heldOn } from './reachable.ts';

/** Within that time, what was still under way has ended. Looks are few: garbage would have the collector free what was forgotten. */
const PATIENCE_MS = 2000;
const PAUSE_MS = 20;

interface Held {
  readonly buffers: number;
  readonly bytesInUse: number;
}

/** Remembers what devices held in the beginning. */
export class MemoryAccount {
  readonly #before = new Map<Device, Held>();

  /** A device made during a program holds nothing in the beginning. */
  constructor(names: readonly string[]) {
    for (const name of names) {
      const device = devices.get(name);
      this.#before.set(device, heldBy(device));
    }
  }

  /** Takes a device into account that is made anew. */
  add(device: Device): void {
    if (!this.#before.has(device)) this.#before.set(device, { buffers: 0, bytesInUse: 0 });
  }

  /**
   * Waits until what is under way has ended.
   * @param what - what has just been done.
   * @param mayBeFewer - whether devices may hold less than in the beginning, when something was still under way then.
   * @throws Fault unless every device holds what it held in the beginning.
   */
  async checkBalanced(what: string, mayBeFewer = false): Promise<void> {
    const start = performance.now();
    while (this.#excess(mayBeFewer).length > 0 && performance.now() - start < PATIENCE_MS) await setTimeout(PAUSE_MS);
    const [first] = this.#excess(mayBeFewer);
    if (first === undefined) return;
    throw new Fault('memory', `${what}: ${withoutNumbers(first)}`, this.#excess(mayBeFewer).join('; '));
  }

  /**
   * Waits until what is under way has ended.
   * @param storages - what the program refers to.
   * @throws Fault unless every device holds what it held in the beginning and that, and nothing else.
   */
  async checkExact(what: string, storages: ReadonlySet<Storage>, isLost: (device: Device) => boolean): Promise<void> {
    const start = performance.now();
    const differences = (): string[] =>
      [...this.#before].flatMap(([device, before]) => {
        if (isLost(device) || !device.isReady) return [];
        const [now, held] = [heldBy(device), heldOn(device, storages)];
        const [buffers, bytes] = [
          now.buffers - before.buffers - held.buffers,
          now.bytesInUse - before.bytesInUse - held.bytesInUse,
        ];
        if (buffers === 0 && bytes === 0) return [];
        return [`${device.name} holds other than what is in use: ${buffers} buffers and ${bytes} bytes more`];
      });
    while (differences().length > 0 && performance.now() - start < PATIENCE_MS) await setTimeout(PAUSE_MS);
    const [first] = differences();
    if (first !== undefined)
      throw new Fault('memory', `after ${what}: ${withoutNumbers(first)}`, differences().join('; '));
  }

  #excess(mayBeFewer: boolean): string[] {
    return [...this.#before].flatMap(([device, before]) => {
      const now = heldBy(device);
      if (now.buffers === before.buffers && now.bytesInUse === before.bytesInUse) return [];
      if (mayBeFewer && now.buffers <= before.buffers && now.bytesInUse <= before.bytesInUse) return [];
      const change = now.bytesInUse > before.bytesInUse ? 'more' : 'fewer';
      const [buffers, bytes] = [now.buffers - before.buffers, now.bytesInUse - before.bytesInUse];
      return [`${device.name} holds ${change} than before: ${buffers} buffers, ${bytes} bytes`];
    });
  }
}

function heldBy(device: Device): Held {
  const { buffers, bytesInUse } = device.memoryUsage();
  return { buffers, bytesInUse };
}
