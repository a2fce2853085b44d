/** Tests of users. Their runners put a program into a `vm` context, a made-up page, threads, or a browser. */

import { launchOptions } from '../../../scripts/browser.mjs';
import { ofPage, program } from './sources.mjs';

const jest = ['node', 'jsdom'].map((environment) => ({
  name: `Jest 30, CommonJS, ${environment}`,
  tools: { jest: '30', 'jest-environment-jsdom': '30' },
  files: {
    'package.json': JSON.stringify({ private: true, jest: { testEnvironment: environment, transform: {} } }),
    'sums.test.js': `const syncbn = require('syncbn');
const { sums } = require('./program.cjs');
test('sums', async () => { process.stdout.write((await sums(syncbn)) + '\\n'); });\n`,
    'to_cjs.mjs': `import { readFileSync, writeFileSync } from 'node:fs';
const text = readFileSync('program.mjs', 'utf8').replaceAll('export ', '');
writeFileSync('program.cjs', text + 'exports.sums = sums;');\n`,
  },
  go: ({ run }) => {
    run('node', 'to_cjs.mjs');
    return run('node', 'node_modules/jest/bin/jest.js', '--runInBand');
  },
}));

const places = {
  forks: { pool: 'forks' },
  threads: { pool: 'threads' },
  vmThreads: { pool: 'vmThreads' },
  jsdom: { environment: 'jsdom' },
  'happy-dom': { environment: 'happy-dom' },
};

/** Vitest 5 needs a newer Node than this project does. */
const vitestTools = {
  4: { vitest: '4' },
  5: { vitest: '5', node: '22' },
};

const vitest = Object.entries(vitestTools).flatMap(([version, tools]) => {
  const start = [version === '4' ? 'node' : 'node_modules/node/bin/node', 'node_modules/vitest/vitest.mjs', 'run'];
  const test = `import { test } from 'vitest';
${program()}test('sums', async () => { console.log(await main()); });\n`;
  const inNode = Object.entries(places).map(([place, options]) => ({
    name: `Vitest ${version}, ${place}`,
    tools: { ...tools, jsdom: '26', 'happy-dom': '20' },
    files: {
      'sums.test.js': test,
      'vitest.config.js': `export default ${JSON.stringify({ test: options })};\n`,
    },
    go: ({ run }) => run(...start),
  }));
  const inBrowser = {
    name: `Vitest ${version}, browser`,
    tools: { ...tools, '@vitest/browser-playwright': version, playwright: '1' },
    kinds: ofPage,
    files: {
      'sums.test.js': test,
      'vitest.config.js': `import { playwright } from '@vitest/browser-playwright';
const provider = playwright({ launchOptions: ${JSON.stringify(launchOptions())} });
export default { test: { browser: { enabled: true, headless: true, provider, instances: [{ browser: 'chromium' }] } } };\n`,
    },
    go: ({ run }) => run(...start),
  };
  return [...inNode, inBrowser];
});

/** @type {import('./all.mjs').Row[]} */
export const testRunners = [...jest, ...vitest];
