/** The number of a call, and what the script answered to it. */
export type Numbered<T> = [number, T];

/**
 * What is sent for a script. A cluster may promote a node behind our back: it runs only on nodes that were admitted, which the last
 * argument but one names. And Redis tells whose answer is whose by their order alone, so that one too few or too many would make of each
 * the answer to another question: the last argument is the number of the call, and the answer repeats it.
 */
export function numberedScript(lua: string): string {
  return `
local nodes, number = ARGV[#ARGV - 1], tonumber(ARGV[#ARGV])
if nodes ~= '' and not string.find(nodes, redis.call('CLUSTER', 'MYID'), 1, true) then
  return redis.error_reply('FOREIGN this node was not admitted')
end
local function answer()
${lua}
end
return { number, answer() }
`;
}

/** An answer was to another question than it came for. */
export class Misdirected extends Error {
  constructor() {
    super('Redis answered another question');
  }
}

/** Reads the answer to the call with a number. @throws Misdirected where it is another's, and what Redis refused it with */
export function answerTo<T>(number: number): (reply: Numbered<T>) => T {
  return (reply) => {
    if (!Array.isArray(reply) || reply[0] !== number) throw new Misdirected();
    const [, answer] = reply;
    if (answer instanceof Error) throw answer;
    return answer;
  };
}
