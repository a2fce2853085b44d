/**
 * Messages between ranks over a transport that may lose, double, reorder and damage frames: each message comes once, whole, and those of one
 * sender in order, to all or to one. Knows nothing of what is in them.
 *
 * The receiver asks for what is missing. It sees that something is when a later frame comes, or when the sender answers how many frames it
 * has sent. Every frame tells what has come so far, so that the sender can forget it.
 */

import {
  encodeFrame,
  decodeFrame,
  type Frame,
  FrameKind,
  jobNumber,
  LONGEST_LABEL,
  overheadOf,
  Stream,
} from './frame.ts';
import { FrameMemory } from './frame_memory.ts';
import { IncomingStream, OutgoingStream, type Piece, WINDOW_BYTES } from './streams.ts';
import { Timer } from './timer.ts';
import type { Transport } from './transport.ts';

/** Longer messages travel in pieces of this many bytes, or of what the transport carries. */
const LARGEST_PIECE = 2 ** 20;

/** What comes without an answer from here for so long is confirmed by a frame of its own. */
const CONFIRM_DELAY_MS = 40;
/** Frames overtake each other for less than this. */
const GAP_DELAY_MS = 5;
const GAP_AGAIN_MS = 20;
/** How often a rank that leaves asks whether its last frames have come, and how long. */
const FLUSH_DELAY_MS = 50;
const FLUSH_TIMES = 100;

/** What a rank tells about itself when it is asked. */
export interface Report {
  /** What it waits in; empty while it does something else. */
  readonly waits: readonly string[];
  /** Whether it may go on although it waits: it has work on workers or GPUs, or does something else beside it. */
  readonly mayGoOn: boolean;
  /** Of each rank and stream, how many frames have come from there, at `2 · rank + stream`. */
  readonly acknowledged: Uint32Array;
  /** How many frames it has sent: first to all, then to each rank alone. */
  readonly sent: readonly number[];
}

/** Who hears of what comes. */
export interface Recipient {
  onMessage(from: number, label: string, bytes: Uint8Array): void;
  /** Another rank cannot go on. */
  onAbort(from: number, reason: Uint8Array): void;
  onReport(from: number, report: Report): void;
  /** What this rank waits in. */
  waits(): readonly string[];
  /** Whether this rank may go on although it waits. */
  mayGoOn(): boolean;
}

/** What has happened to frames. */
export interface FrameCounts {
  sent: number;
  received: number;
  sentAgain: number;
  /** Came twice. */
  doubled: number;
  /** Were damaged, or of another job. */
  refused: number;
}

export class Messenger {
  readonly frames: FrameCounts = { sent: 0, received: 0, sentAgain: 0, doubled: 0, refused: 0 };
  readonly #transport: Transport;
  readonly #recipient: Recipient;
  readonly #format: { readonly size: number; readonly job: number };
  readonly #others: readonly number[];
  readonly #toAll: OutgoingStream;
  readonly #toOne: readonly OutgoingStream[];
  readonly #incoming: readonly (readonly [all: IncomingStream, one: IncomingStream])[];
  readonly #acknowledged: Uint32Array;
  /** Bytes of each rank that nothing was sent after. */
  readonly #unconfirmed: number[];
  readonly #confirmTimer = new Timer(() => this.#confirmAll());
  readonly #gapTimer = new Timer(() => this.#askForGaps());
  readonly #pieceBytes: number;
  readonly #memory: FrameMemory;
  #abortReason: Uint8Array | null = null;
  #onFinished: (() => void) | null = null;
  #isClosed = false;

  constructor(transport: Transport, recipient: Recipient) {
    const { rank, size } = transport;
    this.#transport = transport;
    this.#recipient = recipient;
    this.#format = { size, job: jobNumber(transport.job) };
    const ranks = Array.from({ length: size }, (_, other) => other);
    this.#others = ranks.filter((other) => other !== rank);
    this.#toAll = new OutgoingStream(this.#others);
    this.#toOne = ranks.map((other) => new OutgoingStream([other]));
    this.#incoming = ranks.map((from) => {
      const stream = (): IncomingStream =>
        new IncomingStream((label, bytes) => recipient.onMessage(from, label, bytes));
      return [stream(), stream()];
    });
    this.#acknowledged = new Uint32Array(2 * size);
    this.#unconfirmed = ranks.map(() => 0);
    const room = transport.maxFrame - overheadOf(this.#format) - LONGEST_LABEL;
    if (room < 1) {
      throw new RangeError(
        `process group: expected a transport of frames of some KB, got maxFrame ${transport.maxFrame}`,
      );
    }
    this.#pieceBytes = Math.min(room, LARGEST_PIECE);
    this.#memory = new FrameMemory(transport.copiesFrames, this.#pieceBytes + transport.maxFrame - room);
  }

  /** From here on the recipient hears of what comes, and at once of what has come before. */
  listen(): void {
    this.#transport.onFrame((bytes) => this.#receive(bytes));
  }

  /**
   * Sends a message.
   * @param to - a rank; `null`: all others.
   * @param bytes - must not be changed any more.
   */
  post(to: number | null, label: string, bytes: Uint8Array): void {
    const stream = to === null ? this.#toAll : this.#streamTo(to);
    stream.add(label, bytes, this.#pieceBytes);
    this.#pump(stream, to);
  }

  /** Asks ranks how far they are, which also finds out what has been lost on the way. */
  question(ranks: Iterable<number>): void {
    for (const rank of ranks) {
      this.#answer(rank, FrameKind.question);
    }
  }

  /** What this rank tells when it is asked. */
  report(): Report {
    return {
      waits: this.#recipient.waits(),
      mayGoOn: this.#recipient.mayGoOn(),
      acknowledged: this.#received().slice(),
      sent: [this.#toAll.sent, ...this.#toOne.map(({ sent }) => sent)],
    };
  }

  /** Tells all others, and whoever sends something later, that this rank cannot go on. */
  abort(reason: Uint8Array): void {
    this.#abortReason ??= reason;
    this.#transport.publish(this.#encode(FrameKind.abort, unnumbered(this.#abortReason)));
  }

  /** A rank will not answer any more. */
  forget(rank: number): void {
    this.#toAll.leave(rank);
    this.#streamTo(rank).leave(rank);
    this.#checkFinished();
  }

  /** Waits until all ranks have what was sent, for some seconds at most, and ends. */
  async close(isComplete: boolean): Promise<void> {
    if (isComplete) {
      await this.#flush();
    }
    this.#isClosed = true;
    this.#confirmTimer.stop();
    this.#gapTimer.stop();
    await this.#transport.close();
  }

  async #flush(): Promise<void> {
    for (let i = 0; i < FLUSH_TIMES && this.#abortReason === null && this.#unfinished().length > 0; i += 1) {
      await new Promise<void>((resolve) => {
        const timer = setTimeout(resolve, FLUSH_DELAY_MS);
        this.#onFinished = () => {
          clearTimeout(timer);
          resolve();
        };
        this.question(this.#unfinished());
      });
    }
    this.#onFinished = null;
  }

  /** The ranks that may lack something. */
  #unfinished(): number[] {
    return this.#others.filter((rank) => !this.#toAll.isConfirmed || !this.#streamTo(rank).isConfirmed);
  }

  #streamTo(rank: number): OutgoingStream {
    const stream = this.#toOne[rank];
    if (stream === undefined) {
      throw new RangeError(`process group: expected a rank from 0 to ${this.#format.size - 1}, got ${rank}`);
    }
    return stream;
  }

  #pump(stream: OutgoingStream, to: number | null): void {
    for (const piece of stream.due()) {
      this.#transmit(piece, to === null ? Stream.all : Stream.one, to);
      this.frames.sent += 1;
    }
  }

  #transmit(piece: Piece, stream: Stream, to: number | null): void {
    const frame = this.#encode(FrameKind.data, piece, stream);
    if (to === null) {
      this.#unconfirmed.fill(0);
      this.#transport.publish(frame);
    } else {
      this.#unconfirmed[to] = 0;
      this.#transport.send(to, frame);
    }
  }

  /** A frame of a message's piece, or of a message that is not kept. */
  #encode(kind: FrameKind, piece: Piece, stream: Stream = Stream.one): Uint8Array {
    const { number, piece: index, pieces, label, body } = piece;
    const { rank: from } = this.#transport;
    const acknowledged = this.#received();
    const frame: Frame = { kind, from, stream, number, piece: index, pieces, acknowledged, label, body };
    return encodeFrame(this.#format, frame, (length) => this.#memory.take(length));
  }

  /** Of each rank and stream, how many frames have come. Written over by the next call. */
  #received(): Uint32Array {
    for (const [rank, [all, one]] of this.#incoming.entries()) {
      this.#acknowledged[2 * rank] = all.next;
      this.#acknowledged[2 * rank + 1] = one.next;
    }
    return this.#acknowledged;
  }

  /** Tells a rank what has come and what has not. */
  #answer(rank: number, kind: typeof FrameKind.answer | typeof FrameKind.question = FrameKind.answer): void {
    const [all, one] = this.#incoming[rank] ?? [];
    const { waits, mayGoOn, sent } = this.report();
    const answer: Answer = { waits, mayGoOn, sent, missing: [all?.missing() ?? [], one?.missing() ?? []] };
    this.#unconfirmed[rank] = 0;
    this.#transport.send(rank, this.#encode(kind, unnumbered(new TextEncoder().encode(JSON.stringify(answer)))));
  }

  #receive(bytes: Uint8Array): void {
    if (this.#isClosed) {
      return;
    }
    const frame = decodeFrame(this.#format, this.#transport.rank, bytes);
    if (frame === null) {
      this.frames.refused += 1;
      return;
    }
    this.frames.received += 1;
    const { kind, from } = frame;
    if (kind === FrameKind.abort) {
      this.#recipient.onAbort(from, frame.body);
      return;
    }
    if (this.#abortReason !== null) {
      if (kind !== FrameKind.answer) {
        this.#transport.send(from, this.#encode(FrameKind.abort, unnumbered(this.#abortReason)));
      }
      return;
    }
    this.#confirmed(frame);
    if (kind === FrameKind.data) {
      this.#take(frame);
    } else {
      this.#hear(frame);
    }
  }

  /** Forgets what a rank has, and sends what has waited for that. */
  #confirmed({ from, acknowledged }: Frame): void {
    const own = 2 * this.#transport.rank;
    this.#toAll.confirm(from, acknowledged[own] ?? 0);
    this.#streamTo(from).confirm(from, acknowledged[own + 1] ?? 0);
    if (this.#toAll.isFull) {
      this.#pump(this.#toAll, null);
    }
    if (this.#streamTo(from).isFull) {
      this.#pump(this.#streamTo(from), from);
    }
    this.#checkFinished();
  }

  #checkFinished(): void {
    if (this.#onFinished !== null && this.#unfinished().length === 0) {
      this.#onFinished();
    }
  }

  #take(frame: Frame): void {
    const { from, stream, body } = frame;
    const incoming = this.#incoming[from]?.[stream];
    // Also of what has come before: the sender seems not to know.
    const unconfirmed = (this.#unconfirmed[from] ?? 0) + body.length + 1;
    this.#unconfirmed[from] = unconfirmed;
    if (incoming?.take(frame) !== true) {
      this.frames.doubled += 1;
    }
    if (this.#isClosed) {
      return;
    }
    if (unconfirmed > WINDOW_BYTES / 4 && this.#unconfirmed[from] !== 0) {
      this.#answer(from);
    } else {
      this.#confirmTimer.start(CONFIRM_DELAY_MS);
    }
    if (incoming?.hasGap === true) {
      this.#gapTimer.start(GAP_DELAY_MS);
    }
  }

  #hear(frame: Frame): void {
    const { from, kind, acknowledged } = frame;
    const answer = readAnswer(frame.body);
    if (answer?.sent.length !== 1 + this.#format.size) {
      this.frames.refused += 1;
      return;
    }
    for (const stream of [Stream.all, Stream.one]) {
      const outgoing = stream === Stream.all ? this.#toAll : this.#streamTo(from);
      for (const number of answer.missing[stream]) {
        const piece = outgoing.find(number);
        if (piece !== undefined) {
          this.frames.sentAgain += 1;
          this.#transmit(piece, stream, from);
        }
      }
      const incoming = this.#incoming[from]?.[stream];
      incoming?.expect(answer.sent[stream === Stream.all ? 0 : 1 + this.#transport.rank] ?? 0);
      if (incoming?.hasGap === true) {
        this.#gapTimer.start(GAP_DELAY_MS);
      }
    }
    if (kind === FrameKind.question) {
      this.#answer(from);
    }
    this.#recipient.onReport(from, { waits: answer.waits, mayGoOn: answer.mayGoOn, acknowledged, sent: answer.sent });
  }

  #confirmAll(): void {
    for (const rank of this.#others) {
      if ((this.#unconfirmed[rank] ?? 0) > 0) {
        this.#answer(rank);
      }
    }
  }

  #askForGaps(): void {
    const ranks = this.#others.filter((rank) => this.#incoming[rank]?.some(({ hasGap }) => hasGap) === true);
    for (const rank of ranks) {
      this.#answer(rank);
    }
    if (ranks.length > 0) {
      this.#gapTimer.start(GAP_AGAIN_MS);
    }
  }
}

/** What is not sent again. */
function unnumbered(body: Uint8Array): Piece {
  return { number: 0, piece: 0, pieces: 1, label: '', body };
}

/** The body of answers and questions, as JSON. */
interface Answer extends Omit<Report, 'acknowledged'> {
  readonly missing: readonly [all: readonly number[], one: readonly number[]];
}

function readAnswer(body: Uint8Array): Answer | null {
  try {
    const { sent, missing, waits, mayGoOn } = JSON.parse(new TextDecoder().decode(body)) as Record<
      keyof Answer,
      unknown
    >;
    const [all, one] = isListOf('object', missing) ? missing : [];
    return isListOf('number', sent) && isListOf('number', all) && isListOf('number', one) && isListOf('string', waits)
      ? { sent, missing: [all, one], waits, mayGoOn: mayGoOn === true }
      : null;
  } catch {
    return null;
  }
}

interface Kinds {
  readonly number: number;
  readonly string: string;
  readonly object: object;
}

function isListOf<K extends keyof Kinds>(kind: K, value: unknown): value is readonly Kinds[K][] {
  return Array.isArray(value) && value.every((item) => typeof item === kind);
}
