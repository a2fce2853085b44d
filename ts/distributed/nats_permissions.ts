/** What a server says that does not allow a subject. */

/** Whether the server does not let this user publish or subscribe. */
export function isForbidden(error: unknown): boolean {
  const { name, cause } = (error ?? {}) as { readonly name?: string; readonly cause?: { readonly name?: string } };
  return name === 'PermissionViolationError' || cause?.name === 'PermissionViolationError';
}

/** What to do about it. */
export function forbidden(error: unknown): string {
  const text = error instanceof Error ? error.message : String(error);
  return `the server forbids it: ${text}; allow this user to publish and to subscribe syncbn.JOB.>`;
}
