import { readFileSync, rmSync } from 'node:fs';
import { fileURLToPath } from 'node:url';
import { dts } from 'rollup-plugin-dts';
import typescript from 'typescript';
import { buildWorker } from './scripts/build_worker.mjs';
import { besides as names } from './scripts/entries.mjs';

const input = 'ts/index.ts';

/** Entries beside the main one, which they import as a user would, so that there is one `Tensor`. */
const besides = names.map((name) => `ts/${name}.ts`);
const mainEntry = fileURLToPath(new URL(input, import.meta.url));

/**
 * Removes the types. TypeScript does it file by file, which is all that `erasableSyntaxOnly` code needs; a plugin that checks
 * the whole program again would repeat `npm run types`.
 */
const eraseTypes = {
  name: 'erase-types',
  transform(code, id) {
    if (!id.endsWith('.ts')) return null;
    const { outputText, sourceMapText } = typescript.transpileModule(code, {
      fileName: id,
      compilerOptions: { target: 'ES2022', module: 'ESNext', verbatimModuleSyntax: true, sourceMap: true },
    });
    // The comment that points at the map is Rollup's to write.
    return { code: outputText.replace(/\n\/\/# sourceMappingURL=.*$/, ''), map: sourceMapText };
  },
};

/**
 * The file of an input, or of what it loads later, bears the name of its source. The input itself only hands on what `library` exports:
 * what is loaded later imports from there what users do not get.
 */
const files = (extension) => {
  const nameOf = ({ name }) => `${name === 'index' ? 'library' : name}.${extension}`;
  return { dir: 'dist', entryFileNames: `[name].${extension}`, chunkFileNames: nameOf };
};

// Before anything is bundled: the sources import the text.
const program = await buildWorker();

/** The program of a worker, for pages that must serve it by themselves; all others find the same text in `worker_device`. */
const workerProgram = {
  name: 'worker-program',
  generateBundle() {
    this.emitFile({ type: 'asset', fileName: 'worker.js', source: `${banner}\n${program}\n` });
  },
};

/** Node reads the declarations of a CommonJS entry only from a `.d.cts`; they are the same. */
const alsoAsCts = {
  name: 'also-as-cts',
  generateBundle(_options, bundle) {
    for (const { fileName, code } of Object.values(bundle)) {
      const source = code.replaceAll("'./index.js'", "'./index.cjs'");
      this.emitFile({ type: 'asset', fileName: fileName.replace('.d.ts', '.d.cts'), source });
    }
  },
};

const { version } = JSON.parse(readFileSync('package.json', 'utf8'));
const banner = `/*! syncbn ${version} | MIT */`;

/**
 * Lets users check the declarations whose `lib` is older than `Symbol.dispose`, or has no WebGPU. Where it has, empty interfaces
 * add nothing to its own.
 */
const olderLibraries = `/// <reference lib="esnext.disposable" />
declare global {
  interface GPUDevice {}
  interface GPUBuffer {}
}`;

// Chunks of an earlier build would be published, too.
rmSync('dist', { recursive: true, force: true });

/** Anything that is worth a warning is worth a look before it is published: a cycle, an import that is not found. */
const onLog = (level, log) => {
  if (level === 'warn') throw new Error(log.message);
};

/** Packages that users bring: one engine of TensorFlow.js per page. Such an entry imports them and the main one. */
const outside = [mainEntry, /^@tensorflow\//];

/** What is made of such an entry: a file that imports the main one. */
const besideMain = (extension, format) => ({
  ...files(extension),
  format,
  sourcemap: true,
  banner,
  paths: { [mainEntry]: `./index.${extension}` },
});

export default [
  {
    input,
    plugins: [eraseTypes, workerProgram],
    onLog,
    // What only workers or GPUs need is a file beside the entry, loaded when the first of them is made ready.
    output: [
      { ...files('js'), format: 'es', sourcemap: true, banner },
      // `require` for what is loaded later, too: Jest runs CommonJS where `import()` is not to be had.
      { ...files('cjs'), format: 'cjs', dynamicImportInCjs: false, sourcemap: true, banner },
    ],
  },
  {
    input,
    plugins: [dts({ tsconfig: 'tsconfig.lib.json' }), alsoAsCts],
    output: { file: 'dist/index.d.ts', format: 'es', banner: olderLibraries },
  },
  ...besides.map((input) => ({
    input,
    plugins: [eraseTypes],
    external: outside,
    onLog,
    output: [besideMain('js', 'es'), besideMain('cjs', 'cjs')],
  })),
  ...besides.map((input) => ({
    input,
    plugins: [dts({ tsconfig: 'tsconfig.lib.json' }), alsoAsCts],
    external: outside,
    output: { ...files('d.ts'), format: 'es', paths: { [mainEntry]: './index.js' } },
  })),
];
