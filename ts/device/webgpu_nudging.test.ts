/** What makes a browser look for the answers of its GPU. */

import { describe, expect, it } from 'vitest';
import { Nudging } from './webgpu_nudging.ts';

/** A queue of a GPU that is done after some looks. */
class Queue {
  looks = 0;
  readonly label = '';
  readonly __brand = 'GPUQueue';
  readonly #answers: { readonly after: number; readonly resolve: (value: number) => void }[] = [];

  submit(commands: Iterable<GPUCommandBuffer>): undefined {
    expect([...commands]).toEqual([]);
    this.looks += 1;
    for (const { after, resolve } of this.#answers) if (this.looks === after) resolve(after);
  }

  answerAfter(looks: number): Promise<number> {
    return new Promise((resolve) => this.#answers.push({ after: looks, resolve }));
  }

  onSubmittedWorkDone(): Promise<undefined> {
    return Promise.resolve(undefined);
  }

  writeBuffer(): undefined {
    throw new Error('nothing is written');
  }

  writeTexture(): undefined {
    throw new Error('nothing is written');
  }

  copyExternalImageToTexture(): undefined {
    throw new Error('nothing is copied');
  }
}

async function pause(milliseconds: number): Promise<void> {
  await new Promise((resolve) => setTimeout(resolve, milliseconds));
}

describe('an answer that is hastened', () => {
  it('comes from a browser that looks only when commands come', async () => {
    const queue = new Queue();
    expect(await new Nudging(queue).hasten(queue.answerAfter(3))).toBe(3);
    expect(queue.looks).toBe(3);
  });

  it('may take longer than the looks follow closely', async () => {
    const queue = new Queue();
    expect(await new Nudging(queue).hasten(queue.answerAfter(40))).toBe(40);
  });

  it('may be one of several, and another may follow', async () => {
    const queue = new Queue();
    const nudging = new Nudging(queue);
    expect(await Promise.all([5, 2, 9].map((looks) => nudging.hasten(queue.answerAfter(looks))))).toEqual([5, 2, 9]);
    expect(await nudging.hasten(queue.answerAfter(12))).toBe(12);
  });

  it.each(['resolved', 'rejected'] as const)('is waited for no more once it is %s', async (ending) => {
    const queue = new Queue();
    const answer = queue.answerAfter(2).then(() => (ending === 'resolved' ? 1 : Promise.reject(new Error('lost'))));
    const hastened = new Nudging(queue).hasten(answer);
    await (ending === 'resolved' ? expect(hastened).resolves.toBe(1) : expect(hastened).rejects.toThrow('lost'));
    await pause(20);
    expect(queue.looks).toBe(2);
  });
});
