/** Tensors: f32 values of some shape on some device, and where they came from. */

import { copyKey, refuseOtherCopy, thisCopy } from '../copy_of_library.ts';
import { describeValue, quoteValue } from '../describe_value.ts';
import { withRoom } from '../device/awaited.ts';
import { checkCommandable, readableAtOnce } from '../device/calling_thread.ts';
import type { DeviceName, MemoryFormat } from '../device/device.ts';
import { deviceByName, webGpuDevice } from '../device/registry.ts';
import { checkSameDevice } from '../device/same_device.ts';
import { DisposedError } from '../errors.ts';
import { adviceForGone, float32ValuesOf, type TypedNumbers } from '../typed_array.ts';
import { runBackward, runBackwardSync } from './backward.ts';
import { Copies } from './copies.ts';
import { isGradEnabled } from './grad_mode.ts';
import { type Differentiable, type Edge, GraphNode, type GraphNodeOptions, type Source } from './graph_node.ts';
import { type DataOptions, orderOf, readingOf, readValues, readValuesNow } from './reading.ts';
import { track, untrack } from './scope.ts';
import { nextSerial } from './serial.ts';
import { batchLayout, elementCount, formatShape, sameShape, type Shape } from './shape.ts';
import { Storage } from './storage.ts';
import { copyTo, duplicate, holding, inFormat, placed } from './storage_ops.ts';
import { formatValues, inspectKey } from './tensor_repr.ts';
import { type Seen, seenAs, type ViewOptions } from './view.ts';

/** What a tensor is made of. The tensor takes over one reference to the storage. */
export interface TensorParts {
  readonly storage: Storage;
  readonly shape: Shape;
  readonly memoryFormat: MemoryFormat;
  readonly requiresGrad?: boolean;
  /** The node and output the tensor came from. */
  readonly source?: Source<Tensor> | null;
}

// Browsers without explicit resource management lack the symbol; polyfills and compiled `using` look for this one then.
const disposeSymbol: typeof Symbol.dispose =
  (Symbol as { readonly dispose?: typeof Symbol.dispose }).dispose ??
  (Symbol.for('Symbol.dispose') as typeof Symbol.dispose);

/** The description is what the platform's error says. */
const cannotBeCloned: unique symbol = Symbol(
  'a tensor of syncbn; clone or send await tensor.data() and tensor.shape instead:',
);

/**
 * An array of f32 values on a device. Made by {@link tensor} and by operations, never by `new`.
 *
 * Memory is freed by {@link Tensor.dispose} or by the end of a {@link scope}; the garbage collector is a safety net only.
 */
export class Tensor implements Differentiable<Tensor> {
  /** The name of the class in errors, which bundlers leave alone. @internal */
  static readonly typeName: string = 'Tensor';

  /** @internal */
  get [copyKey](): object {
    return thisCopy;
  }

  /** Sizes in logical (N, C, …) order. */
  readonly shape: Shape;
  /** Order of the dimensions in memory; data goes in and out in logical order whatever it is. */
  readonly memoryFormat: MemoryFormat;
  /** @internal */
  readonly serial: number = nextSerial();
  /** Makes `structuredClone` and `postMessage` fail: a clone would be an object without methods and memory. @internal */
  readonly cloning: symbol = cannotBeCloned;

  #storage: Storage | null;
  #copies: Copies | null = null;
  #requiresGrad: boolean;
  #source: Source<Tensor> | null;
  #isDonated = false;
  /** Why `copy_` is refused; `null`: it is not. */
  #readOnly: string | null = null;
  #grad: Tensor | null = null;
  /** Whether the user may hold the gradient: he has read it, or set it. */
  #isGradKnown = false;

  /** @internal */
  constructor(parts: TensorParts) {
    if (!((parts as TensorParts | undefined)?.storage instanceof Storage)) {
      throw new TypeError(
        'new Tensor(): expected to be called by the library only; make a tensor with tensor(data, shape)',
      );
    }
    this.shape = Object.isFrozen(parts.shape) ? parts.shape : Object.freeze([...parts.shape]);
    this.memoryFormat = parts.memoryFormat;
    this.#storage = parts.storage;
    this.#source = parts.source ?? null;
    this.#source?.node.retain();
    this.#requiresGrad = parts.requiresGrad ?? this.#source !== null;
    track(this);
  }

  /**
   * There is none, and what reads it, such as `Array.from(tensor)` and `new Float32Array(tensor)`, would see an empty array.
   * @throws TypeError always.
   */
  get length(): never {
    throw new TypeError(
      'a tensor is no array: await tensor.data() or tensor.dataSync() gives its values, and tensor.shape its sizes',
    );
  }

  /** Name of the device that holds the values, for example `cpu:0`. */
  get device(): string {
    return this.storage.device.name;
  }

  /**
   * The gradient that `backward()` has summed so far, of the same shape and device; `null` before. It belongs to the tensor: it is
   * disposed with it, and a `scope()` that it was made in does not dispose it. Setting another, or `null`, frees a gradient that
   * nobody has read; one that was read here stays, and whoever read it may dispose it.
   */
  get grad(): Tensor | null {
    this.#isGradKnown = true;
    return this.#grad;
  }

  /** @throws TypeError or RangeError for what cannot be a gradient of this tensor. */
  set grad(value: Tensor | null) {
    if (value !== null) {
      checkGradient(this, value);
      for (let next: Tensor | null = value; next !== null; next = next.#grad) {
        if (next === this) {
          throw new RangeError(
            "can't assign a tensor as its own grad, nor as the grad of its own grad; assign a detach() of it",
          );
        }
      }
    }
    if (!this.#isGradKnown) {
      this.#grad?.dispose();
    }
    this.#isGradKnown = true;
    this.#grad = value;
    // A tensor that is gone cannot dispose its gradient; the scope looks after it instead.
    if (value !== null && !this.isDisposed) {
      untrack(value);
    }
  }

  /** Whether `backward()` computes a gradient for this tensor or through it. */
  get requiresGrad(): boolean {
    return this.#requiresGrad;
  }

  /** @throws Error on the result of an operation, which requires what its inputs require. */
  set requiresGrad(value: boolean) {
    if (typeof value !== 'boolean') {
      throw new TypeError(`requiresGrad: expected a boolean, got ${quoteValue(value)}`);
    }
    if (this.#source !== null && value !== this.#requiresGrad) {
      throw new Error(
        'you can only change requiresGrad of leaf tensors; use detach() to cut a result out of the graph',
      );
    }
    this.#requiresGrad = value;
  }

  /** Whether the tensor was given rather than computed by a recorded operation. */
  get isLeaf(): boolean {
    return this.#source === null;
  }

  /** Whether the memory has been given back. */
  get isDisposed(): boolean {
    return this.#storage === null;
  }

  /**
   * The values, a copy.
   *
   * @param target - an array to put them into, of as many values, for example a view of another engine's WebAssembly memory; it may
   * lie in shared memory. Default: a new array.
   * @param options - `order`: see {@link DataOrder}.
   * @returns `target`, or the new array.
   * @throws DisposedError; TypeError for another target than a `Float32Array`; RangeError for one of another length, or whose memory is gone
   * when the values are there.
   *
   * @example
   * ```ts
   * await x.data();                                       // (N, C, …), a new array
   * await x.data(new Float32Array(heap, address, size));  // into the memory of another engine
   * await x.data({ order: 'memory' });                    // of a channels-last tensor: (N, …, C), not rearranged
   * ```
   */
  data(options?: DataOptions): Promise<Float32Array>;
  data<Target extends Float32Array>(target: Target, options?: DataOptions): Promise<Target>;
  async data(first?: unknown, second?: unknown): Promise<Float32Array> {
    const { storage } = this;
    const reading = readingOf('data()', storage.length, first, second);
    return readValues(storage, batchLayout(this.shape, this.memoryFormat), reading);
  }

  /**
   * {@link Tensor.data} at once, for tensors on a `'cpu'` device that is ready: after `await init()`, or any awaited operation there.
   * @throws as `data()`; RangeError on workers and GPUs, which answer later; NotInitializedError before the device is ready.
   *
   * @example
   * ```ts
   * await init();
   * const values = tensor([1, 2, 3]).dataSync();
   * ```
   */
  dataSync(options?: DataOptions): Float32Array;
  dataSync<Target extends Float32Array>(target: Target, options?: DataOptions): Target;
  dataSync(first?: unknown, second?: unknown): Float32Array {
    const where = 'dataSync()';
    const { storage } = this;
    const reading = readingOf(where, storage.length, first, second);
    const device = readableAtOnce(storage.device, where, "await data(), or move the tensor with await to('cpu')");
    return readValuesNow(storage, batchLayout(this.shape, this.memoryFormat), reading, device);
  }

  /**
   * The value of a tensor of one element.
   * @throws RangeError for any other.
   */
  async item(): Promise<number> {
    const [value] = elementCount(this.shape) === 1 ? await this.data() : [];
    if (value === undefined) {
      throw new RangeError(`item(): expected a tensor of one element, got shape ${formatShape(this.shape)}`);
    }
    return value;
  }

  /**
   * The platform's buffer that holds the values in memory order, on a WebGPU device; it may be longer. Writing to it changes the
   * tensor and whatever shares its memory. The library never writes to it from now on: where the tensor gets other values, by
   * `copy_()`, `loadStateDict()` or another `backward()`, it gets other memory, so ask for the buffer again then. It is the
   * tensor's until that is disposed.
   * @throws RangeError on other devices, NotInitializedError before the device is ready.
   */
  gpuBuffer(): GPUBuffer {
    const { storage } = this;
    const buffer = webGpuDevice(storage.device).gpuBuffer(storage.buffer);
    storage.expose();
    return buffer;
  }

  /** The same values on another device: this tensor when it is there already. Gradients flow back. */
  async to(device: DeviceName): Promise<Tensor> {
    const target = deviceByName(device);
    const { storage } = this;
    if (storage.device === target) {
      return this;
    }
    const { name } = storage.device;
    return this.derive('to', copyTo(storage, target), async ([gradient]) => [(await gradient?.to(name)) ?? null]);
  }

  /**
   * The same memory under another shape, PyTorch's `view`; gradients flow back. It never copies. `copy_()` on either of the two gives that one
   * other memory and leaves the other as it is.
   *
   * @param shape - of as many values; one size may be -1, where the others determine it.
   * @param options - see {@link ViewOptions}: `order: 'memory'` takes rows of channels for a channels-last batch, and back.
   * @throws RangeError for another number of values, or where the values stand in another order in memory; TypeError for what is no shape.
   *
   * @example
   * ```ts
   * x.view([n, -1]);
   * const rows = x.view([n * h * w, c], { order: 'memory' });                                  // of a channels-last x
   * const image = rows.view([n, c, h, w], { order: 'memory', memoryFormat: 'channels_last' }); // its values again
   * ```
   */
  view(shape: Shape, options?: ViewOptions): Tensor {
    const seen = seenAs('view()', this, shape, options);
    if (seen === null) {
      throw new RangeError(
        `view(): shape ${formatShape(shape)} needs another order in memory than this channels-last tensor of shape ${formatShape(this.shape)} has; ` +
          `reshape() copies, and order: 'memory' takes the bytes as they lie`,
      );
    }
    return this.#seen(seen);
  }

  /**
   * {@link Tensor.view} in logical order, PyTorch's `reshape`: it shares the memory where that is possible, which it always is for contiguous
   * tensors, and else copies the values to contiguous memory, for which the device must be ready.
   * @throws as `view()`; OutOfMemoryError, NotInitializedError where it has to copy.
   *
   * @example
   * ```ts
   * const flat = features.reshape([n, -1]);
   * ```
   */
  reshape(shape: Shape): Tensor {
    const seen = seenAs('reshape()', this, shape, undefined);
    if (seen !== null) {
      return this.#seen(seen);
    }
    const arranged = this.#arranged();
    const result = arranged.view(shape);
    arranged.dispose();
    return result;
  }

  /** A {@link Tensor.detach} that takes no `copy_`. @param why - the text of the error. @internal */
  snapshot(why: string): Tensor {
    const snapshot = this.detach();
    snapshot.#readOnly = why;
    return snapshot;
  }

  /** @throws Error for a snapshot. @internal */
  checkWritable(where: string): void {
    if (this.#readOnly !== null) {
      throw new Error(`${where}: ${this.#readOnly}`);
    }
  }

  /** A tensor of the same memory that is not part of the graph. */
  detach(): Tensor {
    const { shape, memoryFormat } = this;
    return new Tensor({ storage: this.storage.retain(), shape, memoryFormat });
  }

  /**
   * Replaces the values, as PyTorch's in-place `copy_`; what the graph has saved of the old ones stays valid. Values from an array are
   * there when the call returns, where the device is ready, so a synchronous program need not await it.
   * @param source - a tensor of the same shape on any device, or as many values in a typed array of numbers, which become f32.
   * @param options - `order` of the values in an array: see {@link DataOrder}.
   * @throws TypeError for another source; RangeError for another shape or number of values; Error unless this is a leaf.
   *
   * @example
   * ```ts
   * await bn.weight.copy_(Float32Array.of(1, 0.5, 2));
   * await image.copy_(pixels, { order: 'memory' }); // a channels-last image, as it lies
   * ```
   */
  async copy_(source: Tensor | TypedNumbers, options?: DataOptions): Promise<this> {
    const { storage: old } = this;
    const { device } = old;
    if (this.#source !== null) {
      throw new Error('copy_(): expected a leaf tensor, got the result of a recorded operation; detach() it first');
    }
    this.checkWritable('copy_()');
    const order = orderOf('copy_()', options);
    const layout = batchLayout(this.shape, this.memoryFormat);
    let storage: Storage;
    const values = float32ValuesOf(source);
    if (values !== null) {
      if (values.length !== old.length) {
        throw new RangeError(
          `copy_(): expected ${old.length} values for shape ${formatShape(this.shape)}, got ${values.length}${adviceForGone(values)}`,
        );
      }
      storage = order === 'memory' ? Storage.from(device, values) : placed(device, values, layout);
    } else if (isTensor(source)) {
      if (!sameShape(this.shape, source.shape)) {
        throw new RangeError(`copy_(): expected shape ${formatShape(this.shape)}, got ${formatShape(source.shape)}`);
      }
      storage = await source.copyLike(this);
    } else {
      throw new TypeError(`copy_(): expected a Tensor or a typed array of numbers, got ${describeValue(source)}`);
    }
    this.replaceStorage(storage);
    return this;
  }

  /**
   * Computes the gradient of every leaf that requires one and adds it to the leaf's `grad`. Afterwards the graph is gone.
   *
   * @param dy - gradient of this tensor, same shape and device; may be omitted for a tensor of one element.
   * @throws GraphFreedError the second time, and while another pass runs through a part of the graph; DisposedError when the `grad`
   * of a leaf was disposed. The gradients of the leaves are untouched by a failure.
   */
  async backward(dy?: Tensor): Promise<void> {
    const { start, gradient, node } = this.#beginBackward('backward()', dy);
    try {
      await runBackward(start, gradient, gradient.storage.device);
    } finally {
      node?.release();
    }
  }

  /**
   * {@link Tensor.backward} at once, on `'cpu'` and `'webgpu'` devices that are ready. Everything in the graph must compute its gradients at once:
   * batch norm, views, and functions of `defineFunction` whose `backward` is not asynchronous.
   *
   * Where a GPU says later that it has refused a command, because the owner of an adopted buffer has destroyed it, the gradients of
   * the pass are taken back, and whoever uses what was computed of them is told.
   * @throws as `backward()`; RangeError on a worker; NotInitializedError before the device is ready; Error where something in the graph would have
   * to be awaited. The gradients of the leaves are untouched then.
   *
   * @example
   * ```ts
   * await init();
   * const y = bn.forwardSync(x);
   * y.backwardSync(dy);
   * const dx = x.grad.dataSync();
   * ```
   */
  backwardSync(dy?: Tensor): void {
    const where = 'backwardSync()';
    checkCommandable(this.storage.device, where, 'await backward()');
    const { start, gradient, node } = this.#beginBackward(where, dy);
    try {
      runBackwardSync(start, gradient, gradient.storage.device);
    } finally {
      node?.release();
    }
  }

  /**
   * Offers the memory to the next operation that takes this tensor, which may write its result over it. Either way the
   * tensor is disposed by that operation.
   */
  donate(): this {
    this.#isDonated = true;
    return this;
  }

  /** Takes the tensor out of every open {@link scope}: it lives until `dispose()`. */
  keep(): this {
    untrack(this);
    return this;
  }

  /**
   * Gives the memory back, unless the graph still needs it, and that of the gradient: `detach()` the gradient, or set
   * `grad` to `null`, to keep it. Idempotent.
   */
  dispose(): void {
    // Not recursive: a gradient may have a gradient, and so on.
    for (let next: Tensor | null = this.#free(); next !== null;) {
      next = next.#free();
    }
  }

  /** {@link Tensor.dispose}, for `using`. */
  [disposeSymbol](): void {
    this.dispose();
  }

  toString(): string {
    const state = this.#storage === null ? 'disposed' : this.device;
    return `Tensor(${formatShape(this.shape)}, ${state}${this.#requiresGrad ? ', requiresGrad' : ''})`;
  }

  /** What `console.log(tensor)` shows in Node, Deno and Bun: {@link Tensor.toString}, and the values where they can be had at once. */
  [inspectKey](): string {
    const device = this.#storage?.device;
    if (device === undefined) {
      return String(this);
    }
    const canRead = device.kind === 'cpu' && device.isReady && device.lost === null;
    return canRead
      ? `${String(this)}\n${formatValues(this.dataSync(), this.shape)}`
      : `${String(this)}, values by await data()`;
  }

  /** @throws TypeError always: JSON has no room for tensors. */
  toJSON(): never {
    throw new TypeError(
      `a tensor cannot be written as JSON; save Array.from(await tensor.data()) and tensor.shape, of a state dict for each entry`,
    );
  }

  /** @internal */
  get storage(): Storage {
    if (this.#storage === null) {
      throw new DisposedError(this.shape);
    }
    return this.#storage;
  }

  /** @internal */
  get source(): Source<Tensor> | null {
    return this.#source;
  }

  /** Whether the next operation that takes the tensor must dispose it. @internal */
  get isDonated(): boolean {
    return this.#isDonated;
  }

  /** Whether a result may be written over the values: donated, and nobody else has them. @internal */
  get isOverwritable(): boolean {
    return this.#isDonated && this.storage.isOverwritable;
  }

  /** Takes an offer back. @internal */
  undonated(): this {
    this.#isDonated = false;
    return this;
  }

  /** Exchanges the memory, keeping the identity; takes over the reference. @internal */
  replaceStorage(storage: Storage): void {
    if (this.#storage === null) {
      storage.release();
      throw new DisposedError(this.shape);
    }
    this.#dropCopies();
    this.#storage.release();
    this.#storage = storage;
  }

  /** Its values on other devices, kept until the tensor has other memory. @internal */
  get copies(): Copies {
    return (this.#copies ??= new Copies(this.storage));
  }

  /** A copy of the values on the device and in the memory format of another tensor. @internal */
  async copyLike(target: Tensor): Promise<Storage> {
    const { device } = target.storage;
    const { storage } = this;
    const layout = batchLayout(this.shape, this.memoryFormat);
    return holding([storage], async () => {
      const arranged = inFormat(storage, layout, target.memoryFormat);
      return copyTo(arranged, device).finally(() => arranged.release());
    });
  }

  /** The memory in a format, as a reference the caller must release; the device must be ready. @internal */
  inFormat(format: MemoryFormat): Storage {
    return inFormat(this.storage, batchLayout(this.shape, this.memoryFormat), format);
  }

  /** The sum with a tensor of the same shape and device, outside the graph; written over this one where that is allowed. @internal */
  plus(other: Tensor): Tensor {
    const { shape, memoryFormat } = this;
    const { device } = this.storage;
    const addend = other.inFormat(memoryFormat);
    try {
      const sum = this.storage.isOverwritable ? this.storage.retain() : Storage.allocate(device, addend.length);
      device.run({ operation: 'add', a: this.storage.buffer, b: addend.buffer, target: sum.buffer });
      return new Tensor({ storage: sum, shape, memoryFormat });
    } finally {
      addend.release();
    }
  }

  /** This tensor when it has the format and may be written over, else a copy. The device must be ready. @internal */
  writable(memoryFormat: MemoryFormat): Tensor {
    const { shape, storage } = this;
    const isArranged = this.memoryFormat === memoryFormat;
    if (isArranged && storage.isOverwritable) {
      return this;
    }
    return new Tensor({ storage: isArranged ? duplicate(storage) : this.inFormat(memoryFormat), shape, memoryFormat });
  }

  /**
   * The gradient that a backward pass adds to. To look here is not to read it as the user does.
   * @throws DisposedError when the user has disposed it and left it there.
   * @internal
   */
  get gradToAddTo(): Tensor | null {
    if (this.#grad?.isDisposed === true) {
      throw new DisposedError(
        this.shape,
        `backward(): the grad of a leaf of shape ${formatShape(this.shape)} was disposed; set grad = null after dispose(), and run forward again`,
      );
    }
    return this.#grad;
  }

  /** Takes over the first gradient that a backward pass has computed. @internal */
  receiveGrad(gradient: Tensor): void {
    this.#grad = gradient;
    this.#isGradKnown = false;
    // A leaf that is gone cannot dispose its gradient; the scope of the backward pass looks after it instead.
    if (this.isDisposed) {
      track(gradient);
    }
  }

  /** Frees a gradient that has turned out not to have been computed, unless there is another meanwhile. @internal */
  takeBackGrad(gradient: Tensor): void {
    if (this.#grad === gradient) {
      this.#grad = null;
    }
    gradient.dispose();
  }

  /** Makes a tensor that was just computed an output of a recorded operation. @internal */
  recordAs(source: Source<Tensor>): void {
    source.node.retain();
    this.#source = source;
    this.#requiresGrad = true;
  }

  /** The result of an operation with this tensor as its only input, of the same shape. Disposes a donated one. @internal */
  async derive(
    name: string,
    result: Promise<Storage>,
    backward: GraphNodeOptions<Tensor>['backward'],
  ): Promise<Tensor> {
    const { shape, memoryFormat } = this;
    const isRecorded = this.#requiresGrad && isGradEnabled();
    const node = isRecorded ? new GraphNode({ name, inputs: [this], saved: [], backward }) : null;
    try {
      const storage = await result;
      if (this.#isDonated) {
        this.dispose();
      }
      return new Tensor({ storage, shape, memoryFormat, source: node && { node, index: 0 } });
    } catch (error) {
      node?.free();
      throw error;
    }
  }

  /**
   * Checks what a backward pass begins with.
   * @returns `gradient`: a handle of the pass, which disposes it. `node`: a reference, or `null` for a leaf, that the caller must release after
   * the pass, since a donated `dy` may be this tensor, and the last that holds the graph.
   */
  #beginBackward(
    where: string,
    dy: Tensor | undefined,
  ): {
    readonly start: Edge<Tensor>;
    readonly gradient: Tensor;
    readonly node: GraphNode<Tensor> | null;
  } {
    const { shape, memoryFormat, device, storage } = this;
    if (!this.#requiresGrad) {
      throw new Error(
        `${where}: the tensor does not require grad and does not have a grad_fn; set requiresGrad on what it is computed from, ` +
          'and compute it outside noGrad(), which holds for everything that runs until its promise settles',
      );
    }
    if (dy !== undefined) {
      checkOutputGradient(where, this, dy);
    } else if (elementCount(shape) !== 1) {
      throw new RangeError(
        `grad can be implicitly created only for scalar outputs: the tensor has shape ${formatShape(shape)}, pass its gradient`,
      );
    }
    this.#source?.node.checkRunnable();
    const ones = (): Tensor =>
      new Tensor({ storage: Storage.from(storage.device, Float32Array.of(1)), shape, memoryFormat });
    const gradient = dy?.detach() ?? ones();
    const node = this.#source?.node.retain() ?? null;
    const start = { target: this.#source ?? { leaf: this }, shape, device, order: 0 };
    if (dy?.isDonated === true) {
      dy.dispose();
    }
    return { start, gradient, node };
  }

  /** A tensor of the same memory, recorded where this one requires a gradient. Disposes a donated one. */
  #seen(seen: Seen): Tensor {
    const { shape, memoryFormat } = this;
    const storage = this.storage.retain();
    // What has the format of the view lies in memory as what has the format of this tensor.
    const parts = { storage, shape: seen.shape, memoryFormat: seen.memoryFormat };
    return this.#recorded('view', parts, (dy) => ({
      storage: dy.inFormat(seen.memoryFormat),
      shape,
      memoryFormat,
    }));
  }

  /** A contiguous copy. */
  #arranged(): Tensor {
    const { shape } = this;
    const format = 'contiguous';
    const parts = (from: Tensor): TensorParts => ({ storage: from.inFormat(format), shape, memoryFormat: format });
    return this.#recorded('contiguous', parts(this), parts);
  }

  /** The result of an operation with this tensor as its only input. @param backward - gives what the gradient is made of. */
  #recorded(name: string, parts: TensorParts, backward: (dy: Tensor) => TensorParts): Tensor {
    const isRecorded = this.#requiresGrad && isGradEnabled();
    const run: GraphNodeOptions<Tensor>['backward'] = ([dy]) => withRoom(() => [dy ? new Tensor(backward(dy)) : null]);
    const node = isRecorded ? new GraphNode({ name, inputs: [this], saved: [], backward: run }) : null;
    const { storage, shape, memoryFormat } = parts;
    const result = new Tensor({ storage, shape, memoryFormat, source: node && { node, index: 0 } });
    if (this.#isDonated) {
      this.dispose();
    }
    return result;
  }

  /** @returns what must be freed next. */
  #free(): Tensor | null {
    const grad = this.#grad;
    untrack(this);
    this.#grad = null;
    this.#dropCopies();
    this.#storage?.release();
    this.#storage = null;
    this.#source?.node.release();
    this.#source = null;
    return grad;
  }

  #dropCopies(): void {
    this.#copies?.release();
    this.#copies = null;
  }
}

/**
 * Whether a value is a tensor.
 * @throws TwoCopiesError for a tensor or module of another copy of the library.
 */
export function isTensor(value: unknown): value is Tensor {
  if (value instanceof Tensor) {
    return true;
  }
  refuseOtherCopy(value);
  return false;
}

/** A tensor that is gone may still be given its gradient, so its device does not matter then. */
function checkGradient(owner: Tensor, gradient: unknown): void {
  if (!isTensor(gradient)) {
    throw new TypeError(`grad: expected a Tensor or null, got ${describeValue(gradient)}`);
  }
  if (!sameShape(owner.shape, gradient.shape)) {
    throw new RangeError(`grad: expected shape ${formatShape(owner.shape)}, got ${formatShape(gradient.shape)}`);
  }
  if (!owner.isDisposed) {
    checkSameDevice('grad', owner.storage.device, gradient.storage.device);
  }
}

/** The gradient that a backward pass is given for a tensor. @throws TypeError, RangeError, DeviceMismatchError */
function checkOutputGradient(where: string, output: Tensor, dy: unknown): void {
  if (!isTensor(dy)) {
    throw new TypeError(`${where}: expected a Tensor, got ${describeValue(dy)}`);
  }
  if (!sameShape(dy.shape, output.shape)) {
    throw new RangeError(
      `${where}: expected a gradient of shape ${formatShape(output.shape)}, got ${formatShape(dy.shape)}`,
    );
  }
  checkSameDevice(where, output.storage.device, dy.storage.device);
}
