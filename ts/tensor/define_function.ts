/** Differentiable operations written by the user: PyTorch's `autograd.Function`. */

import { describeValue } from '../describe_value.ts';
import { checkOptions } from '../check_options.ts';
import { withRoom } from '../device/awaited.ts';
import { FunctionContext } from './function_context.ts';
import { isGradEnabled } from './grad_mode.ts';
import { type Gradients, GraphNode } from './graph_node.ts';
import { upcomingSerial } from './serial.ts';
import { elementCount } from './shape.ts';
import { filled } from './storage_ops.ts';
import { isTensor, Tensor } from './tensor.ts';
import { isThenable } from './thenable.ts';

/** What {@link defineFunction} takes. Both functions may be asynchronous. */
export interface FunctionDefinition<Inputs extends readonly unknown[], Output extends Tensor | readonly Tensor[]> {
  /** Names the operation in errors; default `'Function'`. */
  readonly name?: string;
  /** Computes the output. Tensors arrive detached: nothing computed inside is recorded. */
  readonly forward: (context: FunctionContext, ...inputs: Inputs) => Output | Promise<Output>;
  /**
   * Computes the gradients of the inputs, one per input in order, `null` for what is no tensor or is not wanted; a
   * single tensor for a function of one input. Takes one gradient per output, each on the output's device and of its
   * shape, zeros for an output that was not used. A tensor made inside and returned passes to the tape.
   */
  readonly backward: (context: FunctionContext, ...gradients: Tensor[]) => GradientResult | Promise<GradientResult>;
}

/** What a backward may return. */
export type GradientResult = Tensor | null | Gradients<Tensor>;

/**
 * Makes a differentiable operation. Gradients flow to tensors that are inputs themselves; those inside arrays and objects
 * are passed as they are, as in PyTorch.
 *
 * @example
 * ```ts
 * const double = defineFunction({
 *   forward: async (_context, x: Tensor) => tensor((await x.data()).map((v) => 2 * v), x.shape, { device: x.device }),
 *   backward: async (_context, dy) => tensor((await dy.data()).map((v) => 2 * v), dy.shape, { device: dy.device }),
 * });
 * const y = await double(x);
 * ```
 * @throws TypeError unless given two functions.
 */
export function defineFunction<Inputs extends readonly unknown[], Output extends Tensor | readonly Tensor[]>(
  definition: FunctionDefinition<Inputs, Output>,
): (...inputs: Inputs) => Promise<Output> {
  checkOptions<FunctionDefinition<Inputs, Output>>('defineFunction()', definition, {
    forward: 'function',
    backward: 'object',
    name: 'string',
  });
  const { name = 'Function', forward, backward } = definition;
  if (typeof forward !== 'function' || typeof backward !== 'function') {
    throw new TypeError('defineFunction(): expected { forward, backward }, two functions');
  }
  return async (...inputs) => {
    const tensors = inputs.map((input) => (isTensor(input) ? input : null));
    const isRecorded = isGradEnabled();
    const context = new FunctionContext(tensors.map((input) => isRecorded && input?.requiresGrad === true));
    const views = inputs.map((input) => (isTensor(input) ? input.detach() : input));
    const shells: Shell[] = [];
    const node = context.needsInputGrad.includes(true)
      ? new GraphNode({
          name,
          inputs: tensors,
          saved: [],
          freeCallbacks: context.freeCallbacks,
          backward: (gradients) => runBackward(name, backward, context, shells, gradients),
        })
      : null;
    const start = upcomingSerial();
    try {
      // The same values in the same places: only the graph is cut off.
      const output = await forward(context, ...(views as unknown as Inputs));
      const isMany = Array.isArray(output);
      const outputs = checkOutputs(name, isMany ? output : [output]);
      shells.push(...outputs.map(({ storage: { device }, shape, memoryFormat }) => ({ device, shape, memoryFormat })));
      const isOwn = (item: Tensor): boolean => item.serial >= start;
      const mayBecomeOutputs = node === null || context.freeCallbacks.isEmpty;
      const recorded = outputs.map((item, index) =>
        asOutput(item, mayBecomeOutputs && isOwn(item) && !item.requiresGrad, node && { node, index }),
      );
      const others = outputs.filter((item) => isOwn(item) && !recorded.includes(item));
      others.forEach((item) => item.dispose());
      if (node === null) {
        freeUnrecorded(context, recorded);
      } else {
        node.own(context.savedTensors);
      }
      tensors.forEach((input) => input?.isDonated === true && input.dispose());
      // An array in, an array out; a tensor in, a tensor out.
      return (isMany ? recorded : recorded[0]) as Output;
    } catch (error) {
      context.release();
      // Before the node is freed, which would tell what they throw instead of this error.
      context.freeCallbacks.runQuietly();
      node?.free();
      throw error;
    } finally {
      views.forEach((view) => isTensor(view) && view.dispose());
    }
  };
}

/** What is known of an output when its gradient is zero. */
interface Shell {
  readonly device: Tensor['storage']['device'];
  readonly shape: Tensor['shape'];
  readonly memoryFormat: Tensor['memoryFormat'];
}

function checkOutputs(name: string, outputs: readonly unknown[]): readonly Tensor[] {
  for (const [i, output] of outputs.entries()) {
    if (!isTensor(output)) {
      throw new TypeError(
        `forward of ${name}: expected a Tensor or an array of tensors, got ${describeValue(output)} at ${i}`,
      );
    }
  }
  return outputs as readonly Tensor[];
}

/** Frees at once what was saved for a backward pass that nobody can ask for. @throws what a function of `onFree()` throws. */
function freeUnrecorded(context: FunctionContext, outputs: readonly Tensor[]): void {
  context.release();
  try {
    context.freeCallbacks.run();
  } catch (error) {
    // The caller gets the error instead of them.
    outputs.forEach((item) => item.dispose());
    throw error;
  }
}

/**
 * The output as the caller gets it.
 * @param mayBecomeOutput - whether the tensor itself may become part of the graph. Of an input, of a tensor that existed before, and of one
 * that a function of `onFree()` may refer to, the caller gets another handle.
 */
function asOutput(item: Tensor, mayBecomeOutput: boolean, source: Parameters<Tensor['recordAs']>[0] | null): Tensor {
  if (mayBecomeOutput) {
    if (source !== null) {
      item.recordAs(source);
    }
    return item;
  }
  const { shape, memoryFormat } = item;
  return new Tensor({ storage: item.storage.retain(), shape, memoryFormat, source });
}

/** Waits for nothing where the function does not. */
function runBackward(
  name: string,
  backward: (context: FunctionContext, ...gradients: Tensor[]) => GradientResult | Promise<GradientResult>,
  context: FunctionContext,
  shells: readonly Shell[],
  gradients: Gradients<Tensor>,
): Gradients<Tensor> | Promise<Gradients<Tensor>> {
  const zeros: Tensor[] = [];
  const disposeZerosBut = (results: readonly unknown[]): void =>
    zeros.filter((zero) => !results.includes(zero)).forEach((zero) => zero.dispose());
  const finish = (result: unknown): Gradients<Tensor> => {
    const results: readonly unknown[] = Array.isArray(result) ? result : [result];
    disposeZerosBut(results);
    return checkGradients(name, results);
  };
  const fail = (error: unknown): never => {
    disposeZerosBut([]);
    throw error;
  };
  try {
    const given = withRoom(() => completed(gradients, shells, zeros));
    const result: unknown =
      given instanceof Promise ? given.then((all) => backward(context, ...all)) : backward(context, ...given);
    return isThenable(result) ? Promise.resolve(result).then(finish).catch(fail) : finish(result);
  } catch (error) {
    return fail(error);
  }
}

/** A gradient for each output; those that are made, of zeros, are added to `zeros`, or given back where there is no room for all. */
function completed(gradients: Gradients<Tensor>, shells: readonly Shell[], zeros: Tensor[]): Tensor[] {
  try {
    return shells.map((shell, i) => {
      let gradient = gradients[i] ?? null;
      if (gradient === null) {
        gradient = zerosOf(shell);
        zeros.push(gradient);
      }
      // The function may use its gradient twice, so operations inside must not dispose it.
      return gradient.undonated();
    });
  } catch (error) {
    zeros.splice(0).forEach((zero) => zero.dispose());
    throw error;
  }
}

function zerosOf({ device, shape, memoryFormat }: Shell): Tensor {
  const storage = filled(device, elementCount(shape), (target) => device.run({ operation: 'fill', target, value: 0 }));
  return new Tensor({ storage, shape, memoryFormat });
}

function checkGradients(name: string, results: readonly unknown[]): Gradients<Tensor> {
  return results.map((result, i) => {
    if (result !== null && result !== undefined && !isTensor(result)) {
      throw new TypeError(
        `backward of ${name}: expected a Tensor or null for input ${i}, got ${describeValue(result)}`,
      );
    }
    return result ?? null;
  });
}
