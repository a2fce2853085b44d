/** What every row of the matrix runs: a training step over two devices of each kind. The sums of their bits are the same everywhere. */

/**
 * @param {typeof import('syncbn')} syncbn - the package, however it was loaded
 * @param {string[]} kinds - of devices: `cpu`, `worker`, `webgpu`; a project's copy of this file exports `sums(syncbn)`, with the kinds of its row
 * @returns {Promise<string>} `sums: cpu=12345678 worker=12345678`
 */
export async function sumsOf(syncbn, kinds) {
  const found = [];
  for (const kind of kinds) found.push(`${kind}=${await checksum(syncbn, kind)}`);
  return `sums: ${found.join(' ')}`;
}

async function checksum(syncbn, kind) {
  const { BatchNorm2d, convertModel, DataParallel, devices, Sequential, tensor } = syncbn;
  const deviceIds = [`${kind}:0`, `${kind}:1`];
  const net = convertModel(new DataParallel(new Sequential(new BatchNorm2d(3)), { deviceIds }));
  await net.to(deviceIds[0]);
  const values = Float32Array.from({ length: 5 * 3 * 4 * 4 }, (_, i) => ((i * 37) % 101) / 7);
  const x = tensor(values, [5, 3, 4, 4], { device: deviceIds[0], requiresGrad: true });
  const y = await net.forward(x);
  await y.backward(
    tensor(
      values.map((value) => value - 3),
      y.shape,
      { device: deviceIds[0] },
    ),
  );
  const tensors = [y, x.grad, ...net.buffers(), ...[...net.parameters()].map(({ grad }) => grad)];
  // FNV-1a over the bytes of all that the step has computed.
  let sum = 0x811c9dc5;
  for (const each of tensors) {
    for (const byte of new Uint8Array((await each.data()).buffer)) sum = Math.imul(sum ^ byte, 0x01000193) >>> 0;
  }
  if (kind !== 'cpu') await devices.close(...deviceIds);
  return sum.toString(16).padStart(8, '0');
}
