/** What is to be learned, on which devices, and the buttons that begin and stop. */

import type { DeviceKind, DeviceName } from 'syncbn';
import type { DevicesHere, Settings, TaskName } from '../protocol.ts';
import { element } from './element.ts';

/** The most devices together, and samples of a batch: more would take too long to watch. */
const MOST_DEVICES = 16;
const MOST_SAMPLES = 64;
const COUNTS = [0, 1, 2, 4, 8, 16] as const;
const SEED = 1;

/** What a network is usually trained with here. */
const USUAL: Readonly<Record<TaskName, { readonly devices: number; readonly samplesPerDevice: number }>> = {
  digits: { devices: 8, samplesPerDevice: 2 },
  // One picture on each device is the case that synchronized batch norm was made for.
  shapes: { devices: 16, samplesPerDevice: 1 },
};

export interface ControlActions {
  /** The settings are others than before: what was trained is of no use. */
  readonly onChange: () => void;
  /** Trains, or pauses. */
  readonly onTrain: () => void;
  readonly onReset: () => void;
}

/** What the training is doing. */
export type Activity = 'idle' | 'training' | 'paused' | 'broken';

export class Controls {
  readonly element: HTMLElement;
  readonly #tasks = element('div', { class: 'radios' });
  readonly #devices = element('div', { class: 'devices' });
  readonly #samples = element(
    'select',
    { id: 'samples' },
    ...[1, 2, 4, 8].map((n) => element('option', {}, String(n))),
  );
  readonly #summary = element('p', { class: 'summary', role: 'status' });
  readonly #train = element('button', { type: 'submit', class: 'main' }, 'Train');
  readonly #reset = element('button', { type: 'button' }, 'Start again');
  readonly #counts = new Map<DeviceKind, HTMLSelectElement>();
  #task: TaskName = 'digits';

  constructor({ onChange, onTrain, onReset }: ControlActions) {
    const form = element(
      'form',
      { class: 'controls panel', 'aria-label': 'Training' },
      element('fieldset', {}, element('legend', {}, 'Network'), this.#tasks),
      element('fieldset', {}, element('legend', {}, 'Devices'), this.#devices),
      element(
        'fieldset',
        {},
        element('legend', {}, 'Samples per device'),
        element('label', { for: 'samples', class: 'hidden' }, 'Samples per device'),
        this.#samples,
      ),
      element('div', { class: 'buttons' }, this.#train, this.#reset, this.#summary),
    );
    this.#offerTasks();
    form.addEventListener('submit', (event) => {
      event.preventDefault();
      onTrain();
    });
    this.#reset.addEventListener('click', onReset);
    form.addEventListener('change', ({ target }) => {
      if (target instanceof HTMLInputElement) this.#chooseTask(target.value === 'shapes' ? 'shapes' : 'digits');
      this.#sum();
      onChange();
    });
    this.element = form;
    this.setActivity('idle');
  }

  /** @returns `null` for settings that nothing can be trained with; the page says why. */
  get settings(): Settings | null {
    const deviceIds = [...this.#counts].flatMap(([kind, select]) =>
      Array.from({ length: Number(select.value) }, (_, i): DeviceName => `${kind}:${i}`),
    );
    const samplesPerDevice = Number(this.#samples.value);
    const isPossible =
      deviceIds.length >= 2 && deviceIds.length <= MOST_DEVICES && deviceIds.length * samplesPerDevice <= MOST_SAMPLES;
    return isPossible ? { task: this.#task, deviceIds, samplesPerDevice, seed: SEED } : null;
  }

  get task(): TaskName {
    return this.#task;
  }

  /** What the machine has. Kinds that are there already stay as they are chosen. */
  offer(here: readonly DevicesHere[]): void {
    for (const { kind, label, most } of here.filter((each) => !this.#counts.has(each.kind))) {
      const counts = [...new Set([...COUNTS.filter((count) => count < most), most])];
      const select = element('select', { id: `count_${kind}` }, ...counts.map((n) => element('option', {}, String(n))));
      select.value = '0';
      this.#counts.set(kind, select);
      this.#devices.append(element('label', { for: select.id }, select, label));
    }
    const isNew = [...this.#counts.values()].every((select) => select.value === '0');
    if (isNew) this.#chooseTask(this.#task);
    this.#sum();
  }

  setActivity(activity: Activity): void {
    this.#train.textContent = { idle: 'Train', training: 'Pause', paused: 'Go on', broken: 'Broken' }[activity];
    this.#train.disabled = activity === 'broken' || this.settings === null;
    this.#reset.disabled = activity === 'idle';
  }

  #offerTasks(): void {
    const texts = { digits: 'Digits: which one an image shows', shapes: 'Shapes: what each pixel shows' } as const;
    for (const name of ['digits', 'shapes'] as const) {
      const input = element('input', {
        type: 'radio',
        name: 'task',
        value: name,
        id: `task_${name}`,
        checked: name === this.#task,
      });
      this.#tasks.append(element('label', { for: input.id }, input, texts[name]));
    }
  }

  #chooseTask(task: TaskName): void {
    this.#task = task;
    const { devices, samplesPerDevice } = USUAL[task];
    for (const [kind, select] of this.#counts) select.value = kind === 'cpu' ? String(devices) : '0';
    this.#samples.value = String(samplesPerDevice);
  }

  /** Says what the settings come to. */
  #sum(): void {
    const count = [...this.#counts.values()].reduce((sum, select) => sum + Number(select.value), 0);
    const each = Number(this.#samples.value);
    const samples = count * each;
    const text = `${count} devices with ${each} ${each === 1 ? 'sample' : 'samples'} each make batches of ${samples}`;
    if (count < 2) this.#summary.textContent = 'Choose two devices or more.';
    else if (count > MOST_DEVICES)
      this.#summary.textContent = `Choose at most ${MOST_DEVICES} devices; these are ${count}.`;
    else if (samples > MOST_SAMPLES) this.#summary.textContent = `${text}; choose at most ${MOST_SAMPLES}.`;
    else this.#summary.textContent = `${text}.`;
    this.#train.disabled = this.settings === null;
  }
}
