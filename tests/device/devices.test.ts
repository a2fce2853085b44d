import { describe, expect, it } from 'vitest';
import { devices, init, tensor, UnknownDeviceError } from '../../ts/index.ts';

describe('device names', () => {
  it('cpu is short for cpu:0', () => {
    expect(devices.get('cpu')).toBe(devices.get('cpu:0'));
  });

  it('name the same device each time', () => {
    expect(devices.get('cpu:63')).toBe(devices.get('cpu:63'));
  });

  it.each(['cpu:64', 'cpu:-1', 'cpu:01', 'cpu:', 'gpu', '', 'CPU', 'worker:64', 'worker:x', 'cpu:0:1', 'worker:1:'])(
    '%j is refused, naming those that exist',
    (name) => {
      expect(() => devices.get(name)).toThrow(UnknownDeviceError);
      expect(() => tensor([1], [1], { device: name })).toThrow(/unknown device .*expected one of cpu, cpu:0/);
    },
  );

  it.each([
    ['cuda:0', 'webgpu:0'],
    ['cuda', 'webgpu'],
    ['gpu', 'webgpu'],
    ['GPU:3', 'webgpu:3'],
    ['mps', 'webgpu'],
    ['web-gpu:1', 'webgpu:1'],
    ['CPU', 'cpu'],
    ['cpu0', 'cpu:0'],
    ['cpu:01', 'cpu:1'],
    ['workers:2', 'worker:2'],
    ['thread', 'worker'],
  ])('%j is refused, and %s suggested', (name, meant) => {
    expect(() => devices.get(name)).toThrow(`did you mean '${meant}'?`);
    expect(devices.get(meant).kind).toBe(meant.split(':')[0]);
  });

  it.each(['cpu:64', 'cuda:64', 'cpu:-1', 'cpu:1.5', 'tpu', 'meta', '', ':0'])(
    '%j is refused without a guess',
    (name) => {
      expect(() => devices.get(name)).toThrow(/^unknown device (?!.*did you mean)/);
    },
  );

  it('must be strings', () => {
    expect(() => devices.get(0 as unknown as string)).toThrow(
      new TypeError("expected a device name such as 'cpu:0', got 0"),
    );
  });
});

describe('the list of devices', () => {
  it('always has cpu:0 first, and those made so far in order of their numbers', () => {
    ['cpu:10', 'cpu:9'].forEach((name) => devices.get(name));
    const list = devices.list();
    expect(list[0]).toBe('cpu:0');
    expect(list.indexOf('cpu:9')).toBeLessThan(list.indexOf('cpu:10'));
  });

  it('offers as many workers as there are cores, and those asked for', () => {
    devices.get('worker:63');
    const workers = devices.list().filter((name) => name.startsWith('worker'));
    const cores = Array.from({ length: workers.length - 1 }, (_, i) => `worker:${i}`);
    expect(cores.length).toBeGreaterThanOrEqual(1);
    expect(workers).toEqual([...cores, 'worker:63']);
    const described = devices.describe().filter(({ kind }) => kind === 'worker');
    expect(described.map(({ name }) => name)).toEqual(workers);
    expect(new Set(described.map(({ adapter }) => adapter)).size).toBe(workers.length);
    expect(devices.get('worker:0').isReady).toBe(false);
  });

  it('is described with what each device holds', async () => {
    await init(['cpu:11']);
    const before = devices.get('cpu:11').memoryUsage().bytesInUse;
    const held = tensor(new Float32Array(1024), [1024], { device: 'cpu:11' });
    const description = devices.describe().find(({ name }) => name === 'cpu:11');
    expect(description).toMatchObject({ kind: 'cpu', adapter: 'calling thread', isSoftware: false });
    expect(description?.memory.bytesInUse).toBe(before + 4096);
    expect(description?.traffic).toBeNull();
    held.dispose();
  });

  it('is described with what has travelled to a worker and back', async () => {
    const trafficOf = (name: string) => devices.describe().find((device) => device.name === name)?.traffic;
    expect(trafficOf('worker:0')).toEqual({ messages: 0, bytes: 0 });
    await init(['worker:0']);
    const held = tensor(new Float32Array(1024), [1024], { device: 'worker:0' });
    await held.data();
    const { messages, bytes = 0 } = trafficOf('worker:0') ?? {};
    expect(messages).toBe(2);
    expect(bytes).toBeGreaterThan(2 * 4096);
    expect(bytes).toBeLessThan(3 * 4096);
    held.dispose();
    await devices.close('worker:0');
  });
});

describe('init()', () => {
  it('makes the named devices ready', async () => {
    await init(['cpu:12']);
    expect(devices.get('cpu:12').isReady).toBe(true);
  });

  it('refuses what is no array of names', async () => {
    for (const given of ['cpu:0', null, 5, {}]) {
      await expect(init(given as unknown as string[])).rejects.toThrow('expected an array of device names');
    }
    await expect(init(['cpu:99'])).rejects.toThrow(UnknownDeviceError);
  });
});

describe('devices.adopt()', () => {
  it.each<[string, unknown]>([
    ['undefined', undefined],
    ['an object', { limits: {}, features: new Set() }],
    ['a promise (await it)', Promise.resolve({})],
    ["'webgpu:0'", 'webgpu:0'],
  ])('refuses %s, and leaves no device behind', async (text, given) => {
    const before = devices.list();
    await expect(devices.adopt(given as never)).rejects.toThrow(
      new TypeError(`devices.adopt(): expected a GPUDevice, as await adapter.requestDevice() gives it, got ${text}`),
    );
    expect(devices.list()).toEqual(before);
  });
});

describe('devices.configure()', () => {
  it.each([undefined, {}])('without an address (%j) is refused', (options) => {
    expect(() => devices.configure(options as never)).toThrow(/expected workerUrl to be an address .* got undefined$/);
  });
});
