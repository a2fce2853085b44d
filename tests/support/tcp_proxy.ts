/** A network that a test can stall and cut: a proxy in front of a server on this machine. */

import { connect, createServer, type AddressInfo, type Socket } from 'node:net';

export interface TcpProxy extends AsyncDisposable {
  readonly port: number;
  /** Nothing gets through any more, in no direction, and nobody is told. */
  stall(): void;
  /** All connections end, and no new one can be made. */
  cut(): void;
}

export async function startTcpProxy(to: number): Promise<TcpProxy> {
  const sockets = new Set<Socket>();
  const hold = (socket: Socket): void => {
    sockets.add(socket);
    socket.on('error', () => socket.destroy());
    socket.on('close', () => sockets.delete(socket));
  };
  const proxy = createServer((client) => {
    const server = connect(to, '127.0.0.1');
    [client, server].forEach(hold);
    client.on('close', () => server.destroy());
    server.on('close', () => client.destroy());
    client.pipe(server).pipe(client);
  });
  await new Promise<void>((done) => proxy.listen(0, '127.0.0.1', done));
  const cut = (): void => {
    proxy.close();
    sockets.forEach((socket) => socket.destroy());
  };
  return {
    port: (proxy.address() as AddressInfo).port,
    stall: () => {
      for (const socket of sockets) {
        socket.unpipe();
        socket.pause();
      }
    },
    cut,
    [Symbol.asyncDispose]: () => {
      cut();
      return Promise.resolve();
    },
  };
}
