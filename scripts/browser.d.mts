export declare function findBrowser(env?: NodeJS.ProcessEnv): { path: string; version: string } | null;
export declare function launchOptions(env?: NodeJS.ProcessEnv): { executablePath: string; args: string[] };
