/** What devices hold, and that it is nothing in the end. */

import { setTimeout } from 'node:timers/promises';
import { type Device, devices } from 'syncbn';
import { Fault } from './outcome.ts';

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

  /** @throws Fault unless every device holds what it held in the beginning, once what is under way has ended. */
  async checkBalanced(): Promise<void> {
    const start = performance.now();
    while (this.#excess().length > 0 && performance.now() - start < PATIENCE_MS) await setTimeout(PAUSE_MS);
    const [first] = this.#excess();
    if (first !== undefined) throw new Fault('memory', `left on ${kindOf(first)}`, first);
  }

  #excess(): string[] {
    return [...this.#before].flatMap(([device, before]) => {
      const now = heldBy(device);
      if (now.buffers === before.buffers && now.bytesInUse === before.bytesInUse) return [];
      const [buffers, bytes] = [now.buffers - before.buffers, now.bytesInUse - before.bytesInUse];
      return [`${device.name} holds ${buffers} buffers and ${bytes} bytes more than before`];
    });
  }
}

function heldBy(device: Device): Held {
  const { buffers, bytesInUse } = device.memoryUsage();
  return { buffers, bytesInUse };
}

function kindOf(text: string): string {
  return text.split(':', 1)[0] ?? text;
}
