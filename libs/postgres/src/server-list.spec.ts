import { asRole, credentialsOf, serversIn } from './server-list.js';

const placesIn = (url: string) => serversIn(url).map(({ host, port }) => `${host} ${port}`);

test('a connection string names one server, or several with a comma between them', () => {
  expect(placesIn('postgresql://u:p@one/db')).toEqual(['one 5432']);
  expect(placesIn('postgres://u:p@one:5433,two,[::1]:5434/db')).toEqual([
    'one 5433',
    'two 5432',
    '::1 5434',
  ]);
});

test('each server has a connection string of its own, with everything else as it was', () => {
  const urls = serversIn('postgresql://u:p%40@one:1,[::1]:2/db?sslmode=require&a=b').map(
    ({ url }) => url,
  );
  expect(urls).toEqual([
    'postgresql://u:p%40@one:1/db?sslmode=require&a=b',
    'postgresql://u:p%40@[::1]:2/db?sslmode=require&a=b',
  ]);
  expect(urls.map((url) => new URL(url).port)).toEqual(['1', '2']);
});

test('it may say that the server which takes writes is wanted, and no other', () => {
  const [first] = serversIn('postgresql://u@a,b/db?target_session_attrs=read-write');
  expect(first.url).toBe('postgresql://u@a/db');
  expect(serversIn('postgresql://u@a/db?x=y&target_session_attrs=primary')[0].url).toBe(
    'postgresql://u@a/db?x=y',
  );
  expect(() => serversIn('postgresql://u@a,b/db?target_session_attrs=standby')).toThrow(
    'target_session_attrs can be read-write or primary only',
  );
});

test.each([
  'mysql://u:secret@a/db',
  'postgresql://u:secret@a:port/db',
  'postgresql://u:secret@a:1:2/db',
])('a malformed one is refused without being repeated: %s', (url) => {
  expect(() => serversIn(url)).toThrow(/^(?!.*secret)/);
});

test('another role takes the place of the one that is named, whatever characters it has', () => {
  const url = asRole('postgresql://u:p@a:1,b:2/db?x=y', 'me@home', 'a:b/c');
  expect(url).toBe('postgresql://me%40home:a%3Ab%2Fc@a:1,b:2/db?x=y');
  expect(credentialsOf(url)).toEqual({ name: 'me@home', password: 'a:b/c' });
  expect(asRole('postgresql://a/db', 'me', 'p')).toBe('postgresql://me:p@a/db');
});

test('the credentials are read where a socket is named in place of a host', () => {
  const url = 'postgresql://me:p%40@/db?host=/run/postgresql';
  expect(credentialsOf(url)).toEqual({ name: 'me', password: 'p@' });
});
