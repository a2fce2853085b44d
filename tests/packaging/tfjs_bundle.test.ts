/** What `syncbn/tfjs` adds to a user's bundle that has the library and TensorFlow.js already. */

import { writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { gzipSync } from 'node:zlib';
import { build } from 'esbuild';
import { expect, inject, it } from 'vitest';

/** Kilobytes are thousands here. */
const mostBytes = 15_000;

it.each([
  ['what_trains_models', 'fromLayersModel, fit, fitDataset, trainOnBatch, evaluate, predict, tfFunction'],
  ['the_layers_of_one_device', 'useSyncbnLayers'],
])('%s_is_at_most_15_kB_compressed_with_nothing_of_tensorflow_js_in_it', async (what, names) => {
  const entry = join(inject('userProject'), `${what}.mjs`);
  writeFileSync(entry, `export { ${names} } from 'syncbn/tfjs';\n`);
  const { outputFiles, metafile } = await build({
    ...{ bundle: true, minify: true, format: 'esm', platform: 'browser', target: 'es2022' },
    ...{ write: false, metafile: true, logLevel: 'silent', entryPoints: [entry], outdir: 'dist' },
    external: ['./main.js', './safetensors.js', '@tensorflow/*'],
  });
  const bytes = gzipSync(outputFiles[0]?.contents ?? '', { level: 9 }).length;
  console.log(`syncbn/tfjs, ${what}: ${bytes} bytes, gzip`);
  expect(bytes).toBeLessThanOrEqual(mostBytes);
  // Files of the package are found, not copied; and a page has one engine.
  const inputs = Object.keys(metafile.inputs);
  expect(inputs.filter((path) => /@tensorflow|main\.js/.test(path))).toEqual([]);
  expect(inputs.some((path) => path.endsWith('dist/tfjs.js'))).toBe(true);
});
