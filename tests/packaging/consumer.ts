/**
 * A user's program, as short as one that uses the whole library can be: a training step over two devices. The packaging
 * tests compile it, bundle it and run it against the packed package, as a module, as CommonJS and without Node.
 */

import { BatchNorm2d, convertModel, DataParallelWithCallBack, Sequential, tensor } from 'syncbn';

/** What a step gives that does not depend on the platform. */
export interface StepResult {
  readonly output: number[];
  readonly inputGradient: number[];
  readonly runningMean: number[];
}

/** One training step of a converted model on 2 samples of 1 channel and 2 × 2 values. */
export async function trainOneStep(): Promise<StepResult> {
  const norm = new BatchNorm2d(1);
  const model = convertModel(new Sequential(norm));
  const net = new DataParallelWithCallBack(model, { deviceIds: ['cpu:0', 'cpu:1'] });
  await net.to('cpu:0');

  const x = tensor([-1, 1, -1, 1, -1, 1, -1, 1], [2, 1, 2, 2], { device: 'cpu:0', requiresGrad: true });
  const y = await net.forward(x);
  await y.backward(tensor([1, 0, 0, 0, 0, 0, 0, 0], [2, 1, 2, 2], { device: 'cpu:0' }));

  const runningMean = model.stateDict()['0.running_mean'];
  if (x.grad === null || runningMean === undefined || typeof runningMean === 'number') {
    throw new Error('the step left no gradient or no running mean');
  }
  const [output, inputGradient, mean] = await Promise.all([y.data(), x.grad.data(), runningMean.data()]);
  return { output: [...output], inputGradient: [...inputGradient], runningMean: [...mean] };
}
