/** By one copy of the values each way, with backends whose values can be read at once: `cpu`, `wasm`, and by tfjs' own waiting `webgl`. */

import { tensor } from '../index.ts';
import type { Exchange } from './exchange.ts';
import { receive, valuesOf } from './hand_over.ts';

/** On the device `cpu:0`, which must be ready. */
export const hostExchange: Exchange = {
  receive: (given, { shape, memoryFormat }, requiresGrad) =>
    tensor(valuesOf(given), shape, { memoryFormat, order: 'memory', requiresGrad }),
  give: (made, shape) => {
    const seen = made.view([...shape], { order: 'memory' });
    try {
      return receive(seen);
    } finally {
      seen.dispose();
    }
  },
};
