/** What bundlers make of a page, and what their development servers send. */

import { join } from 'node:path';
import { inNode, ofPage, page, workerPage } from './sources.mjs';

const inWorker = ", in the app's own worker";

/** Rows that build a page, and show what came out. */
const built = ({ build, out = 'out', ...row }) => ({
  kinds: ofPage,
  ...row,
  go: (project, pages) => {
    build(project);
    return pages.show(`${pages.serve(join(project.folder, out))}/index.html`);
  },
});

/** Rows whose server builds what the page asks for. */
const served = ({ server, ...row }) => ({
  kinds: ofPage,
  ...row,
  go: async (project, pages) => {
    const { address, stop } = await project.serve(...server);
    try {
      return await pages.show(`${address}/`);
    } finally {
      await stop();
    }
  },
});

const copyPage = (project) => project.run('cp', 'index.html', 'out/');

const esbuild = [page, workerPage].map((files) =>
  built({
    name: `esbuild${files === page ? '' : inWorker}`,
    quickKinds: files === page ? inNode : undefined,
    files: {
      ...files,
      'bundle.mjs': `import { build } from 'esbuild';
const entryPoints = ${files === page ? "['app.js']" : "['app.js', 'app_worker.js']"};
await build({ entryPoints, bundle: true, format: 'esm', splitting: true, minify: true, outdir: 'out', logLevel: 'error' });\n`,
    },
    version: ({ versionOf }) => versionOf('esbuild'),
    build: (project) => {
      project.run('node', 'bundle.mjs');
      copyPage(project);
    },
  }),
);

const rollup = built({
  name: 'Rollup, without plugins but for the resolver of its own',
  quickKinds: inNode,
  files: {
    ...page,
    'rollup.config.js': `import { fileURLToPath } from 'node:url';
const entry = fileURLToPath(new URL('node_modules/syncbn/dist/index.js', import.meta.url));
export default { input: 'app.js', output: { dir: 'out' }, plugins: [{ resolveId: (id) => (id === 'syncbn' ? entry : null) }] };\n`,
  },
  version: ({ versionOf }) => versionOf('rollup'),
  build: (project) => {
    project.run('node', 'node_modules/rollup/dist/bin/rollup', '--config', 'rollup.config.js', '--silent');
    copyPage(project);
  },
});

/** Before version 8 a worker is one script unless the configuration says otherwise, and Rollup makes none of a program that loads parts later. */
function viteRows(version) {
  const hasSmallWorkers = Number(version) < 8;
  const forWorkers = hasSmallWorkers ? " (`worker: { format: 'es' }`)" : '';
  const config = (worker) => `export default { base: './', logLevel: 'error'${worker} };\n`;
  const command = ['node', 'node_modules/vite/bin/vite.js'];
  return [page, workerPage].flatMap((files) => {
    const common = {
      tools: { vite: version },
      files: {
        ...files,
        'vite.config.js': config(files === workerPage && hasSmallWorkers ? ", worker: { format: 'es' }" : ''),
      },
    };
    const where = files === page ? '' : inWorker;
    return [
      built({
        ...common,
        name: `Vite ${version}, build${where}${where && forWorkers}`,
        out: 'dist',
        build: ({ run }) => run(...command, 'build'),
      }),
      served({
        ...common,
        name: `Vite ${version}, development server${where}`,
        server: [...command, '--port', 'PORT', '--strictPort'],
      }),
    ];
  });
}

/** The Vite of this repository. */
const ownVite = [page, workerPage].map((files) =>
  built({
    name: `Vite, build${files === page ? '' : inWorker}`,
    quickKinds: files === page ? ofPage : inNode,
    out: 'dist',
    files: { ...files, 'vite.config.js': "export default { base: './', logLevel: 'error' };\n" },
    version: ({ versionOf }) => versionOf('vite'),
    build: ({ run }) => run('node', 'node_modules/vite/bin/vite.js', 'build'),
  }),
);

const webpack = [page, workerPage].map((files) =>
  built({
    name: `webpack 5${files === page ? '' : inWorker}`,
    tools: { webpack: '5', 'webpack-cli': '6' },
    files,
    build: (project) => {
      const options = ['--mode', 'production', '--entry', './app.js', '--output-path', './out'];
      project.run('node', 'node_modules/webpack/bin/webpack.js', ...options, '--output-filename', 'app.js');
      copyPage(project);
    },
  }),
);

const parcel = [page, workerPage].map((files) => {
  const parameters = ['build', 'index.html', '--public-url', './', '--dist-dir', 'out'];
  // Otherwise Parcel 2.16 leaves out of a worker what the worker shares with the files that it loads later.
  const forWorker = files === page ? [] : ['--no-scope-hoist'];
  return built({
    name: `Parcel 2${files === page ? '' : inWorker}`,
    tools: { parcel: '2' },
    remark: files === page ? '' : 'with `--no-scope-hoist`, without which Parcel leaves a module out of the worker',
    files,
    build: ({ run }) => run('node', 'node_modules/parcel/lib/bin.js', ...parameters, ...forWorker),
  });
});

/** A component that the server computes, and one that the browser does. */
const nextFiles = {
  'next.config.mjs': 'export default { devIndicators: false };\n',
  'app/layout.js': 'export default ({ children }) => <html lang="en"><body>{children}</body></html>;\n',
  'app/page.js': `import * as syncbn from 'syncbn';
import { sums } from '../program.mjs';
export const dynamic = 'force-dynamic';
export default async function Page() {
  return <p>{await sums(syncbn)}</p>;
}\n`,
  'app/client/page.js': `'use client';
import { useEffect } from 'react';
import * as syncbn from 'syncbn';
import { sums } from '../../program.mjs';
let found = null;
export default function Page() {
  useEffect(() => {
    // In development React calls an effect twice.
    found ??= sums(syncbn);
    found.catch(String).then((text) => { document.title = text; });
  }, []);
  return <p>a step on the devices of the page</p>;
}\n`,
};

const next = ['build', 'dev'].flatMap((mode) =>
  ['server', 'client'].map((side) => ({
    name: `Next, ${mode}, component of the ${side}`,
    tools: { next: '16', react: '19', 'react-dom': '19' },
    kinds: side === 'server' ? inNode : ofPage,
    files: nextFiles,
    go: async (project, pages) => {
      const command = ['node', 'node_modules/next/dist/bin/next'];
      if (mode === 'build') project.run(...command, 'build');
      const { address, stop } = await project.serve(...command, mode === 'build' ? 'start' : 'dev', '--port', 'PORT');
      try {
        if (side === 'client') return await pages.show(`${address}/client`);
        const text = await (await fetch(address)).text();
        return /sums: [\w= ]+/.exec(text)?.[0] ?? text.replaceAll(/<script.*?<\/script>|<[^>]*>/gs, ' ').trim();
      } finally {
        await stop();
      }
    },
  })),
);

/** @type {import('./all.mjs').Row[]} */
export const bundlers = [
  ...esbuild,
  rollup,
  ...ownVite,
  ...['5', '6', '7', '8'].flatMap(viteRows),
  ...webpack,
  ...parcel,
  ...next,
];
