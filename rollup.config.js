import { readFileSync, rmSync } from 'node:fs';
import { fileURLToPath, pathToFileURL } from 'node:url';
import { inflateSync } from 'node:zlib';
import { transform } from 'esbuild';
import { dts } from 'rollup-plugin-dts';
import typescript from 'typescript';
import { buildWorker } from './scripts/build_worker.mjs';
import { besides, inPlace } from './scripts/entries.mjs';
import { stripComments } from './scripts/strip_comments.mjs';

const here = (path) => fileURLToPath(new URL(path, import.meta.url));

/** The main entry, those that stand in its place, and what all of them export. */
const mainEntry = here('ts/index.ts');
const whatAllExport = here('ts/main.ts');

/** What the entries beside the main one have of the library besides: a file that hands on what these files export. */
const sharedEntry = here('ts/shared.ts');
const shared = Array.from(readFileSync(sharedEntry, 'utf8').matchAll(/from '\.(\/\w+\.ts)'/g), ([, path]) =>
  here(`ts${path}`),
);

const { version } = JSON.parse(readFileSync('package.json', 'utf8'));
const banner = `/*! syncbn ${version} | MIT */`;

/**
 * Removes the types. TypeScript does it file by file, which is all that `erasableSyntaxOnly` code needs; a plugin that checks
 * the whole program again would repeat `npm run types`.
 */
const eraseTypes = {
  name: 'erase-types',
  transform(code, id) {
    if (!id.endsWith('.ts')) return null;
    const { outputText } = typescript.transpileModule(code, {
      fileName: id,
      compilerOptions: { target: 'ES2022', module: 'ESNext', verbatimModuleSyntax: true },
    });
    return { code: outputText, map: null };
  },
};

/**
 * Comments are half of a file; those that users need are in the declarations. Lines stay.
 * There are no source maps: they would be larger than all else, and point at sources that are not published.
 */
const withoutComments = {
  name: 'without-comments',
  async renderChunk(code, { name }, { format }) {
    // Local names of what is loaded later are short, or the package would weigh more than 800 kB. Errors tell the names of the classes in `library`.
    const options = { minifySyntax: true, minifyIdentifiers: name !== 'main', target: 'es2022', charset: 'utf8' };
    const { code: shorter } = await transform(code, { ...options, format: format === 'cjs' ? 'cjs' : 'esm' });
    return { code: stripComments(shorter), map: null };
  },
};

/** The same as small as can be, for a script that no bundler makes smaller. */
const minified = {
  name: 'minified',
  async renderChunk(code) {
    return {
      code: (await transform(code, { minify: true, target: 'es2022', charset: 'utf8', banner })).code,
      map: null,
    };
  },
};

/**
 * How CommonJS loads the library's other files: by `require`, which works in the `vm` contexts of test runners, where `import()` does not.
 * What only the platform knows is imported, since it may be an ES module.
 */
const requireOwnFiles = {
  name: 'require-own-files',
  renderDynamicImport({ format, targetModuleId }) {
    if (format !== 'cjs' || targetModuleId === null) return null;
    return { left: 'Promise.resolve().then(() => require(', right: '))' };
  },
};

/** All formats find the WebAssembly of GPUs in one file, an ES module: it is large, and CommonJS and scripts can import it. */
const gpuModule = here('ts/wasm/generated/gpu_module.js');
const gpuModuleInOneFile = {
  name: 'gpu-module-in-one-file',
  resolveDynamicImport: (specifier) =>
    typeof specifier === 'string' && specifier.endsWith('/gpu_module.js')
      ? { id: './gpu_module.js', external: true }
      : null,
};

/**
 * The file of an input, or of what it loads later, bears the name of its source. The inputs only hand on what `library` exports, and `distributed` what
 * `distributed_library` does: what is loaded later imports from there what users do not get.
 */
const libraries = { main: 'library', distributed: 'distributed_library' };
const files = (extension) => {
  const nameOf = ({ name }) => `${libraries[name] ?? name}.${extension}`;
  return { dir: 'dist', entryFileNames: `[name].${extension}`, chunkFileNames: nameOf };
};

// Before anything is bundled: the sources import the text.
const program = await buildWorker();

/** Files that are no part of a bundle. */
const besideTheBundles = {
  name: 'beside-the-bundles',
  async generateBundle() {
    const add = (fileName, source) => this.emitFile({ type: 'asset', fileName, source });
    // For pages that must serve the program of a worker by themselves; all others find the same text in `worker_device`.
    add('worker.js', `${banner}\n${program}\n`);
    add('worker.d.ts', '/** The program of a worker: a script to serve, not to import. */\nexport {};\n');
    const { wasmDeflatedBase64 } = await import(pathToFileURL(here('ts/wasm/generated/cpu_module.js')).href);
    add('cpu.wasm', inflateSync(Buffer.from(wasmDeflatedBase64, 'base64')));
    const wasmTypes =
      '/** The compiled module, where the platform or the bundler gives one. */\ndeclare const module: WebAssembly.Module;\nexport default module;\n';
    add('wasm.d.ts', wasmTypes);
    add('syncbn.iife.d.ts', "export * from './index.js';\nexport as namespace syncbn;\n");
  },
};

/**
 * Node reads the declarations of a CommonJS entry only from a `.d.cts`. An ES module may hand on what stands there, so the text is in the package once, and
 * a tensor of the one kind of module is a tensor of the other.
 */
const onceForBoth = {
  name: 'once-for-both',
  generateBundle(_options, bundle) {
    for (const chunk of Object.values(bundle)) {
      const common = chunk.fileName.replace('.d.ts', '.d.cts');
      this.emitFile({
        type: 'asset',
        fileName: common,
        source: chunk.code.replaceAll(/'(\.\/\w+)\.js'/g, "'$1.cjs'"),
      });
      chunk.code = `export * from './${common.replace('.d.cts', '.cjs')}';\n`;
    }
  },
};

/**
 * Lets users check the declarations whose `lib` is older than what they use, or has no WebGPU. Where it has, empty interfaces
 * add nothing to its own.
 */
const olderLibraries = `/// <reference lib="esnext.disposable" />
declare global {
  interface GPUDevice {}
  interface GPUBuffer {}
}`;

/**
 * What older compilers do not know: parameters of typed arrays (before TypeScript 5.7), `ErrorOptions` (before ES2022). And what the declarations of
 * the classes no longer keep to, once what is internal has been taken out.
 */
const forOlderCompilers = {
  name: 'for-older-compilers',
  renderChunk: (code) =>
    code
      .replaceAll(/\b(\w+Array|ArrayBufferView)<(?:Shared)?ArrayBuffer(?:Like)?>/g, '$1')
      .replaceAll(/\bErrorOptions\b/g, '{ readonly cause?: unknown }')
      .replaceAll(/ implements (?:Differentiable<Tensor>|ModuleInterface)(?= \{)/g, ''),
};

// Chunks of an earlier build would be published, too.
rmSync('dist', { recursive: true, force: true });

/** Anything that is worth a warning is worth a look before it is published: a cycle, an import that is not found. */
const onLog = (level, log) => {
  if (level === 'warn') throw new Error(log.message);
};

/** What is marked as internal is for the library, and for tests of this project; users do not see it. */
const declarations = () => [
  dts({ tsconfig: 'tsconfig.lib.json', compilerOptions: { stripInternal: true } }),
  forOlderCompilers,
  onceForBoth,
];

/** Packages that users bring: one engine of TensorFlow.js per page. Such an entry imports them and the main one. */
const outside = [mainEntry, ...shared, /^@tensorflow\//, /^@nats-io\//];
const safetensorsEntry = here('ts/safetensors.ts');
const distributedEntry = here('ts/distributed.ts');
const outsideOf = (name) =>
  [...outside, safetensorsEntry, distributedEntry].filter((entry) => entry !== here(`ts/${name}.ts`));

/** What is made of an entry beside the main one: a file that imports the main one. */
const besideMain = (extension, format) => ({
  ...files(extension),
  format,
  banner,
  // What all main entries export: so such an entry serves each of them.
  paths: {
    [mainEntry]: `./main.${extension}`,
    ...Object.fromEntries(shared.map((file) => [file, `./shared.${extension}`])),
    [safetensorsEntry]: `./safetensors.${extension}`,
    [distributedEntry]: `./distributed.${extension}`,
  },
  plugins: [requireOwnFiles, withoutComments],
  hoistTransitiveImports: false,
});

export default [
  {
    input: {
      index: mainEntry,
      main: whatAllExport,
      shared: sharedEntry,
      ...Object.fromEntries(inPlace.map((name) => [name, here(`ts/${name}.ts`)])),
      gpu_module: gpuModule,
    },
    plugins: [eraseTypes, gpuModuleInOneFile, besideTheBundles],
    onLog,
    // What only workers or GPUs need is a file beside the entry, loaded when the first of them is made ready.
    // The package says that its files have no side effects, so bundlers warn of an import that takes nothing.
    output: { ...files('js'), format: 'es', banner, hoistTransitiveImports: false, plugins: [withoutComments] },
  },
  {
    input: {
      index: mainEntry,
      main: whatAllExport,
      shared: sharedEntry,
      ...Object.fromEntries(inPlace.map((name) => [name, here(`ts/${name}.ts`)])),
    },
    plugins: [eraseTypes, gpuModuleInOneFile],
    onLog,
    output: { ...files('cjs'), format: 'cjs', banner, plugins: [requireOwnFiles, withoutComments] },
  },
  {
    // A script of a page.
    input: here('ts/iife.ts'),
    plugins: [eraseTypes, gpuModuleInOneFile],
    onLog,
    output: {
      file: 'dist/syncbn.iife.js',
      format: 'iife',
      name: 'syncbn',
      inlineDynamicImports: true,
      plugins: [minified],
    },
  },
  {
    input: whatAllExport,
    plugins: declarations(),
    output: { file: 'dist/index.d.ts', format: 'es', banner: olderLibraries },
  },
  ...inPlace.map((name) => ({
    input: here(`ts/${name}.ts`),
    plugins: declarations(),
    external: [whatAllExport],
    output: { ...files('d.ts'), format: 'es', paths: { [whatAllExport]: './index.js' } },
  })),
  ...besides.map((name) => ({
    input: here(`ts/${name}.ts`),
    plugins: [eraseTypes],
    external: outsideOf(name),
    onLog,
    output: [besideMain('js', 'es'), besideMain('cjs', 'cjs')],
  })),
  ...besides.map((name) => ({
    input: here(`ts/${name}.ts`),
    plugins: declarations(),
    external: outsideOf(name).filter((file) => !shared.includes(file)),
    output: {
      ...files('d.ts'),
      format: 'es',
      paths: { [mainEntry]: './index.js', [distributedEntry]: './distributed.js' },
    },
  })),
];
