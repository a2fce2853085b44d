/** The program of the thread that trains. The page stays free: all it does is draw. */

import { init } from 'syncbn';
import type { Message, Request, TaskName } from '../protocol.ts';
import { devicesHere } from './devices_here.ts';
import { shapesTask } from './shapes_task.ts';
import type { Task } from './task.ts';
import { Trainer } from './trainer.ts';

/** Of this thread; the types of the DOM are those of a page. */
const thread = globalThis as unknown as {
  onmessage: ((event: MessageEvent<Request>) => void) | null;
  postMessage(message: Message): void;
};

const loaded = new Map<TaskName, Promise<Task>>();
const trainer = new Trainer((message) => thread.postMessage(message), taskOf);
thread.onmessage = ({ data }) => void trainer.handle(data);
void announce();
// What is trained first is ready when somebody asks for it.
void Promise.all([taskOf('digits'), init()]);

async function announce(): Promise<void> {
  for await (const devices of devicesHere()) {
    thread.postMessage({ training: 0, report: { type: 'here', devices } });
  }
}

/** Loaded once. */
function taskOf(name: TaskName): Promise<Task> {
  const task = loaded.get(name) ?? loadTask(name);
  loaded.set(name, task);
  return task;
}

async function loadTask(name: TaskName): Promise<Task> {
  switch (name) {
    case 'shapes':
      return shapesTask();
    case 'digits': {
      const [{ digitsTask }, { loadDigits }] = await Promise.all([
        import('./digits_task.ts'),
        import('./load_digits.ts'),
      ]);
      return digitsTask(await loadDigits());
    }
  }
}
