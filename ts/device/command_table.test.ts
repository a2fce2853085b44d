import { describe, expect, it } from 'vitest';
import rust from '../../crates/commands/src/lib.rs?raw';
import { CommandTable } from './command_table.ts';
import { commands, reductions, type Row } from './commands.ts';
import type { DeviceBuffer } from './device.ts';
import { workerCommands, workerTable } from './worker_commands.ts';
import { decodeCommand, outputsOf } from './worker_decoding.ts';

/** The rows of a table of `crates/commands`, with the names and kinds of `commands.ts`. */
function rowsInRust(table: string): Record<string, Row> {
  const [, text = ''] = new RegExp(`\\n    ${table}:\\n([^]*?)\\n}`).exec(rust) ?? [];
  const rows = text.replaceAll(/\/\/\/.*/g, '').matchAll(/(\w+) \{([^}]*)\}/g);
  return Object.fromEntries(
    [...rows].map(([, name = '', fields = '']) => [
      camelCase(name),
      Object.fromEntries(
        [...fields.matchAll(/(\w+): (\w+)/g)].map(([, field = '', kind = '']) => [camelCase(field), kindOf(kind)]),
      ) as Row,
    ]),
  );
}

function camelCase(name: string): string {
  const joined = name.replaceAll(/_(\w)/g, (_, letter: string) => letter.toUpperCase());
  return joined.charAt(0).toLowerCase() + joined.slice(1);
}

function kindOf(name: string): string {
  return name.startsWith('Optional') ? `${camelCase(name.slice('Optional'.length))}?` : camelCase(name);
}

const tables: readonly { name: string; rows: Readonly<Record<string, Row>>; inRust: string }[] = [
  { name: 'commands', rows: commands, inRust: 'Command' },
  { name: 'reductions', rows: reductions, inRust: 'Reduction' },
];

describe.each(tables)('the table of $name', ({ rows, inRust }) => {
  it('is_the_same_in_both_languages', () => {
    const expected = Object.entries(rowsInRust(inRust)).map(([name, row]) => [name, Object.entries(row)]);
    expect(expected.length).toBeGreaterThan(0);
    expect(Object.entries(rows).map(([name, row]) => [name, Object.entries(row)])).toEqual(expected);
  });
});

/** Distinct values of each kind, and those that are nearly missing. */
const layout = { samples: 3, channels: 2, length: 5, format: 'channels_last', part: [1, 2] } as const;
const examples: Readonly<Record<string, readonly unknown[]>> = {
  inputRows: [{ offset: 3, stride: 7 }],
  outputRows: [{ offset: 0, stride: 2 ** 32 }],
  count: [0, 1, 4294967295],
  number: [0, -0, 0.1, Infinity, Number.NaN, 2 ** 53],
  flag: [false, true],
  numerics: ['stable', 'torch'],
  epsMode: ['plus', 'clamp'],
  batch: [layout, { ...layout, format: 'contiguous', part: [0, 0] }],
  channels: [
    [0, 0],
    [4, 9],
  ],
  bytes: [Uint8Array.of(1, 2)],
  values: [Float32Array.of(0.5)],
  // Pages that are not isolated have no `SharedArrayBuffer` by name.
  sharedBytes: [new Uint8Array(new WebAssembly.Memory({ initial: 1, maximum: 1, shared: true }).buffer, 0, 4)],
};
const plain = (kind: string): string => kind.replace('?', '');

describe.each([...workerTable.names])('%s', (operation) => {
  const row: Row = workerCommands[operation];
  const buffers: DeviceBuffer[] = [];
  const parts: (Uint8Array | Float32Array)[] = [];
  const numberOf = (buffer: DeviceBuffer): number => buffers.push(buffer);
  const references = {
    input: numberOf,
    output: numberOf,
    array: (array: Uint8Array | Float32Array) => parts.push(array),
  };
  const referents = {
    buffer: (number: number) => buffers[number - 1],
    array: (number: number) => parts[number - 1],
  };

  /** A command whose fields of a kind have its n-th example. */
  function commandOf(n: number): { readonly operation: typeof operation } {
    const fields = Object.entries(row).map(([name, kind]) => {
      const own = examples[plain(kind)] ?? [];
      const buffer = { length: n };
      const example = own[n % own.length] ?? buffer;
      return [name, plain(kind).endsWith('Rows') ? { buffer, ...example } : example];
    });
    return { operation, ...(Object.fromEntries(fields) as object) };
  }

  it.each([0, 1, 2, 3, 4, 5])('arrives_as_it_was_given: example %i', (n) => {
    const words = new Float64Array(5 + workerTable.wordCountOf(operation));
    const command = commandOf(n);
    expect(workerTable.encode(command, words, 5, references)).toBe(words.length);
    expect(decodeCommand(operation, words, 5, referents)).toEqual(command);
  });

  it('arrives_without_what_is_absent', () => {
    const isOptional = ([, kind]: [string, string]): boolean => kind.endsWith('?');
    const absent = Object.entries(row).filter(isOptional);
    const words = new Float64Array(workerTable.wordCountOf(operation));
    const command = { ...commandOf(0), ...Object.fromEntries(absent.map(([name]) => [name, undefined])) };
    workerTable.encode(command, words, 0, references);
    const arrived = decodeCommand(operation, words, 0, referents);
    for (const [name, kind] of absent) {
      expect([name, arrived[name]]).toEqual([name, absentOf[plain(kind)] ?? null]);
    }
  });

  it('tells_which_buffers_it_writes', () => {
    const words = new Float64Array(workerTable.wordCountOf(operation));
    const outputs: number[] = [];
    let count = 0;
    workerTable.encode(commandOf(0), words, 0, {
      ...references,
      input: () => (count += 1),
      output: () => outputs[outputs.push((count += 1)) - 1] ?? 0,
    });
    expect(outputsOf(operation, words, 0)).toEqual(outputs);
  });
});

/** What arrives where a field is absent, if it is not `null`. */
const absentOf: Readonly<Record<string, unknown>> = { number: Number.NaN, count: Number.NaN, channels: [0, 0] };

it('a_command_whose_buffer_is_refused_is_refused', () => {
  const table = new CommandTable(commands);
  const refuse = (): never => {
    throw new RangeError('not in use');
  };
  const references = { input: refuse, output: refuse, array: () => 1 };
  const fill = { operation: 'fill', target: {}, value: 1 } as const;
  expect(() => table.encode(fill, new Float64Array(table.mostWords), 0, references)).toThrow('not in use');
});
