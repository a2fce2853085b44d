/** Differentiable operations written by the user: PyTorch's `autograd.Function`. */

import { isGradEnabled } from './grad_mode.ts';
import { type Gradients, GraphNode } from './graph_node.ts';
import { elementCount } from './shape.ts';
import { filled } from './storage_ops.ts';
import { Tensor } from './tensor.ts';

/** Carries values from `forward` to `backward`. */
export class FunctionContext {
  /** Anything that is no tensor: shapes, strides, host arrays. */
  readonly attributes: Record<string, unknown> = {};
  /** Which inputs want a gradient, in order; no others need computing. */
  readonly needsInputGrad: readonly boolean[];
  #saved: readonly Tensor[] = [];

  /** @internal */
  constructor(needsInputGrad: readonly boolean[]) {
    this.needsInputGrad = needsInputGrad;
  }

  /** Keeps tensors until `backward` has run; inputs, outputs and others alike. */
  saveForBackward(...tensors: readonly Tensor[]): void {
    this.#saved.forEach((old) => old.dispose());
    this.#saved = tensors.map((saved) => saved.detach());
  }

  /** What `saveForBackward` was given, in order; not part of the graph. */
  get savedTensors(): readonly Tensor[] {
    return this.#saved;
  }
}

/** What {@link defineFunction} takes. Both functions may be asynchronous. */
export interface FunctionDefinition<Inputs extends readonly unknown[], Output extends Tensor | readonly Tensor[]> {
  /** Names the operation in errors; default `'Function'`. */
  readonly name?: string;
  /** Computes the output. Tensors arrive detached: nothing computed inside is recorded. */
  readonly forward: (context: FunctionContext, ...inputs: Inputs) => Output | Promise<Output>;
  /**
   * Computes the gradients of the inputs, one per input in order, `null` for what is no tensor or is not wanted; a
   * single tensor for a function of one input. Takes one gradient per output, each its own device and shape. The gradients
   * returned pass to the tape, which disposes them after use.
   */
  readonly backward: (context: FunctionContext, ...gradients: Tensor[]) => GradientResult | Promise<GradientResult>;
}

type GradientResult = Tensor | null | Gradients;

/**
 * Makes a differentiable operation.
 *
 * @example
 * const double = defineFunction({
 *   forward: async (_context, x: Tensor) => tensor((await x.data()).map((v) => 2 * v), x.shape, { device: x.device }),
 *   backward: async (_context, dy) => tensor((await dy.data()).map((v) => 2 * v), dy.shape, { device: dy.device }),
 * });
 * const y = await double(x);
 */
export function defineFunction<Inputs extends readonly unknown[], Output extends Tensor | readonly Tensor[]>(
  definition: FunctionDefinition<Inputs, Output>,
): (...inputs: Inputs) => Promise<Output> {
  const { name = 'Function', forward, backward } = definition;
  if (typeof forward !== 'function' || typeof backward !== 'function') {
    throw new TypeError('defineFunction(): expected { forward, backward }, two functions');
  }
  return async (...inputs) => {
    const tensors = inputs.map((input) => (input instanceof Tensor ? input : null));
    const isRecorded = isGradEnabled();
    const context = new FunctionContext(tensors.map((input) => isRecorded && input?.requiresGrad === true));
    const detached = inputs.map((input) => (input instanceof Tensor ? input.detach() : input));
    try {
      // The same values in the same places: only the graph is cut off.
      const output = await forward(context, ...(detached as unknown as Inputs));
      return record(name, tensors, context, backward, output, detached);
    } finally {
      detached.forEach((input) => {
        if (input instanceof Tensor) {
          input.dispose();
        }
      });
    }
  };
}

function record<Output extends Tensor | readonly Tensor[]>(
  name: string,
  inputs: readonly (Tensor | null)[],
  context: FunctionContext,
  backward: (context: FunctionContext, ...gradients: Tensor[]) => GradientResult | Promise<GradientResult>,
  output: Output,
  detached: readonly unknown[],
): Output {
  const outputs: readonly unknown[] = Array.isArray(output) ? output : [output];
  const shells = outputs.map((item, i) => {
    if (!(item instanceof Tensor)) {
      throw new TypeError(`forward of ${name}: expected a Tensor or an array of tensors, got ${typeof item} at ${i}`);
    }
    return { storage: item.storage, shape: item.shape, memoryFormat: item.memoryFormat };
  });
  const isRecorded = context.needsInputGrad.includes(true);
  if (!isRecorded) {
    context.saveForBackward();
  }
  const node = isRecorded
    ? new GraphNode({
        name,
        inputs,
        saved: [],
        owned: context.savedTensors,
        backward: async (gradients) => {
          const given = await Promise.all(
            shells.map(async ({ storage: { device }, shape, memoryFormat }, i) => {
              const length = elementCount(shape);
              const zeros = async (): Promise<Tensor> =>
                new Tensor({ storage: await filled(device, length, (b) => device.fill(b, 0)), shape, memoryFormat });
              return gradients[i] ?? (await zeros());
            }),
          );
          const result = await backward(context, ...given);
          return result instanceof Tensor || result === null ? [result] : result;
        },
      })
    : null;
  const recorded = outputs.map((item, index) => {
    const original = item as Tensor;
    const source = node === null ? null : { node, index };
    const { shape, memoryFormat } = original;
    const result = new Tensor({ storage: original.storage.retain(), shape, memoryFormat, source });
    if (!detached.includes(original)) {
      original.dispose();
    }
    return result;
  });
  // An array in, an array out; a tensor in, a tensor out.
  return (Array.isArray(output) ? recorded : recorded[0]) as Output;
}
