/** Buffers that other engines have made: what the kernels need of one, and whether it belongs to the device. */

import { DeviceMismatchError } from '../errors.ts';

const BYTES_PER_VALUE = 4;
/** Kernels read and write vectors of four values. */
const VECTOR_BYTES = 16;

/** `GPUBufferUsage` and `GPUShaderStage` are globals that not every platform has; the numbers are fixed by the standard. */
const usages = { COPY_SRC: 0x4, COPY_DST: 0x8, STORAGE: 0x80 };
const COMPUTE = 0x4;

/**
 * @param bytes - that the tensor needs.
 * @throws TypeError for what is no buffer, RangeError for one that does not suit.
 */
export function checkForeignBuffer(buffer: unknown, bytes: number, name: string): void {
  const { size, usage } = Object(buffer) as { readonly size?: number; readonly usage?: number };
  if (size === undefined || usage === undefined) {
    throw new TypeError(`device ${name}: expected a GPUBuffer, got ${buffer === null ? 'null' : typeof buffer}`);
  }
  if (size < bytes || size % BYTES_PER_VALUE !== 0) {
    throw new RangeError(
      `device ${name}: expected a GPUBuffer of at least ${bytes} bytes, a multiple of ${BYTES_PER_VALUE}, got one of ${size}`,
    );
  }
  const missing = Object.entries(usages).filter(([, bit]) => (usage & bit) === 0);
  if (missing.length > 0) {
    throw new RangeError(
      `device ${name}: expected a GPUBuffer of the usages STORAGE, COPY_SRC and COPY_DST, got one without ` +
        missing.map(([usageName]) => usageName).join(' and '),
    );
  }
}

/** Whether a buffer holds whole vectors as far as a tensor of so many bytes reaches. Kernels cannot read it in place otherwise. */
export function holdsVectors(size: number, bytes: number): boolean {
  return Math.ceil(bytes / VECTOR_BYTES) <= Math.floor(size / VECTOR_BYTES);
}

/**
 * Resolves when it is sure that a buffer belongs to the device.
 * @throws DeviceMismatchError for one of another device, with which WebGPU would compute wrong numbers and say nothing.
 */
export async function checkOwner(buffer: GPUBuffer, device: GPUDevice, name: string): Promise<void> {
  if (!(await belongsTo(buffer, device))) {
    throw new DeviceMismatchError('tensorFromGPUBuffer', [
      name,
      'the device of the buffer, or the buffer was destroyed',
    ]);
  }
}

/** A buffer does not tell whose it is, but a bind group of another device's buffer is invalid. */
async function belongsTo(buffer: GPUBuffer, device: GPUDevice): Promise<boolean> {
  device.pushErrorScope('validation');
  const layout = device.createBindGroupLayout({
    entries: [{ binding: 0, visibility: COMPUTE, buffer: { type: 'storage' } }],
  });
  device.createBindGroup({ layout, entries: [{ binding: 0, resource: { buffer } }] });
  return (await device.popErrorScope()) === null;
}
