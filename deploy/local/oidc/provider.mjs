// An OpenID Connect issuer on loopback, for tests and demonstrations.
//
// `node provider.mjs settings.json`, where the settings are
//   {port, audience, keys: [private JWK, …], accounts: {name: {secret, claims}}, lifetime}
// The first key signs. Each account is a user, who signs in with its secret on the page of the device flow, and a
// client of the same name and secret, which gets a token about itself (client_credentials).

import { createHash, timingSafeEqual } from 'node:crypto';
import { readFileSync } from 'node:fs';
import Provider, { interactionPolicy } from 'oidc-provider';

const settings = JSON.parse(readFileSync(process.argv[2], 'utf8'));
const issuer = `http://127.0.0.1:${settings.port}`;
const { accounts, audience, keys, lifetime = 3600 } = settings;
const OPENID = 'openid profile email offline_access';

const claimsOf = (name) => ({ ...accounts[name]?.claims, preferred_username: name });

const robots = Object.entries(accounts).map(([name, { secret }]) => ({
  client_id: name,
  client_secret: secret,
  grant_types: ['client_credentials'],
  response_types: [],
  redirect_uris: [],
}));

const commandLine = {
  client_id: 'shunter-cli',
  token_endpoint_auth_method: 'none',
  application_type: 'native',
  grant_types: ['urn:ietf:params:oauth:grant-type:device_code', 'refresh_token'],
  response_types: [],
  redirect_uris: [],
};

const provider = new Provider(issuer, {
  jwks: { keys },
  clients: [commandLine, ...robots],
  scopes: OPENID.split(' '),
  claims: { openid: ['sub'], profile: ['preferred_username', 'groups', 'realm_access', 'eduperson_entitlement'], email: ['email'] },
  cookies: { keys: [keys[0].d.slice(0, 32)] },
  conformIdTokenClaims: false,
  ttl: {
    AccessToken: lifetime, ClientCredentials: lifetime, IdToken: lifetime, RefreshToken: 30 * 86400,
    DeviceCode: 600, Grant: 30 * 86400, Interaction: 600, Session: 600,
  },
  rotateRefreshToken: true,
  issueRefreshToken: async (_, client, code) => client.grantTypeAllowed('refresh_token') && code.scopes.has('offline_access'),
  findAccount: async (_, name) => accounts[name] && { accountId: name, claims: async () => ({ sub: name, ...claimsOf(name) }) },
  extraTokenClaims: async (_, token) => claimsOf(token.accountId ?? token.clientId),
  features: {
    clientCredentials: { enabled: true },
    devInteractions: { enabled: false },
    revocation: { enabled: true },
    deviceFlow: {
      enabled: true,
      userCodeInputSource: async (ctx, form, _out, err) => page(ctx, `${err ? '<p>That code is not known.</p>' : ''}${form}<button type="submit" form="op.deviceInputForm">Go on</button>`),
      userCodeConfirmSource: async (ctx, form, _client, _info, code) => page(ctx, `<p>Does your terminal show the code <b>${code}</b>?</p>${form}<button type="submit" form="op.deviceConfirmForm">Yes</button>`),
      successSource: async (ctx) => page(ctx, '<p>You are signed in. Go back to your terminal.</p>'),
    },
    resourceIndicators: {
      enabled: true,
      defaultResource: () => audience,
      useGrantedResource: () => true,
      getResourceServerInfo: () => ({
        scope: OPENID, audience, accessTokenTTL: lifetime, accessTokenFormat: 'jwt', jwt: { sign: { alg: keys[0].alg } },
      }),
    },
  },
  interactions: { policy: interactionPolicy.base(), url: (_, interaction) => `/sign-in/${interaction.uid}` },
});

function page(ctx, body) {
  ctx.type = 'html';
  ctx.body = `<!doctype html><html lang="en"><meta charset="utf-8"><title>Sign in</title><main>${body}</main></html>`;
}

function knows(name, secret) {
  const digest = (text) => createHash('sha256').update(text).digest();
  const right = Object.hasOwn(accounts, name) ? accounts[name].secret : '';
  return timingSafeEqual(digest(secret), digest(right)) && right !== '';
}

async function form(request) {
  let text = '';
  for await (const piece of request) {
    text += piece;
    if (text.length > 4096) throw new Error('the form is too large');
  }
  return new URLSearchParams(text);
}

// Who signs in here agrees to what the terminal asks for: both are theirs.
async function agree({ params, prompt, grantId }, accountId) {
  const grant = (grantId && await provider.Grant.find(grantId)) || new provider.Grant({ accountId, clientId: params.client_id });
  grant.addOIDCScope(params.scope ?? OPENID);
  grant.addOIDCClaims(prompt.details.missingOIDCClaims ?? []);
  grant.addResourceScope(audience, OPENID);
  return { consent: { grantId: await grant.save() } };
}

provider.use(async (ctx, next) => {
  if (!ctx.path.startsWith('/sign-in/')) return next();
  const details = await provider.interactionDetails(ctx.req, ctx.res);
  const finish = (result) => provider.interactionFinished(ctx.req, ctx.res, result, { mergeWithLastSubmission: true });
  ctx.respond = false;
  if (details.prompt.name === 'consent') return finish(await agree(details, details.session.accountId));
  if (ctx.method === 'POST') {
    const given = await form(ctx.req);
    const name = given.get('login') ?? '';
    if (knows(name, given.get('password') ?? '')) return finish({ login: { accountId: name } });
    ctx.status = 401;
  }
  ctx.respond = true;
  page(ctx, '<form method="post"><input name="login"><input name="password" type="password"><button>Sign in</button></form>');
});

const server = provider.listen(settings.port, '127.0.0.1', () => console.log(`ready: ${issuer}`));
process.on('SIGTERM', () => { server.close(); server.closeAllConnections(); process.exit(0); });
