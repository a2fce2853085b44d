/**
 * How process groups fail, and how a failure travels to the other ranks. Where ranks do different things they fail with the
 * `CollectiveMismatchError` of the main entry.
 */

import { CollectiveMismatchError } from '../index.ts';

/** Another rank has failed, so that this one would wait for it in vain. What failed there is the `cause`. */
export class PeerFailedError extends Error {
  override readonly name = 'PeerFailedError';
  readonly rank: number;

  constructor(rank: number, cause: unknown) {
    super(`rank ${rank} of the process group has failed: ${textOf(cause)}; make new groups when that is mended`, {
      cause,
    });
    this.rank = rank;
  }
}

/** The program of another rank has ended, or has lost its connection. */
export class PeerLostError extends Error {
  override readonly name = 'PeerLostError';
  readonly rank: number;
  /** What this rank waited in. */
  readonly tag: string;

  constructor(rank: number, tag: string) {
    super(
      `process group, ${tag}: rank ${rank} is gone; look there for what ended its program, and start all ranks again from the last ` +
        `checkpoint`,
    );
    this.rank = rank;
    this.tag = tag;
  }
}

/** Some ranks did not come to an exchange in time. */
export class GroupTimeoutError extends Error {
  override readonly name = 'GroupTimeoutError';
  /** Those that did not come. */
  readonly ranks: readonly number[];
  readonly tag: string;
  readonly timeoutSeconds: number;

  constructor(ranks: readonly number[], tag: string, timeoutSeconds: number) {
    super(
      `process group, ${tag}: waited ${timeoutSeconds} s for rank ${ranks.join(', ')}; let every rank call each layer and each ` +
        `backward, or raise the group's timeout`,
    );
    this.ranks = ranks;
    this.tag = tag;
    this.timeoutSeconds = timeoutSeconds;
  }
}

/** This rank has lost its own connection, for longer than the group waits or for good. The others are told that the rank is gone. */
export class ConnectionLostError extends Error {
  override readonly name = 'ConnectionLostError';
  /** What this rank waited in. */
  readonly tag: string;

  constructor(tag: string, reason: string) {
    super(
      `process group, ${tag}: ${reason}; look after the server and the network, and start all ranks again from the last checkpoint`,
    );
    this.tag = tag;
  }
}

/** The group was used after `destroy()`. */
export class GroupDestroyedError extends Error {
  override readonly name = 'GroupDestroyedError';

  constructor() {
    super('the process group was destroyed; make a new one by initProcessGroup()');
  }
}

/** The ranks of a job have not found each other. */
export class RendezvousError extends Error {
  override readonly name = 'RendezvousError';
  readonly job: string;

  constructor(job: string, reason: string, options?: ErrorOptions) {
    super(`job ${JSON.stringify(job)}: ${reason}`, options);
    this.job = job;
  }
}

/** A rank of `spawn()` has failed. What it has thrown is the `cause`. */
export class RankError extends Error {
  override readonly name = 'RankError';
  readonly rank: number;

  constructor(rank: number, cause: Error) {
    super(`rank ${rank} has failed: ${cause.name}: ${cause.message}`, { cause });
    this.rank = rank;
  }
}

/** An error as it travels. Which properties there are depends on the class. */
interface Told {
  readonly name: string;
  readonly message: string;
  readonly details?: Readonly<Record<string, unknown>>;
}

/** An error as bytes, for the other ranks. */
export function encodeFailure(error: unknown): Uint8Array {
  const told: Told = {
    name: error instanceof Error ? error.name : typeof error,
    message: error instanceof Error ? error.message : String(error),
    ...(isOfGroup(error) ? { details: Object.fromEntries(Object.entries(error)) } : {}),
  };
  return new TextEncoder().encode(JSON.stringify(told));
}

/** @returns what this rank is told: the error itself where it is the group's, else that the rank has failed. */
export function decodeFailure(from: number, bytes: Uint8Array): Error {
  let told: Partial<Told>;
  try {
    told = JSON.parse(new TextDecoder().decode(bytes)) as Partial<Told>;
  } catch {
    told = {};
  }
  const { name = 'Error', message = 'an unknown error', details = {} } = told;
  const known = Object.hasOwn(groupErrors, name) ? groupErrors[name] : undefined;
  const error = new Error(message);
  if (known !== undefined && told.details !== undefined) {
    Object.setPrototypeOf(error, known.prototype as object);
    return Object.assign(error, details);
  }
  error.name = name;
  // Its stack would be that of this function.
  delete error.stack;
  return new PeerFailedError(from, error);
}

/** Errors that say of the group what is the same on every rank. By name: minifiers change the names of classes. */
const groupErrors: Readonly<Record<string, abstract new (...parameters: never) => Error>> = {
  CollectiveMismatchError,
  PeerLostError,
  PeerFailedError,
  GroupTimeoutError,
};

function isOfGroup(error: unknown): error is Error {
  return Object.values(groupErrors).some((known) => error instanceof known);
}

function textOf(cause: unknown): string {
  return cause instanceof Error ? `${cause.name}: ${cause.message}` : String(cause);
}
