import { availableParallelism } from 'node:os';
import { devices } from 'syncbn';
import { expect, it } from 'vitest';

it('devices.list() offers a worker for each core that Node counts', () => {
  const workers = devices.list().filter((name) => name.startsWith('worker'));
  expect(workers).toEqual(Array.from({ length: availableParallelism() }, (_, i) => `worker:${i}`));
});
