/** Recording operations that may take their time. */

import { isGradEnabled } from '../tensor/grad_mode.ts';
import { GraphNode, type GraphNodeOptions } from '../tensor/graph_node.ts';
import { Tensor, type TensorParts } from '../tensor/tensor.ts';

/** An operation without its outputs. It saves nothing. */
export interface RecordedOperation extends Pick<GraphNodeOptions<Tensor>, 'name' | 'inputs' | 'backward'> {
  /** Computes the outputs, whose references pass to the tensors. */
  readonly forward: () => readonly TensorParts[] | Promise<readonly TensorParts[]>;
}

/**
 * Runs an operation and makes it a node of the graph, when anything it takes requires a gradient. The node exists from the
 * beginning, so that an input disposed meanwhile keeps its place in the graph.
 */
export function record({ name, inputs, forward, backward }: RecordedOperation): Tensor[] | Promise<Tensor[]> {
  const isRecorded = isGradEnabled() && inputs.some((input) => input?.requiresGrad === true);
  const node = isRecorded ? new GraphNode({ name, inputs, saved: [], backward }) : null;
  const finish = (outputs: readonly TensorParts[]): Tensor[] =>
    outputs.map(
      ({ storage, shape, memoryFormat }, index) =>
        new Tensor({ storage, shape, memoryFormat, source: node && { node, index } }),
    );
  const fail = (error: unknown): never => {
    node?.free();
    throw error;
  };
  try {
    const outputs = forward();
    return outputs instanceof Promise ? outputs.then(finish).catch(fail) : finish(outputs);
  } catch (error) {
    return fail(error);
  }
}
