// Prints transactions as a Harper 4 node publishes them, one a line as JSON: a name, the bytes that
// msgpackr writes with records and plainly, and what a reader is to make of them (`parts`, where
// dates are ISO 8601 text, as in JSON, and a BigInt is {"bigint": "…"}).

import { Encoder, encode } from 'msgpackr';

const ORIGIN = { user: 'admin', timestamp: 1_700_000_000_000.123, node_name: 'node2' };
const BORN = new Date(1_500_000_000_007);
const BORN_TEXT = '2017-07-14T02:40:00.007Z';

/** With what every message has. */
const message = (fields) => ({ schema: 'dev', table: 'dog', ...fields, __origin: ORIGIN });
const part = (fields) => ({ database: 'dev', table: 'dog', ...fields });
const rows = (list, ids, partial = false) => part({ rows: list, ids, partial });

/** Many dogs, of one shape. */
const many = Array.from({ length: 40 }, (_, id) => ({ id, name: `dog ${id}`, __createdtime__: 1.5 + id }));

/** What one transaction has written, deeper than a message may nest otherwise. */
function chain(length) {
  const links = Array.from({ length }, (_, id) => ({ operation: 'put', table: 'dog', id, record: { id, n: id + 0.5 } }));
  links.forEach((link, at) => {
    link.next = links[at + 1];
  });
  return { ...links[0], schema: 'dev', __origin: ORIGIN, next: links[1] };
}

/** Name, what is published, and what it says. */
const cases = [
  ['insert', message({ operation: 'insert', records: many, hash_values: many.map(({ id }) => id) }),
    [rows(many, many.map(({ id }) => id))]],
  ['upsert with values of all kinds', message({
    operation: 'upsert',
    records: [{
      id: 'penny',
      born: BORN,
      large: 2 ** 53,
      larger: 2n ** 53n + 1n,
      largest: 2n ** 64n - 1n,
      least: -(2n ** 63n),
      small: 5n,
      big: 2 ** 40,
      negative: -(2 ** 40),
      fraction: 0.1,
      nothing: undefined,
      none: null,
      nested: { list: [1, { deep: [BORN, true] }], empty: {}, text: 'é€😀\u0000' },
      bytes: Buffer.from('foo'),
    }],
    hash_values: ['penny'],
  }), [rows([{
    id: 'penny',
    born: BORN_TEXT,
    large: 2 ** 53,
    larger: { bigint: '9007199254740993' },
    largest: { bigint: '18446744073709551615' },
    least: { bigint: '-9223372036854775808' },
    small: 5,
    big: 2 ** 40,
    negative: -(2 ** 40),
    fraction: 0.1,
    none: null,
    nested: { list: [1, { deep: [BORN_TEXT, true] }], empty: {}, text: 'é€😀\u0000' },
    bytes: 'Zm9v',
  }], ['penny'])]],
  ['put of one record', message({ operation: 'put', id: 7, record: { id: 7, a: 1 } }),
    [rows([{ id: 7, a: 1 }], [7])]],
  ['patch of one record', message({ operation: 'patch', id: 'x', record: { a: { b: 1 } } }),
    [rows([{ a: { b: 1 } }], ['x'], true)]],
  ['update', message({ operation: 'update', records: [{ id: 1, a: 2 }], hash_values: [1] }),
    [rows([{ id: 1, a: 2 }], [1], true)]],
  ['delete', message({ operation: 'delete', records: [], hash_values: [1, 'two', 2.5, 64, 127] }),
    [part({ deleted: [1, 'two', 2.5, 64, 127] })]],
  ['delete of one record', message({ operation: 'delete', id: 9, record: undefined }), [part({ deleted: [9] })]],
  ['define_schema', message({
    operation: 'define_schema',
    attributes: [
      { name: 'id', attribute: 'id', type: 'ID', isPrimaryKey: true },
      { name: 'name', attribute: 'name', indexed: true },
    ],
  }), [part({ primary_key: 'id', attributes: ['id', 'name'] })]],
  ['a chain over two tables', message({
    operation: 'upsert',
    records: [{ id: 1 }],
    hash_values: [1],
    next: {
      operation: 'put', table: 'cat', id: 2, record: { id: 2, born: BORN },
      next: { operation: 'delete', table: 'dog', id: 3, record: null },
    },
  }), [
    rows([{ id: 1 }], [1]),
    { database: 'dev', table: 'cat', rows: [{ id: 2, born: BORN_TEXT }], ids: [2], partial: false },
    part({ deleted: [3] }),
  ]],
  ['a long chain', chain(300), Array.from({ length: 300 }, (_, id) => rows([{ id, n: id + 0.5 }], [id]))],
];

const hex = (bytes) => Buffer.from(bytes).toString('hex');
for (const [name, value, parts] of cases) {
  const line = { name, records: hex(new Encoder().encode(value)), plain: hex(encode(value)), parts };
  process.stdout.write(`${JSON.stringify(line)}\n`);
}
