/** What a program still refers to, and so what devices must hold: that, and nothing else. */

import type { Device, Module, Tensor } from 'syncbn';
import type { GraphNode } from '../ts/tensor/graph_node.ts';
import type { Storage } from '../ts/tensor/storage.ts';

/** Every storage that tensors, models and the graphs behind them keep. */
export function reachable(tensors: Iterable<Tensor>, models: Iterable<Module>): ReadonlySet<Storage> {
  const found = new Set<Storage>();
  const nodes = new Set<GraphNode<Tensor>>();
  const addTensor = (item: Tensor): void => {
    if (item.isDisposed) return;
    found.add(item.storage);
    item.copies.kept.forEach((copy) => found.add(copy));
    if (item.source !== null) addGraph(item.source.node);
    const { grad } = item;
    if (grad !== null) addTensor(grad);
  };
  const addGraph = (start: GraphNode<Tensor>): void => {
    const open = [start];
    for (let node = open.pop(); node !== undefined; node = open.pop()) {
      if (nodes.has(node)) continue;
      nodes.add(node);
      node.held.forEach((storage) => found.add(storage));
      for (const edge of node.edges) if (edge !== null && 'node' in edge.target) open.push(edge.target.node);
    }
  };
  for (const item of tensors) addTensor(item);
  for (const model of models) [...model.parameters(), ...model.buffers()].forEach(addTensor);
  return found;
}

/** What devices hold of these storages. */
export function heldOn(
  device: Device,
  storages: ReadonlySet<Storage>,
): { readonly buffers: number; readonly bytesInUse: number } {
  const own = [...storages].filter((storage) => storage.device === device && storage.pendingData === null);
  return { buffers: own.length, bytesInUse: own.reduce((sum, { length }) => sum + bytesOf(device, length), 0) };
}

/** By kind of device and length. */
const bytesOfLength = new Map<string, number>();

/** Bytes that a buffer of that many values takes: devices round up. */
function bytesOf(device: Device, length: number): number {
  const key = `${device.kind} ${length}`;
  const known = bytesOfLength.get(key);
  if (known !== undefined) return known;
  const before = device.memoryUsage().bytesInUse;
  const buffer = device.allocate(length);
  const bytes = device.memoryUsage().bytesInUse - before;
  device.release(buffer);
  bytesOfLength.set(key, bytes);
  return bytes;
}
