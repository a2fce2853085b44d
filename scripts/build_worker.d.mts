/** Bundles the worker's program into `ts/device/generated/`. @returns the program. */
export declare function buildWorker(): Promise<string>;
