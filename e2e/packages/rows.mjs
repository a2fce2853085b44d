/**
 * The rows of the matrix: a platform or tool, what it needs, and how its project gives the checksums of the program on `cpu` and on workers.
 *
 * @typedef {object} Row
 * @property {string} name
 * @property {boolean} quick - whether `npm test` runs it: nothing has to be installed
 * @property {Record<string, string>} [tools] - npm packages
 * @property {Record<string, string>} files - of the project
 * @property {(project: object, page: (folder: string, path: string) => Promise<string>) => string | Promise<string>} go - gives what the program has
 * printed, or what a page shows: the checksums with a space between
 */

const both = (load) => `${load}
import { checksum } from './program.mjs';
const main = async () => (await checksum(syncbn, 'cpu')) + ' ' + (await checksum(syncbn, 'worker'));
`;
const esm = both("import * as syncbn from 'syncbn';");
const print = 'main().then(console.log);\n';
/** A page shows the sums in its title; an error as well. */
const show = `main().catch(String).then((text) => { document.title = text; });\n`;
const html = (script) => `<!doctype html><meta charset="utf-8"><title></title><link rel="icon" href="data:,">${script}`;
/** The program in the app's own worker, as each bundler of today finds it. */
const ownWorker = {
  'app.js': `const worker = new Worker(new URL('./app_worker.js', import.meta.url), { type: 'module' });
worker.onmessage = ({ data }) => { document.title = data; };\n`,
  'app_worker.js': `${esm}main().catch(String).then((text) => postMessage(text));\n`,
};
const cjs = `const syncbn = require('syncbn');
import('./program.mjs').then(async ({ checksum }) => console.log(await checksum(syncbn, 'cpu'), await checksum(syncbn, 'worker')));
`;

const programs = { 'main.mjs': esm + print, 'main.cjs': cjs };
const page = { 'index.html': html('<script type="module" src="./app.js"></script>'), 'app.js': esm + show };
const workerPage = { 'index.html': page['index.html'], ...ownWorker };
const vite = (worker) => ({
  'vite.config.js': `export default { base: './', logLevel: 'error'${worker === undefined ? '' : `, worker: { format: '${worker}' }`} };\n`,
});

/** @returns {Row[]} */
function viteRows(version, quick) {
  const tools = quick ? {} : { vite: version };
  const go = async ({ folder, run }, open) => {
    run('node', 'node_modules/vite/bin/vite.js', 'build');
    return open(`${folder}/dist`, 'index.html');
  };
  // Before version 8 a worker is one script unless the configuration says otherwise, and Rollup makes none of a program that loads parts later.
  const format = Number(version) < 8 ? 'es' : undefined;
  return [
    { name: `Vite ${version}, build`, quick, tools, files: { ...page, ...vite() }, go },
    {
      name: `Vite ${version}, build, in the app's own worker${format === undefined ? '' : " (worker: { format: 'es' })"}`,
      quick,
      tools,
      files: { ...workerPage, ...vite(format) },
      go,
    },
  ];
}

/** Every declaration, checked as users who do not skip that do. */
function typeScriptRow(version, resolution, options) {
  return {
    name: `TypeScript ${version}, ${resolution}, strict, lib ES2020 and DOM, without skipLibCheck`,
    quick: false,
    tools: { typescript: version },
    files: {
      ...programs,
      'app.mts': `import { BatchNorm2d, convertModel, DataParallel, tensor, type Tensor } from 'syncbn';
import { saveSafetensors } from 'syncbn/safetensors';
import * as distributed from 'syncbn/distributed';
import * as slim from 'syncbn/slim';
const x: Tensor = tensor([1], [1], { device: 'cpu:0' });
export const y = convertModel(new DataParallel(new BatchNorm2d(3), { deviceIds: ['cpu:0', 'cpu:1'] })).forward(x);
export const all = [saveSafetensors, distributed, slim];
`,
    },
    go: ({ run }) => {
      const strict = [
        '--noEmit',
        '--strict',
        '--skipLibCheck',
        'false',
        '--target',
        'es2020',
        '--lib',
        'es2020,dom',
        '--types',
        '',
      ];
      run('node', 'node_modules/typescript/bin/tsc', ...strict, ...options, 'app.mts');
      return run('node', 'main.mjs');
    },
  };
}

/** @type {Row[]} */
export const rows = [
  { name: 'Node, ES module', quick: true, files: programs, go: ({ run }) => run('node', 'main.mjs') },
  { name: 'Node, CommonJS', quick: true, files: programs, go: ({ run }) => run('node', 'main.cjs') },
  {
    name: 'Node, in a thread of worker_threads',
    quick: true,
    files: {
      ...programs,
      'thread.mjs':
        "import { Worker } from 'node:worker_threads';\nnew Worker(new URL('main.mjs', import.meta.url));\n",
    },
    go: ({ run }) => run('node', 'thread.mjs'),
  },
  { name: 'Deno', quick: true, files: programs, go: ({ run }) => run('deno', 'run', '--allow-all', 'main.mjs') },
  {
    name: 'esbuild, a page',
    quick: true,
    files: page,
    go: ({ folder, run }, open) => {
      const options = ['--bundle', '--format=esm', '--splitting', '--minify', '--outdir=out', '--log-level=error'];
      run('node', 'node_modules/esbuild/bin/esbuild', 'app.js', ...options);
      run('cp', 'index.html', 'out/');
      return open(`${folder}/out`, 'index.html');
    },
  },
  {
    name: 'Rollup, a page, without plugins but for the resolver of its own',
    quick: true,
    files: {
      ...page,
      'rollup.config.js': `import { fileURLToPath } from 'node:url';
const entry = fileURLToPath(new URL('node_modules/syncbn/dist/index.js', import.meta.url));
export default { input: 'app.js', output: { dir: 'out' }, plugins: [{ resolveId: (id) => (id === 'syncbn' ? entry : null) }] };\n`,
    },
    go: ({ folder, run }, open) => {
      run('node', 'node_modules/rollup/dist/bin/rollup', '--config', 'rollup.config.js', '--silent');
      run('cp', 'index.html', 'out/');
      return open(`${folder}/out`, 'index.html');
    },
  },
  ...viteRows('8', true),
  {
    name: 'a page, <script src>',
    quick: true,
    files: {
      'index.html': html(
        `<script src="node_modules/syncbn/dist/syncbn.iife.js"></script><script type="module">${esm.replace("import * as syncbn from 'syncbn';", '')}${show}</script>`,
      ),
    },
    go: ({ folder }, open) => open(folder, 'index.html'),
  },
  {
    name: 'a page, import map',
    quick: true,
    files: {
      'index.html': html(
        `<script type="importmap">{ "imports": { "syncbn": "./node_modules/syncbn/dist/index.js" } }</script><script type="module">${esm}${show}</script>`,
      ),
    },
    go: ({ folder }, open) => open(folder, 'index.html'),
  },
  {
    name: 'a page, syncbn/slim with its file served',
    quick: true,
    files: {
      'index.html': html(
        `<script type="importmap">{ "imports": { "syncbn/slim": "./node_modules/syncbn/dist/slim.js" } }</script><script type="module">${both(
          "import * as syncbn from 'syncbn/slim';\nawait syncbn.init('node_modules/syncbn/dist/cpu.wasm');",
        )}${show}</script>`,
      ),
    },
    go: ({ folder }, open) => open(folder, 'index.html'),
  },
  ...['20', '22', '24'].flatMap((version) =>
    ['mjs', 'cjs'].map((extension) => ({
      name: `Node ${version}, ${extension === 'mjs' ? 'ES module' : 'CommonJS'}`,
      quick: false,
      tools: { node: version },
      files: programs,
      go: ({ run }) => run('node_modules/node/bin/node', `main.${extension}`),
    })),
  ),
  ...['5.4', '5.5', '5.6', '5.7', '5.8', '5.9', '6'].flatMap((version) => [
    typeScriptRow(version, 'node16', ['--module', 'node16', '--moduleResolution', 'node16']),
    typeScriptRow(version, 'bundler', ['--module', 'esnext', '--moduleResolution', 'bundler']),
  ]),
  ...['5', '6', '7'].flatMap((version) => viteRows(version, false)),
  ...[page, workerPage].map((files) => ({
    name: `webpack 5${files === page ? '' : ", in the app's own worker"}`,
    quick: false,
    tools: { webpack: '5', 'webpack-cli': '6' },
    files,
    go: ({ folder, run }, open) => {
      run(
        'node',
        'node_modules/webpack/bin/webpack.js',
        '--mode',
        'production',
        '--entry',
        './app.js',
        '--output-path',
        './out',
        '--output-filename',
        'app.js',
      );
      run('cp', 'index.html', 'out/');
      return open(`${folder}/out`, 'index.html');
    },
  })),
  {
    name: 'Parcel 2',
    quick: false,
    tools: { parcel: '2' },
    files: page,
    go: ({ folder, run }, open) => {
      run('node', 'node_modules/parcel/lib/bin.js', 'build', 'index.html', '--public-url', './', '--dist-dir', 'out');
      return open(`${folder}/out`, 'index.html');
    },
  },
  ...['node', 'jsdom'].map((environment) => ({
    name: `Jest, CommonJS, ${environment}`,
    quick: false,
    tools: { jest: '30', 'jest-environment-jsdom': '30' },
    files: {
      'package.json': JSON.stringify({ private: true, jest: { testEnvironment: environment, transform: {} } }),
      'program.cjs': '',
      'sums.test.js': `const syncbn = require('syncbn');
const { checksum } = require('./program.cjs');
test('sums', async () => { process.stdout.write('sums ' + (await checksum(syncbn, 'cpu')) + ' ' + (await checksum(syncbn, 'worker')) + '\\n'); });\n`,
    },
    go: ({ run }) => {
      run(
        'node',
        '-e',
        "const fs = require('fs'); fs.writeFileSync('program.cjs', fs.readFileSync('program.mjs', 'utf8').replace('export async', 'exports.checksum = checksum; async'));",
      );
      const printed = run('node', 'node_modules/jest/bin/jest.js', '--runInBand');
      return /sums (\w+ \w+)/.exec(printed)?.[1] ?? printed;
    },
  })),
  ...['threads', 'vmThreads'].map((pool) => ({
    name: `Vitest, ${pool}`,
    quick: false,
    tools: { vitest: '4' },
    files: {
      'sums.test.js': `import { test } from 'vitest';\n${esm}test('sums', async () => { console.log('sums ' + (await main())); });\n`,
    },
    go: ({ run }) => {
      const printed = run('node', 'node_modules/vitest/vitest.mjs', 'run', '--pool', pool);
      return /sums (\w+ \w+)/.exec(printed)?.[1] ?? printed;
    },
  })),
  {
    name: 'workerd (Cloudflare), compatibility date 2025-06-01, syncbn/slim',
    quick: false,
    tools: { miniflare: '4', esbuild: '0.25' },
    // It has no workers of its own: the step runs on the devices of the calling thread twice.
    files: {
      'worker.js': `import * as syncbn from 'syncbn/slim';
import cpu from 'syncbn/cpu.wasm';
import { checksum } from './program.mjs';
export default {
  async fetch() {
    try {
      await syncbn.init(cpu);
      const sum = await checksum(syncbn, 'cpu');
      return new Response(sum + ' ' + sum);
    } catch (error) {
      return new Response(String(error));
    }
  },
};\n`,
      'run.mjs': `import { Miniflare } from 'miniflare';
import { readFileSync } from 'node:fs';
const modules = [
  { type: 'ESModule', path: 'out.js', contents: readFileSync('out.js', 'utf8') },
  { type: 'CompiledWasm', path: 'cpu.wasm', contents: readFileSync('node_modules/syncbn/dist/cpu.wasm') },
];
const server = new Miniflare({ modules, compatibilityDate: '2025-06-01' });
console.log(await (await server.dispatchFetch('http://localhost/')).text());
await server.dispose();\n`,
      'bundle.mjs': `import { build } from 'esbuild';
const wasm = { name: 'wasm', setup: (b) => b.onResolve({ filter: /\\.wasm$/ }, () => ({ path: './cpu.wasm', external: true })) };
await build({ entryPoints: ['worker.js'], bundle: true, format: 'esm', outfile: 'out.js', plugins: [wasm], external: ['./gpu_module.js'] });\n`,
    },
    go: ({ run }) => {
      run('node', 'bundle.mjs');
      return run('node', 'run.mjs');
    },
  },
];
