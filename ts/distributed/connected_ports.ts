/** The ports between threads. */

/**
 * Connects so many threads by message ports, for {@link ports}; {@link spawn} does it by itself.
 * @returns the ports of each rank, in order of ranks, with `null` in its own place.
 */
export function connectedPorts(size: number): (MessagePort | null)[][] {
  const all = Array.from({ length: size }, () => Array.from({ length: size }, (): MessagePort | null => null));
  for (const [a, portsOfA] of all.entries()) {
    for (const [b, portsOfB] of all.entries()) {
      if (a < b) {
        const { port1, port2 } = new MessageChannel();
        portsOfA[b] = port1;
        portsOfB[a] = port2;
      }
    }
  }
  return all;
}
