/** Commands as lines of JSON, and back. The same text serves a message and shared memory, which holds bytes only. */

import type { Operation, Part, SharedPart } from './worker_protocol.ts';

/**
 * One command as a line.
 * @param parts - arrays found in the arguments are added here.
 * @param nameOf - the number of a buffer; `null` for what is no buffer.
 */
export function encodeCommand(
  operation: Operation,
  ticket: number,
  args: readonly unknown[],
  parts: (Part | SharedPart)[],
  nameOf: (value: object) => number | null,
): string {
  return JSON.stringify([operation, ticket, ...args], (_key, value: unknown) => {
    if (typeof value === 'number') {
      return isJsonNumber(value) ? value : { $number: Object.is(value, -0) ? '-0' : String(value) };
    }
    if (typeof value !== 'object' || value === null) {
      return value;
    }
    if (value instanceof Float32Array || value instanceof Uint8Array) {
      return { $part: parts.push(value as Part) - 1 };
    }
    const name = nameOf(value);
    return name === null ? value : { $buffer: name };
  });
}

/** The command of a line, whose buffers are looked up by `bufferOf`. */
export function decodeCommand(
  line: string,
  parts: readonly (Part | SharedPart)[],
  bufferOf: (name: number) => unknown,
): [operation: Operation, ticket: number, ...args: unknown[]] {
  // A reviver would do the same in four times the time.
  const resolve = (value: unknown): unknown => {
    if (typeof value !== 'object' || value === null) {
      return value;
    }
    const { $buffer, $part, $number } = value as Reference;
    if ($buffer !== undefined) {
      return bufferOf($buffer);
    }
    if ($part !== undefined) {
      return parts[$part];
    }
    if ($number !== undefined) {
      return Number($number);
    }
    const fields = value as Record<string, unknown>;
    for (const key of Object.keys(fields)) {
      fields[key] = resolve(fields[key]);
    }
    return fields;
  };
  return resolve(JSON.parse(line)) as [Operation, number, ...unknown[]];
}

/** What stands for a value that JSON does not have. No argument of a device has fields of these names. */
interface Reference {
  readonly $buffer?: number;
  readonly $part?: number;
  readonly $number?: string;
}

function isJsonNumber(value: number): boolean {
  return Number.isFinite(value) && !Object.is(value, -0);
}
