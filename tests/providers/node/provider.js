// An OpenID Connect provider for the journeys: the npm package `oidc-provider` with a sign-in page and two kinds of proof.
//
// Started as `node provider.js SETTINGS.json`; SETTINGS has {port, issuer, key, certificate, client, accounts}.  It then
// reads one JSON object a line from its standard input, and answers each with one line:
//   {"accounts": {...}}  other people and groups from now on
//   {"keys": "new"}      sign with a new key; the old one is no longer published
//   {"clock_s": N}       its clock is N seconds ahead of the machine's
// It ends with its input.  It must never listen anywhere but on loopback.
import { createHmac, generateKeyPairSync, randomUUID } from 'node:crypto';
import { readFileSync } from 'node:fs';
import { createServer } from 'node:https';
import { createInterface } from 'node:readline';
import { Provider, interactionPolicy } from 'oidc-provider';

const settings = JSON.parse(readFileSync(process.argv[2], 'utf8'));
const RANK = { one: 1, two: 2 };
const trueNow = Date.now;
const cookieKey = randomUUID();
let accounts = settings.accounts;
let clockS = 0;
Date.now = () => trueNow() + clockS * 1000;

const signingKey = () => ({
  ...generateKeyPairSync('ec', { namedCurve: 'P-256' }).privateKey.export({ format: 'jwk' }),
  kid: randomUUID(), alg: 'ES256', use: 'sig',
});

// RFC 6238 with SHA-1, six digits and half minutes, one step early or late.
function isCode(secret, typed) {
  const letters = 'ABCDEFGHIJKLMNOPQRSTUVWXYZ234567';
  const bits = [...secret].map((letter) => letters.indexOf(letter).toString(2).padStart(5, '0')).join('');
  const key = Buffer.from(bits.match(/.{8}/g).map((byte) => parseInt(byte, 2)));
  const step = Math.floor(trueNow() / 30000);
  return [step - 1, step, step + 1].some((counter) => {
    const text = Buffer.alloc(8);
    text.writeBigUInt64BE(BigInt(counter));
    const mac = createHmac('sha1', key).update(text).digest();
    const number = mac.readUInt32BE(mac[19] & 15) & 0x7fffffff;
    return String(number % 1000000).padStart(6, '0') === typed;
  });
}

// What the provider remembers; it outlives a change of keys.
const memory = new Map();
class Adapter {
  constructor(kind) { this.kind = kind; }
  id(name) { return `${this.kind}:${name}`; }
  async upsert(name, payload, lastsS) { memory.set(this.id(name), { payload, end: lastsS ? Date.now() + lastsS * 1000 : Infinity }); }
  async find(name) {
    const found = memory.get(this.id(name));
    return found && found.end > Date.now() ? found.payload : undefined;
  }
  async findByUid(uid) { return [...memory.values()].map((each) => each.payload).find((each) => each.kind === this.kind && each.uid === uid); }
  async consume(name) { memory.get(this.id(name)).payload.consumed = Math.floor(Date.now() / 1000); }
  async destroy(name) { memory.delete(this.id(name)); }
  async revokeByGrantId(grant) {
    for (const [name, each] of memory) if (each.payload.grantId === grant && name.startsWith(`${this.kind}:`)) memory.delete(name);
  }
}

// `acr_values` is only a wish for the package: here it is one that the provider fulfils.
const policy = interactionPolicy.base();
policy.get('login').checks.add(new interactionPolicy.Check('step_up', 'a stronger sign-in is asked for', (ctx) => {
  const { REQUEST_PROMPT, NO_NEED_TO_PROMPT } = interactionPolicy.Check;
  const wanted = (ctx.oidc.params.acr_values || '').split(' ').filter(Boolean);
  if (!wanted.length || !ctx.oidc.session.accountId) return NO_NEED_TO_PROMPT;
  const least = Math.min(...wanted.map((word) => RANK[word] || 99));
  return (RANK[ctx.oidc.acr] || 0) >= least ? NO_NEED_TO_PROMPT : REQUEST_PROMPT;
}));

const configuration = (key) => ({
  adapter: Adapter,
  clients: [settings.client],
  jwks: { keys: [key] },
  cookies: { keys: [cookieKey] },
  acrValues: ['one', 'two'],
  claims: { iss: null, sid: null, openid: ['sub', 'acr', 'amr', 'auth_time'], profile: ['preferred_username', 'groups'] },
  conformIdTokenClaims: false,
  features: {
    devInteractions: { enabled: false }, claimsParameter: { enabled: true }, backchannelLogout: { enabled: true },
    rpInitiatedLogout: { enabled: true },
  },
  interactions: { policy, url: (_, interaction) => `/interaction/${interaction.uid}` },
  pkce: { required: () => true },
  ttl: { AccessToken: 60, AuthorizationCode: 60, IdToken: 300, Interaction: 600, Grant: 36000, RefreshToken: 36000, Session: 36000 },
  issueRefreshToken: async (_, client) => client.grantTypeAllowed('refresh_token'),
  expiresWithSession: async () => true,
  // The package refuses to call loopback addresses, where the gate of the journeys is.
  fetch: (url, options) => { delete options.dispatcher; return globalThis.fetch(url, options); },
  findAccount: async (_, id) => {
    const account = accounts[id];
    if (!account) return undefined;
    return { accountId: id, claims: async () => ({ sub: id, preferred_username: account.name, groups: account.groups }) };
  },
  // The plant's people are not asked whether the plant's gate may know them.
  loadExistingGrant: async (ctx) => {
    const known = ctx.oidc.session.grantIdFor(ctx.oidc.client.clientId);
    if (known) return ctx.oidc.provider.Grant.find(known);
    const grant = new ctx.oidc.provider.Grant({ clientId: ctx.oidc.client.clientId, accountId: ctx.oidc.session.accountId });
    grant.addOIDCScope('openid profile');
    await grant.save();
    return grant;
  },
  renderError: (ctx, out) => { ctx.type = 'html'; ctx.body = page(`<p role="alert">${out.error}: ${out.error_description}</p>`); },
});

const page = (inside) => `<!doctype html><html lang="en"><title>Plant sign-in</title><main>${inside}</main></html>`;
const form = (uid, why) => page(`
  <h1>Plant sign-in</h1>${why ? `<p role="alert">${why}</p>` : ''}
  <form method="post" action="/interaction/${uid}">
    <label>Name <input name="name" autofocus></label> <label>Password <input name="password" type="password"></label>
    <label>Code <input name="code" inputmode="numeric"></label> <button>Go on</button>
  </form>`);

async function bodyOf(request) {
  let text = '';
  for await (const part of request) text += part;
  return new URLSearchParams(text);
}

async function interact(provider, request, response) {
  const uid = request.url.split('/')[2];
  const { params } = await provider.interactionDetails(request, response);
  const refuse = (why) => { response.setHeader('content-type', 'text/html'); response.end(form(uid, why)); };
  if (request.method !== 'POST') return refuse('');
  const typed = await bodyOf(request);
  const [accountId, account] = Object.entries(accounts).find(([, each]) => each.name === typed.get('name')) || [];
  if (!account || account.password !== typed.get('password')) return refuse('That did not fit.');
  const hasCode = Boolean(account.totp) && isCode(account.totp, typed.get('code'));
  if (typed.get('code') && !hasCode) return refuse('That did not fit.');
  const wanted = (params.acr_values || '') + (params.claims || '');
  if (wanted.includes('two') && !hasCode) return refuse('A code is needed.');
  const login = { accountId, acr: hasCode ? 'two' : 'one', amr: hasCode ? ['pwd', 'otp', 'mfa'] : ['pwd'] };
  return provider.interactionFinished(request, response, { login }, { mergeWithLastSubmission: false });
}

let provider;
let answer;
function begin() {
  provider = new Provider(settings.issuer, configuration(signingKey()));
  provider.on('backchannel.error', (_, error) => console.error('backchannel.error', error.message, error.cause));
  provider.on('grant.error', (_, error) => console.error('grant.error', error.error_detail));
  provider.on('server_error', (_, error) => console.error('server_error', error));
  answer = provider.callback();
}

begin();
const tls = { key: readFileSync(settings.key), cert: readFileSync(settings.certificate) };
createServer(tls, async (request, response) => {
  if (!request.url.startsWith('/interaction/')) return answer(request, response);
  try {
    return await interact(provider, request, response);
  } catch (error) {
    response.statusCode = 400;
    return response.end(page(`<p role="alert">${error.message}</p>`));
  }
}).listen(settings.port, '127.0.0.1', () => console.log(JSON.stringify({ ready: settings.issuer })));

const wishes = createInterface({ input: process.stdin });
wishes.on('line', (line) => {
  const wish = JSON.parse(line);
  if (wish.accounts) accounts = wish.accounts;
  if (wish.clock_s !== undefined) clockS = wish.clock_s;
  if (wish.keys) begin();
  console.log(JSON.stringify({ done: wish }));
});
wishes.on('close', () => process.exit(0));
