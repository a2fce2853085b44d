/** Devices as the fuzzer sees them: opened when needed, ended from outside, made anew. */

import type { Worker } from 'node:worker_threads';
import { type Device, devices } from 'syncbn';

/** The thread behind each worker. Node tells of every one it starts, and one is started at a time. */
const threads = new Map<string, Worker>();
/** Names of devices that were ended and not made anew. */
const ended = new Set<string>();

/** Makes a device ready, a new one where the one of that name has ended. */
export async function openDevice(name: string): Promise<Device> {
  if (ended.delete(name)) devices.recreate(name);
  const device = devices.get(name);
  if (device.isReady) return device;
  const started: Worker[] = [];
  const note = (worker: Worker): void => void started.push(worker);
  process.on('worker', note);
  try {
    await device.ready();
  } finally {
    process.off('worker', note);
  }
  const [thread] = started;
  if (thread !== undefined) threads.set(name, thread);
  return device;
}

/** Exchanges a device for a new one of the same name, whether or not it has ended. */
export async function renewDevice(name: string): Promise<void> {
  ended.add(name);
  await openDevice(name);
}

/** Ends a worker or a GPU from outside, as a crash does. */
export async function endDevice(name: string): Promise<void> {
  ended.add(name);
  if (name.startsWith('worker:')) {
    await threads.get(name)?.terminate();
    return;
  }
  const { gpuDevice } = devices.get(name as `webgpu:${number}`);
  gpuDevice.destroy();
  await gpuDevice.lost;
}

/** Devices of the calling thread cannot end. */
export function canEnd(name: string): boolean {
  return !name.startsWith('cpu:');
}
