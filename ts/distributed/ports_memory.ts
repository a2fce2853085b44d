/** Memory that threads share, and how it is cut into inboxes: see `shared_inbox.ts`. */

/** All inboxes together, at most, in bytes, where rings may be that short. Systems give memory as it is written to. */
const MEMORY_BYTES = 2 ** 26;
/** Of 2 and of 4 ranks: what an all-reduce has under way, 2 MiB, has room. What has none goes by messages, and is overtaken by what comes later. */
const LONGEST_RING = 2 ** 22;
const SHORTEST_RING = 2 ** 14;

/** Words; what different threads write is in different lines of the caches. */
export const LINE = 16;
export const RING_HEAD = 2 * LINE;
export const INBOX_HEAD = LINE;

/**
 * Memory in which so many threads exchange frames, for `ports()`; `spawn()` makes it by itself.
 * @returns `null` where threads share none, as in pages that are not cross-origin isolated.
 */
export function portsMemory(size: number): SharedArrayBuffer | null {
  const { crossOriginIsolated = true } = globalThis as { readonly crossOriginIsolated?: boolean };
  if (typeof SharedArrayBuffer === 'undefined' || !crossOriginIsolated || size < 2) {
    return null;
  }
  try {
    return new SharedArrayBuffer(4 * size * inboxWords(size));
  } catch {
    // Too little memory: messages need none.
    return null;
  }
}

/** How many bytes a ring has: a power of two. */
export function ringBytes(size: number): number {
  const share = 2 ** Math.floor(Math.log2(MEMORY_BYTES / size ** 2));
  return Math.min(LONGEST_RING, Math.max(SHORTEST_RING, share));
}

/** How many words an inbox has. */
export function inboxWords(size: number): number {
  return INBOX_HEAD + size * (RING_HEAD + ringBytes(size) / 4);
}
