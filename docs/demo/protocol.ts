/** What the page and the thread that trains tell each other. All of it survives `postMessage`. */

import type { DeviceKind, DeviceName } from 'syncbn';

/** What can be learned: which digit an image shows, or what each of its pixels shows. */
export type TaskName = 'digits' | 'shapes';

/** The three networks: all samples on one device; spread over the devices with plain, and with synchronized batch norm. */
export const WAYS = ['one', 'plain', 'synchronized'] as const;
export type Way = (typeof WAYS)[number];

/** A value for each network; `null` where it has none. */
export type PerWay<T> = Readonly<Record<Way, T | null>>;

export interface Settings {
  readonly task: TaskName;
  /** At least two; the first one holds the weights. */
  readonly deviceIds: readonly DeviceName[];
  readonly samplesPerDevice: number;
  readonly seed: number;
}

/** A channel of one of the network's batch norms, both counted from 0. */
export interface ChannelChoice {
  readonly layer: number;
  readonly channel: number;
}

/** What the page asks for. */
export type Request =
  /** Begins anew, with a new network. */
  | {
      readonly type: 'start';
      /** Number of the training, by which its reports are known. */
      readonly training: number;
      readonly settings: Settings;
      readonly choice: ChannelChoice;
      readonly steps: number;
    }
  /** Trains on, so many steps. */
  | { readonly type: 'resume'; readonly steps: number }
  | { readonly type: 'pause' }
  | { readonly type: 'observe'; readonly choice: ChannelChoice }
  /** Breaks a device in the middle of the next step. */
  | { readonly type: 'break'; readonly device: DeviceName }
  /** Makes a fresh device in its place. */
  | { readonly type: 'repair' };

/** What the machine has of one kind of device. */
export interface DevicesHere {
  readonly kind: DeviceKind;
  /** For people: of a GPU, the name of its adapter. */
  readonly label: string;
  /** As many as make sense. */
  readonly most: number;
}

/** A batch norm of the network. */
export interface LayerHere {
  readonly label: string;
  readonly channels: number;
}

/** Mean and variance that a device has normalized a channel with. */
export interface Belief {
  readonly device: string;
  readonly mean: number;
  readonly variance: number;
}

/** What the devices of one network took for the statistics of a channel, and what they are over the whole batch. */
export interface Beliefs {
  readonly mean: number;
  readonly variance: number;
  /** In order of devices; those are missing where the outputs do not tell. */
  readonly devices: readonly Belief[];
}

/** An image, and what a network takes it for. */
export interface Picture {
  readonly kind: 'ink' | 'photograph' | 'mask';
  /** Side in pixels. */
  readonly size: number;
  /** Ink and brightness go from 0 to 1; a mask has classes. */
  readonly pixels: Float32Array | Uint8Array;
  readonly caption: string;
}

/** Pictures that belong together, with their heading. */
export interface PictureRow {
  readonly title: string;
  readonly pictures: readonly Picture[];
}

/** An error as it reached the program, from the outside to its cause. */
export interface ErrorTold {
  readonly name: string;
  readonly message: string;
  readonly causes: readonly string[];
}

/** A report, and which training it is of; 0: of none. */
export interface Message {
  readonly training: number;
  readonly report: Report;
}

/** What the thread that trains tells. */
export type Report =
  | { readonly type: 'here'; readonly devices: readonly DevicesHere[] }
  | { readonly type: 'started'; readonly layers: readonly LayerHere[] }
  | {
      readonly type: 'stepped';
      /** Counted from 1. */
      readonly step: number;
      readonly losses: PerWay<number>;
      readonly milliseconds: PerWay<number>;
      readonly choice: ChannelChoice;
      readonly beliefs: PerWay<Beliefs>;
    }
  | {
      readonly type: 'examined';
      readonly step: number;
      readonly scores: PerWay<number>;
      /** Largest absolute difference of a weight of the synchronized network from the one on one device. */
      readonly difference: number;
      readonly pictures: readonly PictureRow[];
    }
  /** Plain batch norm cannot train with these settings. The others go on. */
  | { readonly type: 'refused'; readonly error: ErrorTold }
  /** All steps that were asked for are done. */
  | { readonly type: 'rested' }
  | {
      readonly type: 'broken';
      readonly device: string;
      readonly error: ErrorTold;
      /** Checksums of parameters and statistics, before the step that failed and after it. */
      readonly stateBefore: string;
      readonly stateAfter: string;
      readonly milliseconds: number;
    }
  | { readonly type: 'repaired'; readonly device: string }
  /** Nothing can go on; the next start is a new one. */
  | { readonly type: 'failed'; readonly error: ErrorTold };
