/**
 * Makes a machine ready to build and test: `npm run setup`, which `npm start` and `npm test` call first. Each step takes what is
 * there; else the usual way; else a way that needs nothing but the package managers. Runs with nothing installed but Node,
 * says one line for each step, and changes nothing the second time.
 */

import { setUpLinker } from './setup/linker.mjs';
import { setUpNode } from './setup/node.mjs';
import { setUpPackages } from './setup/packages.mjs';
import { setUpRust } from './setup/rust.mjs';
import { SetupError } from './setup/step.mjs';
import { removeToolBuilds, setUpWasmBindgen, setUpWasmPack } from './setup/wasm_tools.mjs';
import { setUpWasmTarget } from './setup/wasm_target.mjs';

try {
  setUpNode();
  setUpPackages();
  setUpLinker();
  setUpRust();
  setUpWasmTarget();
  setUpWasmPack();
  setUpWasmBindgen();
  removeToolBuilds();
} catch (error) {
  if (!(error instanceof SetupError)) throw error;
  console.error(`setup: ${error.message}`);
  process.exitCode = 1;
}
