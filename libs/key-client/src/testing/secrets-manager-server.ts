import { createHash, createHmac, randomUUID } from 'node:crypto';
import { createServer, type IncomingMessage, type ServerResponse } from 'node:http';
import type { AddressInfo } from 'node:net';

/** Who may call it. */
export const CREDENTIALS = {
  accessKeyId: 'AKIDEXAMPLE',
  secretAccessKey: 'wJalrXUtnFEMI/K7MDENG+bPxRfiCYEXAMPLEKEY',
};

interface Version {
  VersionId: string;
  SecretString?: string;
  SecretBinary?: string;
}

/** A server of a test that speaks the JSON 1.1 protocol of AWS Secrets Manager and checks every signature (SigV4). */
export interface SecretsManagerServer {
  url: string;
  /** Operations so far. */
  seen: string[];
  /** Versions of a secret by its name, the newest last: that is AWSCURRENT, and the one before AWSPREVIOUS. */
  secrets: Map<string, Version[]>;
  /** Name of the error that every operation is answered with, and its status. */
  failing: { name: string; status: number } | null;
  put: (name: string, value: string | Buffer) => void;
  close: () => Promise<void>;
}

/** Starts it. */
export async function createSecretsManagerServer(): Promise<SecretsManagerServer> {
  const server = createServer((request, response) => {
    const chunks: Buffer[] = [];
    request.on('data', (chunk: Buffer) => chunks.push(chunk));
    request.on('end', () =>
      answer(manager, request, { response, text: String(Buffer.concat(chunks)) }),
    );
  });
  await new Promise<void>((resolve) => server.listen(0, '127.0.0.1', resolve));
  const manager: SecretsManagerServer = {
    url: `http://127.0.0.1:${(server.address() as AddressInfo).port}`,
    seen: [],
    secrets: new Map(),
    failing: null,
    put: (name, value) => {
      const held =
        typeof value === 'string'
          ? { SecretString: value }
          : { SecretBinary: value.toString('base64') };
      const versions = manager.secrets.get(name) ?? [];
      manager.secrets.set(name, [...versions, { VersionId: randomUUID(), ...held }]);
    },
    close: async () => {
      const closed = new Promise((resolve) => server.close(resolve));
      server.closeAllConnections();
      await closed;
    },
  };
  return manager;
}

interface Exchange {
  response: ServerResponse;
  text: string;
}
interface Asked {
  SecretId?: string;
  Name?: string;
  VersionStage?: string;
  SecretString?: string;
  ClientRequestToken?: string;
}

function answer(
  manager: SecretsManagerServer,
  request: IncomingMessage,
  { response, text }: Exchange,
): void {
  const send = (status: number, body: object) => {
    response.writeHead(status, { 'content-type': 'application/x-amz-json-1.1' });
    response.end(JSON.stringify(body));
  };
  const refuse = (status: number, name: string) =>
    send(status, { __type: name, Message: `It is ${name}` });
  const { headers } = request;
  const target = String(headers['x-amz-target']);
  manager.seen.push(target.replace('secretsmanager.', ''));
  if (headers['content-type'] !== 'application/x-amz-json-1.1')
    return refuse(400, 'SerializationException');
  if (!isSigned(request, text)) return refuse(400, 'InvalidSignatureException');
  if (manager.failing) return refuse(manager.failing.status, manager.failing.name);
  const asked = JSON.parse(text) as Asked;
  const done = operate(manager, target, asked);
  if (done === null) return refuse(400, 'ResourceNotFoundException');
  send(200, done);
}

function operate(manager: SecretsManagerServer, target: string, asked: Asked): object | null {
  const name = asked.SecretId ?? asked.Name ?? '';
  const isThere = manager.secrets.has(name);
  switch (target) {
    case 'secretsmanager.GetSecretValue':
      return versionOf(manager, name, asked.VersionStage);
    case 'secretsmanager.PutSecretValue':
      return isThere ? addVersion(manager, name, asked) : null;
    case 'secretsmanager.CreateSecret':
      return isThere ? null : addVersion(manager, name, asked);
    default:
      return null;
  }
}

function versionOf(
  { secrets }: SecretsManagerServer,
  Name: string,
  stage: string | undefined,
): object | null {
  const version = secrets.get(Name)?.at(stage === 'AWSPREVIOUS' ? -2 : -1);
  return version ? { Name, ARN: arnOf(Name), VersionStages: [stage], ...version } : null;
}

function addVersion(
  manager: SecretsManagerServer,
  Name: string,
  { ClientRequestToken, SecretString }: Asked,
): object | null {
  if (ClientRequestToken === undefined || SecretString === undefined) return null;
  manager.put(Name, SecretString);
  return { ARN: arnOf(Name), Name, VersionId: manager.secrets.get(Name)?.at(-1)?.VersionId };
}

function arnOf(name: string): string {
  return `arn:aws:secretsmanager:eu-central-1:123456789012:secret:${name}-AbCdEf`;
}

/** Whether a request is signed by {@link CREDENTIALS}, as the documentation of Signature Version 4 has it. */
function isSigned(request: IncomingMessage, text: string): boolean {
  const { method = '', url = '', headers } = request;
  const shape =
    /^AWS4-HMAC-SHA256 Credential=(?<id>[^/]+)\/(?<scope>[^,]+), SignedHeaders=(?<names>[^,]+), Signature=(?<signature>[0-9a-f]{64})$/;
  const { id, scope, names, signature } = shape.exec(headers.authorization ?? '')?.groups ?? {};
  if (!scope || !names || id !== CREDENTIALS.accessKeyId) return false;
  const mustBeSigned = ['host', 'x-amz-date', 'x-amz-target'];
  if (!mustBeSigned.every((name) => names.split(';').includes(name))) return false;
  const lines = names.split(';').map((name) => `${name}:${String(headers[name]).trim()}\n`);
  const canonical = [method, url, '', lines.join(''), names, sha256(text)].join('\n');
  const toSign = ['AWS4-HMAC-SHA256', headers['x-amz-date'], scope, sha256(canonical)].join('\n');
  const key = scope.split('/').reduce<string | Buffer>(hmac, `AWS4${CREDENTIALS.secretAccessKey}`);
  return hmac(key, toSign).toString('hex') === signature;
}

function sha256(text: string): string {
  return createHash('sha256').update(text).digest('hex');
}

function hmac(key: string | Buffer, text: string): Buffer {
  return createHmac('sha256', key).update(text).digest();
}
