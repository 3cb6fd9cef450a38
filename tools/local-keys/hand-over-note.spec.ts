import { handOverNote } from './hand-over-note.js';

const none = { created: 0, unchanged: 0, rotated: 0, revoked: 0, disabled: 0 };
const nothing = { ...none, imports: [], failed: [] };

it('a hand-over that finds nothing new says so, and no other does', () => {
  expect(handOverNote(nothing)).toMatch(/^Nothing is new/);
  expect(handOverNote({ ...nothing, revoked: 1 })).toBeNull();
  expect(handOverNote({ ...nothing, failed: [{ keyId: 'key_1', why: 'it is taken' }] })).toBeNull();
});
