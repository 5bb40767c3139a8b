// A Harper 4 node on the wire: it serves `<node>.__request__` and asks other nodes, over the NATS
// server that it is told of. What it is told, it reads as JSON objects from standard input, one a
// line, and answers on standard output in the same way; `tests/src/peer.rs` drives it.
//
// The environment says who it is, never the arguments, which everybody on the machine can read:
// PEER_NODE, PEER_URL, PEER_USER, PEER_PASSWORD; with TLS also PEER_CA, and PEER_CERTIFICATE and
// PEER_KEY, paths of PEM files.
//
// | told | answers |
// | --- | --- |
// | {id, ask: node, body, timeout, plain?} | {id, reply, bytes} or {id, error, code} |
// | {id, ask: node, raw: hex, timeout} | the same; sends these bytes |
// | {id, behave: {operation?, as, ms?, message?}} | {id, done: true} |
// | {id, tables: {db: {table: {hash_attribute, attributes}}}} | {id, done: true} |
// | {id, show: true} | {id, nodes, tables} |
// | {id, stream: {schema, table}} | {id, done: true}; the stream of its table is there |
// | {id, publish: {schema, table, ...}, plain?} | {id, sequence}: of the transaction in its stream |
// | {id, subscribe: node, schema, table} | {id, done: true} |
//
// What is published gets its `__origin` unless it has one. `{"$date": ms}`, `{"$bigint": "1"}` and
// `{"$undefined": true}` in it stand for what JSON does not have. From a table that it has
// subscribed to it says {event: "transaction", node, schema, table, said, headers} for each message,
// as describe.js says it.
//
// `as` is one of normal, slow (by ms), silent, error (with message), garbage; without an
// operation it holds for all that have none of their own. Unasked it says {event: "ready"},
// {event: "failed", error}, and {event: "request", body, bytes} for each request it gets. It ends
// when standard input does.

import { createHash } from 'node:crypto';
import { createInterface } from 'node:readline';
import { Encoder, decode, encode } from 'msgpackr';
import { connect, headers as noHeaders } from 'nats';
import { describe } from './describe.js';

const { PEER_NODE: NODE, PEER_URL, PEER_USER, PEER_PASSWORD } = process.env;
const { PEER_CA, PEER_CERTIFICATE, PEER_KEY } = process.env;
const GARBAGE = Buffer.from('c1dfffffffff', 'hex');
const SYSTEM_INFO = {
  hdb_version: '4.4.0',
  node_version: process.version,
  platform: `${process.platform} ${process.arch}`,
};

/** Of a table, on each node. */
const streamOf = (schema, table) => createHash('md5').update(`${schema}.${table}`).digest('hex');
const subjectOf = (schema, table) => `txn.${schema}.${table}.${NODE}-leaf`;

const started = Date.now();
/** Messages that it has published. */
let published = 0;
/** Records as in `system.hdb_nodes`, by name. */
const nodes = new Map();
/** As `describe_all` shows them. */
let tables = {};
const behaviours = new Map();

/** JSON has no BigInt. */
function say(message) {
  const text = JSON.stringify(message, (_, value) => (typeof value === 'bigint' ? `${value}n` : value));
  process.stdout.write(`${text}\n`);
}

function hex(bytes) {
  return Buffer.from(bytes).toString('hex');
}

function uptime() {
  let seconds = Math.floor((Date.now() - started) / 1000);
  const parts = [];
  for (const [unit, length] of [['d', 86400], ['h', 3600], ['m', 60], ['s', 1]]) {
    const count = Math.floor(seconds / length);
    seconds -= count * length;
    if (count > 0) parts.push(`${count}${unit}`);
  }
  return parts.join(' ') || '0s';
}

/** Makes the tables that a subscription names and this node lacks, as Harper does. */
function createTables(subscriptions) {
  for (const { schema, table, hash_attribute, attributes } of subscriptions) {
    const database = (tables[schema] ??= {});
    database[table] ??= { schema, name: table, hash_attribute, attributes: attributes ?? [] };
  }
}

/** Keeps the subscriptions that the new ones do not name. */
function merge(present, added) {
  const names = new Set(added.map(({ schema, table }) => `${schema}.${table}`));
  return [...present.filter(({ schema, table }) => !names.has(`${schema}.${table}`)), ...added];
}

function setNode({ node_name: name, subscriptions, system_info }) {
  if (typeof name !== 'string' || !Array.isArray(subscriptions)) {
    throw new Error("'node_name' is required. 'subscriptions' is required");
  }
  createTables(subscriptions);
  const present = nodes.get(name)?.subscriptions ?? [];
  nodes.set(name, { name, subscriptions: merge(present, subscriptions), system_info });
}

const operations = {
  cluster_status: () => ({
    uptime: uptime(),
    ports: { clustering: 9932, operations_api: 9925 },
    system_info: SYSTEM_INFO,
  }),
  describe_all: () => tables,
  add_node(request) {
    setNode(request);
    return `Successfully added '${request.node_name}' to manifest`;
  },
  update_node(request) {
    setNode(request);
    return `Successfully updated '${request.node_name}'`;
  },
  remove_node({ node_name: name }) {
    nodes.delete(name);
    return `Successfully removed '${name}' from manifest`;
  },
};

function reply(request) {
  const { operation } = request ?? {};
  try {
    if (!Object.hasOwn(operations, operation)) throw new Error(`Operation '${operation}' not found`);
    return { status: 'success', message: operations[operation](request), system_info: SYSTEM_INFO };
  } catch (error) {
    return { status: 'error', message: error.message, system_info: SYSTEM_INFO };
  }
}

function serve(failure, message) {
  if (failure) return fail(failure);
  let request;
  try {
    request = decode(message.data);
  } catch (error) {
    return message.respond(encode({ status: 'error', message: error.message, system_info: SYSTEM_INFO }));
  }
  say({ event: 'request', body: request, bytes: hex(message.data) });
  const behaviour = behaviours.get(request?.operation) ?? behaviours.get(undefined) ?? { as: 'normal' };
  switch (behaviour.as) {
    case 'silent':
      return;
    case 'garbage':
      return message.respond(GARBAGE);
    case 'error':
      return message.respond(encode({ status: 'error', message: behaviour.message, system_info: SYSTEM_INFO }));
    case 'slow':
      setTimeout(() => message.respond(encode(reply(request))), behaviour.ms);
      return;
    default:
      message.respond(encode(reply(request)));
  }
}

async function ask(connection, { ask: node, body, raw, timeout, plain }) {
  const write = (value) => (plain ? encode(value) : new Encoder().encode(value));
  const bytes = raw === undefined ? write(body) : Buffer.from(raw, 'hex');
  const { data } = await connection.request(`${node}.__request__`, bytes, { timeout });
  return { reply: decode(data), bytes: hex(data) };
}

/** What JSON stands for where it has no other form. */
function revived(_, value) {
  if (value === null || typeof value !== 'object') return value;
  if ('$date' in value) return new Date(value.$date);
  if ('$bigint' in value) return BigInt(value.$bigint);
  return value;
}

/** JSON.parse leaves out what is undefined. */
function withUndefined(value) {
  if (value === null || typeof value !== 'object' || value instanceof Date) return value;
  if ('$undefined' in value) return undefined;
  for (const key of Object.keys(value)) value[key] = withUndefined(value[key]);
  return value;
}

/** Makes the stream of a table of its own, as Harper does for one that another node subscribes to. */
async function createStream(connection, schema, table) {
  const manager = await connection.jetstreamManager({ domain: `${NODE}-leaf` });
  await manager.streams.add({
    name: streamOf(schema, table),
    subjects: [subjectOf(schema, table)],
    storage: 'file',
    retention: 'limits',
    discard: 'old',
  });
}

async function publish(connection, { publish: transaction, plain }) {
  const message = withUndefined(JSON.parse(JSON.stringify(transaction), revived));
  published += 1;
  // Milliseconds, as Harper's clock has them.
  message.__origin ??= { user: 'admin', timestamp: Date.now(), node_name: NODE };
  const { schema, table } = message;
  const headers = noHeaders();
  headers.append('origin', NODE);
  headers.append('transacted_nodes', NODE);
  const bytes = plain ? encode(message) : new Encoder().encode(message);
  const options = { msgID: `${NODE}-${started}-${published}`, headers };
  const { seq } = await connection
    .jetstream({ domain: `${NODE}-leaf` })
    .publish(subjectOf(schema, table), bytes, options);
  return { sequence: seq };
}

async function subscribe(connection, { subscribe: node, schema, table }) {
  const domain = `${node}-leaf`;
  const stream = streamOf(schema, table);
  const manager = await connection.jetstreamManager({ domain });
  await manager.consumers.add(stream, {
    durable_name: `${NODE}-leaf`,
    ack_policy: 'explicit',
    deliver_policy: 'all',
  });
  const consumer = await connection.jetstream({ domain }).consumers.get(stream, `${NODE}-leaf`);
  await consumer.consume({
    callback(message) {
      const headers = {};
      for (const [name, values] of message.headers ?? []) headers[name] = values;
      const said = describe(decode(message.data));
      say({ event: 'transaction', node, schema, table, said, headers, bytes: hex(message.data) });
      message.ack();
    },
  });
  return { done: true };
}

async function obey(connection, command) {
  if ('publish' in command) return publish(connection, command);
  if ('subscribe' in command) return subscribe(connection, command);
  if ('ask' in command) return ask(connection, command);
  if ('behave' in command) {
    behaviours.set(command.behave.operation, command.behave);
    return { done: true };
  }
  if ('tables' in command) {
    tables = command.tables;
    return { done: true };
  }
  if ('stream' in command) {
    await createStream(connection, command.stream.schema, command.stream.table);
    return { done: true };
  }
  if ('show' in command) return { nodes: [...nodes.values()], tables };
  throw new Error('no such command');
}

function tls() {
  return {
    caFile: PEER_CA,
    certFile: PEER_CERTIFICATE,
    keyFile: PEER_KEY,
    // Whose certificate it must be: for an address `nats` says nothing, and Node then looks for
    // localhost in it.
    host: new URL(PEER_URL).hostname.replace(/^\[|\]$/g, ''),
  };
}

function fail(error) {
  say({ event: 'failed', error: error.message, code: error.code });
  process.exit(1);
}

try {
  const connection = await connect({
    servers: PEER_URL,
    user: PEER_USER,
    pass: PEER_PASSWORD,
    name: NODE,
    timeout: 5000,
    // The server may be restarted under it, and soon comes back.
    maxReconnectAttempts: -1,
    reconnectTimeWait: 50,
    ...(PEER_CA && { tls: tls() }),
  });
  connection.subscribe(`${NODE}.__request__`, { queue: NODE, callback: serve });
  await connection.flush();
  connection.closed().then((error) => fail(error ?? new Error('the connection has been closed')));
  say({ event: 'ready' });

  for await (const line of createInterface({ input: process.stdin })) {
    const command = JSON.parse(line);
    // Commands do not wait for each other.
    obey(connection, command)
      .then((answer) => say({ id: command.id, ...answer }))
      .catch((error) => say({ id: command.id, error: error.message, code: error.code ?? null }));
  }
  process.exit(0);
} catch (error) {
  fail(error);
}
