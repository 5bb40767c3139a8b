// Reads an OpenAPI document from standard input, and prints what is wrong with it, a line each: by the
// schema of OpenAPI 3.1, then of each operation whether its schema is a JSON schema and takes its own
// examples.
import { readFileSync } from 'node:fs';
import Ajv from 'ajv/dist/2020.js';
import { Validator } from '@seriousme/openapi-schema-validator';

const document = JSON.parse(readFileSync(0, 'utf8'));
const wrong = [];

const validator = new Validator();
const { valid, errors } = await validator.validate(structuredClone(document));
if (!valid) wrong.push(JSON.stringify(errors));
if (validator.version !== '3.1') wrong.push(`it is OpenAPI ${validator.version}`);

const ajv = new Ajv({ strict: false, allErrors: true, validateFormats: false });
ajv.addSchema(document, 'document');
const alternatives = document.paths['/'].post.requestBody.content['application/json'].schema.oneOf;
for (const { $ref } of alternatives) {
  try {
    const takes = ajv.compile({ $ref: `document${$ref}` });
    const name = $ref.split('/').pop();
    const { examples = [] } = document.components.schemas[name];
    for (const example of examples) {
      if (!takes(example)) wrong.push(`${name}: ${ajv.errorsText(takes.errors)}`);
    }
    if (takes({ operation: `not_${name}` })) wrong.push(`${name} takes what is not ${name}`);
  } catch (error) {
    wrong.push(`${$ref}: ${error.message}`);
  }
}
wrong.forEach((line) => console.log(line));
process.exitCode = wrong.length === 0 ? 0 : 1;
