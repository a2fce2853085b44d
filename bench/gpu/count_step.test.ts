import { expect, test } from 'vitest';
import type { Engine, LayerRun } from '../engine.ts';
import { countStep } from './count_step.ts';

/** A layer whose passes dispatch so often, on an engine that counts them. */
function counted(
  passes: Readonly<Partial<Record<'forward' | 'backward' | 'step', number>>>,
  bytesPerDispatch?: number,
) {
  let dispatches = 0;
  const others = { submits: 0, bytesBound: 0, buffers: 0, pipelines: 0, maps: 0 };
  const run = Object.fromEntries(
    Object.entries(passes).map(([name, times]) => [name, () => void (dispatches += times)]),
  ) as unknown as LayerRun;
  const engine: Engine = {
    version: '',
    load: () => Promise.resolve(),
    layers: () => [run, run],
    unload: () => undefined,
    ...(bytesPerDispatch !== undefined && { bytesMoved: () => dispatches * bytesPerDispatch }),
  };
  const counter = {
    get total() {
      return { dispatches, ...others };
    },
  };
  return countStep(engine, 'any', counter);
}

test('all layers count, each pass apart', async () => {
  const { forward, backward } = await counted({ forward: 2, backward: 3 });
  expect([forward.dispatches, backward.dispatches]).toEqual([4, 6]);
});

test('a framework that cannot split a step has the whole of it counted', async () => {
  expect((await counted({ forward: 2, step: 7 })).backward.dispatches).toBe(14);
});

test('bytes are told by engines that know them, and by no others', async () => {
  expect((await counted({ forward: 1, backward: 2 }, 10)).backward.bytesMoved).toBe(40);
  expect(await counted({ forward: 1 })).not.toHaveProperty('forward.bytesMoved');
});
