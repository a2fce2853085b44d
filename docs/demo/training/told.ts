/** Errors, as they can be sent. */

import type { ErrorTold } from '../protocol.ts';

/** Name and text of an error, and those of its causes. */
export function told(error: unknown): ErrorTold {
  if (!(error instanceof Error)) return { name: 'Error', message: String(error), causes: [] };
  const causes: string[] = [];
  for (let { cause } = error; cause instanceof Error; { cause } = cause) causes.push(`${cause.name}: ${cause.message}`);
  return { name: error.name, message: error.message, causes };
}
