// What a value is, as JSON that tells apart what JSON has one form for. The Rust tests describe
// what they decode in the same way.

/** @param {unknown} value what goes into a message */
export function describe(value) {
  switch (typeof value) {
    case 'undefined':
    case 'function':
      return { undefined: true };
    case 'bigint':
      return { bigint: value.toString() };
    case 'number':
      return isPlain(value) ? value : { float: bits(value) };
    case 'object':
      return value === null ? null : describeObject(value);
    default:
      return value;
  }
}

function describeObject(value) {
  if (Array.isArray(value)) return value.map(describe);
  if (value instanceof Set) return [...value].map(describe);
  if (value instanceof RegExp) return [value.source, value.flags];
  if (value instanceof Error) return [value.name, value.message, value.cause].map(describe);
  if (value instanceof Date) return Number.isNaN(value.getTime()) ? null : { date: value.getTime() };
  if (ArrayBuffer.isView(value)) {
    return { bytes: Buffer.from(value.buffer, value.byteOffset, value.byteLength).toString('hex') };
  }
  const entries = value instanceof Map ? [...value] : Object.entries(value);
  return { map: entries.map(([key, value]) => [String(key), describe(value)]) };
}

function isPlain(number) {
  return Number.isInteger(number) && Math.abs(number) <= 2 ** 53 && !Object.is(number, -0);
}

function bits(number) {
  const bytes = Buffer.alloc(8);
  bytes.writeDoubleBE(number);
  return bytes.toString('hex');
}
