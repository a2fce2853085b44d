/** A module or a tensor that is cloned or written as JSON would be an empty shell: both say how to save instead. */

import { BatchNorm1d, Module, Sequential, tensor } from 'syncbn';
import { describe, expect, it } from 'vitest';

class Plain extends Module {
  forward(): void {
    // It has nothing that could not be cloned.
  }
}

const things: readonly (readonly [string, () => unknown])[] = [
  ['a tensor', () => tensor([1, 2])],
  ['a state dict', () => new BatchNorm1d(2).stateDict()],
  ['a parameter', () => new BatchNorm1d(2).weight],
  ['a layer', () => new BatchNorm1d(2)],
  ['a layer without tensors', () => new BatchNorm1d(2, { affine: false, trackRunningStats: false })],
  ['a module without properties', () => new Plain()],
  ['a model', () => new Sequential(new BatchNorm1d(2))],
  ['a structure that holds one', () => ({ step: 3, nested: [{ model: new Plain() }] })],
];

describe.each(things)('%s', (_, make) => {
  it('cannot_be_written_as_json', () => {
    expect(() => JSON.stringify(make())).toThrow(TypeError);
    expect(() => JSON.stringify(make())).toThrow('await tensor.data()');
  });

  it('cannot_be_cloned_or_sent', () => {
    const { port1, port2 } = new MessageChannel();
    for (const copy of [structuredClone, (value: unknown) => port1.postMessage(value)]) {
      let failure: unknown = null;
      try {
        copy(make());
      } catch (error) {
        failure = error;
      }
      expect(failure).toMatchObject({ name: 'DataCloneError' });
      expect((failure as Error).message).toContain('await tensor.data()');
    }
    port1.close();
    port2.close();
  });
});
