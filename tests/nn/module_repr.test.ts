import { BatchNorm1d, BatchNorm2d, Module, Sequential } from 'syncbn';
import { describe, expect, it } from 'vitest';

class Block extends Module {
  readonly bn = new BatchNorm1d(2);

  forward(): void {
    // Its text is the case.
  }
}

describe('toString()', () => {
  const line = 'eps=1e-05, momentum=0.1, affine=True, bias=True, track_running_stats=True';

  it.each<[Module, string]>([
    [new BatchNorm2d(64), `BatchNorm2d(64, ${line})`],
    [new BatchNorm1d(3, { bias: false }), `BatchNorm1d(3, ${line.replace('bias=True', 'bias=False')})`],
    [
      new BatchNorm1d(3, { affine: false, trackRunningStats: false, momentum: null, eps: 1 }),
      'BatchNorm1d(3, eps=1.0, momentum=None, affine=False, bias=False, track_running_stats=False)',
    ],
    [new Sequential(), 'Sequential()'],
    [
      new Sequential(new BatchNorm2d(3), new Sequential(new BatchNorm1d(2))),
      `Sequential(\n  (0): BatchNorm2d(3, ${line})\n  (1): Sequential(\n    (0): BatchNorm1d(2, ${line})\n  )\n)`,
    ],
    [new Block(), `Block(\n  (bn): BatchNorm1d(2, ${line})\n)`],
  ])('is what PyTorch prints, case %#', (module, text) => {
    expect(module.toString()).toBe(text);
  });

  it.each([
    [1e-5, '1e-05'],
    [1.5e-7, '1.5e-07'],
    [0.0001, '0.0001'],
    [0.001, '0.001'],
    [0, '0.0'],
    [3, '3.0'],
    [1e16, '1e+16'],
  ])('prints %d as Python prints floats', (eps, text) => {
    expect(String(new BatchNorm1d(1, { eps }))).toContain(`eps=${text},`);
  });

  it('names a class of the user, also one that extends a layer', () => {
    class MyNorm extends BatchNorm2d {}
    expect(String(new MyNorm(1))).toMatch(/^MyNorm\(1, /);
  });

  it('prints several lines of extraRepr() one below the other', () => {
    class Told extends Sequential {
      override extraRepr(): string {
        return 'one\ntwo';
      }
    }
    expect(String(new Told())).toBe('Told(\n  one\n  two\n)');
    expect(String(new Told(new Sequential()))).toBe('Told(\n  one\n  two\n  (0): Sequential()\n)');
  });
});
