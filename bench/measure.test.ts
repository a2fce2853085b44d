import { expect, test } from 'vitest';
import { contenders, type ContenderName, type EngineName } from './contenders.ts';
import { type Budget, type Engines, measureWorkload } from './measure.ts';
import type { Answers, Request } from './protocol.ts';
import { workloads } from './workloads.ts';

const BUDGET: Budget = { warmUpSeconds: 0, seconds: 1, minimumSamples: 3, maximumSamples: 5, sampleSeconds: 0.005 };

/** Engines whose steps take a given time each; `Infinity` fails. */
function fakeEngines(secondsOf: Partial<Record<EngineName, number>>) {
  const asked: string[] = [];
  const requests: Request[] = [];
  const discarded: EngineName[] = [];
  const engines: Engines = {
    get: (engine) =>
      Promise.resolve({
        ask<C extends Request['command']>(request: Extract<Request, { command: C }>): Promise<Answers[C]> {
          asked.push(`${engine} ${request.command}`);
          requests.push(request);
          const seconds = secondsOf[engine] ?? 0.5;
          if (request.command === 'time' && seconds === Infinity) return Promise.reject(new Error('out of memory'));
          const timing = { forward: seconds / 2, backward: seconds / 2, step: seconds };
          return Promise.resolve((request.command === 'time' ? timing : null) as Answers[C]);
        },
      }),
    discard: (engine) => void discarded.push(engine),
  };
  return { engines, asked, requests, discarded };
}

function measure(name: string, names: readonly ContenderName[], engines: Engines, budget = BUDGET) {
  const workload = workloads.find((one) => one.name === name);
  if (workload === undefined) throw new Error(`no workload ${name}`);
  return measureWorkload(
    workload,
    contenders.filter((contender) => names.includes(contender.name)),
    engines,
    budget,
  );
}

test('an engine loads once for all its variants', async () => {
  const { engines, asked } = fakeEngines({});
  await measure('4096x512', ['pytorch-1', 'pytorch-2'], engines);
  expect(asked.filter((request) => !request.endsWith('time'))).toEqual(['pytorch load', 'pytorch unload']);
});

test('a contender is measured until its time is spent, but not before the least number of samples', async () => {
  const { engines } = fakeEngines({ syncbn: 0.26, kernels: 9, pytorch: 0.001 });
  const { measurements } = await measure('4096x512', ['syncbn', 'kernels', 'pytorch-1'], engines);
  const counts = Object.fromEntries(measurements.map(({ contender, count }) => [contender, count]));
  expect(counts).toEqual({ syncbn: 4, kernels: 3, 'pytorch-1': 5 });
});

test.each([
  ['half a step', 0.25, 1],
  ['a step', 0.5, 1],
  ['three steps', 1.5, 3],
])('a sample of %s or more', async (_, sampleSeconds, calls) => {
  const { engines, requests } = fakeEngines({ pytorch: 0.5 });
  await measure('4096x512', ['pytorch-1'], engines, { ...BUDGET, sampleSeconds });
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
  const found = await measure('4096x512', ['pytorch-1', 'pytorch-2', 'jax-js'], engines);
  expect(found.failures).toEqual([{ workload: '4096x512', engine: 'pytorch', reason: 'out of memory' }]);
  expect(discarded).toEqual(['pytorch']);
  expect(asked.filter((request) => request === 'pytorch time')).toHaveLength(1);
  expect(new Set(found.measurements.map(({ contender }) => contender))).toEqual(new Set(['jax-js']));
});

test('a contender is spared the workloads that are too large for it', async () => {
  const { engines, asked } = fakeEngines({});
  await measure('resnet50:8', ['tfjs', 'jax-js'], engines);
  expect(asked.some((request) => request.startsWith('tfjs'))).toBe(false);
  expect(asked.some((request) => request.startsWith('jax-js'))).toBe(true);
});
