// Drives the Salesforce stand-in with jsforce, unpatched: sign-in by code, queries, records, collections, composite-free paths.
// Reads {baseUrl, clientId, clientSecret, redirectUri, code, verifier} from stdin, writes what it saw as JSON.
import jsforce from 'jsforce';
import { readFileSync } from 'node:fs';

const asked = JSON.parse(readFileSync(0, 'utf8'));
const connection = new jsforce.Connection({
  version: '67.0',
  oauth2: {
    loginUrl: asked.baseUrl,
    clientId: asked.clientId,
    clientSecret: asked.clientSecret,
    redirectUri: asked.redirectUri,
  },
});
const seen = {};
seen.user = await connection.authorize(asked.code, { code_verifier: asked.verifier });
seen.identity = (await connection.identity()).username;
seen.describe = (await connection.sobject('Contact').describe()).fields.length;
seen.objects = (await connection.describeGlobal()).sobjects.map((one) => one.name);
seen.created = await connection.sobject('Contact').create({ LastName: 'Adler', Email: 'ada@x.example.com' });
seen.many = await connection.sobject('Contact').create([{ LastName: 'One' }, { FirstName: 'nobody' }], { allOrNone: false });
seen.updated = await connection.sobject('Contact').update({ Id: seen.created.id, Title: 'Chief' });
seen.retrieved = (await connection.sobject('Contact').retrieve(seen.created.id)).Title;
seen.found = (await connection.sobject('Contact').find({ LastName: { $like: 'A%' } }, 'Id, LastName').limit(5)).length;
const first = await connection.query('SELECT Id FROM Task', { autoFetch: false });
seen.page = [first.totalSize, first.records.length, first.done];
const all = await connection.query('SELECT Id FROM Task', { autoFetch: true, maxFetch: 5000 });
seen.fetched = all.records.length;
seen.deleted = await connection.sobject('Contact').destroy(seen.created.id);
try {
  await connection.sobject('Contact').retrieve(seen.created.id);
} catch (error) {
  seen.gone = error.errorCode ?? error.name;
}
try {
  await connection.query('SELECT Nope FROM Contact');
} catch (error) {
  seen.refused = error.errorCode ?? error.name;
}
seen.usage = connection.limitInfo.apiUsage;
// An expired session is renewed with the refresh token, and the call made again.
connection.accessToken = 'expired';
seen.renewed = (await connection.limits()).DailyApiRequests.Max;
process.stdout.write(JSON.stringify(seen));
