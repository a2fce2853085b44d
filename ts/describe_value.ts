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
    if (isPromise(value)) {
      return 'a promise (await it)';
    }
    // Bundlers rename classes; those of this library say their name by themselves.
    const Class = value.constructor as { readonly name?: unknown; readonly typeName?: unknown } | undefined;
    const name = Object.hasOwn(Object(Class) as object, 'typeName') ? Class?.typeName : Class?.name;
    return typeof name !== 'string' || name === '' || name === 'Object' ? 'an object' : `a value of class ${name}`;
  }
  if (typeof value === 'function') {
    return value.name === '' ? 'an anonymous function or class' : `the function or class ${value.name}`;
  }
  return `a ${typeof value}`;
}

/** The value itself where that is short, for example `'nhwc'` or `-1`; else what it is. */
export function quoteValue(value: unknown): string {
  switch (typeof value) {
    case 'string':
      return `'${value}'`;
    case 'number':
    case 'bigint':
    case 'boolean':
      return String(value);
    default:
      return describeValue(value);
  }
}

/** Whether somebody has forgotten to await a result. Promises of other realms and libraries count. */
function isPromise(value: object): boolean {
  return 'then' in value && typeof value.then === 'function';
}
