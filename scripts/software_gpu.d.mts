/** See software_gpu.mjs. */
export declare function softwareGpu(env?: NodeJS.ProcessEnv): Record<string, string>;
