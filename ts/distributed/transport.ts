/** What carries frames between the ranks of a group. A backend implements it for one way of carrying bytes. */

/** What is known of another rank: its program lives, it has ended, or it does not answer. */
export type Liveness = 'here' | 'gone' | 'silent';

/** Why nothing can travel to or from this rank. */
export interface Outage {
  /** A clause for an error's text: what is lost, and since when. */
  readonly reason: string;
  /** Whether the transport does not try to mend it any more. */
  readonly isFinal: boolean;
}

/**
 * The way to all other ranks of one job. Frames may be lost, doubled or reordered, and may be damaged: whoever uses a transport checks
 * what comes and asks again for what does not.
 */
export interface Transport {
  /** The number of this process, from 0. */
  readonly rank: number;
  /** How many processes there are. */
  readonly size: number;
  /** Names the job and this run of it, the same on every rank: frames of another one are ignored. */
  readonly job: string;
  /** The longest frame that may be sent, in bytes. */
  readonly maxFrame: number;
  /**
   * When the bytes of a frame may be written over: as soon as `publish` and `send` have returned, or when whatever runs then has ended, promises'
   * continuations included. Default: never.
   */
  readonly copiesFrames?: 'at once' | 'soon';
  /** Sends a frame to all other ranks. */
  publish(frame: Uint8Array): void;
  /** Sends a frame to one other rank. */
  send(rank: number, frame: Uint8Array): void;
  /** Tells who gets the frames that come from now on, and those that have come before. A frame belongs to whoever gets it, who may change its bytes. */
  onFrame(receive: (frame: Uint8Array) => void): void;
  /**
   * Looks for frames, and gives those that come to the receiver, for a moment or until `isDone`, without giving the thread away. Absent where
   * frames come by events alone.
   */
  poll?(isDone: () => boolean): void;
  /** Asks whether another rank is there; must settle within about a second. */
  alive(rank: number): Promise<Liveness>;
  /** What is wrong with this rank's own connection; `null`: nothing is known to be. Absent where there is none that could be lost. */
  outage?(): Outage | null;
  /** Keeps the program alive (`true`) while somebody waits for frames, or no longer (`false`); absent where nothing has to be done. */
  hold?(isHeld: boolean): void;
  /** Ends the connection. Idempotent. */
  close(): Promise<void>;
}
