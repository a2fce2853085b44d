/** The call of a command in WebAssembly. One object is kept for each device, since it takes longer to make than to fill. */

import { CommandTable, type References } from './command_table.ts';
import { commands, reductions } from './commands.ts';

export const commandTable = new CommandTable(commands);
export const reductionTable = new CommandTable(reductions);

const NOTHING: Uint8Array = new Uint8Array(0);

/** What the bindings take: see `crates/commands`. */
export class KernelCall {
  number = 0;
  readonly words = new Float64Array(Math.max(commandTable.mostWords, reductionTable.mostWords));
  bytes = NOTHING;
  readonly #references: References;

  /** @param numbers - give the numbers that the kernels have for buffers. */
  constructor(numbers: Pick<References, 'input' | 'output'>) {
    this.#references = {
      ...numbers,
      array: (bytes) => {
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
}
