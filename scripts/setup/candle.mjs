/** candle for WebAssembly, which the benchmark compares with: the crate `bench/candle`, outside the workspace of the library. */

import { createHash } from 'node:crypto';
import { existsSync, readFileSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { root, run, wasmEnvironment } from '../tools.mjs';
import { say } from './step.mjs';

const crate = join(root, 'bench', 'candle');
const out = join(root, 'bench', 'build', 'candle');
const stamp = join(out, 'inputs.sha256');

/** As its own build for the web asks: SIMD, random numbers from the platform. Takes the place of the flags of our own modules. */
const flags = '-Ctarget-feature=+simd128 --cfg getrandom_backend="wasm_js"';

/** Builds it when an input has changed. Where that fails, candle takes no part, and the others do. */
export function setUpCandle() {
  const inputs = hashOfInputs();
  if (existsSync(stamp) && readFileSync(stamp, 'utf8') === inputs) {
    say('candle', 'built');
    return;
  }
  say('candle', 'is being built, which takes some minutes the first time');
  const parameters = [
    'build',
    crate,
    '--release',
    '--target',
    'nodejs',
    '--no-pack',
    '--out-name',
    'candle',
    '--out-dir',
    out,
  ];
  const env = { ...wasmEnvironment(), RUSTFLAGS: flags };
  const { ok, output } = run('wasm-pack', ['--log-level', 'error', ...parameters, '--', '--locked'], {
    env,
    quiet: true,
  });
  if (!ok) {
    say('candle', `takes no part, for it cannot be built here:\n${output.split('\n').slice(-5).join('\n')}`);
    return;
  }
  // Node takes the glue for what it is, CommonJS, in a folder that says so.
  writeFileSync(join(out, 'package.json'), '{ "type": "commonjs" }\n');
  writeFileSync(stamp, inputs);
}

function hashOfInputs() {
  const hash = createHash('sha256').update(flags);
  for (const file of ['Cargo.toml', 'Cargo.lock', 'src/lib.rs']) hash.update(readFileSync(join(crate, file)));
  return hash.digest('hex');
}
