/**
 * Files of the library that are loaded when they are first needed. What loads them is made where a file begins, not in the function that needs it: Vite 8 makes no
 * worker of one script where that function, which has been left out, is all that imports a file.
 */

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
