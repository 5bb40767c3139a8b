// Reads a message in hexadecimal a line, and prints what msgpackr says about it, as JSON: what it
// decodes (see describe.js), and how it writes that, with records and plainly.

import { createInterface } from 'node:readline';
import { Decoder, Encoder, decode } from 'msgpackr';
import { describe } from './describe.js';

const hex = (bytes) => Buffer.from(bytes).toString('hex');

for await (const line of createInterface({ input: process.stdin })) {
  let answer;
  try {
    const bytes = Buffer.from(line, 'hex');
    const value = decode(bytes);
    answer = {
      value: describe(value),
      // It makes a Map of a plain map.
      with_records: describe(new Decoder().decode(bytes)),
      records: hex(new Encoder().encode(value)),
      // The default writes no object of more than 65,535 keys.
      plain: hex(new Encoder({ useRecords: false, variableMapSize: true }).encode(value)),
      polluted: ({}).polluted !== undefined,
    };
  } catch (error) {
    answer = { error: error.message };
  }
  process.stdout.write(`${JSON.stringify(answer)}\n`);
}
