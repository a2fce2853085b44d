/** A button that breaks a device, and what happens then. */

import type { DeviceName } from 'syncbn';
import type { Report } from '../protocol.ts';
import { element, panel } from './element.ts';
import { milliseconds, number } from './format.ts';

type Broken = Extract<Report, { readonly type: 'broken' }>;

/** What the panel asks for. */
export interface BreakActions {
  readonly onBreak: (device: DeviceName) => void;
  readonly onRepair: () => void;
}

export class BreakPanel {
  readonly element: HTMLElement;
  readonly #device = element('select', { id: 'device' });
  readonly #break = element('button', { type: 'button' }, 'Break it');
  readonly #repair = element('button', { type: 'button', class: 'main' }, 'Repair it and go on');
  readonly #told = element('div', { 'aria-live': 'polite' });
  /** A device that was repaired, until the next test has told how it went on. */
  #repaired: string | null = null;

  constructor({ onBreak, onRepair }: BreakActions) {
    this.#break.addEventListener('click', () => {
      this.#break.disabled = true;
      onBreak(this.#device.value);
    });
    this.#repair.addEventListener('click', () => {
      this.#repair.disabled = true;
      onRepair();
    });
    this.element = panel(
      'break',
      'When a device breaks',
      element(
        'p',
        { class: 'note' },
        'A worker or a GPU is ended in the middle of a synchronized step, while the other devices wait for it; a part of a thread throws an error. The first device has the weights and is left alone.',
      ),
      element('div', { class: 'choices' }, element('label', { for: 'device' }, 'Device ', this.#device), this.#break),
      this.#told,
    );
  }

  /** @param deviceIds - of the training that begins. */
  offer(deviceIds: readonly string[]): void {
    const chosen = this.#device.value;
    const others = deviceIds.slice(1);
    this.#device.replaceChildren(...others.map((name) => element('option', {}, name)));
    this.#device.value = others.includes(chosen) ? chosen : (others.at(-1) ?? '');
    this.#repaired = null;
    this.#told.replaceChildren();
  }

  /** Whether there is a step to break a device in. */
  setTraining(isTraining: boolean): void {
    this.#break.disabled = !isTraining;
  }

  showBroken({ device, error, stateBefore, stateAfter, milliseconds: time }: Broken): void {
    this.#break.disabled = true;
    this.#repair.disabled = false;
    const isUnchanged = stateBefore === stateAfter;
    this.#told.replaceChildren(
      element(
        'p',
        {},
        `The step failed after ${milliseconds(time)}; no device waits for the broken one. The program got this error:`,
      ),
      element('pre', { tabindex: 0, role: 'region', 'aria-label': 'The error' }, `${error.name}: ${error.message}`),
      element(
        'p',
        {},
        `Checksum of weights and statistics before the step ${stateBefore}, after it ${stateAfter}: `,
        element('strong', {}, isUnchanged ? 'nothing has changed.' : 'they have changed, which is a defect.'),
      ),
      element('p', {}, `A fresh ${device} can take the place of the broken one.`),
      this.#repair,
    );
    this.#repair.focus({ preventScroll: true });
  }

  showRepaired(device: string): void {
    this.#repaired = device;
    this.#told.replaceChildren(element('p', {}, `${device} is back, and the step is made again with the same batch.`));
  }

  /** @param difference - of a weight from training on one device. */
  showDifference(step: number, difference: number): void {
    if (this.#repaired === null) return;
    const device = this.#repaired;
    const outcome =
      difference === 0
        ? 'no weight differs from training on one device, to the last bit.'
        : `the largest difference of a weight from training on one device is ${number(difference)}.`;
    this.#repaired = null;
    this.#told.replaceChildren(element('p', {}, `${device} was lost and replaced. At step ${step} ${outcome}`));
  }
}
