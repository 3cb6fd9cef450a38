import { restMsAfter } from './slow-rest.js';

const [right, wrong] = [
  { isRight: true, isOver: false },
  { isRight: false, isOver: false },
];

it('a process rests for as long as a right hash took, so that it has half of a processor at most', () => {
  expect(restMsAfter(60, right)).toBe(60);
});

it('a wrong guess is followed by nine times as long, so that a flood of them has a tenth', () => {
  expect(restMsAfter(60, wrong)).toBe(540);
});

it('what took long because others had the processor is not rested for long', () => {
  expect(restMsAfter(60_000, right)).toBe(5_000);
  expect(restMsAfter(60_000, wrong)).toBe(5_000);
});

it('one that ended over a hash is not replaced at once', () => {
  expect(restMsAfter(1, { isRight: false, isOver: true })).toBe(250);
  expect(restMsAfter(100, { isRight: false, isOver: true })).toBe(900);
});
