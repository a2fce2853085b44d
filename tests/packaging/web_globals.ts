/**
 * What of a page's globals the library may use, for tests that run it in a context of its own. A context has the language and WebAssembly; Node's `process`,
 * `Buffer` and `require` it has not.
 */
export const webGlobals = {
  atob,
  clearTimeout,
  console,
  DecompressionStream,
  MessageChannel,
  performance,
  Response,
  setTimeout,
  TextDecoder,
  TextEncoder,
};
