/** Arrays, plain objects, maps and sets, in which a tree of modules does not look for its children. */

/** A value and the way to it: `layers[0].bn`. */
export type Placed<T> = readonly [path: string, value: T];

/** From this many entries on, a container in which nothing was found is looked through again only when its size changes. */
const LARGE = 64;
const searched = new WeakMap<object, number>();

/** What a container is called in errors; `null` for what is none. Instances of other classes are none. */
export function containerKind(value: unknown): 'array' | 'object' | 'Map' | 'Set' | null {
  if (typeof value !== 'object' || value === null) {
    return null;
  }
  if (Array.isArray(value)) {
    return 'array';
  }
  const prototype: unknown = Object.getPrototypeOf(value);
  if (prototype === null || Object.getPrototypeOf(prototype) === null) {
    return 'object';
  }
  return value instanceof Map ? 'Map' : value instanceof Set ? 'Set' : null;
}

/** Finds values of a kind in a container, and in containers within it, but not within the values found. */
export function findInside<T>(
  container: unknown,
  path: string,
  isWanted: (value: unknown) => value is T,
): readonly Placed<T>[] {
  const found: Placed<T>[] = [];
  const seen = new Set<unknown>();
  const visit = (value: unknown, way: string): void => {
    if (isWanted(value)) {
      found.push([way, value]);
      return;
    }
    const kind = containerKind(value);
    if (kind === null || seen.has(value)) {
      return;
    }
    seen.add(value);
    if (value instanceof Map) {
      // A key may be what is looked for too.
      [...value.keys()].forEach((key, i) => visit(key, `${way}.keys()[${i}]`));
    }
    for (const [key, item] of entriesOf(value)) {
      visit(item, kind === 'array' || kind === 'Set' ? `${way}[${key}]` : `${way}.${key}`);
    }
  };
  if (wasSearched(container)) {
    return found;
  }
  visit(container, path);
  if (found.length === 0) {
    noteSearched(container);
  }
  return found;
}

function entriesOf(container: unknown): Iterable<readonly [key: string, value: unknown]> {
  if (container instanceof Map) {
    return Array.from(container, ([key, value]: [unknown, unknown]) => [String(key), value] as const);
  }
  if (container instanceof Set || Array.isArray(container)) {
    return Array.from(container, (value: unknown, i) => [String(i), value] as const);
  }
  // Getters are not called: they may compute, or throw.
  const descriptors = Object.entries(Object.getOwnPropertyDescriptors(container as object));
  return descriptors.map(([key, { value }]: [string, PropertyDescriptor]) => [key, value] as const);
}

function sizeOf(container: unknown): number {
  return container instanceof Map || container instanceof Set
    ? container.size
    : Array.isArray(container)
      ? container.length
      : 0;
}

function wasSearched(container: unknown): boolean {
  const size = sizeOf(container);
  return size >= LARGE && searched.get(container as object) === size;
}

function noteSearched(container: unknown): void {
  const size = sizeOf(container);
  if (size >= LARGE) {
    searched.set(container as object, size);
  }
}
