/** The demo: a thread that trains, and a page that shows it. */

import type { ChannelChoice, Message, Report, Request, TaskName } from '../protocol.ts';
import { BeliefsPanel } from './beliefs.ts';
import { BreakPanel } from './break_panel.ts';
import { type Activity, Controls } from './controls.ts';
import { Curves } from './curves.ts';
import { element } from './element.ts';
import { type Course, headline } from './headline.ts';
import { Pictures } from './pictures.ts';
import { StepTime } from './step_time.ts';

/** Steps of a training, and how many more there are when one goes on. */
const STEPS = 100;

/** What is looked at first: where few values of a channel are on each device, they disagree most. */
const FIRST_CHOICE: Readonly<Record<TaskName, ChannelChoice>> = {
  digits: { layer: 2, channel: 0 },
  shapes: { layer: 0, channel: 0 },
};

/** What the page has to end when it is left. */
export interface Demo {
  end(): void;
}

/**
 * Fills an element with the demo.
 * @param startWorker - starts `training_worker.ts`; where it lies is known to the bundler.
 */
export function mountDemo(place: HTMLElement, startWorker: () => Worker): Demo {
  const page = new DemoPage(startWorker());
  place.replaceChildren(page.element);
  return page;
}

class DemoPage implements Demo {
  readonly element: HTMLElement;
  readonly #worker: Worker;
  readonly #controls: Controls;
  readonly #headline = element('p', { class: 'headline', role: 'status' });
  readonly #curves = new Curves();
  readonly #pictures = new Pictures();
  readonly #beliefs: BeliefsPanel;
  readonly #stepTime = new StepTime();
  readonly #break: BreakPanel;
  readonly #watching: { disconnect(): void }[] = [];
  #activity: Activity = 'idle';
  #course: Course | null = null;
  /** Number of the latest training. Reports of others, which were given up, come too late. */
  #training = 0;

  constructor(worker: Worker) {
    this.#worker = worker;
    worker.onmessage = ({ data }: MessageEvent<Message>) => {
      if (data.training === 0 || data.training === this.#training) this.#hear(data.report);
    };
    worker.onerror = ({ message }) => this.#showFailure(message || 'The thread that trains could not be started.');
    this.#controls = new Controls({
      onTrain: () => this.#trainOrPause(),
      onReset: () => this.#giveUp(),
      onChange: () => this.#giveUp(),
    });
    this.#beliefs = new BeliefsPanel((choice) => this.#ask({ type: 'observe', choice }));
    this.#break = new BreakPanel({
      onBreak: (device) => this.#ask({ type: 'break', device }),
      onRepair: () => this.#ask({ type: 'repair' }),
    });
    this.element = element(
      'div',
      { class: 'demo' },
      this.#controls.element,
      this.#headline,
      this.#curves.element,
      this.#beliefs.element,
      this.#pictures.element,
      this.#stepTime.element,
      this.#break.element,
    );
    this.#clear();
    this.#watch();
  }

  end(): void {
    this.#worker.terminate();
    for (const each of this.#watching) each.disconnect();
  }

  #hear(report: Report): void {
    switch (report.type) {
      case 'here':
        this.#controls.offer(report.devices);
        this.#invite();
        return;
      case 'started':
        this.#beliefs.offer(report.layers, FIRST_CHOICE[this.#controls.task]);
        return;
      case 'stepped':
        this.#curves.addLoss(report.step, report.losses);
        this.#beliefs.show(report.beliefs);
        this.#stepTime.add(report.milliseconds);
        return;
      case 'examined':
        this.#curves.addScore(report.step, report.scores);
        this.#pictures.show(report.pictures);
        this.#break.showDifference(report.step, report.difference);
        this.#tell({ step: report.step, scores: report.scores, difference: report.difference });
        return;
      case 'refused':
        this.#tell({ refused: report.error });
        return;
      case 'rested':
        this.#be('paused');
        return;
      case 'broken':
        this.#be('broken');
        this.#break.showBroken(report);
        return;
      case 'repaired':
        this.#be('training');
        this.#break.showRepaired(report.device);
        return;
      case 'failed':
        this.#be('idle');
        this.#showFailure(`${report.error.name}: ${report.error.message}`);
    }
  }

  #trainOrPause(): void {
    const { settings } = this.#controls;
    if (settings === null) return;
    switch (this.#activity) {
      case 'idle':
        this.#clear();
        this.#course = {
          settings,
          step: 0,
          scores: { one: null, plain: null, synchronized: null },
          difference: 0,
          refused: null,
        };
        this.#headline.textContent = 'The first steps are under way …';
        this.#break.offer(settings.deviceIds);
        this.#training += 1;
        this.#ask({
          type: 'start',
          training: this.#training,
          settings,
          choice: FIRST_CHOICE[settings.task],
          steps: STEPS,
        });
        this.#be('training');
        return;
      case 'paused':
        this.#ask({ type: 'resume', steps: STEPS });
        this.#be('training');
        return;
      case 'training':
        this.#ask({ type: 'pause' });
        return;
      case 'broken':
    }
  }

  #giveUp(): void {
    if (this.#activity === 'training' || this.#activity === 'paused') this.#ask({ type: 'pause' });
    // Of what is given up, nothing is of use any more.
    this.#training += 1;
    this.#be('idle');
    this.#clear();
  }

  #clear(): void {
    const { task } = this.#controls;
    this.#course = null;
    this.#invite();
    this.#curves.clear();
    this.#pictures.clear(task);
    this.#beliefs.clear();
    this.#stepTime.clear();
    this.#break.offer(this.#controls.settings?.deviceIds ?? []);
  }

  /** What there is to be seen, before anything is. */
  #invite(): void {
    if (this.#activity !== 'idle') return;
    const { samplesPerDevice, deviceIds } = this.#controls.settings ?? { samplesPerDevice: 2, deviceIds: [] };
    const samples = samplesPerDevice === 1 ? 'one sample' : `${samplesPerDevice} samples`;
    const on = deviceIds.length === 0 ? 'each device' : `each of ${deviceIds.length} devices`;
    this.#headline.textContent = `Press Train, and see what a network learns from ${samples} on ${on}.`;
  }

  #be(activity: Activity): void {
    this.#activity = activity;
    this.#controls.setActivity(activity);
    this.#break.setTraining(activity === 'training');
  }

  #tell(news: Partial<Course>): void {
    if (this.#course === null) return;
    this.#course = { ...this.#course, ...news };
    if (this.#course.step > 0) this.#headline.textContent = headline(this.#course);
  }

  #showFailure(text: string): void {
    this.#headline.textContent = `The training has ended. ${text}`;
  }

  #ask(request: Request): void {
    this.#worker.postMessage(request);
  }

  /** Colours and width are the page's to change. */
  #watch(): void {
    let width = 0;
    const size = new ResizeObserver(() => {
      // The height changes with what is shown.
      if (this.element.clientWidth === width) return;
      width = this.element.clientWidth;
      this.#curves.restyle();
    });
    size.observe(this.element);
    const scheme = new MutationObserver(() => this.#curves.restyle());
    scheme.observe(document.documentElement, { attributeFilter: ['class'] });
    this.#watching.push(size, scheme);
  }
}
