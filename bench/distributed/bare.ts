/** The same bytes without collectives: what messages of a transport cost by themselves. */

import { MessageChannel, type MessagePort, Worker } from 'node:worker_threads';
import { connect } from '@nats-io/transport-node';
import { GATHER_BYTES, GATHERS, median } from './timing.ts';

/** A round trip between two threads, with nothing but `postMessage`; in milliseconds. */
export async function barePorts(): Promise<number> {
  const echo = new Worker(
    `require('node:worker_threads').parentPort.once('message', ({ port }) => port.on('message', (bytes) => port.postMessage(bytes)));`,
    { eval: true },
  );
  const { port1, port2 } = new MessageChannel();
  echo.postMessage({ port: port2 }, [port2]);
  const roundTrip = (port: MessagePort): Promise<unknown> =>
    new Promise((resolve) => {
      port.once('message', resolve);
      port.postMessage(new Uint8Array(GATHER_BYTES));
    });
  const time = await median(GATHERS, () => roundTrip(port1));
  port1.close();
  await echo.terminate();
  return time;
}

/** A request with its reply, between two connections; in milliseconds. */
export async function bareRequest(port: number): Promise<number> {
  const servers = `127.0.0.1:${port}`;
  const [from, to] = await Promise.all([connect({ servers }), connect({ servers })]);
  const bytes = new Uint8Array(GATHER_BYTES);
  to.subscribe('echo', { callback: (_, message) => void message.respond(bytes) });
  await to.flush();
  const request = await median(GATHERS, () => from.request('echo', bytes));
  await Promise.all([from.close(), to.close()]);
  return request;
}
