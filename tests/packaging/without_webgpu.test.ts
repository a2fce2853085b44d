/** Node without the optional package `webgpu`: everything but GPUs works, and what asks for one is told what to install. */

import { describe, expect, it } from 'vitest';
import { readInstalled, runInUserProject } from './user_project.ts';

const main = `
const told = (error) => ({ name: error.name, isExported: error instanceof NoWebGpuError, device: error.device,
  message: error.message, cause: error.cause.code + ' ' + error.cause.message.split("'")[1] });
const failure = (promise) => promise.then(() => null, told);
const atInit = await failure(init(['webgpu:0']));
const onGpu = { device: 'webgpu:0' };
const atUse = await failure(new BatchNorm1d(1, onGpu).forward(tensor([1, -1], [2, 1], onGpu)));
const ofBoth = await failure(init(['cpu:0', 'webgpu:1']));
await init(['cpu:0']);
const x = await tensor([1024, -1024], [2, 1], { device: 'cpu:0' });
const y = await new BatchNorm1d(1).forward(x);
console.log(JSON.stringify({ atInit, atUse, ofBoth, y: [...(await y.data())] }));
`;

const names = '{ BatchNorm1d, NoWebGpuError, init, tensor }';

function toldOf(device: string): unknown {
  return {
    name: 'NoWebGpuError',
    isExported: true,
    device,
    message: expect.stringMatching(new RegExp(`^device ${device}: .*in Node install the package webgpu`)) as unknown,
    cause: 'ERR_MODULE_NOT_FOUND webgpu',
  };
}

describe.each([
  { kind: 'an ES module', file: 'without_webgpu.mjs', load: `const ${names} = await import('syncbn');` },
  { kind: 'a CommonJS module', file: 'without_webgpu.cjs', load: `const ${names} = require('syncbn');` },
])('without the package webgpu, $kind', ({ file, load }) => {
  it('computes_on_the_cpu_and_is_told_what_a_gpu_needs', () => {
    expect(runInUserProject(file, `(async () => { ${load} ${main} })();`)).toEqual({
      atInit: toldOf('webgpu:0'),
      atUse: toldOf('webgpu:0'),
      ofBoth: toldOf('webgpu:1'),
      y: [1, -1],
    });
  });
});

it('the_package_that_gpus_need_in_node_is_optional', () => {
  expect(JSON.parse(readInstalled('package.json'))).toMatchObject({
    peerDependencies: { webgpu: expect.any(String) as unknown },
    peerDependenciesMeta: { webgpu: { optional: true } },
  });
});
