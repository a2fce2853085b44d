import { expect, test } from 'vitest';
import { browserArguments } from './adapter.ts';
import { describe as describeInfo } from './describe_adapter.ts';

const info = (given: Partial<GPUAdapterInfo>) =>
  describeInfo({ vendor: '', architecture: '', device: '', description: '', ...given } as GPUAdapterInfo);

test.each([
  [
    { vendor: 'google', architecture: 'swiftshader' },
    { name: 'google swiftshader', isSoftware: true },
  ],
  [{ description: 'llvmpipe (LLVM 15)' }, { name: 'llvmpipe (LLVM 15)', isSoftware: true }],
  [
    { vendor: 'nvidia', architecture: 'hopper' },
    { name: 'nvidia hopper', isSoftware: false },
  ],
  [{}, { name: 'unnamed adapter', isSoftware: false }],
])('an adapter that says %j is told apart', (given, expected) => {
  expect(info(given)).toEqual(expected);
});

test('SwiftShader is forced upon the browser only where there is no GPU', () => {
  const given = ['--no-first-run', '--use-webgpu-adapter=swiftshader', '--enable-unsafe-swiftshader'];
  expect(browserArguments(given, true)).toEqual(given);
  expect(browserArguments(given, false).join()).not.toContain('swiftshader');
  expect(browserArguments(given, false)).toContain('--no-first-run');
});
