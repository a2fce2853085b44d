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

/** The same for a `Uint8Array`. */
export function uint8ArrayOf(value: unknown): Uint8Array<ArrayBuffer> | null {
  return isTypedArray(value, 'Uint8Array') ? plain(value, Uint8Array) : null;
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
