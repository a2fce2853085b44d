import {
  BatchNorm1d,
  BatchNorm2d,
  BatchNorm3d,
  type ConversionReport,
  convertModel,
  DataParallel,
  DataParallelWithCallBack,
  devices,
  FrozenBatchNorm1d,
  FrozenBatchNorm2d,
  FrozenBatchNorm3d,
  Sequential,
  SynchronizedBatchNorm2d,
  tensor,
  type Tensor,
} from 'syncbn';
import { afterEach, describe, expect, it, vi } from 'vitest';
import { expectSameBits } from '../support/bits.ts';
import { collectGarbage } from '../support/event_loop.ts';
import { randomArray } from '../support/random.ts';

afterEach(() => void vi.restoreAllMocks());

describe('convertModel.freeze', () => {
  it.each([
    [new BatchNorm1d(2), FrozenBatchNorm1d],
    [new BatchNorm2d(2), FrozenBatchNorm2d],
    [new BatchNorm3d(2), FrozenBatchNorm3d],
    [convertModel(new BatchNorm2d(2)), FrozenBatchNorm2d],
    [new SynchronizedBatchNorm2d(2), FrozenBatchNorm2d],
  ])('replaces_a_root, case %#', (layer, Frozen) => {
    const frozen: unknown = convertModel.freeze(layer);
    expect(Object.getPrototypeOf(frozen)).toBe(Frozen.prototype);
  });

  it.each([
    ['affine', {}],
    ['without a bias', { bias: false }],
    ['without a weight', { weight: false }],
    ['without both', { affine: false }],
    ['of another eps', { eps: 0.5 }],
    ['of the arithmetic of PyTorch', { numerics: 'torch' as const }],
  ])('keeps_what_a_layer_gives_in_evaluation: %s', async (_, options) => {
    const bn = new BatchNorm2d(3, options);
    await bn.weight?.copy_(Float32Array.of(2, -3, 0.5));
    await bn.bias?.copy_(Float32Array.of(1, 0, -2));
    const x = tensor(randomArray(1, 60), [5, 3, 2, 2]);
    await bn.forward(x);
    const expected = await (await bn.eval().forward(x)).data();
    const frozen = convertModel.freeze(bn);
    expectSameBits(await (await frozen.train().forward(x)).data(), expected);
  });

  it('reaches_every_depth_keeps_sharing_and_reports', () => {
    const shared = new BatchNorm1d(2);
    const model = new Sequential(new Sequential(shared, new BatchNorm2d(3)), shared, new SynchronizedBatchNorm2d(1));
    const reports: ConversionReport[] = [];
    expect(convertModel.freeze(model, { onReport: (report) => reports.push(report) })).toBe(model);
    expect(String(model)).not.toMatch(/(?<!Frozen)BatchNorm/);
    const [inner, again] = [...model.children()];
    expect([...(inner?.children() ?? [])][0]).toBe(again ?? [...model.children()][0]);
    expect([...model.parameters()]).toEqual([]);
    expect(reports).toEqual([
      {
        converted: [
          { path: '0.0', from: 'BatchNorm1d', to: 'FrozenBatchNorm1d' },
          { path: '0.1', from: 'BatchNorm2d', to: 'FrozenBatchNorm2d' },
          { path: '2', from: 'SynchronizedBatchNorm2d', to: 'FrozenBatchNorm2d' },
        ],
        left: [],
      },
    ]);
  });

  it('leaves_layers_without_statistics_and_with_behaviour_of_their_own_and_says_so', () => {
    class Own extends BatchNorm1d {
      override extraRepr(): string {
        return 'own';
      }
    }
    const warnings = vi.spyOn(console, 'warn').mockImplementation(() => undefined);
    const model = convertModel.freeze(new Sequential(new BatchNorm1d(1, { trackRunningStats: false }), new Own(1)));
    expect(Array.from(model.children(), ({ constructor }) => constructor.name)).toEqual(['BatchNorm1d', 'Own']);
    const texts = warnings.mock.calls.map(([text]) => String(text));
    expect(texts).toHaveLength(2);
    expect(texts[0]).toContain('convertModel.freeze() left BatchNorm1d at 0 as it was: it keeps no running statistics');
    expect(texts[1]).toContain('let the class extend FrozenBatchNorm1d');
  });

  it.each([DataParallel, DataParallelWithCallBack])('keeps_the_wrapper %o', (Wrapper) => {
    const net = new Wrapper(new BatchNorm1d(2), { deviceIds: ['cpu:0', 'cpu:1'] });
    expect(convertModel.freeze(net)).toBe(net);
    expect(net.module).toBeInstanceOf(FrozenBatchNorm1d);
  });

  it('keeps_the_mode_and_the_properties_of_the_user_and_drops_what_only_training_needs', () => {
    const bn = Object.assign(new SynchronizedBatchNorm2d(2), { note: 'mine' });
    bn.registerBuffer('seen', 3);
    const frozen = convertModel.freeze(bn.eval());
    expect(frozen).toMatchObject({ note: 'mine', training: false, numFeatures: 2, seen: 3 });
    expect(Object.keys(frozen.stateDict())).toEqual(['weight', 'bias', 'running_mean', 'running_var', 'seen']);
    for (const name of ['momentum', 'affine', 'syncTimeout', 'numBatchesTracked', 'runningVarMode']) {
      expect(name in frozen, name).toBe(false);
    }
  });

  it('an_optimizer_that_still_has_the_parameters_changes_nothing_any_more', async () => {
    const bn = new BatchNorm1d(2);
    const frozen = convertModel.freeze(bn);
    await bn.weight?.copy_(Float32Array.of(9, 9));
    expectSameBits((await frozen.weight?.data()) ?? [], [1, 1]);
  });

  it('what_is_frozen_stays_as_it_is', () => {
    const frozen = convertModel.freeze(new BatchNorm1d(2));
    expect(convertModel.freeze(frozen)).toBe(frozen);
    expect(convertModel(frozen)).toBe(frozen);
    expect(convertModel.revert(frozen)).toBe(frozen);
  });

  it('a_failure_freezes_nothing_and_takes_no_memory', async () => {
    const fixed = Object.defineProperty(new Sequential(new BatchNorm1d(2, { weight: false })), '0', {
      writable: false,
    });
    const model = new Sequential(new BatchNorm1d(2, { affine: false }), fixed);
    await Promise.all([...model.buffers()].map((buffer: Tensor) => buffer.data()));
    await collectGarbage();
    const before = devices.get('cpu').memoryUsage().buffers;
    expect(() => convertModel.freeze(model)).toThrow('replaceable');
    expect([...model.children()][0]).toBeInstanceOf(BatchNorm1d);
    expect(devices.get('cpu').memoryUsage().buffers).toBe(before);
  });

  it('a_report_that_throws_leaves_a_model_that_works', async () => {
    const model = new Sequential(new BatchNorm1d(2));
    const failing = (): never => {
      throw new Error('mine');
    };
    expect(() => convertModel.freeze(model, { onReport: failing })).toThrow('mine');
    expect((await model.forward(tensor([1, 2, 3, 4], [2, 2]))).shape).toEqual([2, 2]);
  });

  it('refuses_what_is_no_module_and_unknown_options', () => {
    expect(() => convertModel.freeze({} as never)).toThrow('convertModel.freeze(): expected a module');
    expect(() => convertModel.freeze(new BatchNorm1d(1), { syncTimeout: 1 } as never)).toThrow('unknown option');
  });
});
