// Prints plugin/wire/tests/vectors.json: values, and the bytes that msgpackr makes of them.
//   node vectors.js > ../../plugin/wire/tests/vectors.json
// `records` is what `new Encoder(options)` writes, `plain` what `encode()` writes.

import { Encoder, encode } from 'msgpackr';
import { describe } from './describe.js';

const many = (count, make) => Array.from({ length: count }, (_, index) => make(index));
const shapes = (count) => many(count, (index) => ({ [`key${index}`]: index }));

const subscription = (table) => ({
  schema: 'dev',
  table,
  publish: true,
  subscribe: false,
  hash_attribute: 'id',
  start_time: '2022-09-02T20:06:35.993Z',
  attributes: [{ attribute: 'id' }, { attribute: 'name' }],
});

/** Name, value, and options of the Encoder. */
const cases = [
  ['null', null],
  ['undefined', undefined],
  ['function', () => 1],
  ['true', true],
  ['false', false],
  ...[
    0, 1, 31, 32, 63, 64, 65, 127, 128, 255, 256, 65535, 65536, 2 ** 31, 2 ** 32 - 1, 2 ** 32,
    2 ** 53 - 1, 2 ** 53, 2 ** 53 + 2, 2 ** 64, -1, -32, -33, -128, -129, -32768, -32769, -(2 ** 31),
    -(2 ** 31) - 1, -(2 ** 53), 0.5, -0.5, 0.1, 1e-7, 1e300, Number.MIN_VALUE, NaN, Infinity, -Infinity,
  ].map((number) => [`number ${number}`, number]),
  ...[0n, 5n, -5n, 2n ** 53n + 1n, 2n ** 63n - 1n, -(2n ** 63n), 2n ** 63n, 2n ** 64n - 1n].map(
    (number) => [`bigint ${number}`, number],
  ),
  ['float32', { a: 0.5, b: 1.25, c: 3 }, { useFloat32: 1 }],
  ['empty string', ''],
  ...[31, 32, 255, 256].map((length) => [`string of ${length}`, 'x'.repeat(length)]),
  ['string of many scripts', 'aé€😀\u0000\u2028"\\'],
  ['date 1970', new Date(0)],
  ['date in seconds', new Date(1_500_000_000_000)],
  ['date with milliseconds', new Date(1_500_000_000_007)],
  ['date before 1970', new Date(-5000)],
  ['date before 1970 with milliseconds', new Date(-1)],
  ['date beyond 32 bits', new Date(2 ** 32 * 1000 + 999)],
  ['last date', new Date(8.64e15)],
  ['first date', new Date(-8.64e15)],
  ['invalid date', new Date(NaN)],
  ['buffer', Buffer.from('hi')],
  ['empty buffer', Buffer.alloc(0)],
  ['buffer of 300', Buffer.alloc(300, 7)],
  ['set', new Set([1, 'a'])],
  ['regexp', /a+/gi],
  ['error', new Error('no')],
  ['map with keys of all kinds', new Map([[1, 'a'], ['b', 2], [-7, 3], [0.5, 4], [true, 5], [null, 6], [2 ** 40, 7], [9n, 8]])],
  ['empty array', []],
  ['array of 15', many(15, (i) => i)],
  ['array of 16', many(16, (i) => i)],
  ['empty object', {}],
  ['object', { a: 1, b: 'x' }],
  ['object with undefined', { a: undefined, b: [undefined] }],
  ['object with a key __proto__', JSON.parse('{"__proto__": {"a": 1}, "constructor": 2}')],
  ['two of one shape', [{ a: 1, b: 2 }, { a: 3, b: 4 }]],
  ['integers like ids of shapes', [{ a: 64 }, 64, { a: 65 }, 127, { b: 64 }, { a: 127 }]],
  ['shapes within shapes', { a: { b: { c: 1 } }, d: [{ b: { c: 2 } }, { a: { b: 3 } }, { c: {} }, {}] }],
  ['a shape within itself', { a: { a: { a: { a: 1 } } } }],
  ['variable map size', [{ a: 1 }, {}], { useRecords: false, variableMapSize: true }],
  ['progressive records', [{ a: 1, b: 2 }, { a: 3, b: 4 }, { a: 5 }], { progressiveRecords: true }],
  ['64 shapes', [...shapes(64), ...shapes(64)]],
  ['65 shapes, which wrap', [...shapes(65), ...shapes(65)]],
  ['200 shapes, which wrap', [...shapes(200), ...shapes(3)]],
  ['40 shapes with ids of two bytes', [...shapes(40), ...shapes(40)], { maxOwnStructures: 100 }],
  ['130 shapes with ids of two bytes', [...shapes(130), ...shapes(130)], { maxOwnStructures: 200 }],
  ['120 shapes with ids of two bytes, which wrap', [...shapes(120), ...shapes(5)], { maxOwnStructures: 100 }],
  ['request cluster_status', { operation: 'cluster_status', node_name: 'node1' }],
  ['request add_node', {
    operation: 'add_node',
    node_name: 'node1',
    subscriptions: [subscription('dog'), subscription('cat')],
    system_info: { hdb_version: '4.4.0', node_version: 'v20.0.0', platform: 'linux x64' },
  }],
  ['reply cluster_status', {
    status: 'success',
    message: {
      uptime: '30d 1h 18m 8s',
      ports: { clustering: 9932, operations_api: 9925 },
      system_info: { hdb_version: '4.4.0', node_version: 'v20.0.0', platform: 'linux x64' },
    },
    system_info: { hdb_version: '4.4.0', node_version: 'v20.0.0', platform: 'linux x64' },
  }],
  ['transaction', {
    operation: 'upsert',
    schema: 'dev',
    table: 'dog',
    records: many(5, (id) => ({ id, name: `dog ${id}`, born: new Date(1.6e12 + id), weight: 2 ** 40 + id, serial: 2n ** 60n + BigInt(id), tags: ['a', { b: null }], __createdtime__: 1_700_000_000_000.123 })),
    hash_values: many(5, (id) => id),
    __origin: { user: 'admin', timestamp: 1_700_000_000_000.5, node_name: 'node2' },
    next: { operation: 'delete', table: 'cat', id: 7, record: null },
  }],
];

const hex = (bytes) => Buffer.from(bytes).toString('hex');
const lines = cases.map(([name, value, options]) =>
  JSON.stringify({
    name,
    value: describe(value),
    records: hex(new Encoder(options).encode(value)),
    plain: hex(encode(value)),
  }),
);
process.stdout.write(`[\n${lines.join(',\n')}\n]\n`);
