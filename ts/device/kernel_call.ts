/** The call of a command in WebAssembly. One object is kept for each device, since it takes longer to make than to fill. */

import { CommandTable, type References } from './command_table.ts';
import { commands, reductions } from './commands.ts';
import type { Command } from './device.ts';

export const commandTable = new CommandTable(commands);
export const reductionTable = new CommandTable(reductions);

const NOTHING: Uint8Array = new Uint8Array(0);

/** How many commands fit into one call. */
const MOST_COMMANDS = 4;

/** What the bindings take: see `crates/commands`. */
export class KernelCall {
  /** Of a single command, its number. */
  number = 0;
  /** Of several, see `crates/wasm-cpu`. */
  numbers = 0;
  /** Filled from the first on; kernels that have a place for words are given them there. */
  words: Float64Array = new Float64Array(Math.max(commandTable.mostWords, reductionTable.mostWords));
  bytes = NOTHING;
  readonly #references: References;

  /** @param numbers - give the numbers that the kernels have for buffers. */
  constructor(numbers: Pick<References, 'input' | 'output'>) {
    this.#references = {
      ...numbers,
      array: (bytes) => {
        if (this.bytes !== NOTHING && this.bytes !== bytes) {
          throw new RangeError('expected commands of one call to share their bytes, got other bytes in one of them');
        }
        this.bytes = bytes as Uint8Array;
        return 1;
      },
    };
  }

  fill<Name extends string>(table: CommandTable<Name>, command: { readonly operation: Name }): void {
    this.number = table.numberOf(command.operation);
    this.bytes = NOTHING;
    table.encode(command, this.words, 0, this.#references);
  }

  /** @throws RangeError for more commands than one call takes, and for commands that do not share their bytes. */
  fillWithAll(sequence: readonly Command[]): void {
    if (sequence.length > MOST_COMMANDS) {
      throw new RangeError(`expected at most ${MOST_COMMANDS} commands in one call, got ${sequence.length}`);
    }
    this.numbers = 0;
    this.bytes = NOTHING;
    let place = 0;
    let shift = 0;
    for (const command of sequence) {
      this.numbers |= (commandTable.numberOf(command.operation) + 1) << shift;
      place = commandTable.encode(command, this.words, place, this.#references);
      shift += 8;
    }
  }
}
