import type { Home } from './home.js';

/** Text of the file that says where secrets may be delivered to: into the file of a consumer in the platform's folder. */
export function deliveryTargetsText(home: Home): string {
  const files = { type: 'file', directory: home.path, allow: ['{consumer}.key'] };
  return `${JSON.stringify({ files }, null, 2)}\n`;
}
