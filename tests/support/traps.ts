/** Traps in the kernels of CPU devices, as WebAssembly makes them: no kernel is known that traps by itself. */

import { commands, reductions } from '../../ts/device/commands.ts';

/** Which call traps, counted from 1 in each instance that is made while traps are installed. */
export interface Trap {
  /** The function of the bindings. */
  readonly binding: string;
  /** The number of the command, where the function runs commands; `null` where it runs none. */
  readonly command: number | null;
  readonly call: number;
}

/** The trap of a command, or of `allocate` or `release`. */
export function trapIn(operation: string, call = 1): Trap {
  for (const [binding, table] of Object.entries({ run: commands, reduce: reductions })) {
    const command = Object.keys(table).indexOf(operation);
    if (command >= 0) return { binding, command, call };
  }
  return { binding: operation, command: null, call };
}

/**
 * From now on, kernels of new instances trap as `trapOf` says when the instance is made. An instance that has trapped refuses every
 * later call, as the bindings do. Needs nothing from outside, so that its text can be given to a worker.
 * @returns what ends this.
 */
export function installTraps(trapOf: () => Trap | null): () => void {
  const { Instance, Module } = WebAssembly;
  // The bytes of (module (func (export "t") unreachable)).
  const binary = Uint8Array.of(
    ...[0, 97, 115, 109, 1, 0, 0, 0, 1, 4, 1, 96, 0, 0, 3, 2, 1, 0],
    ...[7, 5, 1, 1, 116, 0, 0, 10, 5, 1, 3, 0, 0, 11],
  );
  const { t: unreachable } = new Instance(new Module(binary)).exports as { t: () => never };
  type Call = (...args: readonly unknown[]) => unknown;
  /** Several commands have a byte each, one more than their numbers: see `crates/wasm-cpu`. */
  const hasCommand = (binding: string, numbers: unknown, command: number): boolean =>
    binding === 'run'
      ? [0, 8, 16, 24].some((shift) => (((numbers as number) >> shift) & 255) === command + 1)
      : numbers === command;

  class TrappingInstance extends Instance {
    constructor(module: WebAssembly.Module, imports?: WebAssembly.Imports) {
      super(module, imports);
      const trap = trapOf();
      let calls = 0;
      let hasTrapped = false;
      const guarded = (name: string, kernel: Call): Call => {
        return (...args) => {
          if (hasTrapped) {
            throw new Error('recursive use of an object detected which would lead to unsafe aliasing in rust');
          }
          // The first argument is the address of the device.
          const isMeant = name === trap?.binding && (trap.command === null || hasCommand(name, args[1], trap.command));
          calls += isMeant ? 1 : 0;
          if (isMeant && calls === trap.call) {
            hasTrapped = true;
            unreachable();
          }
          return kernel(...args);
        };
      };
      const kernels = Object.entries(this.exports).map(([name, value]) => {
        const [, kernel = null] = /cpukernels_(\w+)$/.exec(name) ?? [];
        return [name, kernel === null ? value : guarded(kernel, value as Call)];
      });
      Object.defineProperty(this, 'exports', { value: Object.fromEntries(kernels) as WebAssembly.Exports });
    }
  }

  WebAssembly.Instance = TrappingInstance;
  return () => {
    WebAssembly.Instance = Instance;
  };
}

/** A program whose kernels trap so, before another program. */
export function withTrap(trap: Trap | null, program: string): string {
  return `(${installTraps.toString()})(() => (${JSON.stringify(trap)}));\n${program}`;
}
