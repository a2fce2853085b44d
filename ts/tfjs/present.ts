/** @throws Error for what is missing although it must be there: a defect of this entry. */
export function present<T>(value: T | null | undefined, what: string): T {
  if (value === null || value === undefined) {
    throw new Error(`expected ${what} to be there`);
  }
  return value;
}
