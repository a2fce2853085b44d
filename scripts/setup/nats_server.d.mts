export function setUpNatsServer(): void;
export function present(): string | null;
