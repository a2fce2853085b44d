/** What `syncbn/tfjs` adds to a user's bundle that has the library and TensorFlow.js already. */

import { writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { gzipSync } from 'node:zlib';
import { build } from 'esbuild';
import { expect, inject, it } from 'vitest';

/** Kilobytes are thousands here. What a page loads later, to read a file of PyTorch for example, is a file of its own. */
it.each([
  ['what_trains_models', 'fromLayersModel, fit, fitDataset, trainOnBatch, evaluate, predict, tfFunction', 13],
  ['the_layers_of_one_device', 'useSyncbnLayers', 4],
  ['what_trains_convolutions_on_wasm', 'registerTrainingKernels', 6],
  ['everything', '*', 19],
] as const)('%s_is_small_and_has_nothing_of_tensorflow_js_in_it', async (what, names, mostKilobytes) => {
  const entry = join(inject('userProject'), `${what}.mjs`);
  writeFileSync(entry, `export ${names === '*' ? names : `{ ${names} }`} from 'syncbn/tfjs';\n`);
  const { outputFiles, metafile } = await build({
    ...{ bundle: true, splitting: true, minify: true, format: 'esm', platform: 'browser', target: 'es2022' },
    ...{ write: false, metafile: true, logLevel: 'silent', entryPoints: [entry], outdir: 'dist' },
    external: ['./main.js', './safetensors.js', '@tensorflow/*'],
  });
  const entryFile = outputFiles.find(({ path }) => path.endsWith(`${what}.js`));
  const bytes = gzipSync(entryFile?.contents ?? '', { level: 9 }).length;
  expect(bytes).toBeGreaterThan(1000);
  console.log(`syncbn/tfjs, ${what}: ${bytes} bytes, gzip`);
  expect(bytes).toBeLessThanOrEqual(mostKilobytes * 1000);
  // Files of the package are found, not copied; and a page has one engine.
  const inputs = Object.keys(metafile.inputs);
  expect(inputs.filter((path) => /@tensorflow|main\.js/.test(path))).toEqual([]);
  expect(inputs.some((path) => path.endsWith('dist/tfjs.js'))).toBe(true);
});
