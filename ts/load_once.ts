/** Files of the library that are loaded when they are first needed. */

/**
 * Loads a file once. Who asks meanwhile goes on after those who asked before. A failure is not remembered, so that the next call tries again.
 * @returns gives what was loaded, at once where it is there.
 */
export function loadOnce<T extends object>(load: () => Promise<T>): () => T | Promise<T> {
  let loaded: T | null = null;
  let loading: Promise<T> | null = null;
  const begin = async (): Promise<T> => {
    try {
      loaded = await load();
      return loaded;
    } finally {
      loading = null;
    }
  };
  return () => loaded ?? (loading ??= begin());
}
