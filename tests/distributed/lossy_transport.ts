/** A transport on which frames get lost, come twice, overtake each other or are damaged, by chance but always alike. */

import type { Transport } from 'syncbn/distributed';
import { randomUniform } from '../support/random.ts';

export interface Losses {
  /** Shares of all frames. */
  readonly dropped?: number;
  readonly doubled?: number;
  readonly reordered?: number;
  readonly seed: number;
}

export function lossy(transport: Transport, { dropped = 0, doubled = 0, reordered = 0, seed }: Losses): Transport {
  let drawn = 0;
  const random = (): number => {
    drawn += 1;
    return randomUniform(100 * seed + transport.rank, drawn);
  };
  return {
    ...transport,
    onFrame: (receive) => {
      const held: Uint8Array[] = [];
      transport.onFrame((frame) => {
        if (random() < dropped) return;
        if (random() < reordered) {
          held.push(frame);
          return;
        }
        receive(frame);
        if (random() < doubled) receive(frame);
        held.splice(0).forEach(receive);
      });
    },
  };
}
