import { afterEach, beforeEach, describe, expect, test, vi } from 'vitest';
import type { LayerRun } from './engine.ts';
import { timeSteps } from './time_steps.ts';

/** Layers that write down what is called on them. */
function recordingLayers(methods: readonly ('refresh' | 'forward' | 'backward' | 'step')[]) {
  const calls: string[] = [];
  const layers = ['1', '2'].map((name): LayerRun => {
    const record = Object.fromEntries(methods.map((method) => [method, () => void calls.push(`${method} ${name}`)]));
    return { forward: () => undefined, results: () => Promise.reject(new Error('not asked for')), ...record };
  });
  return { layers, calls };
}

test('a step runs all layers forward, then all backward in reverse', async () => {
  const { layers, calls } = recordingLayers(['forward', 'backward']);
  const timing = await timeSteps(layers, 1);
  expect(calls).toEqual(['forward 1', 'forward 2', 'backward 2', 'backward 1']);
  expect(timing.step).toBeCloseTo((timing.forward ?? Number.NaN) + (timing.backward ?? Number.NaN));
});

test('what steps have written over is brought back once, before the first', async () => {
  const { layers, calls } = recordingLayers(['refresh', 'forward', 'backward']);
  await timeSteps(layers, 3);
  expect(calls.filter((call) => call.startsWith('refresh'))).toEqual(['refresh 1', 'refresh 2']);
  expect(calls.slice(0, 2)).toEqual(['refresh 1', 'refresh 2']);
  expect(calls.filter((call) => call === 'backward 1')).toHaveLength(3);
});

test('layers that cannot split a step tell no time of backward', async () => {
  const { layers, calls } = recordingLayers(['forward', 'step']);
  const timing = await timeSteps(layers, 1);
  expect(calls).toEqual(['forward 1', 'forward 2', 'step 2', 'step 1']);
  expect(Object.keys(timing)).toEqual(['forward', 'step']);
});

test('layers without a backward tell the time of forward alone', async () => {
  const { layers } = recordingLayers(['forward']);
  expect(Object.keys(await timeSteps(layers, 2))).toEqual(['forward']);
});

describe('the clock', () => {
  beforeEach(() => void vi.useFakeTimers({ toFake: ['performance'] }));
  afterEach(() => void vi.useRealTimers());

  test('covers what forward and backward await, and nothing of refresh; times are seconds per call', async () => {
    const after = (milliseconds: number) => async () => {
      await Promise.resolve();
      vi.advanceTimersByTime(milliseconds);
    };
    const layer: LayerRun = {
      refresh: after(1000),
      forward: after(4),
      backward: after(6),
      results: () => Promise.reject(new Error('not asked for')),
    };
    const timing = await timeSteps([layer, layer], 5);
    expect(timing.forward).toBeCloseTo(0.008, 9);
    expect(timing.backward).toBeCloseTo(0.012, 9);
    expect(timing.step).toBeCloseTo(0.02, 9);
  });
});
