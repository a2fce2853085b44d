/**
 * Typed arrays that users give. An array may come from another realm (a frame, a `vm` context, Jest), where `instanceof` does not
 * know it. It may be of a subclass, or have properties of its own, so that its `length` says anything. It may lie in shared memory,
 * which another thread can change and which some platforms refuse. So what an array is, where it lies and how long it is
 * is asked of the language itself, and the library goes on with a plain array of this realm.
 */

/**
 * The values of a `Float32Array` of any realm: a plain view of its memory, or a copy where the memory is shared or resizable.
 * `null` for anything else.
 */
export function float32ArrayOf(value: unknown): Float32Array<ArrayBuffer> | null {
  return isTypedArray(value, 'Float32Array') ? plain(value, Float32Array) : null;
}

/** A view of the memory of a `Float32Array` of any realm, also where that is shared or resizable; `null` for anything else. */
export function float32ViewOf(value: unknown): Float32Array | null {
  if (!isTypedArray(value, 'Float32Array')) {
    return null;
  }
  const length = intrinsic(value, 'length') as number;
  const buffer = intrinsic(value, 'buffer') as ArrayBufferLike;
  // Of memory that was transferred away no view can be made.
  return length === 0
    ? new Float32Array(0)
    : new Float32Array(buffer, intrinsic(value, 'byteOffset') as number, length);
}

/** A typed array of numbers; a `Float16Array` too, where there is one. */
export type TypedNumbers =
  | Int8Array
  | Uint8Array
  | Uint8ClampedArray
  | Int16Array
  | Uint16Array
  | Int32Array
  | Uint32Array
  | Float32Array
  | Float64Array;

/** The values of an array of numbers of any class and realm, converted to f32; `null` for anything else, of BigInts too. */
export function float32ValuesOf(value: unknown): Float32Array<ArrayBuffer> | null {
  const isNumbers = ArrayBuffer.isView(value) && numberArrays.has(String(intrinsic(value, Symbol.toStringTag)));
  return float32ArrayOf(value) ?? (isNumbers ? new Float32Array(value as unknown as ArrayLike<number>) : null);
}

const numberArrays: ReadonlySet<string> = new Set(
  ['Int8', 'Uint8', 'Uint8Clamped', 'Int16', 'Uint16', 'Int32', 'Uint32', 'Float16', 'Float64'].map(
    (name) => `${name}Array`,
  ),
);

/** What {@link float32ArrayOf} gives, of a `Uint8Array`. */
export function uint8ArrayOf(value: unknown): Uint8Array<ArrayBuffer> | null {
  return isTypedArray(value, 'Uint8Array') ? plain(value, Uint8Array) : null;
}

/** What may have become of an array that has no values, for the end of an error about its length; empty for others. */
export function adviceForGone({ length }: ArrayLike<number>): string {
  return length === 0
    ? '; the memory of an array that was transferred, or of a WebAssembly that has grown, is gone: make the array anew'
    : '';
}

/** Whether a value is a `Float32Array` of any realm. */
export function isFloat32Array(value: unknown): boolean {
  return isTypedArray(value, 'Float32Array');
}

/** A class of typed arrays, as far as it is needed here. */
type TypedArrayClass<A> = new (source: ArrayBufferLike | A, byteOffset?: number, length?: number) => A;

function isTypedArray(value: unknown, name: string): value is ArrayBufferView {
  return ArrayBuffer.isView(value) && intrinsic(value, Symbol.toStringTag) === name;
}

function plain<A extends Float32Array<ArrayBuffer> | Uint8Array<ArrayBuffer>>(
  value: ArrayBufferView,
  Class: TypedArrayClass<A> & (new (length: number) => A),
): A {
  const length = intrinsic(value, 'length') as number;
  if (length === 0) {
    // Also where the memory was transferred away, of which no view can be made.
    return new Class(0);
  }
  const buffer = intrinsic(value, 'buffer') as ArrayBufferLike;
  const view = new Class(buffer, intrinsic(value, 'byteOffset') as number, length);
  return isFixed(buffer) ? view : new Class(view);
}

/** What the getter of all typed arrays says, whatever the array itself claims. */
function intrinsic(value: ArrayBufferView, property: 'length' | 'buffer' | 'byteOffset' | symbol): unknown {
  return Reflect.get(Object.getPrototypeOf(Uint8Array.prototype) as object, property, value);
}

/** Whether memory belongs to one thread and keeps its length. */
function isFixed(buffer: ArrayBufferLike): boolean {
  const isShared = Object.prototype.toString.call(buffer) !== '[object ArrayBuffer]';
  return !isShared && (buffer as { readonly resizable?: boolean }).resizable !== true;
}
