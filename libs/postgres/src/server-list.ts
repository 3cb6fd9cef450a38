/** One server of a database. */
export interface Server {
  host: string;
  port: number;
  /** The connection string with this server alone. */
  url: string;
}

const CONNECTION_STRING = /^(postgres(?:ql)?:\/\/(?:[^@/]*@)?)([^/?#]*)([^#]*)$/;
const HOST = /^(\[[\da-fA-F:.]+\]|[^:[\]]*)(?::(\d{1,5}))?$/;
const DEFAULT_PORT = '5432';
/** Values of `target_session_attrs` that mean the server which takes writes; no other is ever used. */
const TARGETS = ['read-write', 'primary'];

/**
 * The servers that a connection string names, in its order, as libpq reads it:
 * `postgresql://user:password@host1:5432,host2:5432/database`. It may say `target_session_attrs=read-write` or `primary`.
 *
 * @throws Error saying what is wrong, never a part of the string that could be secret
 */
export function serversIn(url: string): readonly [Server, ...Server[]] {
  const match = CONNECTION_STRING.exec(url);
  if (match === null) throw new Error('Use postgresql://user:password@host:port/database');
  const [, start, hosts, rest] = match as unknown as string[];
  const end = withoutTarget(rest!);
  const servers = hosts!.split(',').map((text) => {
    const { host, port } = hostOf(text);
    return { host, port, url: `${start}${text}${end}` };
  });
  return servers as [Server, ...Server[]];
}

/** User and password of a connection string; empty where it has none. @throws Error as {@link serversIn} */
export function credentialsOf(url: string): { name: string; password: string } {
  const [server] = serversIn(url);
  // a URL takes nobody's name where there is no host, as where a socket is named in the query
  const { username, password } = new URL(server.url.replace(/@(?=[/?]|$)/, '@localhost'));
  return { name: decodeURIComponent(username), password: decodeURIComponent(password) };
}

/** The same database for another role. */
export function asRole(url: string, name: string, password: string): string {
  const credentials = `${encodeURIComponent(name)}:${encodeURIComponent(password)}@`;
  return url.replace(/^(\w+:\/\/)(?:[^@/]*@)?/, (_, scheme: string) => scheme + credentials);
}

function hostOf(text: string): { host: string; port: number } {
  const match = HOST.exec(text);
  if (match === null) throw new Error('A server of the connection string is not host or host:port');
  const [, host = '', port = DEFAULT_PORT] = match;
  return { host: host.replaceAll(/[[\]]/g, ''), port: Number(port) };
}

function withoutTarget(rest: string): string {
  const [path = '', query = ''] = rest.split('?');
  const parameters = query.split('&').filter((one) => {
    const [name, value = ''] = one.split('=');
    if (name !== 'target_session_attrs') return one !== '';
    if (TARGETS.includes(value)) return false;
    throw new Error(`target_session_attrs can be ${TARGETS.join(' or ')} only`);
  });
  return parameters.length === 0 ? path : `${path}?${parameters.join('&')}`;
}
