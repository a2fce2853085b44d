import {
  BatchNorm1d,
  convertModel,
  DataParallel,
  Module,
  ModuleDict,
  ModuleList,
  Parameter,
  Sequential,
  SynchronizedBatchNorm1d,
  tensor,
  type Tensor,
} from 'syncbn';
import { describe, expect, it } from 'vitest';
import { expectSameBits } from '../support/bits.ts';
import { randomArray } from '../support/random.ts';

const bn = (): BatchNorm1d => new BatchNorm1d(2);

/** Properties that hold things, and a forward that is not the case. */
class Holder extends Module {
  constructor(properties: object) {
    super();
    Object.assign(this, properties);
  }

  async forward(x: Tensor): Promise<Tensor> {
    return Promise.resolve(x);
  }
}

/** Every use of a module that goes through the tree. */
const uses: readonly (readonly [string, (module: Module) => unknown])[] = [
  ['parameters()', (module) => [...module.parameters()]],
  ['buffers()', (module) => [...module.buffers()]],
  ['modules()', (module) => [...module.modules()]],
  ['eval()', (module) => module.eval()],
  ['apply()', (module) => module.apply(() => undefined)],
  ['stateDict()', (module) => module.stateDict()],
  ['loadStateDict()', (module) => module.loadStateDict({})],
  ['to()', (module) => module.to('cpu:1')],
  ['toString()', (module) => module.toString()],
  ['zeroGrad()', (module) => module.zeroGrad()],
  ['convertModel()', (module) => convertModel(module)],
  ['convertModel.revert()', (module) => convertModel.revert(module)],
  ['new DataParallel()', (module) => new DataParallel(module)],
];

async function failureOf(use: () => unknown): Promise<Error> {
  try {
    await use();
  } catch (error) {
    return error as Error;
  }
  throw new Error('expected an error');
}

describe('a module in a container', () => {
  it.each<[string, object, string, string]>([
    [
      'a key of a Map',
      { names: new Map([[bn(), 'a']]) },
      'names.keys()[0] is the module BatchNorm1d inside a Map',
      'ModuleDict',
    ],
    ['an array', { layers: [bn()] }, 'layers[0] is the module BatchNorm1d inside an array', 'in a ModuleList'],
    ['a plain object', { layers: { a: bn() } }, 'layers.a is the module', 'in a ModuleDict'],
    [
      'an object without a prototype',
      { layers: Object.assign(Object.create(null) as object, { a: bn() }) },
      'layers.a',
      'Dict',
    ],
    ['a Map', { layers: new Map([['a', bn()]]) }, 'layers.a is the module BatchNorm1d inside a Map', 'a ModuleDict'],
    ['a Set', { layers: new Set([bn()]) }, 'layers[0] is the module BatchNorm1d inside a Set', 'in a ModuleList'],
    ['an array of arrays', { layers: [1, ['x', [bn()]]] }, 'layers[1][1][0] is', 'in a ModuleList'],
    ['an object in an array', { layers: [null, { a: bn() }] }, 'layers[1].a is', 'in a ModuleList'],
    ['a large array', { layers: [...Array<number>(1000).fill(0), bn()] }, 'layers[1000] is', 'in a ModuleList'],
    ['an array of parameters', { weights: [new Parameter(tensor([1]))] }, 'weights[0] is a parameter', 'of its own'],
  ])('is_refused_wherever_the_tree_is_used: %s', async (_, properties, text, remedy) => {
    for (const root of [new Holder(properties), new Sequential(new Holder(properties))]) {
      for (const [name, use] of uses) {
        const error = await failureOf(() => use(root));
        expect(error, name).toBeInstanceOf(TypeError);
        expect(error.message, name).toContain(root instanceof Sequential ? `0.${text}` : text);
        expect(error.message, name).toContain(remedy);
      }
    }
  });

  it('is_found_when_it_comes_later', () => {
    const layers: unknown[] = [];
    const holder = new Holder({ layers });
    expect([...holder.modules()]).toHaveLength(1);
    layers.push(...Array<number>(100).fill(0));
    expect([...holder.modules()]).toHaveLength(1);
    layers.push(bn());
    expect(() => [...holder.modules()]).toThrow('layers[100] is the module');
  });

  it('is_no_error_where_the_tree_holds_it_too_until_it_would_be_replaced', async () => {
    const layer = bn();
    const holder = new Holder({ layer, order: [layer], weights: [layer.weight] });
    expect([...holder.modules()]).toHaveLength(2);
    expect(Object.keys(holder.stateDict())).toHaveLength(5);
    expect(() => convertModel(holder)).toThrow('order[0] is the module BatchNorm1d inside an array');
    const net = new DataParallel(holder, { deviceIds: ['cpu:0', 'cpu:1'] });
    await expect(net.forward(tensor([1, 2, 3, 4], [2, 2]))).rejects.toThrow('order[0] is the module');
  });

  it('is_left_alone_in_what_is_no_enumerable_property_and_in_objects_of_a_class', () => {
    class Registry {
      readonly held = [bn()];
    }
    const holder = new Holder({ registry: new Registry(), list: [1, 'x', null, {}], text: 'x' });
    Object.defineProperty(holder, 'teacher', { value: [bn()], enumerable: false });
    expect([...holder.modules()]).toHaveLength(1);
  });

  it('is_looked_for_without_calling_getters_and_without_end', () => {
    const cyclic: Record<string, unknown> = {
      get loud(): never {
        throw new Error('called');
      },
    };
    cyclic['self'] = cyclic;
    expect([...new Holder({ cyclic }).modules()]).toHaveLength(1);
  });
});

describe('a ModuleList', () => {
  it('is_an_ordered_list_under_the_keys_of_pytorch', () => {
    const [a, b, c] = [bn(), bn(), bn()];
    const list = new ModuleList([a]);
    expect(list.append(c)).toBe(list);
    expect(list.insert(1, b)).toBe(list);
    expect([list.length, list[1], list.at(-1), [...list]]).toEqual([3, b, c, [a, b, c]]);
    expect(Object.keys(new Holder({ list }).stateDict()).filter((key) => key.endsWith('weight'))).toEqual([
      'list.0.weight',
      'list.1.weight',
      'list.2.weight',
    ]);
    expect(list.pop()).toBe(c);
    expect(list.pop(0)).toBe(a);
    expect([...list]).toEqual([b]);
    list.extend([a, c]).set(0, c);
    expect([...list]).toEqual([c, a, c]);
    list.insert(-1, b).insert(4, b);
    expect([...list]).toEqual([c, a, b, c, b]);
    expect([...list.children()]).toEqual([c, a, b]);
  });

  it('keeps_its_order_beyond_ten', () => {
    const layers = Array.from({ length: 12 }, bn);
    expect([...new ModuleList(layers)]).toEqual(layers);
  });

  it.each<[string, (list: ModuleList) => unknown, string]>([
    ['append', (list) => list.append(3 as never), 'expected modules, got a number at position 2'],
    ['extend', (list) => list.extend([bn(), 'x' as never]), 'expected modules, got a string at position 3'],
    ['extend by one', (list) => list.extend(bn() as never), 'expected an array of modules'],
    ['insert', (list) => list.insert(9, bn()), 'index 9 is out of range, the list has 2 modules'],
    ['at', (list) => list.at(2), 'index 2 is out of range'],
    ['at a fraction', (list) => list.at(0.5), 'index 0.5 is out of range'],
    ['set', (list) => list.set(-3, bn()), 'index -3 is out of range'],
    ['forward', (list) => list.forward(), 'ModuleList has no forward()'],
  ])('refuses_%s_and_stays_as_it_is', (_, use, text) => {
    const list = new ModuleList<Module>([bn(), bn()]);
    const before = [...list];
    expect(() => use(list)).toThrow(text);
    expect([...list]).toEqual(before);
  });

  it('is_printed_as_pytorch_prints_it', () => {
    expect(new ModuleList().toString()).toBe('ModuleList()');
    const text = 'eps=1e-05, momentum=0.1, affine=True, bias=True, track_running_stats=True';
    expect(new ModuleList([bn(), bn(), new BatchNorm1d(3)]).toString()).toBe(
      `ModuleList(\n  (0-1): 2 x BatchNorm1d(2, ${text})\n  (2): BatchNorm1d(3, ${text})\n)`,
    );
  });
});

describe('a ModuleDict', () => {
  it('holds_modules_by_name_in_order', () => {
    const [a, b, c] = [bn(), bn(), bn()];
    const dict = new ModuleDict({ small: a });
    expect(dict.set('large', b).update(new Map([['mid', c]]))).toBe(dict);
    expect([dict.size, dict.has('mid'), dict.has('forward'), dict.get('large')]).toEqual([3, true, false, b]);
    expect([[...dict.keys()], [...dict.values()]]).toEqual([
      ['small', 'large', 'mid'],
      [a, b, c],
    ]);
    expect([...dict]).toEqual([...dict.entries()]);
    expect([...new ModuleDict(dict)]).toEqual([...dict]);
    expect(Object.keys(new Holder({ dict }).stateDict())[0]).toBe('dict.small.weight');
    expect([dict.delete('mid'), dict.delete('mid'), dict.pop('small')]).toEqual([true, false, a]);
    dict.clear();
    expect(dict.size).toBe(0);
  });

  it.each<[string, (dict: ModuleDict) => unknown, string]>([
    ['a name with a dot', (dict) => dict.set('a.b', bn()), 'expected names without dots, got "a.b"'],
    ['an empty name', (dict) => dict.set('', bn()), 'expected names without dots, got ""'],
    ['the name of a method', (dict) => dict.update({ c: bn(), forward: bn() }), "attribute 'forward' already exists"],
    ['the name of a property', (dict) => dict.set('training', bn()), "attribute 'training' already exists"],
    ['what is no module', (dict) => dict.update({ c: bn(), d: 3 as never }), 'got a number at position "d"'],
    ['a module for modules', (dict) => dict.update(bn() as never), 'expected an object of modules'],
    ['an unknown name', (dict) => dict.get('z'), "expected one of the names a, b, got 'z'"],
    ['forward()', (dict) => dict.forward(), 'ModuleDict has no forward()'],
  ])('refuses_%s_and_stays_as_it_is', (_, use, text) => {
    const dict = new ModuleDict<Module>({ a: bn(), b: bn() });
    const before = [...dict];
    expect(() => use(dict)).toThrow(text);
    expect([...dict]).toEqual(before);
  });
});

describe('ModuleList and ModuleDict', () => {
  class Net extends Module {
    readonly list = new ModuleList([bn(), bn()]);
    readonly dict = new ModuleDict({ head: bn() });

    async forward(x: Tensor): Promise<Tensor> {
      let y = x;
      for (const layer of this.list) y = await layer.forward(y);
      return this.dict.get('head').forward(y);
    }
  }

  it('are_converted_replicated_and_give_the_bits_of_one_device', async () => {
    const data = randomArray(1, 24);
    const plain = new Net();
    const net = convertModel(new DataParallel(new Net(), { deviceIds: ['cpu:0', 'cpu:1'] }));
    expect([...net.module.list, ...net.module.dict.values()].every((l) => l instanceof SynchronizedBatchNorm1d)).toBe(
      true,
    );
    const [y, whole] = [await net.forward(tensor(data, [12, 2])), await plain.forward(tensor(data, [12, 2]))];
    expectSameBits(await y.data(), await whole.data());
    expect(net.module.list.at(1).numBatchesTracked).toBe(1);
    await plain.loadStateDict(net.module.stateDict());
  });
});
