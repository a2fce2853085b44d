/**
 * Where the replicas of one forward pass meet.
 *
 * Made anew for each forward pass, so nothing of a failed one can reach the next. It carries payloads and knows nothing of
 * what they mean. Whoever runs the replicas tells it when one has finished or failed; that is how it knows, without a
 * clock, that somebody will never come.
 */

import type { ReplicaError } from '../errors.ts';
import { type ForwardPass, type MeetingOptions, Session } from './session.ts';

/**
 * How long all replicas must have waited, not all in one layer, until that is a deadlock. Not at once: a replica whose
 * forward has several branches may wait in one of them while another is still on its way.
 */
export const CROSSING_DELAY_MS = 1000;

export class MeetingPoint {
  /** Device of each replica; there are as many replicas. */
  readonly devices: readonly string[];
  /** Who goes on with what was agreed upon here, and can tell how it ended. */
  readonly groups = new Set<{ confirm(): Promise<void> }>();
  /** The sessions of each layer, by number of the call. */
  private readonly sessions = new Map<string, Session[]>();
  /** How often each replica has called each layer. */
  private readonly calls: readonly Map<string, number>[];
  private readonly finished = new Set<number>();
  private readonly waitedIn = new Set<Session>();
  private readonly pass: ForwardPass;
  private crossingTimer: ReturnType<typeof setTimeout> | null = null;
  private firstFailure: ReplicaError | null = null;

  constructor(devices: readonly string[]) {
    this.devices = devices;
    this.calls = devices.map(() => new Map<string, number>());
    const { finished, waitedIn } = this;
    this.pass = { devices, finished, waitedIn, onArrival: () => this.watchForCrossing() };
  }

  /**
   * Begins a replica's next call of a layer: all replicas' n-th calls of one layer are one session.
   *
   * @param path - names the layer, the same in every replica.
   * @throws ReplicaError when another replica has failed: nobody will complete the session.
   */
  attend(replica: number, path: string, options: MeetingOptions): Session {
    const calls = this.calls[replica];
    if (calls === undefined) {
      throw new RangeError(`expected a replica from 0 to ${this.devices.length - 1}, got ${replica}`);
    }
    const call = calls.get(path) ?? 0;
    calls.set(path, call + 1);
    if (this.firstFailure !== null) {
      throw this.firstFailure;
    }
    const sessions = this.sessions.get(path) ?? [];
    this.sessions.set(path, sessions);
    return (sessions[call] ??= new Session(this.pass, path, call, options));
  }

  /** A replica's forward has ended well: whoever waits for it waits for nothing. */
  finish(replica: number): void {
    this.finished.add(replica);
    this.stopWatching();
    this.sessions.forEach((sessions) => sessions.forEach((session) => session.rejectIfAbandoned()));
  }

  /**
   * A replica's forward has thrown. Everybody who waits, or comes later, gets this error at once. Only the first failure
   * is passed on, for later ones may be its consequences.
   */
  fail(replica: number, error: ReplicaError): void {
    this.finished.add(replica);
    if (this.firstFailure !== null) {
      return;
    }
    this.firstFailure = error;
    this.stopWatching();
    this.sessions.forEach((sessions) => sessions.forEach((session) => session.reject(error)));
  }

  /** Begins to watch when all replicas wait and none can go on, and anew with each arrival. */
  private watchForCrossing(): void {
    this.stopWatching();
    if (this.isCrossed()) {
      this.crossingTimer = setTimeout(() => this.rejectIfCrossed(), CROSSING_DELAY_MS);
    }
  }

  private stopWatching(): void {
    if (this.crossingTimer !== null) {
      clearTimeout(this.crossingTimer);
      this.crossingTimer = null;
    }
  }

  private rejectIfCrossed(): void {
    this.crossingTimer = null;
    // Time may have been up in a session meanwhile, and its replicas went on.
    if (!this.isCrossed()) {
      return;
    }
    const crossed = Array.from(this.waitedIn, (session) => ({ session, replicas: session.waiting }));
    const pathsOf = (replica: number): string[] =>
      crossed.filter(({ replicas }) => replicas.includes(replica)).map(({ session }) => session.path);
    crossed.forEach(({ session }) => session.rejectAsCrossed(pathsOf));
  }

  private isCrossed(): boolean {
    // A session that all have reached is over, so that all wait in several.
    return (
      this.waitedIn.size > 1 &&
      new Set(Array.from(this.waitedIn, (session) => session.waiting).flat()).size === this.devices.length
    );
  }
}
