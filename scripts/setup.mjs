/**
 * Makes a machine ready to build and test: `npm run setup`, which `npm test` calls first. `--for build` leaves out what only
 * tests need; `npm start` asks for no more. `--for bench` adds the frameworks that the benchmark compares
 * with, but candle, which takes minutes to build: `--for candle`; `--for matrix` adds browsers that only the matrix of platforms opens. Each step takes what is there; else the usual way; else a way that needs nothing
 * but the package managers. Runs with nothing installed but Node, says one line for each step, and changes nothing the second
 * time.
 */

import { parseArgs } from 'node:util';
import { setUpAdapter } from './setup/adapter.mjs';
import { setUpBrowser } from './setup/browser.mjs';
import { setUpCandle } from './setup/candle.mjs';
import { setUpDeno } from './setup/deno.mjs';
import { setUpLinker } from './setup/linker.mjs';
import { setUpMoreBrowsers } from './setup/more_browsers.mjs';
import { setUpNatsServer } from './setup/nats_server.mjs';
import { setUpNode } from './setup/node.mjs';
import { setUpPackages } from './setup/packages.mjs';
import { setUpRust } from './setup/rust.mjs';
import { SetupError } from './setup/step.mjs';
import { removeToolBuilds, setUpWasmBindgen, setUpWasmPack } from './setup/wasm_tools.mjs';
import { setUpWasmTarget } from './setup/wasm_target.mjs';

const purposes = ['build', 'bench', 'candle', 'matrix', 'test'];
const { for: purpose } = parseArgs({ options: { for: { type: 'string', default: 'test' } } }).values;
if (!purposes.includes(purpose)) throw new RangeError(`--for: expected one of ${purposes.join(', ')}, got ${purpose}`);

try {
  setUpNode();
  setUpPackages();
  setUpLinker();
  setUpRust();
  setUpWasmTarget();
  setUpWasmPack();
  setUpWasmBindgen();
  removeToolBuilds();
  if (purpose === 'bench') setUpPackages('bench');
  if (purpose === 'candle') setUpCandle();
  if (purpose === 'test' || purpose === 'matrix') {
    setUpBrowser();
    setUpDeno();
    setUpNatsServer();
    setUpAdapter();
  }
  if (purpose === 'matrix') setUpMoreBrowsers();
} catch (error) {
  if (!(error instanceof SetupError)) throw error;
  console.error(`setup: ${error.message}`);
  process.exitCode = 1;
}
