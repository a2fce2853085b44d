export const besides: readonly string[];
