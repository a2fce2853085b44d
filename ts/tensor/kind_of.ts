/** What a value of the wrong kind is, for the text of an error: `null`, `string`, `Float64Array`. */
export function kindOf(value: unknown): string {
  if (typeof value !== 'object') {
    return typeof value;
  }
  // An object without a prototype has no constructor.
  return value === null
    ? 'null'
    : ((value as { readonly constructor?: { readonly name: string } }).constructor?.name ?? 'object');
}
