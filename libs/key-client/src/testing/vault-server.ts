import { createServer, type IncomingMessage, type ServerResponse } from 'node:http';
import type { AddressInfo } from 'node:net';

/** One version of a secret; its data is null once it was deleted. */
interface Version {
  data: Record<string, unknown> | null;
  created_time: string;
}

/** A server of a test that speaks the part of Vault's HTTP API that providers use, as its documentation has it. */
export interface VaultServer {
  url: string;
  /** Requests so far: `METHOD path`. */
  seen: string[];
  /** Tokens that are let in; of those in `writers` only to write. */
  tokens: Set<string>;
  writers: Set<string>;
  /** Versions of a secret by its path; the first is number 1. */
  secrets: Map<string, Version[]>;
  /** What an AppRole has to send, and what it gets for it. */
  role: { role_id: string; secret_id: string; lease_duration: number; renewable: boolean };
  /** Namespace that every request has to name, null for none. */
  namespace: string | null;
  /** Answers with this status in place of anything else, as a server that is sealed or overloaded does. */
  outage: number | null;
  /** Is called, and waited for, before a write is looked at. */
  beforeWrite: (data: Record<string, unknown>) => void | Promise<void>;
  /** Does what it is asked to write and breaks off in place of an answer. */
  losesAnswers: boolean;
  put: (path: string, data: Record<string, unknown> | null) => void;
  close: () => Promise<void>;
}

/** Starts it, with KV version 2 at `secret/` and AppRole at `approle/`. */
export async function createVaultServer(): Promise<VaultServer> {
  const server = createServer((request, response) => {
    const chunks: Buffer[] = [];
    request.on('data', (chunk: Buffer) => chunks.push(chunk));
    request.on('end', () =>
      answer(vault, request, { response, text: String(Buffer.concat(chunks)) }),
    );
  });
  await new Promise<void>((resolve) => server.listen(0, '127.0.0.1', resolve));
  const vault: VaultServer = {
    url: `http://127.0.0.1:${(server.address() as AddressInfo).port}`,
    seen: [],
    tokens: new Set(['hvs.root']),
    writers: new Set(),
    secrets: new Map(),
    role: { role_id: 'role-1', secret_id: 'secret-1', lease_duration: 1_200, renewable: true },
    namespace: null,
    outage: null,
    beforeWrite: () => undefined,
    losesAnswers: false,
    put: (path, data) => {
      const created_time = new Date().toISOString();
      vault.secrets.set(path, [...(vault.secrets.get(path) ?? []), { data, created_time }]);
    },
    close: async () => {
      const closed = new Promise((resolve) => server.close(resolve));
      server.closeAllConnections();
      await closed;
    },
  };
  return vault;
}

interface Exchange {
  response: ServerResponse;
  text: string;
}

function answer(vault: VaultServer, request: IncomingMessage, { response, text }: Exchange): void {
  const { method = '', url = '', headers } = request;
  const path = decodeURIComponent(url.replace('/v1/', ''));
  vault.seen.push(`${method} ${path}`);
  const send = (status: number, body: object) => {
    if (vault.losesAnswers && method === 'POST') response.destroy();
    else
      response.writeHead(status, { 'content-type': 'application/json' }).end(JSON.stringify(body));
  };
  const answering: Answering = { send, refuse: (status, ...errors) => send(status, { errors }) };
  const body = (text === '' ? {} : JSON.parse(text)) as Record<string, unknown>;
  const asked = { method, path, token: headerOf(headers['x-vault-token']), body };
  if (vault.outage !== null) answering.refuse(vault.outage, 'Vault is sealed');
  else if (!isLetIn(vault, asked, headerOf(headers['x-vault-namespace'])))
    answering.refuse(403, 'permission denied');
  else if (path.startsWith('auth/')) authenticate(vault, asked, answering);
  else if (path.startsWith('secret/data/')) useSecret(vault, asked, answering);
  else answering.refuse(404);
}

interface Asked {
  method: string;
  path: string;
  token: string;
  body: Record<string, unknown>;
}

function headerOf(value: string | string[] | undefined): string {
  return typeof value === 'string' ? value : '';
}

function isLetIn(vault: VaultServer, { path, token }: Asked, namespace: string): boolean {
  const isHere = namespace === (vault.namespace ?? '');
  return isHere && (path === 'auth/approle/login' || vault.tokens.has(token));
}

function useSecret(vault: VaultServer, asked: Asked, { send, refuse }: Answering): void {
  const name = asked.path.replace('secret/data/', '');
  if (asked.method === 'POST')
    return void write(vault, { name, body: asked.body }, { send, refuse });
  if (vault.writers.has(asked.token))
    return refuse(403, '1 error occurred:\n\t* permission denied\n\n');
  read(vault, name, { send, refuse });
}

function authenticate(
  vault: VaultServer,
  { path, token, body }: Asked,
  { send, refuse }: Answering,
): void {
  switch (path) {
    case 'auth/approle/login':
      return logIn(vault, body, { send, refuse });
    case 'auth/token/renew-self':
      return send(200, { auth: grant(vault, token) });
    case 'auth/token/lookup-self':
      return send(200, envelope(lookUp(vault)));
    default:
      refuse(404);
  }
}

interface Answering {
  send: (status: number, body: object) => void;
  refuse: (status: number, ...errors: string[]) => void;
}

function logIn(vault: VaultServer, body: object, { send, refuse }: Answering): void {
  const { role_id, secret_id } = body as { role_id?: string; secret_id?: string };
  if (role_id !== vault.role.role_id || secret_id !== vault.role.secret_id)
    return refuse(400, 'invalid role or secret ID');
  const token = `hvs.login-${vault.seen.length}`;
  vault.tokens.add(token);
  send(200, { ...envelope(null), auth: grant(vault, token) });
}

function grant({ role }: VaultServer, client_token: string): object {
  const { lease_duration, renewable } = role;
  const policies = ['default', 'key'];
  return {
    client_token,
    accessor: 'a',
    policies,
    lease_duration,
    renewable,
    token_type: 'service',
  };
}

function lookUp({ role }: VaultServer): object {
  return { id: 'masked', ttl: role.lease_duration, renewable: role.renewable, policies: ['key'] };
}

function read({ secrets }: VaultServer, name: string, { send, refuse }: Answering): void {
  const versions = secrets.get(name);
  const last = versions?.at(-1);
  if (!versions || !last) return refuse(404);
  const metadata = {
    created_time: last.created_time,
    custom_metadata: null,
    deletion_time: last.data === null ? last.created_time : '',
    destroyed: false,
    version: versions.length,
  };
  send(last.data === null ? 404 : 200, envelope({ data: last.data, metadata }));
}

async function write(
  vault: VaultServer,
  { name, body }: { name: string; body: Record<string, unknown> },
  { send, refuse }: Answering,
): Promise<void> {
  const { data, options = {} } = body as {
    data: Record<string, unknown>;
    options?: { cas?: number };
  };
  await vault.beforeWrite(data);
  const version = vault.secrets.get(name)?.length ?? 0;
  if (options.cas !== undefined && options.cas !== version)
    return refuse(400, 'check-and-set parameter did not match the current version');
  vault.put(name, data);
  const created_time = vault.secrets.get(name)?.at(-1)?.created_time;
  send(
    200,
    envelope({ created_time, custom_metadata: null, deletion_time: '', version: version + 1 }),
  );
}

function envelope(data: object | null): object {
  return {
    ...{ request_id: 'r', lease_id: '', renewable: false, lease_duration: 0 },
    ...{ data, wrap_info: null, warnings: null, auth: null },
  };
}
