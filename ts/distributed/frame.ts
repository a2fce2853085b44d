/**
 * Frames: what travels between ranks, as bytes. A message is one frame, or several where the transport carries no frame so long.
 *
 * A frame is checked as a whole before anything in it is believed: its checksum first, then that it is of this job, from another rank of
 * it, and that its lengths are those of its parts. What fails is nobody's frame.
 */

import { checksum } from './checksum.ts';

/** What a frame is for. */
export const FrameKind = {
  /** A piece of a message; numbered, and sent again until it has come. */
  data: 1,
  /** Tells what has come and, in its body, what has not. */
  answer: 2,
  /** Asks for an answer. */
  question: 3,
  /** The sender cannot go on; the body tells why. */
  abort: 4,
} as const;

export type FrameKind = (typeof FrameKind)[keyof typeof FrameKind];

/** Frames are numbered from 0 in each stream: those to all ranks, and those to one. */
export const Stream = { all: 0, one: 1 } as const;

export type Stream = (typeof Stream)[keyof typeof Stream];

export interface Frame {
  readonly kind: FrameKind;
  readonly from: number;
  readonly stream: Stream;
  /** The number of the frame in its stream. */
  readonly number: number;
  /** Which piece of its message it is, from 0, and how many there are. */
  readonly piece: number;
  readonly pieces: number;
  /** Of each rank and stream, at `2 · rank + stream`, how many frames have come without a gap. */
  readonly acknowledged: Uint32Array;
  /** Names the message; empty in all pieces but the first. */
  readonly label: string;
  readonly body: Uint8Array;
}

/** What frames of a job have in common. */
export interface FrameFormat {
  readonly size: number;
  /** A number that stands for the job. */
  readonly job: number;
}

const MAGIC = 0x31_46_42_53; // 'SBF1'
const AT = {
  magic: 0,
  checksum: 4,
  job: 8,
  kind: 12,
  stream: 13,
  size: 14,
  from: 16,
  labelLength: 18,
  number: 20,
  piece: 24,
  pieces: 28,
  bodyLength: 32,
  acknowledged: 36,
} as const;

const SPACE = 0x20;

/** The longest label, in bytes. */
export const LONGEST_LABEL = 4096;

const encoder = new TextEncoder();
const decoder = new TextDecoder();
/** A label on its way into a frame. */
const labelBytes = new Uint8Array(LONGEST_LABEL);

/** Bytes of a frame besides its label and body. */
export function overheadOf({ size }: FrameFormat): number {
  return AT.acknowledged + 8 * size;
}

/** The number that stands for a job. */
export function jobNumber(job: string): number {
  return checksum(encoder.encode(job));
}

/**
 * @param make - gives memory for so many bytes, all of which are written.
 */
export function encodeFrame(
  format: FrameFormat,
  frame: Frame,
  make: (length: number) => Uint8Array = (length) => new Uint8Array(length),
): Uint8Array {
  const { acknowledged, body } = frame;
  // Labels are JSON, which may end in spaces. The values in a body are read without a copy where they are aligned.
  const { written } = encoder.encodeInto(frame.label, labelBytes);
  const labelLength = (written + 3) & ~3;
  labelBytes.fill(SPACE, written, labelLength);
  const start = overheadOf(format);
  const bytes = make(start + labelLength + body.length);
  const view = new DataView(bytes.buffer, bytes.byteOffset, bytes.length);
  view.setUint32(AT.magic, MAGIC, true);
  view.setUint32(AT.job, format.job, true);
  view.setUint8(AT.kind, frame.kind);
  view.setUint8(AT.stream, frame.stream);
  view.setUint16(AT.size, format.size, true);
  view.setUint16(AT.from, frame.from, true);
  view.setUint16(AT.labelLength, labelLength, true);
  view.setUint32(AT.number, frame.number, true);
  view.setUint32(AT.piece, frame.piece, true);
  view.setUint32(AT.pieces, frame.pieces, true);
  view.setUint32(AT.bodyLength, body.length, true);
  for (let i = 0; i < 2 * format.size; i += 1) {
    view.setUint32(AT.acknowledged + 4 * i, acknowledged[i] ?? 0, true);
  }
  bytes.set(labelBytes.subarray(0, labelLength), start);
  bytes.set(body, start + labelLength);
  view.setUint32(AT.checksum, checksumOf(bytes), true);
  return bytes;
}

/** @returns `null` for anything but an undamaged frame from another rank of this job. */
export function decodeFrame(format: FrameFormat, own: number, bytes: Uint8Array): Frame | null {
  const start = overheadOf(format);
  if (bytes.length < start) {
    return null;
  }
  const view = new DataView(bytes.buffer, bytes.byteOffset, bytes.byteLength);
  if (view.getUint32(AT.magic, true) !== MAGIC || view.getUint32(AT.checksum, true) !== checksumOf(bytes)) {
    return null;
  }
  const kind = view.getUint8(AT.kind);
  const stream = view.getUint8(AT.stream);
  const from = view.getUint16(AT.from, true);
  const piece = view.getUint32(AT.piece, true);
  const pieces = view.getUint32(AT.pieces, true);
  const labelEnd = start + view.getUint16(AT.labelLength, true);
  const isOfJob = view.getUint32(AT.job, true) === format.job && view.getUint16(AT.size, true) === format.size;
  const isWhole = labelEnd + view.getUint32(AT.bodyLength, true) === bytes.length;
  if (!isOfJob || !isWhole || from >= format.size || from === own || !isKind(kind) || !isStream(stream)) {
    return null;
  }
  if (piece >= pieces) {
    return null;
  }
  const acknowledged = new Uint32Array(2 * format.size);
  for (let i = 0; i < acknowledged.length; i += 1) {
    acknowledged[i] = view.getUint32(AT.acknowledged + 4 * i, true);
  }
  return {
    kind,
    from,
    stream,
    number: view.getUint32(AT.number, true),
    piece,
    pieces,
    acknowledged,
    label: labelEnd === start ? '' : decoder.decode(bytes.subarray(start, labelEnd)),
    body: bytes.subarray(labelEnd),
  };
}

/** Of all bytes but the mark and the checksum itself. */
function checksumOf(bytes: Uint8Array): number {
  return checksum(bytes.subarray(AT.job));
}

const kinds: ReadonlySet<number> = new Set(Object.values(FrameKind));

function isKind(kind: number): kind is FrameKind {
  return kinds.has(kind);
}

function isStream(stream: number): stream is Stream {
  return stream === Stream.all || stream === Stream.one;
}
