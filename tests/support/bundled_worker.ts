/** Worker threads of Node that run a file of tests. */

import { Worker } from 'node:worker_threads';
import type { SpawnedWorker } from 'syncbn/distributed';
import { bundleProgram } from './bundle_program.ts';

export async function bundledWorkers(file: string): Promise<() => SpawnedWorker> {
  const program = await bundleProgram(file);
  return () => new Worker(program) as unknown as SpawnedWorker;
}
