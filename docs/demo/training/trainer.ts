/** Does what the page asks for, and tells it what happens. */

import { type DeviceName, devices } from 'syncbn';
import type { Message, Report, Request, TaskName } from '../protocol.ts';
import { Session } from './session.ts';
import type { Task } from './task.ts';
import { told } from './told.ts';

type Start = Extract<Request, { readonly type: 'start' }>;

/** Steps between two tests. */
const EXAMINED_EVERY = 10;

export class Trainer {
  readonly #send: (message: Message) => void;
  readonly #loadTask: (name: TaskName) => Promise<Task>;
  #session: Session | null = null;
  /** Number of the training, as the page counts them. */
  #number = 0;
  /** Steps still to be done. */
  #left = 0;
  /** Resolves when no step is under way. */
  #training: Promise<void> = Promise.resolve();
  /** Requests are done one after another; training goes on meanwhile. */
  #requests: Promise<void> = Promise.resolve();
  /** Breaks in the next step. */
  #breaks: DeviceName | null = null;
  /** Waits for its repair. */
  #broken: DeviceName | null = null;

  /** @param loadTask - loads the images. */
  constructor(send: (message: Message) => void, loadTask: (name: TaskName) => Promise<Task>) {
    this.#send = send;
    this.#loadTask = loadTask;
  }

  /** Resolves when the request is done, which for training is when it has begun. */
  handle(request: Request): Promise<void> {
    this.#requests = this.#requests.then(() => this.#handle(request).catch((error: unknown) => this.#fail(error)));
    return this.#requests;
  }

  /** Resolves when training has come to rest. */
  get rest(): Promise<void> {
    return this.#requests.then(() => this.#training);
  }

  async #handle(request: Request): Promise<void> {
    switch (request.type) {
      case 'start':
        return this.#start(request);
      case 'resume':
        this.#train(request.steps);
        return;
      case 'pause':
        this.#left = 0;
        return;
      case 'observe':
        this.#session?.observe(request.choice);
        return;
      case 'break':
        this.#breaks = request.device;
        return;
      case 'repair':
        return this.#repair();
    }
  }

  async #start({ training, settings, choice, steps }: Start): Promise<void> {
    this.#left = 0;
    await this.#training;
    this.#number = training;
    this.#session = null;
    this.#breaks = null;
    this.#broken = null;
    await devices.close();
    const session = await Session.open(await this.#loadTask(settings.task), settings, choice);
    this.#session = session;
    this.#post({ type: 'started', layers: session.layers });
    this.#train(steps);
  }

  async #repair(): Promise<void> {
    const [session, device] = [this.#session, this.#broken];
    if (session === null || device === null) return;
    await session.repair(device);
    this.#broken = null;
    this.#post({ type: 'repaired', device });
    this.#train(this.#left);
  }

  #train(steps: number): void {
    this.#left = steps;
    this.#training = this.#training.then(() => this.#loop()).catch((error: unknown) => this.#fail(error));
  }

  async #loop(): Promise<void> {
    const session = this.#session;
    while (session !== null && this.#left > 0 && this.#broken === null) {
      // Requests are heard between steps.
      await new Promise((resolve) => setTimeout(resolve));
      await this.#step(session);
    }
    if (session !== null && this.#broken === null) this.#post({ type: 'rested' });
  }

  async #step(session: Session): Promise<void> {
    const breaks = this.#breaks;
    this.#breaks = null;
    const report = await session.step(breaks);
    this.#post(report);
    if (report.type === 'broken') this.#broken = breaks;
    if (report.type !== 'stepped') return;
    this.#left = Math.max(0, this.#left - 1);
    if (report.step === 1 || report.step % EXAMINED_EVERY === 0 || this.#left === 0) {
      this.#post(await session.examine());
    }
  }

  #post(report: Report): void {
    this.#send({ training: this.#number, report });
  }

  #fail(error: unknown): void {
    this.#left = 0;
    this.#session = null;
    this.#post({ type: 'failed', error: told(error) });
  }
}
