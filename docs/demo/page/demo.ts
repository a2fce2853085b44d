/** The demo: a thread that trains, and a page that shows it. */

import type { ChannelChoice, Report, Request, TaskName } from '../protocol.ts';
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
  page.restyle();
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
  /** Reports of a training that was given up, until the next has started. */
  #isStale = false;

  constructor(worker: Worker) {
    this.#worker = worker;
    worker.onmessage = ({ data }: MessageEvent<Report>) => this.#hear(data);
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

  /** Draws anew what has colours of its own. */
  restyle(): void {
    this.#curves.restyle();
  }

  end(): void {
    this.#worker.terminate();
    for (const each of this.#watching) each.disconnect();
  }

  #hear(report: Report): void {
    if (report.type === 'here') {
      this.#controls.offer(report.devices);
      return;
    }
    if (report.type === 'started') this.#isStale = false;
    if (this.#isStale) return;
    switch (report.type) {
      case 'started': {
        const { task } = this.#controls;
        this.#beliefs.offer(report.layers, FIRST_CHOICE[task]);
        return;
      }
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
        this.#ask({ type: 'start', settings, choice: FIRST_CHOICE[settings.task], steps: STEPS });
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
    this.#isStale = true;
    this.#clear();
    this.#be('idle');
  }

  #clear(): void {
    const { task } = this.#controls;
    this.#course = null;
    this.#headline.textContent = 'Press Train, and see what two samples on each device do to a network.';
    this.#curves.clear();
    this.#pictures.clear(task);
    this.#beliefs.clear();
    this.#stepTime.clear();
    this.#break.offer(this.#controls.settings?.deviceIds ?? []);
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
    const size = new ResizeObserver(() => this.restyle());
    size.observe(this.element);
    const scheme = new MutationObserver(() => this.restyle());
    scheme.observe(document.documentElement, { attributeFilter: ['class'] });
    this.#watching.push(size, scheme);
  }
}
