export declare function toolEnvironment(): NodeJS.ProcessEnv;
