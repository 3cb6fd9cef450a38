/** One event of a stream. */
export interface StreamEvent {
  name: string;
  id: string | null;
  data: string;
}

/** Longer than any event of the change feed. */
const MOST_CHARACTERS = 64 * 1024;

/** Cuts a stream of server-sent events into events, whatever pieces it arrives in. */
export class EventCutter {
  private rest = '';

  /** @throws Error for an event that is too long to be one of ours */
  feed(piece: string): StreamEvent[] {
    this.rest += piece;
    const parts = this.rest.split('\n\n');
    this.rest = parts.pop()!;
    if (this.rest.length > MOST_CHARACTERS) throw new Error('The event does not end');
    return parts.map(eventOf);
  }
}

function eventOf(text: string): StreamEvent {
  const event: StreamEvent = { name: 'message', id: null, data: '' };
  for (const line of text.split('\n')) {
    const colon = line.indexOf(': ');
    const value = line.slice(colon + 2);
    if (line.startsWith('event: ')) event.name = value;
    else if (line.startsWith('id: ')) event.id = value;
    else if (line.startsWith('data: ')) event.data += value;
  }
  return event;
}
