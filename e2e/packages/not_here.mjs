/** A row that cannot be run on this machine, because what it needs cannot be installed; listed with the reason, never passed over. */
export class NotHere extends Error {
  name = 'NotHere';
}
