/**
 * One class per cause, with the data as fields. Wrong arguments are `TypeError` or `RangeError`; the classes here are for
 * causes a program may want to tell apart. Texts say what was expected, what was given and what to do.
 */

/** A device has no room for a buffer. Nothing that existed before is lost. */
export class OutOfMemoryError extends Error {
  override readonly name = 'OutOfMemoryError';
  readonly device: string;
  /** 0 where a platform does not tell for which buffer it had no room. */
  readonly bytesWanted: number;
  readonly bytesInUse: number;

  constructor(device: string, bytesWanted: number, bytesInUse: number, options?: ErrorOptions) {
    super(
      `out of memory on device ${device}: wanted ${bytesWanted || 'more'} bytes with ${bytesInUse} bytes in use; ` +
        `dispose() tensors that are no longer needed, or run the step inside scope()`,
      options,
    );
    this.device = device;
    this.bytesWanted = bytesWanted;
    this.bytesInUse = bytesInUse;
  }
}

/** Kernels were called before the library was initialised. */
export class NotInitializedError extends Error {
  override readonly name = 'NotInitializedError';

  /** @param device - that is not ready, where one is. */
  constructor(device = 'cpu:0') {
    super(
      `device ${device} is not initialised yet: await init(['${device}']), or await the first operation there, before calling what is synchronous`,
    );
  }
}

/** Bytes that are not the partial result they should be. */
export class PartialError extends Error {
  override readonly name = 'PartialError';
}

/**
 * A device has ended: a kernel trapped, its worker died, its GPU was lost, or it was closed. What it held is gone;
 * `devices.recreate()` makes a fresh one.
 */
export class DeviceLostError extends Error {
  override readonly name = 'DeviceLostError';
  readonly device: string;
  /** What was asked of the device when it ended. */
  readonly operation: string;
  /** What the operation was working on, as text; empty where that is not known. */
  readonly shapes: string;

  constructor(device: string, operation: string, options: { readonly cause: unknown; readonly shapes?: string }) {
    const { cause, shapes = '' } = options;
    super(
      `device ${device} was lost during ${operation}${shapes === '' ? '' : ` of ${shapes}`}: ` +
        `${cause instanceof Error ? cause.message : String(cause)}; ` +
        `its tensors are gone, devices.recreate('${device}') makes a fresh device of that name`,
      { cause },
    );
    this.device = device;
    this.operation = operation;
    this.shapes = shapes;
  }
}

/** The platform has started no worker. */
export class WorkerStartError extends Error {
  override readonly name = 'WorkerStartError';
  readonly device: string;

  constructor(device: string, options: { readonly cause: unknown }) {
    const { cause } = options;
    const text = cause instanceof Error ? cause.message : String(cause);
    super(`device ${device}: ${text}; ${workerRemedy(text)}`, options);
    this.device = device;
  }
}

/** What to do about a worker that did not start, by what the platform said. */
function workerRemedy(text: string): string {
  if (/TrustedScriptURL|trusted types?/i.test(text)) {
    return (
      `the page requires Trusted Types: let its default policy pass the addresses of workers in createScriptURL(), which are blob: ` +
      `ones, or that of devices.configure({ workerUrl })`
    );
  }
  if (/dynamic import|experimental-vm-modules/i.test(text)) {
    return `code in a vm context, as Jest runs tests, has no import(): start it with NODE_OPTIONS=--experimental-vm-modules, or use 'cpu' there`;
  }
  // Browsers tell a page only that a worker was refused or not found, by an event without a text or with one of these.
  if (/content security policy|\bCSP\b|denied|insecure|could not be started/i.test(text)) {
    return (
      `a page with a content security policy has to allow worker-src blob:, or to serve the file of syncbn/worker from its own address ` +
      `and say devices.configure({ workerUrl }); with workerUrl, check that the file is there`
    );
  }
  return `use 'cpu' where no worker can be started`;
}

/** The platform compiles no WebAssembly. */
export class NoWebAssemblyError extends Error {
  override readonly name = 'NoWebAssemblyError';

  /** @param options - the `cause`: what the platform has said; absent where there is no `WebAssembly` at all. */
  constructor(options?: ErrorOptions) {
    super(
      options === undefined
        ? `there is no WebAssembly here, without which syncbn cannot compute; browsers switch it off in modes such as Lockdown Mode`
        : isRefusedByPlatform(options.cause)
          ? `this platform compiles no WebAssembly while a program runs; import syncbn/slim there and give its init() the module of ` +
            `syncbn/cpu.wasm`
          : `the content security policy of the page does not allow WebAssembly; add 'wasm-unsafe-eval' to its script-src, for ` +
            `example script-src 'self' 'wasm-unsafe-eval'`,
      options,
    );
  }
}

/** Cloudflare's says so: only modules that were there when the program was deployed may be used. */
function isRefusedByPlatform(cause: unknown): boolean {
  return cause instanceof Error && /by embedder/i.test(cause.message);
}

/** The platform has no WebGPU. */
export class NoWebGpuError extends Error {
  override readonly name = 'NoWebGpuError';
  readonly device: string;

  constructor(device: string, options?: ErrorOptions) {
    super(
      `device ${device}: there is no WebGPU here; use a browser that has it on a page served by https or from localhost, in Node ` +
        `install the package webgpu, or stay on 'cpu' or 'worker'`,
      options,
    );
    this.device = device;
  }
}

/** WebGPU has no adapter to offer, or the adapter makes no device. */
export class NoAdapterError extends Error {
  override readonly name = 'NoAdapterError';
  readonly device: string;

  constructor(device: string, options: { readonly cause: Error }) {
    super(
      `device ${device}: ${options.cause.message}; check that graphics acceleration is on and the driver is not on the browser's ` +
        `blocklist, or stay on 'cpu' or 'worker'`,
      options,
    );
    this.device = device;
  }
}

/** An adapter grants less of something than is needed. */
export class DeviceLimitError extends RangeError {
  override readonly name = 'DeviceLimitError';
  readonly device: string;
  /** What is limited, for example `maxBufferSize`. */
  readonly limit: string;
  readonly wanted: number;
  readonly granted: number;

  constructor(device: string, limit: string, wanted: number, granted: number, options?: ErrorOptions) {
    super(
      `device ${device}: expected a ${limit} of at most ${granted}, which the adapter grants, got ${wanted}; use smaller ` +
        `batches, several devices, or another adapter (devices.create({ powerPreference }))`,
      options,
    );
    this.device = device;
    this.limit = limit;
    this.wanted = wanted;
    this.granted = granted;
  }
}

/** The platform has refused a command: a defect of this library, or a buffer that was destroyed by somebody else. */
export class ValidationError extends Error {
  override readonly name = 'ValidationError';
  readonly device: string;

  constructor(device: string, options: { readonly cause: Error }) {
    super(
      `device ${device}: ${options.cause.message}; unless a shared GPUBuffer was destroyed or mapped meanwhile, please report this`,
      options,
    );
    this.device = device;
  }
}

/** A command that nobody awaited has failed on a device, and a result was asked for that depends on it. */
export class CommandError extends Error {
  override readonly name = 'CommandError';
  readonly device: string;
  /** The command that failed. */
  readonly operation: string;

  constructor(device: string, operation: string, options: { readonly cause: Error }) {
    super(`device ${device}: the result depends on ${operation}, which has failed: ${options.cause.message}`, options);
    this.device = device;
    this.operation = operation;
  }
}

/** A device name that names no device. */
export class UnknownDeviceError extends RangeError {
  override readonly name = 'UnknownDeviceError';
  readonly device: string;
  readonly known: readonly string[];

  /** @param meant - the known name that was probably meant. */
  constructor(device: string, known: readonly string[], meant: string | null = null) {
    const advice = meant === null ? '' : `; did you mean '${meant}'?`;
    super(`unknown device ${JSON.stringify(device)}: expected one of ${known.join(', ')}${advice}`);
    this.device = device;
    this.known = known;
  }
}

/** Tensors that meet in one operation live on different devices. */
export class DeviceMismatchError extends RangeError {
  override readonly name = 'DeviceMismatchError';
  readonly operation: string;
  readonly devices: readonly string[];

  /** @param remedy - what to do, where moving the tensors is no help. */
  constructor(operation: string, devices: readonly string[], remedy = 'move them with .to(device)') {
    super(
      `${operation}: expected all tensors to be on the same device, but found at least two devices, ` +
        `${devices.join(' and ')}; ${remedy}`,
    );
    this.operation = operation;
    this.devices = devices;
  }
}

/** A tensor was used after its memory had been given back. */
export class DisposedError extends Error {
  override readonly name = 'DisposedError';
  readonly shape: readonly number[];

  /** @param message - where more is known than that it was freed. */
  constructor(shape: readonly number[], message?: string) {
    super(
      message ??
        `the tensor of shape [${shape.join(', ')}] was disposed: it was freed by dispose(), by the end of its scope() or by donate(); ` +
          `keep() it, return it from the scope, or detach() it before`,
    );
    this.shape = shape;
  }
}

/** A tensor or module was made by another copy of this library, which is loaded beside this one. */
export class TwoCopiesError extends TypeError {
  override readonly name = 'TwoCopiesError';

  /** @param given - what was given, in words. */
  constructor(given: string) {
    super(
      `two copies of syncbn are loaded, and ${given} is of the other one; let everything load the same copy: import the library everywhere ` +
        `or require it everywhere, install one version (npm dedupe), name it in resolve.dedupe or as external in bundlers, and make tensors ` +
        `and modules anew after a hot reload`,
    );
  }
}

/** The graph between this tensor and its inputs is gone, or another backward pass runs through it. */
export class GraphFreedError extends Error {
  override readonly name = 'GraphFreedError';
  readonly operation: string;

  /** @param isRunning - whether the other pass has not ended yet. */
  constructor(operation: string, isRunning = false) {
    const other = isRunning ? 'belongs to another backward() that is running' : 'has already freed what it saved';
    super(
      `Trying to backward through the graph a second time: ${operation} ${other}; run forward again before each backward()`,
    );
    this.operation = operation;
  }
}

/** A module contains itself. */
export class CyclicModuleError extends RangeError {
  override readonly name = 'CyclicModuleError';
  readonly path: readonly string[];

  constructor(path: readonly string[]) {
    super(`a module must not contain itself, but ${path.join(' → ')} leads back to where it began; remove that child`);
    this.path = path;
  }
}

/** A module was to be changed while a forward pass of it was under way. Nothing has changed. */
export class ForwardInProgressError extends Error {
  override readonly name = 'ForwardInProgressError';
  /** What was to be done. */
  readonly operation: string;
  /** Path of the first module that takes part in the pass; `''` for the root. */
  readonly path: string;

  constructor(operation: string, path: string) {
    super(
      `${operation}: expected no forward pass of the module${path === '' ? '' : ` at ${path}`} to be under way, but a ` +
        `DataParallel has not ended one; await its forward() first`,
    );
    this.operation = operation;
    this.path = path;
  }
}

/** Every mismatch between a module and a state dict, all at once. */
export class StateDictError extends Error {
  override readonly name = 'StateDictError';
  readonly moduleName: string;
  readonly missingKeys: readonly string[];
  readonly unexpectedKeys: readonly string[];
  readonly mismatches: readonly string[];

  constructor(
    moduleName: string,
    missingKeys: readonly string[],
    unexpectedKeys: readonly string[],
    mismatches: readonly string[],
  ) {
    const lines = [
      ...(missingKeys.length > 0 ? [`Missing key(s) in state_dict: ${quoted(missingKeys)}.`] : []),
      ...(unexpectedKeys.length > 0 ? [`Unexpected key(s) in state_dict: ${quoted(unexpectedKeys)}.`] : []),
      ...mismatches,
    ];
    super(`Error(s) in loading state_dict for ${moduleName}:\n\t${lines.join('\n\t')}`);
    this.moduleName = moduleName;
    this.missingKeys = missingKeys;
    this.unexpectedKeys = unexpectedKeys;
    this.mismatches = mismatches;
  }
}

/** A replica failed. The first failure that is not a mere consequence of another; the original is the `cause`. */
export class ReplicaError extends Error {
  override readonly name = 'ReplicaError';
  readonly replica: number;
  readonly device: string;
  /** Path of the layer that failed, when it is known. */
  readonly path: string | null;
  override readonly cause: unknown;

  /** @param hint - what to do, when the original does not say it. */
  constructor(replica: number, device: string, path: string | null, cause: unknown, hint: string | null = null) {
    const original = cause instanceof Error ? `${cause.name}: ${cause.message}` : String(cause);
    const kind = cause instanceof Error ? cause.name : typeof cause;
    const lines = [
      `Caught ${kind} in replica ${replica} on device ${device}.`,
      ...(path === null ? [] : [`In layer ${path}.`]),
      `Original error: ${original}`,
      ...(hint === null ? [] : [hint]),
    ];
    super(lines.join('\n'), { cause });
    this.replica = replica;
    this.device = device;
    this.path = path;
    this.cause = cause;
  }
}

/** Some replicas did not reach a synchronized layer in time. */
export class SyncTimeoutError extends Error {
  override readonly name = 'SyncTimeoutError';
  readonly path: string;
  readonly timeoutSeconds: number;
  readonly missingReplicas: readonly number[];
  readonly missingDevices: readonly string[];

  constructor(
    path: string,
    timeoutSeconds: number,
    missingReplicas: readonly number[],
    missingDevices: readonly string[],
  ) {
    super(
      `synchronized layer ${path}: waited ${timeoutSeconds} s for ${describeReplicas(missingReplicas, missingDevices)}; ` +
        `raise syncTimeout, or let every replica call the layer`,
    );
    this.path = path;
    this.timeoutSeconds = timeoutSeconds;
    this.missingReplicas = missingReplicas;
    this.missingDevices = missingDevices;
  }
}

/** A synchronized layer can never be reached by all replicas: some have finished without it, or wait elsewhere. */
export class SyncDeadlockError extends Error {
  override readonly name = 'SyncDeadlockError';
  readonly path: string;
  readonly call: number;
  readonly missingReplicas: readonly number[];
  readonly missingDevices: readonly string[];
  /** Of each missing replica, the layers that it waits in; none when it has finished. */
  readonly missingPaths: readonly (readonly string[])[];

  constructor(
    path: string,
    call: number,
    missingReplicas: readonly number[],
    missingDevices: readonly string[],
    missingPaths: readonly (readonly string[])[],
  ) {
    const missing = missingReplicas.map((replica, i) => {
      const paths = missingPaths[i] ?? [];
      const place = paths.length === 0 ? 'finished without reaching it' : `waits in ${paths.join(' and ')}`;
      return `replica ${replica} on device ${missingDevices[i] ?? 'unknown'} ${place}`;
    });
    super(
      `synchronized layer ${path}, call ${call + 1} of this forward: ${missing.join(', ')} while the others wait; every ` +
        `replica must call each synchronized layer equally often and in the same order`,
    );
    this.path = path;
    this.call = call;
    this.missingReplicas = missingReplicas;
    this.missingDevices = missingDevices;
    this.missingPaths = missingPaths;
  }
}

/** The ranks of a process group do not do the same: they have met in another exchange, or with other settings, than this one. */
export class CollectiveMismatchError extends Error {
  override readonly name = 'CollectiveMismatchError';
  /** The rank that differs from this one. */
  readonly rank: number;
  /** Names the exchange. */
  readonly tag: string;

  constructor(rank: number, tag: string, expected: string, given: string, options?: ErrorOptions) {
    super(
      `process group, ${tag}: expected ${expected}, got ${given} from rank ${rank}; every rank must call the same layers with the same ` +
        `settings, equally often and in the same order`,
      options,
    );
    this.rank = rank;
    this.tag = tag;
  }
}

function describeReplicas(replicas: readonly number[], devices: readonly string[]): string {
  return replicas.map((replica, i) => `replica ${replica} on device ${devices[i] ?? 'unknown'}`).join(', ');
}

/** As PyTorch lists keys. */
function quoted(keys: readonly string[]): string {
  return keys.map((key) => JSON.stringify(key)).join(', ');
}
