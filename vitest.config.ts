import { fileURLToPath } from 'node:url';
import { playwright } from '@vitest/browser-playwright';
import { defineConfig } from 'vitest/config';
import { launchOptions } from './scripts/browser.mjs';
import { entries } from './scripts/entries.mjs';
import { softwareGpu } from './scripts/software_gpu.mjs';
import { nodeOnly } from './tests/node_only.ts';

// Tests import the package by its name, as users do, and get the sources: no bundle stands between a test and its line.
const source = (path: string): string => fileURLToPath(new URL(path, import.meta.url));
// The longer name first: each stands for all names that begin with it.
const alias = {
  ...Object.fromEntries(entries.map((name) => [`syncbn/${name}`, source(`ts/${name}.ts`)])),
  syncbn: source('ts/index.ts'),
};

// Wide of what any test or hook takes, for a busy machine: a limit that a slow one can reach would say nothing of the code.
const testTimeout = 60_000;
const hookTimeout = testTimeout;

// Tests collect garbage and count what is left. What a function refers to would live as long as a thread compiles the function.
const v8Flags = ['--expose-gc', '--no-concurrent-recompilation'];

const { executablePath, args } = launchOptions();

// Workers run a bundle of the sources.
const globalSetup = ['tests/support/bundle_worker.ts'];

export default defineConfig({
  test: {
    allowOnly: false,
    // All cores: by default one is left to Vitest itself, which has little to do.
    maxWorkers: '100%',
    // Projects by what their tests need: Node alone, a browser, the package in `dist/`, or both of the latter.
    projects: [
      {
        resolve: { alias },
        test: {
          name: 'unit',
          globalSetup,
          include: ['{ts,tests,examples,bench,fuzz,docs}/**/*.test.ts', 'scripts/**/*.test.mjs'],
          exclude: ['tests/packaging/**', '**/node_modules/**'],
          execArgv: v8Flags,
          env: softwareGpu(),
          testTimeout,
          hookTimeout,
        },
      },
      {
        resolve: { alias },
        test: {
          name: 'browser',
          globalSetup,
          include: ['{ts,tests}/**/*.test.ts'],
          exclude: ['tests/packaging/**', ...Object.keys(nodeOnly)],
          testTimeout,
          hookTimeout,
          browser: {
            enabled: true,
            headless: true,
            screenshotFailures: false,
            provider: playwright({
              launchOptions: { executablePath, args: [...args, `--js-flags=${v8Flags.join(' ')}`] },
            }),
            instances: [{ browser: 'chromium' }],
          },
        },
      },
      {
        test: {
          name: 'packaging',
          include: ['tests/packaging/**/*.test.ts'],
          globalSetup: ['tests/packaging/pack.ts'],
          testTimeout: 120_000,
          hookTimeout: 240_000,
        },
      },
      {
        test: {
          name: 'e2e',
          include: ['e2e/**/*.test.ts'],
          testTimeout,
          hookTimeout,
        },
      },
    ],
  },
});
