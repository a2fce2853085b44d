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
  // `JSON.stringify` with a replacer would do the same in two to six times the time.
  const encode = (value: unknown): string => {
    if (typeof value === 'number') {
      return isJsonNumber(value) ? String(value) : `{"$number":"${Object.is(value, -0) ? '-0' : value}"}`;
    }
    if (typeof value !== 'object' || value === null) {
      return JSON.stringify(value ?? null);
    }
    const name = nameOf(value);
    if (name !== null) {
      return `{"$buffer":${name}}`;
    }
    if (value instanceof Float32Array || value instanceof Uint8Array) {
      return `{"$part":${parts.push(value as Part) - 1}}`;
    }
    return Array.isArray(value) ? `[${value.map(encode).join(',')}]` : encodeFields(value, encode);
  };
  let line = `["${operation}",${ticket}`;
  for (const arg of args) {
    line += `,${encode(arg)}`;
  }
  return `${line}]`;
}

/** Names of fields are identifiers. */
function encodeFields(fields: object, encode: (value: unknown) => string): string {
  let text = '';
  for (const key of Object.keys(fields)) {
    const value = (fields as Record<string, unknown>)[key];
    if (value !== undefined) {
      text += `${text === '' ? '' : ','}"${key}":${encode(value)}`;
    }
  }
  return `{${text}}`;
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
