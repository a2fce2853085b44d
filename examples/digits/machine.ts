/** Where and when the runs took place. */

import { readFileSync } from 'node:fs';
import { createRequire } from 'node:module';
import { arch, availableParallelism, cpus, platform } from 'node:os';
import { type DeviceKind, devices } from 'syncbn';

export interface Machine {
  /** What the devices run on, as the library tells it. */
  readonly adapter: string;
  /** Processor, system and runtime. */
  readonly description: string;
  /** Of the library. */
  readonly version: string;
  /** Day, in UTC. */
  readonly date: string;
}

/** @param kind - of the devices that were used. */
export function describeMachine(kind: DeviceKind): Machine {
  const device = devices.describe().find(({ name }) => name === `${kind}:0`);
  const manifest = createRequire(import.meta.url).resolve('syncbn/package.json');
  const { version } = JSON.parse(readFileSync(manifest, 'utf8')) as { readonly version: string };
  const processor = cpus()[0]?.model.trim() ?? 'unknown processor';
  return {
    adapter: device?.adapter ?? 'unknown',
    description: `${processor}, ${availableParallelism()} cores; Node ${process.versions.node} on ${platform()} ${arch()}`,
    version,
    date: new Date().toISOString().slice(0, 10),
  };
}
