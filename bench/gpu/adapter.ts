/** Which adapter takes part, and how a browser is told. */

export const adapterChoices = ['auto', 'hardware', 'software'] as const;
/** `auto`: hardware where there is some. */
export type AdapterChoice = (typeof adapterChoices)[number];

/** A page's WebGPU on hardware: on Linux Chromium does not offer it unasked. */
const HARDWARE_ARGUMENTS = ['--enable-unsafe-webgpu', '--enable-features=Vulkan', '--ignore-gpu-blocklist'];

/**
 * The browser's arguments.
 * @param testArguments - those of the tests, which compute on SwiftShader.
 */
export function browserArguments(testArguments: readonly string[], isSoftware: boolean): string[] {
  if (isSoftware) return [...testArguments];
  return [...testArguments.filter((text) => !/webgpu|swiftshader/.test(text)), ...HARDWARE_ARGUMENTS];
}
