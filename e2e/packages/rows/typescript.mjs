/** Every declaration, checked as users do who do not skip that, by each compiler in each way of finding modules. */

import { programs } from './sources.mjs';

const resolutions = {
  node16: { module: 'node16', moduleResolution: 'node16' },
  nodenext: { module: 'nodenext', moduleResolution: 'nodenext' },
  bundler: { module: 'esnext', moduleResolution: 'bundler' },
};

const app = `import { BatchNorm2d, convertModel, DataParallel, tensor, type Tensor, type TensorModule } from 'syncbn';
import { saveSafetensors } from 'syncbn/safetensors';
import * as distributed from 'syncbn/distributed';
import * as slim from 'syncbn/slim';
import type cpu from 'syncbn/cpu.wasm';
import type {} from 'syncbn/iife';
import type {} from 'syncbn/worker';
const x: Tensor = tensor([1], [1], { device: 'cpu:0' });
export const y = convertModel(new DataParallel(new BatchNorm2d(3), { deviceIds: ['cpu:0', 'cpu:1'] })).forward(x);
export const step = async (net: TensorModule): Promise<Tensor> => net.forward(x);
export const either = step(new Date().getDay() === 0 ? new BatchNorm2d(3) : new DataParallel(new BatchNorm2d(3)));
export const ready = (module: typeof cpu): Promise<void> => slim.init(module);
export const all = [saveSafetensors, distributed];
`;

/** A CommonJS module's tensors are those of an ES module. */
const inCjs = `import { type Tensor, tensor } from 'syncbn';
import type { y } from './app.mjs' with { 'resolution-mode': 'import' };
export const values: Awaited<typeof y> | Tensor = tensor([1]);
`;

/** @type {import('./all.mjs').Row[]} */
export const typeScript = ['5.4', '5.5', '5.6', '5.7', '5.8', '5.9', '6', '7'].flatMap((version) =>
  Object.entries(resolutions).map(([name, options]) => ({
    name: `TypeScript ${version}, ${name}`,
    remark: '`strict`, `lib` ES2020 and DOM, no `skipLibCheck`',
    tools: { typescript: version },
    files: {
      ...programs,
      'app.mts': app,
      'app.cts': inCjs,
      'tsconfig.json': JSON.stringify({
        compilerOptions: {
          ...{ noEmit: true, strict: true, skipLibCheck: false, target: 'es2020', lib: ['es2020', 'dom'], types: [] },
          ...options,
        },
        files: name === 'bundler' ? ['app.mts'] : ['app.mts', 'app.cts'],
      }),
    },
    go: ({ run }) => {
      run('node', 'node_modules/typescript/bin/tsc', '--project', 'tsconfig.json');
      return run('node', 'main.mjs');
    },
  })),
);
