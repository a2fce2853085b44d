/** Programs without a page: Node, Deno, Bun, Cloudflare's workerd, Electron. */

import { existsSync, readdirSync, statSync } from 'node:fs';
import { join } from 'node:path';
import { versionOf } from '../../../scripts/tools.mjs';
import { NotHere } from '../not_here.mjs';
import { html, inNode, ofPage, pageWith, program, programs } from './sources.mjs';

const ofNode = () => process.versions.node;

const node = [
  {
    name: 'Node, ES module',
    quickKinds: inNode,
    files: programs,
    version: ofNode,
    go: ({ run }) => run('node', 'main.mjs'),
  },
  {
    name: 'Node, CommonJS',
    quickKinds: inNode,
    files: programs,
    version: ofNode,
    go: ({ run }) => run('node', 'main.cjs'),
  },
  ...['mjs', 'cjs'].map((extension) => ({
    name: `Node, ${extension === 'mjs' ? 'ES module' : 'CommonJS'}, with the package webgpu`,
    quickKinds: extension === 'mjs' ? ofPage : undefined,
    kinds: ofPage,
    files: programs,
    version: ofNode,
    go: ({ run }) => run('node', `main.${extension}`),
  })),
  {
    name: 'Node, in a thread of worker_threads',
    quickKinds: inNode,
    files: {
      ...programs,
      'thread.mjs':
        "import { Worker } from 'node:worker_threads';\nnew Worker(new URL('main.mjs', import.meta.url));\n",
    },
    version: ofNode,
    go: ({ run }) => run('node', 'thread.mjs'),
  },
  ...['20', '22', '24', '26'].flatMap((version) =>
    ['mjs', 'cjs'].map((extension) => ({
      name: `Node ${version}, ${extension === 'mjs' ? 'ES module' : 'CommonJS'}`,
      tools: { node: version },
      files: programs,
      go: ({ run }) => run('node_modules/node/bin/node', `main.${extension}`),
    })),
  ),
];

const deno = {
  name: 'Deno',
  quickKinds: inNode,
  files: programs,
  version: () => versionOf('deno'),
  go: ({ run }) => run('deno', 'run', '--allow-all', 'main.mjs'),
};

/** Bun's install script moves its program to where its command expects it; npm may have been told to run none. */
function bunIn(folder) {
  const packages = join(folder, 'node_modules');
  const ofPlatforms = existsSync(join(packages, '@oven')) ? readdirSync(join(packages, '@oven')) : [];
  const places = ['bun/bin/bun.exe', ...ofPlatforms.map((name) => `@oven/${name}/bin/bun`)];
  // In the place of a program that is still to come there is a short text.
  const found = places
    .map((place) => join(packages, place))
    .find((file) => existsSync(file) && statSync(file).size > 2 ** 20);
  if (found === undefined) throw new NotHere('npm brings no Bun for this machine');
  return found;
}

const bun = ['mjs', 'cjs'].map((extension) => ({
  name: `Bun, ${extension === 'mjs' ? 'ES module' : 'CommonJS'}`,
  tools: { bun: '1' },
  files: programs,
  go: ({ folder, run }) => run(bunIn(folder), 'run', `main.${extension}`),
}));

const workerd = {
  name: 'workerd (Cloudflare), `syncbn/slim`',
  tools: { miniflare: '4', esbuild: '0.28' },
  kinds: ['cpu'],
  remark: 'it has no workers',
  files: {
    'worker.js': `${program("import * as syncbn from 'syncbn/slim';\nimport cpu from 'syncbn/cpu.wasm';")}
export default {
  async fetch() {
    await syncbn.init(cpu);
    return new Response(await main().catch(String));
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
};

/** The program in the window of an Electron app, with Node beside it, from files. */
const electron = {
  name: 'Electron, a window',
  tools: { electron: 'latest' },
  kinds: inNode,
  files: {
    ...pageWith('<script type="importmap">{ "imports": { "syncbn": "./node_modules/syncbn/dist/index.js" } }</script>'),
    'page.html': html(''),
    'app.cjs': `const { app, BrowserWindow } = require('electron');
app.whenReady().then(async () => {
  const window = new BrowserWindow({ show: false });
  window.on('page-title-updated', (event, title) => { if (title.includes('sums') || title.includes('Error')) { console.log(title); app.quit(); } });
  await window.loadFile('index.html');
});\n`,
  },
  go: ({ run }) => {
    try {
      run('node', 'node_modules/electron/install.js');
    } catch (error) {
      const [, reason = error.message] = /Error: (.*)/.exec(error.message) ?? [];
      throw new NotHere(`npm brings no program, and Electron's own download says: ${reason}`);
    }
    return run('node', 'node_modules/electron/cli.js', '--no-sandbox', '--headless', 'app.cjs');
  },
};

/** @type {import('./all.mjs').Row[]} */
export const runtimes = [...node, deno, ...bun, workerd, electron];
