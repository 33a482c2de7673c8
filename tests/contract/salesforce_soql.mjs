// Parses SOQL statements with @jetstreamapp/soql-parser-js: a JSON list of texts in, a JSON list of trees or nulls out.
import { parseQuery } from '@jetstreamapp/soql-parser-js';
import { readFileSync } from 'node:fs';

const statements = JSON.parse(readFileSync(0, 'utf8'));
const parsed = statements.map((text) => {
  try {
    return parseQuery(text, { allowApexBindVariables: false, ignoreParseErrors: false, logErrors: false });
  } catch {
    return null;
  }
});
process.stdout.write(JSON.stringify(parsed));
