/** A WebAssembly module that a program gives, in whichever form it has it. */

import { describeValue } from '../describe_value.ts';
import { compileBytes } from './compile_module.ts';

/** The file `syncbn/cpu.wasm` of the package: its address, a response, its bytes, the compiled module, or a promise of one. */
export type GivenModule = Given | Promise<Given>;

type Given = string | URL | Response | ArrayBuffer | ArrayBufferView | WebAssembly.Module;

/**
 * The compiled module.
 * @param where - begins the text of an error.
 * @throws TypeError for anything else; Error for a file that cannot be loaded; NoWebAssemblyError where the platform does not compile it.
 */
export async function compileGiven(where: string, source: GivenModule): Promise<WebAssembly.Module> {
  const given: unknown = await source;
  const tag = Object.prototype.toString.call(given).slice(8, -1);
  if (tag === 'WebAssembly.Module') {
    return given as WebAssembly.Module;
  }
  if (typeof given === 'string' || tag === 'URL') {
    return compileResponse(where, await load(where, String(given)));
  }
  if (tag === 'Response') {
    return compileResponse(where, given as Response);
  }
  if (ArrayBuffer.isView(given) || tag === 'ArrayBuffer') {
    return compileBytes(given as ArrayBuffer | ArrayBufferView<ArrayBuffer>);
  }
  throw new TypeError(
    `${where}: expected the file syncbn/cpu.wasm as an address, a Response, bytes or a WebAssembly.Module, got ${describeValue(given)}`,
  );
}

async function load(where: string, address: string): Promise<Response> {
  try {
    return await fetch(address);
  } catch (cause) {
    throw new Error(`${where}: ${address} could not be loaded; serve the file there, or read it and give its bytes`, {
      cause,
    });
  }
}

async function compileResponse(where: string, response: Response): Promise<WebAssembly.Module> {
  if (!response.ok) {
    throw new Error(
      `${where}: expected a file at ${response.url}, got the answer ${response.status}; serve the file there, or read it and give its bytes`,
    );
  }
  return compileBytes(await response.arrayBuffer());
}
