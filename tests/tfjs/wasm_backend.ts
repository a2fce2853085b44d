/** tfjs' wasm backend, in Node and in pages. */

import { setWasmPaths } from '@tensorflow/tfjs-backend-wasm';

/** Addresses of the backend's modules; Node finds them by itself. */
const addresses = import.meta.glob<string>('../../node_modules/@tensorflow/tfjs-backend-wasm/dist/*.wasm', {
  query: '?url',
  import: 'default',
  eager: true,
});

/** Imports the backend, so that `tf.setBackend('wasm')` works. */
export function provideWasmBackend(): void {
  if (typeof document === 'undefined') return;
  const byName = Object.entries(addresses).map(([path, address]) => [path.slice(path.lastIndexOf('/') + 1), address]);
  setWasmPaths(Object.fromEntries(byName) as Parameters<typeof setWasmPaths>[0]);
}
