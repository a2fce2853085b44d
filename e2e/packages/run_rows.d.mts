/** See `run_rows.mjs`. */
export interface RowResult {
  readonly name: string;
  readonly version: string | null;
  readonly kinds: readonly string[];
  readonly outcome: 'passed' | 'failed' | 'not here';
  readonly reason: string;
}
interface Wanted {
  readonly quick: boolean;
  readonly only?: string;
}
export declare function rowNames(wanted: Wanted): string[];
export declare function runRows(wanted: Wanted, tell: (text: string) => void): Promise<RowResult[]>;
