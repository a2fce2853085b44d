export declare const entries: readonly string[];
export declare const inPlace: readonly string[];
export declare const besides: readonly string[];
