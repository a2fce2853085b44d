/**
 * `npm run bench:tfjs`: training steps of TensorFlow.js models, by tfjs alone and with this library.
 *
 * All ways take turns, step by step, and the shortest step counts. What cannot be computed is told with its reason.
 */

import { writeFile } from 'node:fs/promises';
import * as tf from '@tensorflow/tfjs-core';
import '@tensorflow/tfjs-backend-cpu';
import { WebGPUBackend } from '@tensorflow/tfjs-backend-webgpu';
import '@tensorflow/tfjs-backend-wasm';
import { Command, InvalidArgumentError } from 'commander';
import { devices, init } from 'syncbn';
import { atLeast, atMost, type Case, judge } from '../figures.ts';
import { describeMachine } from '../machine.ts';
import { milliseconds, percent, table, verdictTable } from '../report.ts';
import { type Finding, measure } from './measure.ts';
import { networks } from './networks.ts';
import { ChromiumPage } from './pages.ts';
import { timeBatchNorm, timeConvolution } from './single_layers.ts';
import { meanings, type WayName, wayNames } from './ways.ts';

/** Of tfjs, in Node and in a page of Chromium. */
const backendNames = ['cpu', 'wasm', 'webgpu', 'chromium-webgl', 'chromium-webgpu'] as const;
type BackendName = (typeof backendNames)[number];

interface Options {
  readonly quick: boolean;
  readonly check: boolean;
  readonly backends: readonly BackendName[];
  readonly networks: readonly string[];
  readonly batchNorm: readonly number[];
  readonly json?: string;
}

const options = new Command('npm run bench:tfjs --')
  .description('Measures training steps of TensorFlow.js models, by tfjs alone and with this library.')
  .option('--quick', 'fewer steps, the digits network alone', false)
  .option('--check', 'judges each figure; exit code 1 when one is missed', false)
  .option('--backends <names>', 'of tfjs, separated by commas', namesOf(backendNames), ['cpu', 'wasm'])
  .option('--networks <names>', 'separated by commas', namesOf(Object.keys(networks)), Object.keys(networks))
  .option('--batch-norm <shape>', 'of the batch norm by itself', shapeOf, [8, 128, 128, 64])
  .option('--json <file>', 'where all times go')
  .allowExcessArguments(false)
  .parse()
  .opts<Options>();

await init(['cpu:0', 'cpu:1']);
console.log(Object.values(describeMachine()).join(' · '), `· tfjs ${tf.version_core}`);
const findings: Finding[] = [];
const cases: Record<string, Case[]> = {};
for (const backend of options.backends) {
  const names = options.quick ? ['digits'] : options.networks;
  if (backend.startsWith('chromium-')) {
    const page = await ChromiumPage.open();
    try {
      // The weights of MobileNetV2 are files of a package, which a page does not have.
      for (const network of names.filter((name) => name !== 'mobilenet')) {
        const asked = { network, backend: backend.slice('chromium-'.length), rounds: options.quick ? 2 : 4 };
        findings.push({ ...(await page.measure(asked)), backend });
      }
    } finally {
      await page.close();
    }
    continue;
  }
  await useBackend(backend);
  for (const name of names) {
    const network = networks[name];
    // tfjs' cpu backend takes minutes for a step of the larger ones.
    if (network !== undefined && (backend !== 'cpu' || name === 'digits')) {
      findings.push(await measure(network, backend, options.quick ? 3 : backend === 'cpu' ? 2 : 8));
    }
  }
}
console.log(timesTable(findings));
for (const [name, meaning] of Object.entries(meanings)) console.log(`  ${name}: ${meaning}`);
judgeSteps();
await judgeSingleLayers();
const figures = [
  atLeast('digits CNN, wasm, against the cpu backend of tfjs', 20, cases['digits'] ?? []),
  atLeast('MobileNetV2, wasm, against tfjs with the same convolutions', 2, cases['mobilenet'] ?? []),
  atMost('two cpu devices against one', 1.3, '×', cases['devices'] ?? []),
  atMost('hand-over, of a step of MobileNetV2', 12, '%', cases['handOver'] ?? []),
  atLeast('convolution (8, 32, 32, 32), both passes, wasm against the cpu backend', 100, cases['convolution'] ?? []),
  atMost('the same, against its forward pass', 5, '×', cases['forward'] ?? []),
  atLeast(`batch norm (${options.batchNorm.join(', ')}), wasm`, 40, cases['batchNorm wasm'] ?? []),
  atLeast(`batch norm (${options.batchNorm.join(', ')}), webgpu`, 20, cases['batchNorm webgpu'] ?? []),
].filter(({ cases }) => cases.length > 0);
const verdicts = figures.map(judge);
console.log(verdictTable(verdicts));
if (options.json !== undefined) await writeFile(options.json, JSON.stringify({ findings, cases }, null, 1));
process.exit(options.check && verdicts.some(({ missed }) => missed.length > 0) ? 1 : 0);

function timesTable(found: readonly Finding[]): string {
  const rows = found.map(({ network, backend, times, shares }) => [
    network,
    backend,
    ...wayNames.map((name) => {
      const time = times[name];
      return typeof time === 'number' ? milliseconds(time) : time === undefined ? '' : 'cannot';
    }),
    ...(shares === null ? ['', ''] : [percent(shares.kernels), percent(shares.handOver)]),
    typeof times['adapter 2'] === 'number' && typeof times['apart 2'] === 'number'
      ? percent(Math.max(0, 1 - times['apart 2'] / times['adapter 2']))
      : '',
  ]);
  const head = [
    'ms per step at best',
    'backend',
    ...wayNames,
    'adapter 1: batch norm',
    'hand-over',
    'adapter 2: synchronization',
  ];
  const reasons = found.flatMap(({ network, backend, times }) =>
    Object.entries(times).flatMap(([way, time]) =>
      typeof time === 'string' ? [`  ${network}, ${backend}, ${way}: ${time}`] : [],
    ),
  );
  return [table('Training steps', head, rows), ...reasons].join('\n');
}

/** The cases of the figures that steps have. */
function judgeSteps(): void {
  const timeOf = (network: string, backend: string, way: WayName): number | null => {
    const time = findings.find((one) => one.network === network && one.backend === backend)?.times[way];
    return typeof time === 'number' ? time : null;
  };
  const add = (figure: string, text: string, over: number | null, under: number | null): void => {
    if (over !== null && under !== null) (cases[figure] ??= []).push({ label: text, value: over / under });
  };
  const { digits, mobilenet } = networks;
  for (const way of ['layers', 'adapter 1'] as const) {
    add('digits', way, timeOf(digits?.name ?? '', 'cpu', 'tfjs'), timeOf(digits?.name ?? '', 'wasm', way));
    const plain = timeOf(mobilenet?.name ?? '', 'wasm', 'kernels');
    add('mobilenet', way, plain, timeOf(mobilenet?.name ?? '', 'wasm', way));
  }
  for (const { network, backend, shares } of findings) {
    // On GPUs the two devices would be one, in turns.
    if (backend === 'wasm')
      add('devices', network, timeOf(network, backend, 'adapter 2'), timeOf(network, backend, 'adapter 1'));
    if (network === mobilenet?.name && shares !== null) {
      (cases['handOver'] ??= []).push({ label: network, value: shares.handOver * 100 });
    }
  }
}

async function judgeSingleLayers(): Promise<void> {
  const times = options.quick ? 5 : 40;
  if (options.backends.includes('wasm')) {
    await useBackend('wasm');
    const { forward, both } = timeConvolution(times);
    (cases['forward'] ??= []).push({ label: 'wasm', value: both / forward });
    const norm = await timeBatchNorm(options.batchNorm, options.quick ? 1 : 3, () => Promise.resolve());
    console.log(
      `batch norm (${options.batchNorm.join(', ')}), wasm: tfjs ${milliseconds(norm.tfjs)} ms, with the library ${milliseconds(norm.syncbn)} ms`,
    );
    (cases['batchNorm wasm'] ??= []).push({ label: 'wasm', value: norm.tfjs / norm.syncbn });
    if (options.backends.includes('cpu')) {
      await useBackend('cpu');
      (cases['convolution'] ??= []).push({ label: 'wasm', value: timeConvolution(1).both / both });
    }
  }
  if (options.backends.includes('webgpu')) {
    await useBackend('webgpu');
    const norm = await timeBatchNorm(options.batchNorm, options.quick ? 1 : 3, async (results) => {
      for (const result of results) await tf.sum(result).data();
    });
    console.log(
      `batch norm (${options.batchNorm.join(', ')}), webgpu: tfjs ${milliseconds(norm.tfjs)} ms, with the library ${milliseconds(norm.syncbn)} ms`,
    );
    (cases['batchNorm webgpu'] ??= []).push({ label: 'webgpu', value: norm.tfjs / norm.syncbn });
  }
}

async function useBackend(name: string): Promise<void> {
  // The type says that there always is one.
  const known: unknown = tf.findBackendFactory(name);
  if (name === 'webgpu' && known === null) {
    const { gpuDevice } = await devices.create();
    tf.registerBackend(
      'webgpu',
      () =>
        new WebGPUBackend(gpuDevice, { vendor: '', architecture: '', device: '', description: '' } as GPUAdapterInfo),
    );
  }
  if (!(await tf.setBackend(name))) throw new Error(`the backend ${name} of TensorFlow.js does not start`);
}

/** Reads names separated by commas. */
function namesOf<Name extends string>(known: readonly Name[]): (text: string) => Name[] {
  return (text) => {
    const names = text.split(',');
    const wrong = names.find((name) => !(known as readonly string[]).includes(name));
    if (wrong !== undefined) throw new InvalidArgumentError(`expected some of ${known.join(', ')}, got ${wrong}`);
    return names as Name[];
  };
}

/** Reads a shape, such as 8x128x128x64. */
function shapeOf(text: string): number[] {
  const sizes = text.split('x').map(Number);
  if (sizes.length !== 4 || !sizes.every((size) => Number.isSafeInteger(size) && size > 0)) {
    throw new InvalidArgumentError('expected four sizes such as 8x128x128x64');
  }
  return sizes;
}
