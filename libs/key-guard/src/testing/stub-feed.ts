import type { ServerResponse } from 'node:http';

const BEAT_MS = 100;

/**
 * Answers with a change feed that proves itself ten times a second, as long as it is listened to.
 *
 * @returns tells of a change, or of whatever else
 */
export function serveFeed(response: ServerResponse): (name: string, data: object) => void {
  const now = () => new Date().toISOString();
  const tell = (name: string, data: object): void => {
    response.write(`event: ${name}\ndata: ${JSON.stringify(data)}\n\n`);
  };
  response.writeHead(200, { 'content-type': 'text/event-stream' });
  tell('hello', { now: now() });
  const beat = () => tell('heartbeat', { seq: 1, at: now() });
  beat();
  const timer = setInterval(beat, BEAT_MS);
  response.on('close', () => clearInterval(timer));
  return tell;
}
