/** Errors tell the right remedy to somebody who has not read the documents. */

import {
  BatchNorm1d,
  BatchNorm2d,
  DataParallel,
  DataParallelWithCallBack,
  defineFunction,
  functional,
  Module,
  NoWebAssemblyError,
  Sequential,
  SynchronizedBatchNorm1d,
  tensor,
  WorkerStartError,
  type Tensor,
} from 'syncbn';
import { afterEach, describe, expect, it, vi } from 'vitest';
import { compileModule } from '../../ts/wasm/compile_module.ts';

const deviceIds = ['cpu:0', 'cpu:1'];
/** No bytes, deflated: what is compiled does not matter where the compiler only says what it would. */
const NOTHING = 'eJwDAAAAAAE=';
const batch = (): Tensor => tensor([1, 2, 3, 4, 5, 6, 7, 8], [4, 2]);

async function textOf(attempt: () => unknown): Promise<string> {
  try {
    await attempt();
  } catch (error) {
    return (error as Error).message;
  }
  throw new Error('expected an error');
}

/** A module with a layer and a way to reach it. */
class Reaching extends Module {
  readonly bn = new SynchronizedBatchNorm1d(2);
  private readonly reach: ((x: Tensor) => Promise<Tensor>) | null;

  constructor(reach: ((x: Tensor) => Promise<Tensor>) | null = null) {
    super();
    this.reach = reach;
  }

  async forward(x: Tensor): Promise<Tensor> {
    return this.reach === null ? this.bn.forward(x) : this.reach(x);
  }
}

describe('one value per channel', () => {
  const one = (): Tensor => tensor([1, 2], [1, 2]);

  it.each([true, false])('of_a_layer_without_running_statistics_is_not_sent_to_eval: training %s', async (training) => {
    const bn = new BatchNorm1d(2, { trackRunningStats: false }).train(training);
    const text = await textOf(() => bn.forward(one()));
    expect(text).toContain('use a larger batch: the layer keeps no running statistics (trackRunningStats: false)');
    expect(text).not.toContain('or eval()');
  });

  it('of_replicas_is_not_either', async () => {
    const tracked = new DataParallelWithCallBack(new SynchronizedBatchNorm1d(2), { deviceIds });
    expect(await textOf(() => tracked.forward(one()))).toContain('or eval() to normalize with the running statistics');
    const untracked = new SynchronizedBatchNorm1d(2, { trackRunningStats: false });
    const text = await textOf(() => new DataParallelWithCallBack(untracked, { deviceIds }).forward(one()));
    expect(text).toContain('the layer keeps no running statistics');
  });

  it('of_the_function_is_told_of_its_option', async () => {
    const text = await textOf(() => functional.batchNorm(one(), null, null, { training: true }));
    expect(text).toContain('use a larger batch, or training: false with runningMean and runningVar');
  });
});

describe('channels in the wrong place', () => {
  it.each<[string, Module & { forward(x: Tensor): Promise<Tensor> }]>([
    ['a layer with parameters', new BatchNorm2d(3)],
    ['a layer with nothing', new BatchNorm2d(3, { affine: false, trackRunningStats: false })],
  ])('name_dimension_1_and_memoryFormat: %s', async (_, bn) => {
    const nhwc = await textOf(() => bn.forward(tensor(new Float32Array(192), [1, 8, 8, 3])));
    for (const part of [
      'dimension 1',
      '[1, 8, 8, 3]',
      'here the last dimension has 3',
      "memoryFormat 'channels_last'",
    ]) {
      expect(nhwc).toContain(part);
    }
    expect(nhwc).not.toContain('numFeatures must be');
    const other = await textOf(() => bn.forward(tensor(new Float32Array(64), [1, 4, 4, 4])));
    expect(other).toContain('give an input of the shape (N, C, …) with 3 channels, or make the layer for 4');
  });
});

describe('a layer that a replica reaches by the wrong way', () => {
  const closure = (): Reaching => {
    const layer = new SynchronizedBatchNorm1d(2);
    return new Reaching((x) => layer.forward(x));
  };
  const arrow = (): Reaching => {
    const net = new Reaching();
    net.forward = async (x) => net.bn.forward(x);
    return net;
  };

  it.each([
    ['a closure', closure],
    ['an arrow function over this', arrow],
  ])('is_not_to_be_moved: %s', async (_, make) => {
    const text = await textOf(() => new DataParallelWithCallBack(make(), { deviceIds }).forward(batch()));
    expect(text).toContain('a replica has called a layer of the original model in the place of its own copy');
    expect(text).toContain('ModuleList');
    expect(text).not.toContain('.to(device)');
  });

  it('is_a_wrapper_in_a_wrapper', async () => {
    const inner = new DataParallelWithCallBack(new SynchronizedBatchNorm1d(2), { deviceIds });
    const outer = new DataParallel(new Sequential(inner), { deviceIds });
    const text = await textOf(() => outer.forward(batch()));
    expect(text).toContain('module.0: expected no DataParallelWithCallBack inside the module of another wrapper');
    expect(text).not.toContain('.to(');
  });

  it('is_told_of_registerBuffer_when_it_is_a_tensor', async () => {
    const statistics = tensor(new Float32Array(8), [4, 2]);
    const net = new DataParallel(new Reaching((x) => functional.normalize(x, statistics)), { deviceIds });
    expect(await textOf(() => net.forward(batch()))).toContain('registerBuffer()');
  });

  it('is_moved_where_no_replica_runs', async () => {
    const bn = await new BatchNorm1d(2).to('cpu:1');
    expect(await textOf(() => bn.forward(batch()))).toContain('move them with .to(device)');
  });

  it('is_called_too_late_by_a_backward_that_recomputes', async () => {
    class Checkpointed extends Module {
      readonly bn = new SynchronizedBatchNorm1d(2);
      async forward(x: Tensor): Promise<Tensor> {
        const recomputed = defineFunction({
          forward: async (context, input: Tensor) => {
            context.saveForBackward(input);
            return this.bn.forward(input);
          },
          backward: async (context, dy) => {
            const [input] = context.savedTensors;
            if (input !== undefined) await this.bn.forward(input);
            return dy;
          },
        });
        return recomputed(x);
      }
    }
    const net = new DataParallelWithCallBack(new Checkpointed(), { deviceIds });
    const y = await net.forward(tensor([1, 2, 3, 4, 5, 6, 7, 8], [4, 2], { requiresGrad: true }));
    const text = await textOf(() => y.backward(batch()));
    expect(text).toContain('layer module.bn: it is a copy that one replica had for one forward pass, which is over');
    expect(text).not.toContain('dispose()');
  });
});

describe('a plain layer among replicas', () => {
  afterEach(() => {
    vi.restoreAllMocks();
  });

  it('is_warned_of_once_when_it_trains', async () => {
    const warn = vi.spyOn(console, 'warn').mockReturnValue(undefined);
    const net = new DataParallelWithCallBack(new Sequential(new BatchNorm1d(2), new SynchronizedBatchNorm1d(2)), {
      deviceIds,
    });
    net.eval();
    await net.forward(batch());
    net.train();
    await net.forward(tensor([1, 2], [1, 2])).catch(() => undefined);
    expect(warn).not.toHaveBeenCalled();
    for (let step = 0; step < 3; step++) await net.forward(batch());
    expect(warn).toHaveBeenCalledTimes(1);
    const text = String(warn.mock.calls[0]?.[0]);
    for (const part of ['module.0', 'statistics of each device alone', 'SynchronizedBatchNorm1d', 'convertModel()']) {
      expect(text).toContain(part);
    }
  });
});

describe('what is no module', () => {
  it.each<[string, unknown, string]>([
    ['an anonymous function', () => undefined, 'an anonymous function or class'],
    ['a class', BatchNorm1d, 'the function or class BatchNorm1d'],
    ['an array', [new BatchNorm1d(1)], 'an array'],
  ])('is_named_without_gaps: %s', async (_, given, name) => {
    const text = await textOf(() => new Sequential(given as Module));
    expect(text).toContain(`expected modules, got ${name} at position 0`);
    expect(text).not.toContain('  ');
  });
});

describe('what a Sequential does not take', () => {
  it.each<[string, unknown, string]>([
    ['an array', [new BatchNorm1d(2)], 'give the modules one by one: new Sequential(...modules)'],
    ['a class', BatchNorm1d, 'make an instance of the class with new'],
    ['a function', (x: Tensor) => x, 'put a function into the forward() of a class that extends Module'],
    ['an object', {}, 'a module is an instance of a class that extends Module'],
  ])('is_told_what_to_do_about_%s', async (_, given, remedy) => {
    expect(await textOf(() => new Sequential(given as never))).toContain(remedy);
  });
});

describe('too many channels', () => {
  it.each([2 ** 28, 2 ** 31, 2 ** 40])('are_refused_at_once: %d', (channels) => {
    expect(() => new BatchNorm1d(channels)).toThrow(
      /expected at most 268435455 channels.*numFeatures is C of an input/,
    );
  });
});

describe('a platform that allows less', () => {
  afterEach(() => {
    vi.restoreAllMocks();
  });

  // The texts of Chromium, Firefox and Safari.
  it.each([
    "WebAssembly.compile(): Compiling or instantiating WebAssembly module violates the following Content Security policy directive because 'unsafe-eval' is not an allowed source of script",
    'call to WebAssembly.compile() blocked by CSP',
    "Refused to create a WebAssembly object because 'unsafe-eval' or 'wasm-unsafe-eval' is not an allowed source of script",
  ])('is_told_which_source_of_script_to_allow: %s', async (message) => {
    vi.spyOn(WebAssembly, 'compile').mockRejectedValue(new WebAssembly.CompileError(message));
    const error: unknown = await compileModule(NOTHING).catch((reason: unknown) => reason);
    expect(error).toBeInstanceOf(NoWebAssemblyError);
    expect((error as Error).message).toContain("'wasm-unsafe-eval'");
  });

  it('by_another_error_is_not', async () => {
    const cause = new WebAssembly.CompileError('expected magic word');
    vi.spyOn(WebAssembly, 'compile').mockRejectedValue(cause);
    await expect(compileModule(NOTHING)).rejects.toBe(cause);
  });

  it('without_WebAssembly_is_told_so', async () => {
    const present = Object.getOwnPropertyDescriptor(globalThis, 'WebAssembly') ?? {};
    Reflect.deleteProperty(globalThis, 'WebAssembly');
    try {
      await expect(compileModule('')).rejects.toThrow('there is no WebAssembly here');
    } finally {
      Object.defineProperty(globalThis, 'WebAssembly', present);
    }
  });

  it.each([
    ["This document requires 'TrustedScriptURL' assignment.", 'Trusted Types'],
    ['A dynamic import callback was not specified.', '--experimental-vm-modules'],
    ['You need to run with --experimental-vm-modules', '--experimental-vm-modules'],
    [
      "Access to the script at 'blob:x' is denied by the document's Content Security Policy.",
      'content security policy',
    ],
    ['the worker could not be started', 'content security policy'],
    ['Worker terminated due to reaching memory limit', "use 'cpu'"],
  ])('to_start_workers_is_answered_by_the_cause: %s', (message, remedy) => {
    const text = new WorkerStartError('worker:0', { cause: new Error(message) }).message;
    expect(text).toContain(remedy);
    expect(text.includes('content security policy')).toBe(remedy === 'content security policy');
  });
});
