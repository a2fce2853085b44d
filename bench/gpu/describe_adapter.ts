/** The adapter that frameworks get when they ask for the fastest one. */

export interface AdapterDescription {
  readonly name: string;
  /** Whether it computes on the CPU. */
  readonly isSoftware: boolean;
}

/** @returns `null` where there is none. */
export async function describeAdapter(gpu: GPU | undefined): Promise<AdapterDescription | null> {
  const adapter = (await gpu?.requestAdapter({ powerPreference: 'high-performance' })) ?? null;
  return adapter === null ? null : describe(adapter.info);
}

/** What the platform tells of it; a page may tell less than Node. */
export function describe({ vendor, architecture, device, description }: GPUAdapterInfo): AdapterDescription {
  const name =
    description || [vendor, architecture, device].filter((part) => part !== '').join(' ') || 'unnamed adapter';
  return { name, isSoftware: /swiftshader|llvmpipe|lavapipe|basic render/i.test(`${name} ${architecture}`) };
}
