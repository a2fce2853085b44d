/** What a value of the wrong kind is, in the words of an error. */

/** For example `null`, `an array`, `a number`, `a value of class Map`, `an anonymous function or class`. */
export function describeValue(value: unknown): string {
  if (value === null || value === undefined) {
    return String(value);
  }
  if (Array.isArray(value)) {
    return 'an array';
  }
  if (typeof value === 'object') {
    const name = (value.constructor as { readonly name?: string } | undefined)?.name;
    return name === undefined || name === '' || name === 'Object' ? 'an object' : `a value of class ${name}`;
  }
  if (typeof value === 'function') {
    return value.name === '' ? 'an anonymous function or class' : `the function or class ${value.name}`;
  }
  return `a ${typeof value}`;
}
