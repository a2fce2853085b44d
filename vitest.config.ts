import { fileURLToPath } from 'node:url';
import { defineConfig } from 'vitest/config';

// Tests import the package by its name, as users do, and get the sources: no bundle stands between a test and its line.
const alias = { syncbn: fileURLToPath(new URL('ts/index.ts', import.meta.url)) };

export default defineConfig({
  test: {
    allowOnly: false,
    // Two projects, because the packaging tests look at `dist/`, which must be built first, and are slow.
    projects: [
      {
        resolve: { alias },
        test: {
          name: 'unit',
          include: ['{ts,tests,examples,bench}/**/*.test.ts', 'scripts/**/*.test.mjs'],
          exclude: ['tests/packaging/**', '**/node_modules/**'],
          // Wide of what any test takes, for a busy machine: a limit that a slow one can reach would say nothing of the code.
          testTimeout: 60_000,
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
    ],
  },
});
