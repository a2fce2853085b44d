import { describe, expect, test } from 'vitest';
import { cpuContenders } from './contenders.ts';
import { type Budget, type Engines, interleave, measureWorkload } from './measure.ts';
import type { AnswerTo, CommandName, Request, RequestOf } from './protocol.ts';
import { workloads } from './workloads.ts';

const BUDGET: Budget = { warmUpSeconds: 0, seconds: 1, minimumSamples: 3, maximumSamples: 5, sampleSeconds: 0.005 };

/** Engines whose steps take a given time each; `Infinity` fails. */
function fakeEngines(secondsOf: Readonly<Record<string, number>>) {
  const asked: string[] = [];
  const requests: Request[] = [];
  const discarded: string[] = [];
  const engines: Engines = {
    get: (engine) =>
      Promise.resolve({
        ask<C extends CommandName>(request: RequestOf<C>): Promise<AnswerTo<C>> {
          asked.push(`${engine} ${request.command}`);
          requests.push(request as Request);
          const seconds = secondsOf[engine] ?? 0.5;
          if (request.command === 'time' && seconds === Infinity) return Promise.reject(new Error('out of memory'));
          const timing = { forward: seconds / 2, backward: seconds / 2, step: seconds };
          return Promise.resolve((request.command === 'time' ? timing : null) as AnswerTo<C>);
        },
      }),
    discard: (engine) => void discarded.push(engine),
  };
  return { engines, asked, requests, discarded };
}

function measure(name: string, names: readonly string[], engines: Engines, budget = BUDGET) {
  const workload = workloads.find((one) => one.name === name);
  if (workload === undefined) throw new Error(`no workload ${name}`);
  return measureWorkload(
    workload,
    cpuContenders.filter((contender) => names.includes(contender.name)),
    engines,
    budget,
  );
}

test('an engine loads once for all its variants', async () => {
  const { engines, asked } = fakeEngines({});
  await measure('8x64x128x128', ['pytorch-eager', 'pytorch-last'], engines);
  expect(asked.filter((request) => !request.endsWith('time'))).toEqual([
    'pytorch load',
    'pytorch count',
    'pytorch count',
    'pytorch unload',
  ]);
});

test('a contender is measured until its time is spent, but not before the least number of samples', async () => {
  const { engines } = fakeEngines({ layers: 0.26, roofline: 9, pytorch: 0.001 });
  const { measurements } = await measure('4096x512', ['syncbn', 'wasm-copy', 'pytorch-eager'], engines);
  const counts = Object.fromEntries(measurements.map(({ contender, count }) => [contender, count]));
  expect(counts).toEqual({ syncbn: 4, 'pytorch-eager': 5, 'wasm-copy': 3 });
});

test.each([
  ['half a step', 0.25, 1],
  ['a step', 0.5, 1],
  ['three steps', 1.5, 3],
])('a sample of %s or more', async (_, sampleSeconds, calls) => {
  const { engines, requests } = fakeEngines({ pytorch: 0.5 });
  await measure('4096x512', ['pytorch-eager'], engines, { ...BUDGET, sampleSeconds });
  const last = requests.filter(({ command }) => command === 'time').at(-1);
  expect(last).toMatchObject({ calls });
});

test('only the passes that a contender has are told', async () => {
  const { engines } = fakeEngines({});
  const { measurements } = await measure('4096x512', ['syncbn', 'jax-js'], engines);
  expect(measurements.map(({ contender, pass }) => `${contender} ${pass}`)).toEqual([
    'syncbn forward',
    'syncbn backward',
    'syncbn step',
    'jax-js forward',
    'jax-js step',
  ]);
});

test('an engine that fails is told of, ended and left out, with all its variants, and the others go on', async () => {
  const { engines, asked, discarded } = fakeEngines({ pytorch: Infinity });
  const found = await measure('8x64x128x128', ['pytorch-eager', 'pytorch-last', 'jax-js'], engines);
  expect(found.failures).toEqual([{ workload: '8x64x128x128', engine: 'pytorch', reason: 'out of memory' }]);
  expect(discarded).toEqual(['pytorch']);
  expect(asked.filter((request) => request === 'pytorch time')).toHaveLength(1);
  expect(new Set(found.measurements.map(({ contender }) => contender))).toEqual(new Set(['jax-js']));
});

test('a contender is spared the workloads that are too large for it', async () => {
  const { engines, asked } = fakeEngines({});
  await measure('resnet50:8', ['tfjs', 'jax-js'], engines);
  expect(asked.some((request) => request.startsWith('tfjs'))).toBe(false);
  expect(asked.some((request) => request.startsWith('jax_js'))).toBe(true);
});

describe('turns', () => {
  /** Runs contenders that are done after a number of measurements each, and tells the order they were measured in. */
  async function orderOf(needed: Readonly<Record<string, number>>): Promise<string> {
    const measured: string[] = [];
    const count = (name: string) => measured.filter((other) => other === name).length;
    await interleave(
      Object.keys(needed),
      (name) => count(name) >= (needed[name] ?? 0),
      (name) => Promise.resolve(measured.push(name)),
    );
    return measured.join('');
  }

  test.each([
    [{ A: 3, B: 3, C: 3 }, 'ABCABCABC'],
    [{ A: 1, B: 3, C: 2 }, 'ABCBCB'],
    [{ A: 0, B: 1 }, 'B'],
    [{}, ''],
  ])('of %j are %s', async (needed, order) => {
    expect(await orderOf(needed)).toBe(order);
  });

  test('end for a contender that the measurement of another has finished', async () => {
    let left = 3;
    await interleave(
      ['A', 'B'],
      () => left === 0,
      () => Promise.resolve((left -= 1)),
    );
    expect(left).toBe(0);
  });
});
