/**
 * Where the workers of a group exchange partials: memory they share, so that none of them goes through the calling thread.
 *
 * Every member posts the same number of partials, one per group of channels, and takes as many times those of all. It posts
 * at most {@link mostWaiting} partials that it has not taken yet, so nobody is further ahead of the slowest than that twice,
 * and a ring of so many slots per member is never written over before all have read it.
 *
 * All sleep on one word, which every post and the end of the group raise: a sleeper that watched its peer's counter would
 * sleep through the end. Who is about to sleep says so before it looks for the last time, and who raises the word looks after that
 * whether anybody sleeps: waking nobody takes as long as a small partial.
 */

/**
 * Partials that a member has posted and not taken. While one waits, the next is computed, so that a member whose core did something
 * else for a while does not stop the others. Those for which nobody waits are still cached when they are taken.
 */
const MOST_WAITING = 8;
/** From here on partials are those of a whole layer, one per command, and there is none to be ahead with. */
const LARGE_SLOT_BYTES = 1024 * 1024;

/** Partials of at most so many bytes that a member may have posted and not taken. */
export function mostWaiting(slotBytes: number): number {
  return slotBytes > LARGE_SLOT_BYTES ? 1 : MOST_WAITING;
}

/** Places in the header, which is of i32, a line of cache apart. */
const LINE = 16;
const EPOCH = 0;
const BROKEN = LINE;
/** How many members sleep, or are about to. */
const ASLEEP = 2 * LINE;
const FIRST_POSTED = 3 * LINE;

const LINE_BYTES = LINE * Int32Array.BYTES_PER_ELEMENT;

/** Of the length of a partial, which comes before it: shared memory that begins at multiples of 8 bytes is copied by words. */
const LENGTH_BYTES = 8;

/**
 * Looks before a member goes to sleep. An idle core takes up to 60 microseconds to wake; members that look for less would, once one is late,
 * wake each other in turn for the rest of the pass. So they look for some 100 microseconds.
 */
const MANY_LOOKS = 20_000;
/** Where the cores have other work, looking is in vain: the member that is waited for may need this very core. */
const FEW_LOOKS = 100;
/** Who has slept although it looked long looks so again after it has slept so many times. */
const SHORT_WAITS = 16;

/** A member can get no further, because another one has failed. */
export class GroupBrokenError extends Error {
  override readonly name = 'GroupBrokenError';
  constructor() {
    super('another device that works on the batch has failed');
  }
}

/** Bytes of memory for a group of `members`, none of whose partials is longer than `slotBytes`. */
export function groupMemoryBytes(members: number, slotBytes: number): number {
  return headerBytes(members) + members * 2 * mostWaiting(slotBytes) * stride(slotBytes);
}

/** Memory for a group of `members`, none of whose partials is longer than `slotBytes`. */
export function createGroupMemory(members: number, slotBytes: number): Uint8Array<SharedArrayBuffer> {
  return new Uint8Array(new SharedArrayBuffer(groupMemoryBytes(members, slotBytes)));
}

/** Makes memory that a group has left fit for another one of `members`, whose partials are at most `slotBytes` long. */
export function reuseGroupMemory(
  { buffer }: Uint8Array<SharedArrayBuffer>,
  members: number,
  slotBytes: number,
): Uint8Array<SharedArrayBuffer> {
  const memory = new Uint8Array(buffer, 0, groupMemoryBytes(members, slotBytes));
  memory.fill(0, 0, headerBytes(members));
  return memory;
}

/** Wakes whoever waits: the group has no future. */
export function breakGroup(memory: Uint8Array<SharedArrayBuffer>): void {
  const header = new Int32Array(memory.buffer);
  Atomics.store(header, BROKEN, 1);
  raiseEpoch(header);
}

/** What a member sees of the memory of its group. */
export class Exchange {
  readonly #memory: Uint8Array<SharedArrayBuffer>;
  readonly #header: Int32Array<SharedArrayBuffer>;
  readonly #rank: number;
  readonly #members: number;
  /** Partials that this member may have posted and not taken. */
  readonly mostWaiting: number;
  readonly #slotStride: number;
  #posted = 0;
  #taken = 0;
  #isOver = false;
  readonly #isCoreFree: () => boolean;
  /** So many times it sleeps before it looks long again. */
  #shortWaits = 0;
  /** What {@link take} gives, kept: garbage of one worker would stop the others. */
  readonly #all: Uint8Array;

  /**
   * @param slotBytes - what the memory was made for.
   * @param isCoreFree - whether all members may run at once, as far as is known.
   */
  constructor(
    memory: Uint8Array<SharedArrayBuffer>,
    rank: number,
    members: number,
    slotBytes: number,
    isCoreFree: () => boolean = () => true,
  ) {
    this.#isCoreFree = isCoreFree;
    this.#memory = memory;
    this.#header = new Int32Array(memory.buffer);
    this.#rank = rank;
    this.#members = members;
    this.mostWaiting = mostWaiting(slotBytes);
    this.#slotStride = stride(slotBytes);
    this.#all = new Uint8Array(members * this.#slotStride);
  }

  /**
   * The member takes no part any more: its partials would no longer fit those of the others.
   * @returns whether it did until now.
   */
  leave(): boolean {
    const didTakePart = !this.#isOver;
    this.#isOver = true;
    return didTakePart;
  }

  /**
   * Hands in a partial.
   * @throws GroupBrokenError; RangeError for a partial that has no room in a slot, whose end would be written into the next one.
   */
  post(partial: Uint8Array): void {
    if (this.#isBroken()) {
      throw new GroupBrokenError();
    }
    const room = this.#slotStride - LENGTH_BYTES;
    if (partial.length > room) {
      throw new RangeError(`expected a partial of at most ${room} bytes, got ${partial.length}`);
    }
    this.#posted += 1;
    const begin = this.#slot(this.#rank, this.#posted);
    this.#header[begin / Int32Array.BYTES_PER_ELEMENT] = partial.length;
    this.#memory.set(partial, begin + LENGTH_BYTES);
    Atomics.store(this.#header, FIRST_POSTED + this.#rank * LINE, this.#posted);
    raiseEpoch(this.#header);
  }

  /** Whether {@link take} need not wait. */
  get isThere(): boolean {
    // No closure: what is looked at thousands of times would leave as much garbage.
    for (let member = 0; member < this.#members; member += 1) {
      // Counters run over after 2^31 partials; their difference does not.
      if (((Atomics.load(this.#header, FIRST_POSTED + member * LINE) - this.#taken) | 0) <= 0) {
        return false;
      }
    }
    return true;
  }

  /**
   * The next partials of all members, end to end, in order of members; waits until they are there.
   * @returns an array that holds them until the next call.
   * @throws GroupBrokenError
   */
  take(): Uint8Array {
    this.#wait();
    this.#taken += 1;
    let end = 0;
    for (let member = 0; member < this.#members; member += 1) {
      const slot = this.#slot(member, this.#taken);
      const length = this.#header[slot / Int32Array.BYTES_PER_ELEMENT] ?? 0;
      const begin = slot + LENGTH_BYTES;
      this.#all.set(this.#memory.subarray(begin, begin + length), end);
      end += length;
    }
    return this.#all.subarray(0, end);
  }

  #wait(): void {
    const isLong = this.#shortWaits === 0 && this.#isCoreFree();
    const looks = isLong ? MANY_LOOKS : FEW_LOOKS;
    for (let look = 0; look < looks; look += 1) {
      if (this.isThere) {
        return;
      }
    }
    this.#shortWaits = isLong ? SHORT_WAITS : Math.max(0, this.#shortWaits - 1);
    Atomics.add(this.#header, ASLEEP, 1);
    try {
      this.#sleep();
    } finally {
      Atomics.sub(this.#header, ASLEEP, 1);
    }
  }

  #sleep(): void {
    for (;;) {
      const epoch = Atomics.load(this.#header, EPOCH);
      if (this.isThere) {
        return;
      }
      if (this.#isBroken()) {
        throw new GroupBrokenError();
      }
      Atomics.wait(this.#header, EPOCH, epoch);
    }
  }

  #isBroken(): boolean {
    return this.#isOver || Atomics.load(this.#header, BROKEN) !== 0;
  }

  #slot(member: number, number: number): number {
    // A power of two, so that numbers that run over go on around the ring.
    const ring = 2 * this.mostWaiting;
    const place = member * ring + ((number >>> 0) % ring);
    return headerBytes(this.#members) + place * this.#slotStride;
  }
}

function raiseEpoch(header: Int32Array): void {
  Atomics.add(header, EPOCH, 1);
  if (Atomics.load(header, ASLEEP) > 0) {
    Atomics.notify(header, EPOCH);
  }
}

function headerBytes(members: number): number {
  return (FIRST_POSTED + members * LINE) * Int32Array.BYTES_PER_ELEMENT;
}

/** Room for a partial and its length, in whole lines. */
function stride(slotBytes: number): number {
  return Math.ceil((LENGTH_BYTES + slotBytes) / LINE_BYTES) * LINE_BYTES;
}
